"""Disturbed replicates on a CPU: the rule against committed runs, and its limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from folders import ROOT
from report_factory import make_job
from runner_support import BUSY, busy_on, wait_until

from harness.interleaved.pinning import kept_awake
from harness.results.run_folder import read_records
from harness.runner.contention import HEAVY_PAUSES, observe
from harness.schema.record import (
    Contention,
    Engagement,
    JobRecord,
    State,
    Telemetry,
    Timing,
    TurnTimes,
)
from harness.telemetry.processes import ProcessTree, cpu_seconds

RESULTS = ROOT / "results"


def judged_anew(folder: Path) -> list[Contention]:
    """What the rule says of the committed replicates of a run that ended ok."""
    found = []
    for record in read_records(folder)[0]:
        if record.state is State.OK and not record.parity_run:
            table = pq.read_table(folder / str(record.series))
            steps, seconds = table["step"].to_pylist(), table["duration_s"].to_pylist()
            found.append(observe(record, steps, seconds))
    return found


@pytest.mark.parametrize(("runs", "replicates"), [("smoke-*", 32), ("aa-smoke-*", 64)])
def test_quiet_committed_replicates_are_undisturbed(runs: str, replicates: int) -> None:
    found = [each for folder in sorted(RESULTS.glob(runs)) for each in judged_anew(folder)]
    assert len(found) == replicates
    assert all(each.others_share is not None and each.pause_share is not None for each in found)
    assert [each for each in found if each.noted or each.heavy] == []


def test_committed_replicates_beside_other_work_are_disturbed() -> None:
    found = judged_anew(RESULTS / "matrix-cpu-20261123-055801")
    told = [each for each in found if each.noted == ["others"]]
    assert len(told) > len(found) / 2
    assert "other processes used" in told[0].heavy


def job(
    durations: list[float], begin: int = 2, **changes: Any
) -> tuple[JobRecord, list[int], list[float]]:
    record = make_job(
        timing=Timing(steady_begin_step=begin, steady_step_s=1.0, steps=len(durations)),
        device="cpu",
    )
    return record.model_copy(update=changes), [*range(1, len(durations) + 1)], durations


STEADY = [1.0] * 99


@pytest.mark.parametrize(
    ("longest", "noted", "heavy"),
    [
        (2.9, [], False),  # less than three medians: steps differ
        (3.1, ["pauses"], False),  # 2.1 of 102.1 s
        (5.9, ["pauses"], False),
        (7.0, ["pauses"], True),  # 6 of 106 s
        (21.0, ["pauses"], True),
    ],
)
def test_a_pause_is_noted_and_a_long_one_refuses(
    longest: float, noted: list[str], heavy: bool
) -> None:
    found = observe(*job([50.0, *STEADY, longest]))
    assert (found.noted, bool(found.heavy)) == (noted, heavy)
    assert found.pause_share == pytest.approx((longest - 1) / (99 + longest) if longest > 3 else 0)
    assert found.longest_step_s == longest


def test_several_short_pauses_are_as_bad_as_a_long_one() -> None:
    assert observe(*job([1.0, *STEADY, 3.5, 3.5, 3.5])).heavy
    assert HEAVY_PAUSES < 7.5 / 109.5


def test_what_is_no_pause() -> None:
    assert not observe(
        *job([1.0, *STEADY, 30.0], engagement=Engagement(engaged=True, recompiled_at_steps=[101]))
    ).noted
    assert not observe(*job([1.0, *STEADY, float("nan")])).noted
    assert not observe(*job([0.001, *[0.001] * 20, 0.09])).noted  # a scheduler's instant
    assert observe(*job([9.0, 9.0])).pause_share is None
    record, steps, seconds = job([1.0, *STEADY, 9.0])
    assert observe(record, steps, seconds).heavy
    varied = record.workload.training.model_copy(update={"pad_to_max_length": False})
    workload = record.workload.model_copy(update={"training": varied})
    assert not observe(record.model_copy(update={"workload": workload}), steps, seconds).noted


def test_turns_stand_for_steps_under_the_turns_protocol() -> None:
    """The steps of a job that waited for its turn are no pauses; a turn that was held up is."""
    record, steps, seconds = job([1.0, *STEADY, 90.0], group=["pytorch", "onnxruntime"])
    times = TurnTimes(
        lead_in_steps=1, steps=[4] * 6, step_s=[9.0, 1.0, 1.0, 1.0, 1.0, 1.0], pilot=1
    )
    assert not observe(record.model_copy(update={"turns": times}), steps, seconds).noted
    times = times.model_copy(update={"step_s": [1.0, 1.0, 1.0, 1.0, 1.0, 6.0]})
    found = observe(record.model_copy(update={"turns": times}), steps, seconds)
    assert found.pause_share == pytest.approx(20 / 40)
    assert "the longest turn's mean step lasted 6 s" in found.heavy


@pytest.mark.parametrize(
    ("others", "busy", "noted", "heavy"),
    [
        (0.03, 0.53, [], False),
        (0.10, 0.60, ["others"], False),
        (0.30, 0.50, ["others"], False),  # there was room beside the job
        (0.50, 1.00, ["others"], True),
    ],
)
def test_others_on_the_cores(others: float, busy: float, noted: list[str], heavy: bool) -> None:
    telemetry = Telemetry(job_cores=4, job_cores_busy_mean=busy, others_cpu_share_mean=others)
    record, steps, seconds = job([1.0, *STEADY], telemetry=telemetry)
    found = observe(record, steps, seconds)
    assert (found.noted, bool(found.heavy)) == (noted, heavy)
    assert not observe(record.model_copy(update={"device": "NVIDIA H200"}), steps, seconds).noted
    record = record.model_copy(update={"telemetry": None})
    assert observe(record, steps, seconds).others_share is None


@pytest.mark.parametrize(
    ("stopped_s", "noted", "heavy"),
    [(0.0, [], False), (0.5, [], False), (2.0, ["stopped"], False), (20.0, ["stopped"], True)],
)
def test_a_stop_outside_the_steady_state(stopped_s: float, noted: list[str], heavy: bool) -> None:
    """Of a job of 100 s end to end: no step tells of it."""
    record, steps, seconds = job([50.0, *STEADY], telemetry=Telemetry(stopped_s=stopped_s))
    timing = record.timing.model_copy(update={"train_runtime_s": 100.0})
    found = observe(record.model_copy(update={"timing": timing}), steps, seconds)
    assert (found.noted, bool(found.heavy)) == (noted, heavy)
    assert ("was stopped (SIGSTOP) for 20 s in all" in found.heavy) == heavy


def test_cpu_times_of_each_cpu(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text(
        "cpu  9 9 9 9\ncpu0 100 0 50 800 50 0 0 0 100 0\ncpu7 0 0 0 100 0 0 0 300 0 0\nintr 5\n"
    )
    ticks = os.sysconf("SC_CLK_TCK")
    assert cpu_seconds(stat) == {0: (150 / ticks, 1000 / ticks), 7: (300 / ticks, 400 / ticks)}
    assert cpu_seconds(tmp_path / "none") == {}


def test_the_jobs_cores_are_those_it_may_use_and_not_the_hosts() -> None:
    """Whoever waits for the job is not pinned; the job is, and another process with it."""
    cpu = max(os.sched_getaffinity(0))
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])"
    root = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 10
        while not (children := psutil.Process(root.pid).children()):
            assert time.monotonic() < deadline
        os.sched_setaffinity(children[0].pid, {cpu})
        tree = ProcessTree([root.pid])
        with busy_on(cpu):
            tree.tree()
            first, job_before = tree.job_cores(), tree.job()[0]
            time.sleep(1.5)
            last, job_after = tree.job_cores(), tree.job()[0]
    finally:
        for process in psutil.Process(root.pid).children(recursive=True):
            process.kill()
        root.kill()
        root.wait()
    assert first is not None
    assert last is not None
    cores, busy, total = last[0], last[1] - first[1], last[2] - first[2]
    assert cores == 1
    assert 1 < total < 4
    assert busy / total > 0.9
    assert 0.2 < (busy - (job_after - job_before)) / total < 0.95


def test_what_keeps_a_core_awake_is_idle_time_and_not_load() -> None:
    """Of the job's cores, of all cores, and after its end too."""
    cpu = max(os.sched_getaffinity(0))
    with busy_on(cpu) as job:
        job.send_signal(signal.SIGSTOP)  # so that it is idle, but for what keeps it awake
        with kept_awake([cpu]) as spinners:
            assert spinners.begin() == ""
            told, not_told = ProcessTree([job.pid], spinners.pids), ProcessTree([job.pid])
            before = looked_at(told), looked_at(not_told)
            spun_s = cpu_s(spinners.pids[0])
            # A second where nothing else wants the core; more where something does.
            wait_until(lambda: cpu_s(spinners.pids[0]) > spun_s + 1, 60)
            spinners.end()
            spun_s = cpu_s(spinners.pids[0]) - spun_s
            after = looked_at(told), looked_at(not_told)
        gone = looked_at(told)
    assert spun_s > 0.9
    for place in (0, 1):  # on the job's core, on the host
        without, with_it = (
            last[place] - first[place] for first, last in zip(before, after, strict=True)
        )
        assert with_it - without == pytest.approx(spun_s, abs=0.5)
        assert gone[place] - after[0][place] < spun_s  # and does not come back when it is gone


def cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def looked_at(tree: ProcessTree) -> tuple[float, float]:
    """Busy seconds of the job's cores and of the host."""
    tree.tree()
    cores = tree.job_cores()
    assert cores is not None
    return cores[1], tree.host()[0]
