"""Replicates of an interleaved pair under the runner, with real processes that take turns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from folders import ROOT, SUPPORT
from runner_support import (
    BASELINE,
    CANDIDATE,
    INTERLEAVED_WORKER,
    make_pair_plan,
    processes_of,
    quiet,
    wait_until,
)

from harness.results.run_folder import read_info, read_records
from harness.runner.record_builder import MEMORY_SEEN_TOGETHER_ON_CPU, SEEN_TOGETHER_ON_CPU
from harness.runner.runner import RunOptions, RunOutcome, run
from harness.schema.measurement import Interleaved
from harness.schema.record import JobRecord, State


@pytest.fixture(autouse=True)
def _marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_TEST_FOLDER", str(tmp_path))


def run_replicates(
    tmp_path: Path, *options: tuple[dict[str, object], dict[str, object]], **changes: object
) -> tuple[RunOutcome, list[JobRecord]]:
    plan = make_pair_plan(options, **changes)
    outcome = run(
        plan, tmp_path / "results", RunOptions(worker_command=INTERLEAVED_WORKER), display=quiet()
    )  # type: ignore[arg-type]
    wait_until(lambda: not processes_of(tmp_path), 5)
    return outcome, read_records(outcome.folder)[0]


def test_both_records_of_a_replicate_carry_the_same_turns_turned_round(tmp_path: Path) -> None:
    outcome, records = run_replicates(tmp_path, ({}, {}), ({}, {}))
    assert (outcome.exit_code, outcome.complete) == (0, True)
    assert [(r.replicate, r.arm.name, r.group, r.state) for r in records] == [
        (replicate, arm, [BASELINE, CANDIDATE], State.OK)
        for replicate in (0, 1)
        for arm in (BASELINE, CANDIDATE)
    ]
    for baseline, candidate in (records[:2], records[2:]):
        assert baseline.turns is not None
        assert candidate.turns is not None
        assert len(baseline.turns.step_s) == len(candidate.turns.step_s) > 4
        assert baseline.turns.place == [1 - place for place in candidate.turns.place]
        assert (outcome.folder / str(baseline.log)).exists()


@pytest.mark.parametrize("doomed", [0, 1])
def test_a_replicate_whose_worker_dies_in_a_turn_is_relaunched_once_and_said(
    tmp_path: Path, doomed: int
) -> None:
    behaviours: list[dict[str, object]] = [{}, {}]
    behaviours[doomed] = {"do": "die", "at": 3}
    outcome, records = run_replicates(tmp_path, (behaviours[0], behaviours[1]), ({}, {}))
    assert outcome.complete
    assert [(r.replicate, r.attempt) for r in records] == [
        (0, 1),
        (0, 1),
        (0, 2),
        (0, 2),
        (1, 1),
        (1, 1),
    ]
    dead, left = records[doomed], records[1 - doomed]
    assert (dead.state, left.state) == (State.CRASHED, State.INTERRUPTED)
    assert "SIGKILL" in dead.reason
    assert f"its partner {dead.arm.name} was killed by SIGKILL" in left.reason
    notes = [
        note for note in read_info(outcome.folder).notes if note.startswith("tiny, replicate 1")
    ]
    assert len(notes) == 2, "relaunched, then given up"
    assert "run again, attempt 2" in notes[0]
    assert "SIGKILL" in notes[0]
    assert "left as it is after 2 attempt(s)" in notes[1]
    assert {r.log for r in records if r.replicate == 0} == {
        "logs/job0.log",
        "logs/job0.2.log",
        "logs/job1.log",
        "logs/job1.2.log",
    }
    assert outcome.exit_code == 0, "the other replicate is a result"


def test_a_pair_that_does_not_fit_goes_on_sequentially(tmp_path: Path) -> None:
    """Only the switch is looked at: scripted_interleaved waits for what then never comes, until
    the time limit.
    """
    outcome, records = run_replicates(
        tmp_path, ({}, {"do": "out of memory", "at": 0}), ({}, {}), timeout_s=2.0
    )
    assert [(r.arm.name, bool(r.group), r.replicate) for r in records] == [
        (BASELINE, True, 0),
        (CANDIDATE, True, 0),
        (BASELINE, False, 0),
        (CANDIDATE, False, 0),
        (CANDIDATE, False, 1),
        (BASELINE, False, 1),
    ]
    assert records[1].state is State.OUT_OF_MEMORY
    assert any(
        "do not fit on the device together" in note for note in read_info(outcome.folder).notes
    )


def test_what_two_resident_jobs_share_is_given_to_neither(tmp_path: Path) -> None:
    _, records = run_replicates(tmp_path, ({}, {}), telemetry_interval_s=0.05)
    for record in records:
        assert record.telemetry is not None
        assert record.telemetry.cores == os.cpu_count()
        assert record.telemetry.job_rss_peak_bytes is None
        assert any(
            "the arms of the group ran at the same time" in text
            for text in record.telemetry.unreadable
        )


def test_a_turn_to_itself_shows_the_cpu_time_of_each_job(tmp_path: Path) -> None:
    turns = Interleaved(seconds=0.3, steps=1, cores=0, alone_seconds=2.2)
    busy: dict[str, object] = {"busy": True}
    outcome, records = run_replicates(
        tmp_path, (busy, {}), telemetry_interval_s=0.05, interleaved=turns
    )
    assert (outcome.exit_code, outcome.complete) == (0, True)
    shares = {}
    for record in records:
        assert record.turns is not None
        assert record.turns.alone is not None
        telemetry = record.telemetry
        assert telemetry is not None
        if record.arm.name == BASELINE:
            assert telemetry.alone_s == pytest.approx(1.2, abs=0.2)
            assert telemetry.job_cpu_share_mean is not None
            assert telemetry.cores is not None
            shares[BASELINE] = telemetry.job_cpu_share_mean * telemetry.cores
            assert MEMORY_SEEN_TOGETHER_ON_CPU in telemetry.unreadable
        else:  # its turn is over at once: nothing is left of it
            assert telemetry.alone_s is None
            assert telemetry.job_cpu_share_mean is None
            assert SEEN_TOGETHER_ON_CPU in telemetry.unreadable
        assert telemetry.job_rss_peak_bytes is None
    assert 0.5 < shares[BASELINE] < 1.3  # of one core


@pytest.mark.parametrize(("interval_s", "had"), [(0.05, [True, True, False]), (0.0, [False] * 3)])
def test_two_replicates_end_with_turns_alone_and_none_that_nobody_samples(
    tmp_path: Path, interval_s: float, had: list[bool]
) -> None:
    turns = Interleaved(seconds=0.3, steps=1, cores=0, alone_seconds=1.2)
    _, records = run_replicates(
        tmp_path, *[({}, {})] * 3, telemetry_interval_s=interval_s, interleaved=turns
    )
    assert [r.turns is not None and r.turns.alone is not None for r in records] == [
        alone for alone in had for _ in (BASELINE, CANDIDATE)
    ]


def test_too_few_turns_are_no_result(tmp_path: Path) -> None:
    outcome, records = run_replicates(tmp_path, ({"do": "end early", "at": 2}, {}))
    assert {record.state for record in records} == {State.TIMEOUT}
    assert "ended by itself" in records[0].reason
    assert (outcome.complete, outcome.exit_code) == (True, 1)


def test_killed_in_a_turn_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys; from pathlib import Path; from runner_support import INTERLEAVED_WORKER, "
        "make_pair_plan;"
        "from runner_support import measured; from harness.runner.runner import RunOptions, run;"
        "plan = make_pair_plan([({}, {})] * 3);"
        "plan = measured(plan, interleaved=plan.measurement.interleaved.replace(seconds=2.0));"
        "options = RunOptions(worker_command=INTERLEAVED_WORKER);"
        "sys.exit(run(plan, Path(sys.argv[1]), options).exit_code)"
    )
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{SUPPORT}")
    command = [sys.executable, "-c", script, str(tmp_path / "results")]
    runner = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    jobs = wait_until(lambda: [*(tmp_path / "results").glob("*/jobs.jsonl")])[0]
    wait_until(
        lambda: len(list(jobs.parent.glob("logs/*.log"))) == 4
    )  # the second replicate has begun
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    wait_until(lambda: not processes_of(tmp_path), 15)
    before, _ = read_records(jobs.parent)
    assert [(record.replicate, record.state) for record in before] == [(0, State.OK)] * 2
    assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
    after, _ = read_records(jobs.parent)
    assert after[:2] == before
    assert [(record.replicate, record.attempt, record.state) for record in after] == [
        (replicate, 1, State.OK) for replicate in (0, 0, 1, 1, 2, 2)
    ]
    assert read_info(jobs.parent).status == "complete"


def test_a_job_that_compiles_every_time_begins_again_in_the_first_replicate_alone(
    tmp_path: Path,
) -> None:
    compiles = {"compiles": 99}
    outcome, records = run_replicates(tmp_path, ({}, compiles), ({}, compiles), ({}, compiles))
    assert outcome.complete
    again = [r.turns.compiling_setup_s for r in records if r.arm.name == CANDIDATE and r.turns]
    assert again == [9.0, None, None]
    assert len((tmp_path / f"{CANDIDATE}.processes").read_text()) == 4
