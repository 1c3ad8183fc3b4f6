"""Parity runs side by side under the runner, with real processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from runner_support import WORKER, executions, make_job, plan_of, processes_of, quiet, wait_until

from harness.interleaved import group
from harness.planning.schedule import Schedule
from harness.results.run_folder import read_records
from harness.runner.runner import RunOptions, RunOutcome, run
from harness.schema.record import JobRecord, State, wall_share_s


@pytest.fixture(autouse=True)
def _marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_TEST_FOLDER", str(tmp_path))
    # As on a card that has room, which no host of these tests has.
    monkeypatch.setattr(Schedule, "_room_beside", lambda schedule, parity_run: 3)


def run_parity_runs(
    tmp_path: Path, *options: dict[str, Any], **settings: Any
) -> tuple[RunOutcome, list[JobRecord]]:
    """Parity runs of one arm each, the first of which runs alone."""
    jobs = []
    for position, own in enumerate(options):
        job = make_job(0, beside=True, **own)
        arm = job.arm.replace(name=f"arm{position}")
        changes = {"id": f"job{position}", "arm": arm, "position": position}
        jobs.append(job.replace(parity_run=True, **changes))
    plan = plan_of(jobs, **settings)
    outcome = run(plan, tmp_path / "results", RunOptions(worker_command=WORKER), display=quiet())
    assert processes_of(tmp_path) == []
    return outcome, read_records(outcome.folder)[0]


def test_they_run_at_the_same_time_and_share_it(tmp_path: Path) -> None:
    # Two of them, for every host has room for two.
    _, records = run_parity_runs(tmp_path, {}, {"seconds": 2}, {"seconds": 2})
    assert [(r.id, r.state) for r in records] == [(f"job{n}", State.OK) for n in range(3)]
    alone, *beside = records
    assert alone.share_s is None
    (share_s,) = {record.share_s for record in beside}
    assert share_s is not None
    assert 2 * share_s == pytest.approx(max(r.timing.wall_s or 0.0 for r in beside), abs=1.0)
    assert 2 * share_s < sum(record.timing.wall_s or 0.0 for record in beside)
    assert [wall_share_s(record) for record in beside] == [share_s] * 2
    assert all((tmp_path / "results" / r.run / str(r.log)).exists() for r in records)


@pytest.mark.parametrize(
    "behaviour", [{"do": "failure", "state": "out_of_memory"}, {"do": "signal", "number": 9}]
)
def test_one_that_fails_beside_others_runs_once_more_alone(
    tmp_path: Path, behaviour: dict[str, Any]
) -> None:
    _, records = run_parity_runs(tmp_path, {}, {**behaviour, "times": 1}, {})
    assert [(r.id, r.state) for r in records] == [(f"job{n}", State.OK) for n in range(3)]
    assert [record.share_s is None for record in records] == [True, True, False]
    assert sorted(executions(tmp_path)) == ["job0", "job1", "job1", "job2"]


def test_one_that_always_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    killed = {"do": "signal", "number": 9}
    _, records = run_parity_runs(tmp_path, {}, killed, {"seconds": 1})
    assert [r.state for r in records] == [State.OK, State.CRASHED, State.OK]
    assert executions(tmp_path).count("job1") == 2


def test_after_a_stop_none_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a host with room for two at once: those that wait for it have no record, and run later."""
    monkeypatch.setattr(group, "CORES_OF_A_SET_UP", 1000)
    jobs: list[dict[str, Any]] = [{}, {"do": "exit", "code": 3}, {"do": "hang"}, {}, {}]

    def stop() -> None:
        wait_until((tmp_path / "hanging").exists)
        time.sleep(1)  # in which the other one has ended
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop).start()
    outcome, records = run_parity_runs(tmp_path, *jobs)
    assert outcome.interrupted
    assert [(r.id, r.state) for r in records] == [
        ("job0", State.OK),
        ("job1", State.CRASHED),
        ("job2", State.INTERRUPTED),
    ]
    assert sorted(executions(tmp_path)) == ["job0", "job1", "job2"]


def test_all_end_at_the_time_limit(tmp_path: Path) -> None:
    _, records = run_parity_runs(tmp_path, {}, {"do": "hang"}, {"do": "hang"}, timeout_s=3)
    assert [r.state for r in records] == [State.OK, State.TIMEOUT, State.TIMEOUT]
    assert sorted(executions(tmp_path)) == ["job0", "job1", "job2"]
