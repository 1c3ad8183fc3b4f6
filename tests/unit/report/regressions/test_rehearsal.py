"""Rehearsals: the noise they are made of, and what they say of alarms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from folders import ROOT
from history_support import noisy, write_history, write_night
from report_process import report

from harness.errors import BenchError
from report.commands.rehearse import fraction
from report.loading.runs import load_runs
from report.regressions.nights import Night, histories, nights_among
from report.regressions.rehearsal import FOUND_SHARE, Noise, Simulation, noise_of
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


def test_a_short_history_has_the_noise_of_replicates_and_says_so(tmp_path: Path) -> None:
    noise = noise_of(nights(write_history(tmp_path, noisy(3))), THRESHOLDS)
    assert (noise.source, noise.replicates, len(noise.residuals)) == ("replicates", 2, 6)
    assert "shorter than 10 nights" in str(noise)
    # Replicates of these nights are 0.1% apart: sd 0.0707%, and of a mean of two 0.05%.
    assert noise.percent[0] == pytest.approx(0.05, rel=0.01)
    drawn = noise.draw(np.random.default_rng(0), (4000,))
    assert drawn.std(axis=0).tolist() == pytest.approx([0.0005, 0.0005], rel=0.05)


def test_a_single_replicate_says_nothing(tmp_path: Path) -> None:
    path = write_night(tmp_path, 0)
    lines = (path / "jobs.jsonl").read_text().splitlines()
    (path / "jobs.jsonl").write_text("\n".join(lines[:2]) + "\n")
    with pytest.raises(BenchError, match="single replicate"):
        noise_of(nights(tmp_path), THRESHOLDS)


def simulated(sd: float, seed: int = 1) -> Simulation:
    return Simulation(gaussian(sd), THRESHOLDS, nights=60, pairs=40, seed=seed)


def test_worth_of_known_noise() -> None:
    """At 0.5% a 5% step is told at once, whichever arm and direction; where noise is 5% it is
    not.
    """
    quiet = simulated(0.005)
    for arm, slower in ((1, 0.05), (0, 0.05), (1, -0.05)):
        assert quiet.power(slower, arm)[1].value >= 0.95
    false_alarms, second_runs = quiet.alarms_of_noise()
    assert false_alarms.low <= 0.02
    loud = simulated(0.05).power(0.05, 1)
    assert loud[1].value < 0.5
    values = [share.value for share in loud.values()]
    assert values == sorted(values)
    for share in (*loud.values(), false_alarms, second_runs):
        assert share.low <= share.value <= share.high


@pytest.mark.parametrize("arm", [0, 1])
@pytest.mark.parametrize("within", [1, 5])
def test_the_smallest_slowdown_is_found_and_a_smaller_one_is_not(arm: int, within: int) -> None:
    simulation = simulated(0.005)
    smallest = simulation.smallest_found(arm, within)
    assert smallest is not None
    # The least change that is ever an alarm is 1%; a step of ten standard deviations is one always.
    assert 0.01 < smallest < 0.05
    assert simulation.power(smallest, arm)[within].value >= FOUND_SHARE
    assert simulation.power(smallest - 0.001, arm)[within].value < FOUND_SHARE


def test_the_smallest_slowdown_grows_with_the_noise_until_none_is_found() -> None:
    found = [simulated(sd).smallest_found(1, 1) for sd in (0.005, 0.02)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[1] > 3 * found[0]
    assert simulated(0.5).smallest_found(1, 1) is None


def test_the_same_seed_is_the_same_rehearsal() -> None:
    one, other, another = (simulated(0.02, seed).power(0.05, 1) for seed in (3, 3, 4))
    assert one == other != another


def test_the_command_on_a_recorded_run(tmp_path: Path) -> None:
    done = report(
        "rehearse",
        ROOT / "results" / "smoke-20261123-012757",
        "--pair",
        "bert-tiny-sst2",
        "--inject",
        "12%",
        "--simulated",
        "40",
        "--json",
        tmp_path / "worth.json",
    )
    assert done.returncode == 0, done.stderr
    assert "the noise between 4 recorded replicates" in done.stdout
    assert "candidate +12.0% told on the first night: " in done.stdout
    assert "false alarms per series and month" in done.stdout
    (written,) = json.loads((tmp_path / "worth.json").read_text())
    assert written["found"] is True
    assert written["power_by_night"]["1"]["value"] > 0.9
    first, fifth = (written["smallest_slowdown_by_night"][night] for night in ("1", "5"))
    assert 0.01 < fifth < first < 0.12
    assert f"in 95% of the pairs: {first:.1%}\n" in done.stdout


def test_a_slowdown_that_is_not_found_ends_with_1() -> None:
    done = report(
        "rehearse",
        ROOT / "results" / "smoke-20261123-012757",
        "--inject",
        "0.5%",
        "--simulated",
        "40",
    )
    assert done.returncode == 1, done.stderr


def test_nights_in_alarm_at_the_end_are_left_out_and_said(tmp_path: Path) -> None:
    factors = noisy(20, 0.005)
    factors[-2:, 1] *= 1.2
    done = report("rehearse", write_history(tmp_path, factors), "--simulated", "20")
    assert "left out as in alarm: the last 2 nights" in done.stdout
    assert "made of the night-to-night noise of 18 recorded nights" in done.stdout


def test_a_pair_that_says_nothing_of_its_noise_is_left_out_by_name(tmp_path: Path) -> None:
    (workload,) = {night.pair.workload for night in nights(write_history(tmp_path, noisy(3)))}
    single = write_night(tmp_path / "single", 0)
    for file, lines in (("run.json", None), ("jobs.jsonl", 2)):
        text = (single / file).read_text().replace(f'"{workload}"', '"other"')
        (single / file).write_text("".join(text.splitlines(keepends=True)[:lines]))
    done = report("rehearse", single, "--simulated", "20")
    assert done.returncode == 2
    single.rename(tmp_path / "single-night")
    done = report("rehearse", tmp_path, "--simulated", "20")
    assert "made of the noise between 6 recorded replicates" in done.stdout
    assert done.returncode in (0, 1)
    (note,) = done.stderr.splitlines()
    assert note.startswith("note: other: onnxruntime over pytorch (")
    assert note.endswith("a single replicate of one night says nothing of noise; left out")


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
