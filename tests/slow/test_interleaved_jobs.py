"""Interleaved with real training jobs: Trainer beside ORTTrainer, a worker killed in its turn, a
runner killed.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import worker_helpers
from folders import ROOT, SUPPORT
from interleaved_support import Replicate, group_of
from runner_support import processes_of, wait_until

from harness.interleaved import GroupOutcome
from harness.launcher.channel import Event
from harness.launcher.outcome import judge
from harness.schema.measurement import Interleaved
from harness.schema.record import State, Timing

TRAINING = {"batch_size": 8, "max_seq_length": 16, "max_steps": 2000}


@pytest.fixture(scope="module")
def replicate(tmp_path_factory: pytest.TempPathFactory) -> Replicate:
    return Replicate(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def outcome(replicate: Replicate) -> GroupOutcome:
    pair = group_of(replicate.folder, training=TRAINING, freeze_collector=True, realtime=True)
    return replicate.run(pair, Interleaved(seconds=4, steps=2, cores=2, lead_in_steps=1))


def test_trainer_beside_orttrainer(replicate: Replicate, outcome: GroupOutcome) -> None:
    assert outcome.problem == outcome.note == ""
    assert [judge(seen, log) for seen, log in zip(outcome.seen, replicate.logs(), strict=True)] == [
        (State.OK, "")
    ] * 2
    baseline, candidate = outcome.turns
    assert len(baseline.steps) == len(candidate.steps) >= 8
    assert set(baseline.steps) == {2}
    assert min(*baseline.step_s, *candidate.step_s, *baseline.lead_in_s, *candidate.lead_in_s) > 0
    spent = sum(
        sum(event["lead_in_s"]) + sum(event["timed_s"]) for _, event in replicate.named("turn")
    )
    assert spent >= 4
    assert processes_of(replicate.folder) == []


@pytest.mark.parametrize("index", [0, 1])
def test_only_timed_steps_count_and_pauses_are_in_no_duration(
    replicate: Replicate, outcome: GroupOutcome, index: int
) -> None:
    times, result, series = (
        outcome.turns[index],
        outcome.seen[index].result,
        outcome.seen[index].series,
    )
    assert result is not None
    timing: Timing = result.timing
    name = ("pytorch", "onnxruntime")[index]
    events = [event for arm, event in replicate.named("turn") if arm == name]
    timed = [seconds for event in events for seconds in event["timed_s"]]
    assert timing.steady_steps == len(timed) == 2 * len(times.steps)
    assert timing.steady_step_s == pytest.approx(sum(timed) / len(timed))
    assert timing.steady_samples_per_s == pytest.approx(8 / timing.steady_step_s)
    assert (timing.train_runtime_s, timing.train_samples_per_s) == (None, None)
    # One duration per step, as the series has it: 5 of warm-up, then turns of 1 + 2, and one place
    # for each of them.
    assert timing.steps == len(series.duration_s) == 5 + 3 * len(times.steps)
    assert timing.steady_begin_step == 7
    in_series = [
        s for first in range(5, timing.steps, 3) for s in series.duration_s[first + 1 : first + 3]
    ]
    assert in_series == pytest.approx(timed)
    # The turns, seen by another clock, hold their steps and nothing else; the partner's turns lie
    # between them.
    for event in events:
        seconds = (event["end_ns"] - event["begin_ns"]) / 1e9
        assert seconds == pytest.approx(sum(event["lead_in_s"]) + sum(event["timed_s"]), abs=0.02)
    assert timing.steady_begin_ns is not None
    assert timing.steady_end_ns is not None
    assert (timing.steady_end_ns - timing.steady_begin_ns) / 1e9 > 1.5 * sum(timed)


def test_jobs_take_turns(replicate: Replicate, outcome: GroupOutcome) -> None:
    turns = sorted((event["begin_ns"], event["end_ns"]) for _, event in replicate.named("turn"))
    assert len(turns) == 2 * len(outcome.turns[0].steps)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(turns))


def test_levers_are_told_as_they_went(outcome: GroupOutcome) -> None:
    for times in outcome.turns:
        assert times.levers["collector"] == "frozen"
        assert times.levers["same_cores"] is True
        assert times.levers["cores"] == outcome.jobs[0].cores
        assert times.levers["main_thread_on"] == min(outcome.jobs[0].cores or ())
        # The host may refuse; then it is said, and the job goes on.
        assert (times.levers["scheduler"] == "SCHED_FIFO") != ("scheduler_refused" in times.levers)


def test_onnx_runtime_is_proven_engaged_at_the_end_of_a_gated_job(outcome: GroupOutcome) -> None:
    result = outcome.seen[1].result
    assert result is not None
    assert result.engagement is not None
    assert result.engagement.checked_after_steps == [1, result.timing.steps]
    assert result.fingerprint.dtype_policy == "parameters float32, no autocast, loss not scaled"


def test_training_too_short_for_the_budget_ends_by_itself(tmp_path: Path) -> None:
    """max_steps falls into a turn: both jobs end well, and the outcome says that this is no
    measurement.
    """
    replicate = Replicate(tmp_path)
    pair = group_of(tmp_path, ("a", "b"), training={**TRAINING, "max_steps": 12})
    outcome = replicate.run(pair, Interleaved(seconds=30, steps=1, cores=0, lead_in_steps=1))
    assert "ended by itself after 3 rounds of turns" in outcome.problem
    assert [
        judge(seen, log)[0] for seen, log in zip(outcome.seen, replicate.logs(), strict=True)
    ] == [State.OK] * 2
    assert 12 in [seen.result.timing.steps for seen in outcome.seen if seen.result]
    assert len(outcome.turns[0].steps) == 3


def test_a_worker_killed_in_its_turn_ends_the_pair(tmp_path: Path) -> None:
    replicate = Replicate(tmp_path)
    workers: dict[str, int] = {}

    def watch(arm: str, event: Event) -> None:
        if event["event"] == "hello":
            workers[arm] = event["pid"]
        late = event["event"] == "turn" and arm == "a" and len(replicate.named("turn")) > 5
        if late and "b" in workers:
            # Its turn has just begun, or it is about to. A second turn of `a` may follow.
            os.kill(workers.pop("b"), signal.SIGKILL)

    replicate.watch = watch
    pair = group_of(tmp_path, ("a", "b"), training=TRAINING)
    outcome = replicate.run(pair, Interleaved(seconds=60, steps=4, cores=0))
    assert outcome.problem == "b was killed by SIGKILL"
    (ours, why), (theirs, _) = (
        judge(seen, log) for seen, log in zip(outcome.seen, replicate.logs(), strict=True)
    )
    assert (ours, theirs) == (State.INTERRUPTED, State.CRASHED)
    assert why.startswith(
        "stopped because its partner b was killed by SIGKILL, in phase train at step"
    )
    assert len(outcome.turns[0].steps) == len(outcome.turns[1].steps) >= 2
    assert processes_of(tmp_path) == []


def test_in_a_group_one_arm_falls_back_one_is_killed_and_the_pair_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four real arms: the pair that is left has its measurement, and its rounds go on."""
    # Only torch.compile heeds it, captures no graph, and so trains as plain PyTorch would.
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    replicate = Replicate(tmp_path)
    workers: dict[str, int] = {}

    def watch(arm: str, event: Event) -> None:
        if event["event"] == "hello":
            workers[arm] = event["pid"]
        rounds = len([who for who, _ in replicate.named("turn") if who == "doomed"])
        if event["event"] == "turn" and rounds == 4 and "doomed" in workers:
            os.kill(workers.pop("doomed"), signal.SIGKILL)

    replicate.watch = watch
    arms = ("pytorch", "onnxruntime", "doomed", "torch-compile")
    group = group_of(tmp_path, arms, training=TRAINING)
    outcome = replicate.run(group, Interleaved(seconds=6, steps=1, cores=0), 300)
    ended = [judge(seen, log)[0] for seen, log in zip(outcome.seen, replicate.logs(4), strict=True)]
    assert ended == [State.OK, State.OK, State.CRASHED, State.FALLBACK]
    assert outcome.problem == ""
    assert "doomed left the group: it was killed by SIGKILL" in outcome.note
    assert "torch-compile left the group: it ended as fallback" in outcome.note
    baseline, candidate, doomed, _ = outcome.turns
    assert len(baseline.steps) == len(candidate.steps) > len(doomed.steps) >= 3
    result = outcome.seen[1].result
    assert result is not None
    assert result.engagement is not None
    assert result.engagement.engaged
    assert processes_of(tmp_path) == []


