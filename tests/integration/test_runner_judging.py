"""Reruns, refusals and adaptive stops by a real runner with scripted jobs, killed in between."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT, SUPPORT
from runner_support import (
    CANDIDATE,
    WORKER,
    executions,
    make_job,
    make_plan,
    measured,
    processes_of,
    wait_until,
)

from harness.planning.plan import Plan
from harness.results.run_folder import read_info, read_records
from harness.runner.display import LineDisplay
from harness.runner.runner import RunOptions, RunOutcome, run
from harness.schema.measurement import Adaptive
from harness.schema.record import Pair, State

RUNNER = SUPPORT / "scripted_runner.py"


@pytest.fixture(autouse=True)
def _marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_TEST_FOLDER", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def start(
    tmp_path: Path, behaviours: list[dict[str, Any]], **changes: Any
) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        str(RUNNER),
        str(tmp_path / "results"),
        json.dumps(behaviours),
        json.dumps(changes),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_here(tmp_path: Path, plan: Plan) -> tuple[RunOutcome, str]:
    shown = io.StringIO()
    outcome = run(
        plan, tmp_path / "results", RunOptions(worker_command=WORKER), display=LineDisplay(shown)
    )  # type: ignore[arg-type]
    return outcome, shown.getvalue()


def test_a_disturbed_quad_runs_again_and_all_of_it_is_kept(tmp_path: Path) -> None:
    runner = start(tmp_path, [{}, {"throttled": 1}, {}, {}, {}, {}], max_reruns=2)
    _, errors = runner.communicate(timeout=60)
    assert runner.returncode == 0, errors
    (folder,) = (tmp_path / "results").iterdir()
    records, _ = read_records(folder)
    assert [(r.id, r.attempt) for r in records[:8]] == [
        (f"job{n}", attempt) for attempt in (1, 2) for n in range(4)
    ]
    assert [(r.id, r.attempt) for r in records[8:]] == [("job4", 1), ("job5", 1)]
    assert [r.state for r in records if r.state is not State.OK] == [State.CONTAMINATED]
    assert (records[1].reason, records[5].log) == ("GPU 0 was throttled", "logs/job1.2.log")
    assert "tiny · onnxruntime · replicate 1 · attempt 2: ok" in errors
    (note,) = [text for text in read_info(folder).notes if "run again" in text]
    assert (
        note
        == "tiny, replicates 1 and 2: run again, attempt 2: onnxruntime in replicate 1: GPU 0 was "
        "throttled"
    )


def test_a_replicate_with_a_long_pause_runs_again_unless_it_shall_count(tmp_path: Path) -> None:
    plan = make_plan([{}, {"paused": 1}, {}, {}], max_reruns=2)
    outcome, shown = run_here(tmp_path / "refuse", plan)
    records, _ = read_records(outcome.folder)
    assert [(r.id, r.attempt, r.state) for r in records if r.id == "job1"] == [
        ("job1", 1, State.CONTAMINATED),
        ("job1", 2, State.OK),
    ]
    pause = (
        "pauses took 95.7% of the steady window: the longest step lasted 20 s, the median "
        "one 100 ms"
    )
    assert records[1].reason == pause
    assert f"run again, attempt 2: onnxruntime in replicate 1: {pause}" in shown
    (tmp_path / "executions").unlink()
    outcome, _ = run_here(tmp_path / "note", measured(plan, contention="note"))
    records, _ = read_records(outcome.folder)
    assert [(r.state, r.attempt) for r in records] == [(State.OK, 1)] * 4
    assert records[1].contention is not None
    assert (records[1].contention.noted, records[1].contention.heavy) == (["pauses"], pause)


def test_killed_in_a_rerun_it_finishes_the_rerun(tmp_path: Path) -> None:
    behaviours: list[dict[str, Any]] = [{"seconds": 0.3}, {"throttled": 1}, {"seconds": 0.3}, {}]
    runner = start(tmp_path, behaviours, max_reruns=2)
    wait_until(lambda: len(executions(tmp_path)) == 7)  # the third job of the rerun
    os.kill(runner.pid, signal.SIGKILL)
    runner.communicate()
    wait_until(lambda: not processes_of(tmp_path), 15)
    (folder,) = (tmp_path / "results").iterdir()
    before, _ = read_records(folder)
    assert [(r.id, r.attempt) for r in before[4:]] == [("job0", 2), ("job1", 2)]
    again = start(tmp_path, behaviours, max_reruns=2)
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    after, _ = read_records(folder)
    assert after[:6] == before
    assert [(r.id, r.attempt, r.state) for r in after[6:]] == [
        ("job2", 2, State.OK),
        ("job3", 2, State.OK),
    ]
    assert executions(tmp_path)[6:] == ["job2", "job2", "job3"]
    assert read_info(folder).status == "complete"


def adaptive(steps: list[tuple[float, float]], **settings: Any) -> Plan:
    behaviours = [{"step_s": seconds} for replicate in steps for seconds in replicate]
    return make_plan(
        behaviours, adaptive=Adaptive(max_replicates=len(steps), min_replicates=2, **settings)
    )


def test_adaptive_stopping_ends_the_run_complete_and_says_so(tmp_path: Path) -> None:
    plan = adaptive(
        [(1.0, 0.8), (1.1, 0.8), (1.0, 0.8), (1.0, 0.8), (1.0, 0.8), (1.0, 0.8)], half_width_pp=10.0
    )
    outcome, shown = run_here(tmp_path, plan)
    assert (outcome.complete, outcome.exit_code) == (True, 0)
    info = read_info(outcome.folder)
    (stopping,) = info.stopping
    assert (info.status, stopping.state) == ("complete", "precision reached")
    assert stopping.replicates == 4
    assert len(executions(tmp_path)) == 8
    assert "onnxruntime against pytorch: precision reached after 4 replicates" in shown


def test_precision_that_is_not_reached_says_what_it_would_take(tmp_path: Path) -> None:
    outcome, shown = run_here(
        tmp_path, adaptive([(1.0, 0.8), (1.1, 0.8), (1.0, 0.8), (1.2, 0.8)], half_width_pp=0.5)
    )
    (stopping,) = read_info(outcome.folder).stopping
    assert outcome.complete
    assert stopping.state == "precision not reached"
    assert stopping.needed_replicates is not None
    assert stopping.needed_replicates > 4
    assert f"it would take about {stopping.needed_replicates} replicates" in shown


def test_a_run_killed_between_looks_stops_where_it_would_have(tmp_path: Path) -> None:
    plan = adaptive([(1.0, 0.8)] * 2 + [(1.0, 0.81)] * 10, half_width_pp=2.0)
    straight, _ = run_here(tmp_path / "straight", plan)
    ran = executions(tmp_path)
    assert 4 <= len(ran) < 24
    broken = replace(
        plan, jobs=(*plan.jobs[:3], plan.jobs[3].model_copy(update={"id": "no/such/folder"}))
    )
    with pytest.raises(Exception, match="cannot start a job"):
        run_here(tmp_path / "broken", broken)
    resumed, _ = run_here(tmp_path / "broken", plan)
    assert executions(tmp_path)[len(ran) :] == ran
    one, other = read_info(straight.folder).stopping, read_info(resumed.folder).stopping
    assert [s.model_copy(update={"minutes": 0}) for s in one] == [
        s.model_copy(update={"minutes": 0}) for s in other
    ]
    before = len(executions(tmp_path))
    _, shown = run_here(tmp_path / "broken", plan)
    assert "resumed" not in shown, "it was complete"
    assert len(executions(tmp_path)) == before + len(ran)


def with_parity_runs(first: dict[str, Any], second: dict[str, Any]) -> Plan:
    plan = make_plan([{}] * 4)
    parity_runs = [
        make_job(position, **options).model_copy(
            update={"id": f"parity_run{position}", "parity_run": True}
        )
        for position, options in enumerate((first, second))
    ]
    return replace(plan, jobs=(*parity_runs, *plan.jobs))


def test_a_refused_pair_is_not_measured_and_the_run_fails_with_a_sentence(tmp_path: Path) -> None:
    plan = with_parity_runs({"optimizer": "AdamW(fused=False)"}, {"optimizer": "AdamW(fused=True)"})
    sentence = "optimizer is AdamW(fused=False) in pytorch and AdamW(fused=True) in onnxruntime"
    outcome, shown = run_here(tmp_path, plan)
    assert executions(tmp_path) == ["parity_run0", "parity_run1"]
    assert (outcome.complete, outcome.exit_code) == (True, 1)
    info = read_info(outcome.folder)
    assert info.status == "complete"
    assert [(r.candidate, r.reasons) for r in info.refusals] == [(CANDIDATE, [sentence])]
    assert (
        f"is refused, for the arms differ in what the pair does not declare:\n  {sentence}" in shown
    )


def test_a_declared_difference_is_measured(tmp_path: Path) -> None:
    plan = with_parity_runs({"optimizer": "AdamW(fused=False)"}, {"optimizer": "AdamW(fused=True)"})
    pair = Pair(
        workload="tiny", baseline="pytorch", candidate=CANDIDATE, differs=["training.optim"]
    )
    outcome, _ = run_here(tmp_path, replace(plan, pairs=(pair,)))
    assert outcome.exit_code == 0
    assert read_info(outcome.folder).refusals == []


def test_after_a_failed_parity_run_the_pair_is_measured(tmp_path: Path) -> None:
    outcome, _ = run_here(tmp_path, with_parity_runs({"optimizer": "A"}, {"do": "exit", "code": 1}))
    assert outcome.exit_code == 0
    assert len(executions(tmp_path)) == 6
    assert read_info(outcome.folder).refusals == []
