"""`report check` on folders of runs: states, what is compared, second runs, acknowledgements, exit
codes, JSON.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from folders import ROOT
from history_support import CARD, HOST, PACKAGES, noisy, verdict_of, write_history, write_night
from report_process import report

from harness.schema.record import Pair, RunInfo, State
from harness.schema.verdict import Finding, Verdict
from report.loading.runs import load_runs
from report.regressions.acknowledged import Acknowledgement, PairPattern
from report.regressions.check import Rules, check
from report.regressions.reproduce import reproduce_command

PAIR = {"workload": "tiny-sst2", "baseline": "pytorch", "candidate": "onnxruntime"}


def history(
    results: Path, nights: int = 20, last: tuple[float, float] = (1.0, 1.0), tail: int = 1
) -> Path:
    """Quiet nights, the last `tail` of them multiplied by `last`."""
    factors = noisy(nights)
    factors[-tail:] *= last
    return write_history(results, factors)


def finding_of(results: Path, **options) -> Finding:
    (finding,) = verdict_of(results, **options).findings
    return finding


def test_a_steady_night(tmp_path: Path) -> None:
    verdict = verdict_of(history(tmp_path))
    (finding,) = verdict.findings
    assert (finding.state, finding.cause, verdict.exit_code) == ("steady", "", 0)
    assert [change.series for change in finding.changes] == ["baseline_s", "candidate_s", "ratio"]
    assert len(finding.history) == 20
    assert finding.gain == pytest.approx(0.25, abs=0.02)
    assert not finding.measure_again


@pytest.mark.parametrize(
    ("last", "state", "cause", "code"),
    [
        ((1, 1.05), "regression", "candidate regressed", 1),
        ((1.05, 1), "regression", "baseline regressed", 1),
        ((1.05, 1.05), "regression", "host or driver", 1),
        ((0.95, 1), "improvement", "baseline improved", 0),
        ((1, 0.95), "improvement", "candidate improved", 0),
    ],
)
def test_states_and_causes(
    tmp_path: Path, last: tuple[float, float], state: str, cause: str, code: int
) -> None:
    verdict = verdict_of(history(tmp_path, last=last, tail=2))
    (finding,) = verdict.findings
    assert (finding.state, finding.cause, verdict.exit_code) == (state, cause, code)
    assert (finding.since, finding.last_good) == ("night-018", "night-017")
    assert finding.confirmed is None
    assert finding.measure_again
    assert f"code: commit: {17:040x} → {19:040x}" in finding.different


def test_an_earlier_night_is_judged_by_what_was_before_it(tmp_path: Path) -> None:
    write_history(tmp_path, noisy(20))
    write_night(tmp_path, 20, (1, 1.06))
    write_history(tmp_path, np.ones((0, 2)))
    assert finding_of(tmp_path, night="night-020").state == "regression"
    earlier = finding_of(tmp_path, night="night-015")
    assert (earlier.state, len(earlier.history)) == ("steady", 16)
    done = report("check", tmp_path, "--run", "night-099")
    assert done.returncode == 2
    assert "no such night" in done.stderr


@pytest.mark.parametrize(
    ("again", "state", "confirmed", "code"),
    [(1.05, "regression", True, 1), (1.0, "watch", False, 0)],
)
def test_a_second_run_decides(
    tmp_path: Path, again: float, state: str, confirmed: bool, code: int
) -> None:
    history(tmp_path, last=(1, 1.05))
    write_night(tmp_path, 19, (1, again), name="night-019-again")
    verdict = verdict_of(tmp_path)  # found by its name
    (finding,) = verdict.findings
    assert (finding.state, finding.confirmed, verdict.exit_code) == (state, confirmed, code)
    assert not finding.measure_again
    assert verdict.run == "night-019"
    write_night(tmp_path, 20)
    assert len(finding_of(tmp_path).history) == 21  # the second run is no night


def test_a_second_run_without_the_pair_decides_nothing(tmp_path: Path) -> None:
    history(tmp_path, last=(1, 1.05))
    write_night(tmp_path, 19, name="night-019-again", states={"onnxruntime": State.CRASHED})
    verdict = verdict_of(tmp_path)
    assert (verdict.findings[0].state, verdict.findings[0].confirmed, verdict.exit_code) == (
        "regression",
        None,
        1,
    )
    assert "the second run has no result" in verdict.problems[0]


def test_a_second_run_on_another_host_decides_nothing(tmp_path: Path) -> None:
    history(tmp_path, last=(1, 1.05))
    other = HOST.model_copy(update={"driver": "551.0"})
    write_night(tmp_path, 19, name="night-019-again", host=other)
    verdict = verdict_of(tmp_path)
    assert verdict.findings[0].confirmed is None
    assert "driver: 550.1 → 551.0" in verdict.problems[0]


def test_an_alarm_that_cannot_stand_alone_waits_for_a_second_run(tmp_path: Path) -> None:
    factors = np.ones((31, 2))
    factors[:30, 1] = 1 + 0.005 * np.resize([1, -1], 30)
    factors[30, 1] = 1.0215  # sigma is 0.8 * 1.4826 * 0.005 * 1.04: between 2.7 and 3.5 of it
    write_history(tmp_path, factors)
    verdict = verdict_of(tmp_path)
    (finding,) = verdict.findings
    assert (finding.state, finding.measure_again, verdict.exit_code) == ("watch", True, 0)
    write_night(tmp_path, 30, (1, 1.0215), name="night-030-again")
    assert finding_of(tmp_path).state == "regression"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"host": HOST.model_copy(update={"driver": "560.2"})}, "driver: 550.1 → 560.2"),
        (
            {"host": HOST.model_copy(update={"gpus": [{**CARD, "uuid": "GPU-ff"}]})},
            "card: Abacus GPU (GPU-0123456789ab",
        ),
        ({"packages": {**PACKAGES, "torch": "2.7.0"}}, "torch: 2.6.0 → 2.7.0"),
        ({"jobs": {"attention": "sdpa"}}, "baseline.attention: eager → sdpa"),
        ({"jobs": {"device": "cpu"}}, "machine: none → Abacus, 2 cores (aaaaaaaaaaaa)"),
    ],
)
def test_incomparable_nights_are_never_mixed_and_it_says_so(
    tmp_path: Path, changes: dict, said: str
) -> None:
    write_history(tmp_path, noisy(20))
    write_night(tmp_path, 20, (1.5, 1.5), **changes)
    verdict = verdict_of(tmp_path)
    (finding,) = verdict.findings
    assert (finding.state, verdict.exit_code) == ("not enough nights", 2)
    assert "20 earlier nights not compared, for since then" in finding.reason
    assert said in finding.reason
    assert finding.history == finding.history[:1]
    assert finding.different or "jobs" in changes


def test_other_packages_and_an_injected_fault_do_not_part_nights(tmp_path: Path) -> None:
    write_history(tmp_path, noisy(20))
    path = write_night(tmp_path, 20, (1, 1.08), packages={**PACKAGES, "rich": "14.0"})
    lines = [json.loads(line) for line in (path / "jobs.jsonl").read_text().splitlines()]
    for line in lines:
        line["arm"]["injected_delay_ms"] = 30.0 * (line["arm"]["name"] == "onnxruntime")
    (path / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    finding = finding_of(tmp_path)
    assert (finding.state, finding.cause) == ("regression", "candidate regressed")
    assert "packages: rich: 13.9 → 14.0" in finding.different


@pytest.mark.parametrize(
    ("nights", "last", "state", "bound"),
    [
        (5, 1.11, "regression", "10%"),
        (5, 1.09, "not enough nights", "10%"),
        (8, 1.06, "regression", "5%"),
        (8, 1.04, "not enough nights", "5%"),
    ],
)
def test_few_nights(tmp_path: Path, nights: int, last: float, state: str, bound: str) -> None:
    verdict = verdict_of(history(tmp_path, nights=nights, last=(1, last)))
    assert verdict.findings[0].state == state
    assert verdict.exit_code == (state == "regression")
    assert f"fixed bound of {bound}" in verdict.findings[0].reason


@pytest.mark.parametrize(("apart", "state"), [(1.0, "regression"), (1.3, "not enough nights")])
def test_replicates_that_are_far_apart_widen_the_bound_of_the_first_nights(
    tmp_path: Path, apart: float, state: str
) -> None:
    """The candidate's second replicate of each night is `apart` times as slow as the first one; the
    last night is 12% slower.
    """
    for night in range(4):
        path = write_night(tmp_path, night, (1, 1.12 if night == 3 else 1.0))
        lines = [json.loads(line) for line in (path / "jobs.jsonl").read_text().splitlines()]
        for line in lines:
            if line["replicate"] == 1 and line["arm"]["name"] == "onnxruntime":
                line["timing"]["steady_step_s"] *= apart
        (path / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    finding = finding_of(tmp_path)
    assert finding.state == state
    assert finding.history[0].replicates == 2


def test_the_first_night_cannot_be_judged(tmp_path: Path) -> None:
    verdict = verdict_of(history(tmp_path, nights=1))
    assert (verdict.findings[0].state, verdict.exit_code) == ("not enough nights", 2)


def test_failed_jobs_are_missing(tmp_path: Path) -> None:
    write_history(tmp_path, noisy(12))
    write_night(tmp_path, 12, states={"onnxruntime": State.OUT_OF_MEMORY})
    verdict = verdict_of(tmp_path)
    (finding,) = verdict.findings
    assert (finding.state, finding.last_good, verdict.exit_code) == ("missing", "night-011", 2)
    assert "out of memory in 2 of 2 replicates" in finding.reason
    assert "Abacus GPU" in finding.host


def test_a_pair_that_is_not_part_of_tonight_is_missing_once(tmp_path: Path) -> None:
    write_history(tmp_path, noisy(3))
    other = [Pair(workload="tiny-sst2", baseline="onnxruntime", candidate="pytorch")]
    write_night(tmp_path, 3, pairs=other)
    states = {finding.candidate: finding.state for finding in verdict_of(tmp_path).findings}
    assert states == {"pytorch": "not enough nights", "onnxruntime": "missing"}
    write_night(tmp_path, 4, pairs=other)
    assert [finding.candidate for finding in verdict_of(tmp_path).findings] == ["pytorch"]
    write_night(
        tmp_path, 5, pairs=other, suite="another"
    )  # another suite misses nothing of this one's
    assert [finding.candidate for finding in verdict_of(tmp_path).findings] == ["pytorch"]


def test_acknowledged_changes_reset_the_baseline(tmp_path: Path) -> None:
    factors = noisy(32)
    factors[20:, 1] *= 1.1
    write_history(tmp_path, factors)
    assert finding_of(tmp_path, night="night-024").state == "regression"
    entry = Acknowledgement.model_validate(
        {"date": "2026-01-21", "pair": PAIR, "reason": "dropout is on again", "commit": "abc"}
    )
    rules = Rules(acknowledged=[entry])
    after = finding_of(tmp_path, night="night-024", rules=rules)
    assert after.state == "not enough nights"
    assert "20 nights before 2026-01-21 are set aside: dropout is on again" in after.reason
    assert len(after.history) == 5
    assert finding_of(tmp_path, rules=rules).state == "steady"
    assert (
        finding_of(tmp_path, night="night-019", rules=rules).state == "steady"
    )  # it does not reach back
    foreign = entry.model_copy(update={"pair": PairPattern(workload="large*")})
    assert (
        finding_of(tmp_path, night="night-024", rules=Rules(acknowledged=[foreign])).state
        == "regression"
    )


def test_damaged_runs_are_named_and_left_out(tmp_path: Path) -> None:
    history(tmp_path)
    (tmp_path / "night-007" / "run.json").write_text("{")
    with (tmp_path / "night-008" / "jobs.jsonl").open("a") as lines:
        lines.write('{"id": "torn')
    done = report("check", tmp_path, "--json", tmp_path / "out" / "verdict.json")
    assert done.returncode == 0
    verdict = Verdict.model_validate_json((tmp_path / "out" / "verdict.json").read_text())
    assert len(verdict.findings[0].history) == 19
    assert len(verdict.problems) == 2
    assert all(problem in done.stderr for problem in verdict.problems)


def test_the_command(tmp_path: Path) -> None:
    """Exit status, text and JSON of a real process; thresholds and acknowledgements from files."""
    history(tmp_path / "runs", last=(1, 1.05), tail=2)
    done = report("check", tmp_path / "runs", "--json", tmp_path / "verdict.json")
    assert done.returncode == 1
    assert "tiny-sst2: onnxruntime over pytorch: regression, candidate regressed" in done.stdout
    assert "report check --again RUN" in done.stdout
    assert Verdict.model_validate_json((tmp_path / "verdict.json").read_text()).exit_code == 1
    write_night(tmp_path, 19, name="elsewhere")
    done = report("check", tmp_path / "runs", "--again", tmp_path / "elsewhere")
    assert (done.returncode, "does not confirm it" in done.stdout) == (0, True)
    (tmp_path / "check.yaml").write_text("thresholds: {least_change_percent: 8}\n")
    assert report("check", tmp_path / "runs", "--config", tmp_path / "check.yaml").returncode == 0
    (tmp_path / "check.yaml").write_text("thresholds: {least_change_percent: -8}\n")
    done = report("check", tmp_path / "runs", "--config", tmp_path / "check.yaml")
    assert (done.returncode, "check.yaml:1: thresholds.least_change_percent" in done.stderr) == (
        2,
        True,
    )
    (tmp_path / "runs" / "acknowledged.yaml").write_text(
        "acknowledged: [{date: 2026-01-19, pair: {workload: '*'}, reason: known}]\n"
    )
    done = report("check", tmp_path / "runs")
    assert (done.returncode, "set aside: known" in done.stdout) == (0, True)


def test_end_to_end_times_are_asked_for(tmp_path: Path) -> None:
    write_history(tmp_path, noisy(14))
    path = write_night(tmp_path, 14)
    lines = [json.loads(line) for line in (path / "jobs.jsonl").read_text().splitlines()]
    for line in lines:
        line["timing"]["train_runtime_s"] *= 1 + 0.2 * (line["arm"]["name"] == "onnxruntime")
    (path / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert finding_of(tmp_path).state == "steady"
    finding = finding_of(tmp_path, rules=Rules(measure="end_to_end"))
    assert (finding.state, finding.measure, finding.cause) == (
        "regression",
        "end_to_end",
        "candidate regressed",
    )


def test_published_figures_are_no_night() -> None:
    runs, _ = load_runs([ROOT / "results" / "published"])
    with pytest.raises(Exception, match="no night here"):
        check(runs, Rules())


INFO = {"run": "x", "suite": "smoke", "created_at": "2026-01-01T00:00:00Z"}
SMOKE_PAIR = Pair(workload="bert-tiny-sst2", baseline="pytorch", candidate="onnxruntime")


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ([], ["smoke"]),
        (
            ["cli.py", "run", "--set", "training.batch_size=4"],
            ["smoke", "--set", "training.batch_size=4"],
        ),
        (
            ["cli.py", "run", "mine.yaml", "--new", "--device=cpu", "--run", "n"],
            ["mine.yaml", "--device", "cpu"],
        ),
        (["cli.py", "run", "<path>", "--set", "pairs.0.baseline=x", "--results=<path>"], ["smoke"]),
        (["cli.py", "run", "<results>/mine.yaml", "--results", "<results>"], ["smoke"]),
        (
            [
                "cli.py",
                "run",
                "~/mine.yaml",
                "--set",
                "models.a.path=~/a",
                "--set",
                "models.b.path=<tmp>/b",
            ],
            ["smoke"],
        ),
        (["cli.py", "run", "x", "--set", "a.b=~", "--set", "k=<secret>"], ["x", "--set", "a.b=~"]),
        (["cli.py", "run", "<checkout>/configs/mine.yaml", "--run=n"], ["configs/mine.yaml"]),
        (["python", "elsewhere.py", "run"], ["smoke"]),
    ],
)
def test_the_command_that_measures_it_again(command: list[str], kept: list[str]) -> None:
    words = shlex.split(reproduce_command(RunInfo(**INFO, command=command), SMOKE_PAIR))
    assert words[: 2 + len(kept)] == ["harness", "run", *kept]
    assert words[2 + len(kept)] == "--set"
    assert words[-1] == "--new"


def test_the_harness_plans_exactly_this_pair() -> None:
    words = shlex.split(reproduce_command(RunInfo(**INFO), SMOKE_PAIR))
    arguments = ["plan", *words[2:-1], "--device", "cpu", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    jobs = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert {job["workload"]["name"] for job in jobs} == {"bert-tiny-sst2"}
    assert {job["arm"]["name"] for job in jobs} == {"pytorch", "onnxruntime"}
