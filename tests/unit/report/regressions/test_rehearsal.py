"""Rehearsals: the noise they are made of, what they find, and that they leave nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from folders import ROOT
from history_support import noisy, write_history, write_night
from report_process import report

from harness.errors import BenchError
from report.loading.runs import load_runs
from report.regressions.check import Rules
from report.regressions.nights import Night, histories, nights_among
from report.regressions.noise import Noise, noise_of
from report.regressions.rehearsal import rehearse, worth
from report.regressions.rehearsal_text import fraction
from report.regressions.thresholds import Comparable, Thresholds

THRESHOLDS = Thresholds()


def nights(results: Path) -> list[Night]:
    runs, _ = load_runs([results])
    (found,) = histories(nights_among(runs), "steady_state", Comparable()).values()
    return found


def gaussian(sd: float) -> Noise:
    return Noise("nights", sd * np.random.default_rng(0).standard_normal((4000, 2)))


def test_noise_is_that_of_the_nights_without_their_changes(tmp_path: Path) -> None:
    factors = noisy(60, 0.01)
    factors[30:, 1] *= 1.2
    noise = noise_of(nights(write_history(tmp_path, factors)), THRESHOLDS)
    assert (noise.source, len(noise.residuals)) == ("nights", 60)
    baseline, candidate, ratio = noise.percent
    assert baseline == pytest.approx(1, rel=0.3)
    assert candidate == pytest.approx(1, rel=0.3)
    assert ratio == pytest.approx(1.41, rel=0.3)


def test_a_short_history_has_the_noise_of_launches_and_says_so(tmp_path: Path) -> None:
    noise = noise_of(nights(write_history(tmp_path, noisy(3))), THRESHOLDS)
    assert (noise.source, noise.launches, len(noise.residuals)) == ("launches", 2, 6)
    assert "shorter than 10 nights" in str(noise)
    # Launches of these nights are 0.1% apart: sd 0.0707%, and of a mean of two 0.05%.
    assert noise.percent[0] == pytest.approx(0.05, rel=0.01)
    drawn = noise.draw(np.random.default_rng(0), (4000,))
    assert drawn.std(axis=0).tolist() == pytest.approx([0.0005, 0.0005], rel=0.05)


def test_a_single_launch_says_nothing(tmp_path: Path) -> None:
    path = write_night(tmp_path, 0)
    lines = (path / "jobs.jsonl").read_text().splitlines()
    (path / "jobs.jsonl").write_text("\n".join(lines[:2]) + "\n")
    with pytest.raises(BenchError, match="single launch"):
        noise_of(nights(tmp_path), THRESHOLDS)


def test_worth_of_known_noise() -> None:
    """At 0.5% a 5% step is told at once, whichever arm and direction; where noise is 5% it is
    not.
    """
    options = {"nights": 60, "pairs": 40, "seed": 1}
    for arm, slower in ((1, 0.05), (0, 0.05), (1, -0.05)):
        quiet = worth(gaussian(0.005), THRESHOLDS, slower=slower, arm=arm, **options)
        assert quiet.power[1].value >= 0.95
        assert quiet.false_alarms.low <= 0.02
    loud = worth(gaussian(0.05), THRESHOLDS, slower=0.05, arm=1, **options)
    assert loud.power[1].value < 0.5
    values = [share.value for share in loud.power.values()]
    assert values == sorted(values)
    for share in (*loud.power.values(), loud.false_alarms, loud.second_runs):
        assert share.low <= share.value <= share.high


@pytest.mark.parametrize(("arm", "cause"), [(1, "candidate regressed"), (0, "baseline regressed")])
def test_the_whole_path_names_the_arm(tmp_path: Path, arm: int, cause: str) -> None:
    template = nights(write_history(tmp_path / "recorded", noisy(12)))[-1]
    folder = tmp_path / "made"
    told = list(
        rehearse(
            template, gaussian(0.005), Rules(), folder, slower=0.05, arm=arm, nights=40, seed=0
        )
    )
    (finding,) = told[-1].verdict.findings
    assert (told[-1].since, finding.state, finding.cause, finding.confirmed) == (
        1,
        "regression",
        cause,
        True,
    )
    assert len(finding.history) == 21
    assert (folder / "rehearsal-021-again" / "jobs.jsonl").is_file()
    runs, problems = load_runs([folder])
    assert problems == []
    assert all("no machine measured this" in run.info.notes[0] for run in runs)


def test_the_same_seed_is_the_same_rehearsal(tmp_path: Path) -> None:
    template = nights(write_history(tmp_path / "recorded", noisy(12)))[-1]
    options = {"slower": 0.02, "arm": 1, "nights": 40, "seed": 3}
    one, other = (
        [
            told.verdict
            for told in rehearse(template, gaussian(0.005), Rules(), tmp_path / name, **options)
        ]
        for name in ("one", "other")
    )
    assert one == other


def test_the_command_on_a_recorded_run(tmp_path: Path) -> None:
    done = report(
        "rehearse", ROOT / "results" / "smoke-20261123-012757", "--pair", "bert-tiny-sst2", "--inject", "12%",
        "--simulated", "40", "--json", tmp_path / "worth.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the noise between 4 recorded launches" in done.stdout
    assert "`report alert` would tell:" in done.stdout
    assert "onnxruntime got slower" in done.stdout
    assert "false alarms per series and month" in done.stdout
    (written,) = json.loads((tmp_path / "worth.json").read_text())
    assert (written["found"], written["cause"]) == (True, "candidate regressed")
    assert written["power_by_night"]["1"]["value"] > 0.9


@pytest.mark.parametrize(
    "wrong",
    [
        ["--inject", "5"],
        ["--inject", "0%"],
        ["--nights", "10"],
        ["--pair", "none"],
        ["--simulated", "0"],
        ["--seed", "-1"],
        ["--nights", "99999999999"],
        ["--simulated", "99999999999"],
    ],
)
def test_bad_input(wrong: list[str]) -> None:
    done = report("rehearse", ROOT / "results" / "smoke-20261123-012757", *wrong)
    assert (done.returncode, "Traceback" in done.stderr, "fix:" in done.stderr) == (2, False, True)


def test_percentages() -> None:
    assert fraction("5%") == 0.05
    assert fraction(" -2.5% ") == -0.025
    for wrong in ("5", "%", "nan%", "-100%", "0%", "5% slower"):
        with pytest.raises(BenchError):
            fraction(wrong)