def test_a_parked_worker_exits_with_its_runner(tmp_path: Path) -> None:
    """By itself: here nobody but the worker watches the channel."""
    job = worker_helpers.spec(tmp_path, training=TRAINING, group=["pytorch", "other"])
    with worker_helpers.start(tmp_path, job) as worker:
        worker.send("begin")
        wait_until(lambda: any(event["event"] == "ready" for event in worker.events), 60)
        time.sleep(0.5)
        assert worker.process.poll() is None  # it does wait
        assert _cpu_seconds(worker.process.pid, 0.5) < 0.05  # and does nothing
        worker.hang_up()
        assert worker.end(5).exit_code == 3


def _cpu_seconds(pid: int, seconds: float) -> float:
    def used() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = used()
    time.sleep(seconds)
    return used() - before


RUNNER = """
import sys
from pathlib import Path
from interleaved_support import Replicate, group_of
from harness.schema.measurement import Interleaved
folder = Path(sys.argv[1])
replicate = Replicate(folder)
def watch(arm, event):
    if event["event"] == "turn":
        (folder / "turns").open("a").write("x")
replicate.watch = watch
training = {"batch_size": 8, "max_seq_length": 16, "max_steps": 2000}
replicate.run(group_of(folder, ("a", "b"), training=training),
           Interleaved(seconds=300, steps=2, cores=1, keep_awake=True), 300)
"""


def test_nothing_outlives_a_killed_runner(tmp_path: Path) -> None:
    environment: dict[str, Any] = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{SUPPORT}",
        "BENCH_TEST_FOLDER": str(tmp_path),
    }
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(tmp_path)], env=environment)
    try:
        wait_until(
            lambda: (tmp_path / "turns").exists() and (tmp_path / "turns").stat().st_size > 6, 90
        )
        # The runner, two supervisors, two workers, and what keeps their core awake.
        assert len(processes_of(tmp_path)) >= 6
    finally:
        runner.kill()
        runner.wait()
    wait_until(lambda: processes_of(tmp_path) == [], 10)
