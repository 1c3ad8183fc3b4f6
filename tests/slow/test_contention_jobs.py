"""Real disturbances of real jobs: a worker that is stopped, and another process on its core."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from folders import ROOT
from runner_support import busy_on

from harness.config import load_suite
from harness.planning.plan import make_plan
from harness.results.run_folder import read_records
from harness.runner.contention import observe
from harness.runner.display import LineDisplay
from harness.runner.runner import run
from harness.schema.record import (
    JobRecord,
    State,
)
from harness.telemetry.series import load
from harness.telemetry.summary import summarise


class Disturbing(LineDisplay):
    """Stops the first job's worker for two seconds in its steady state; keeps the second one's core
    busy.
    """

    def __init__(self, cpu: int, log: Any) -> None:
        super().__init__(log)
        self.cpu, self.number, self.stopped = cpu, 0, False
        self.busy: Any = None

    def jobs_started(self, jobs: Any, number: int, *names: Any) -> None:
        self.number = number
        super().jobs_started(jobs, number, *names)
        if number == 2:
            self.busy = busy_on(self.cpu)
            self.busy.__enter__()

    def job_event(self, event: dict[str, Any]) -> None:
        if (
            self.number == 1
            and event["event"] == "progress"
            and event["step"] > 14
            and not self.stopped
        ):
            self.stopped = True
            for process in psutil.Process().children(recursive=True):
                if "harness.worker" in process.cmdline() and process.name() != "harness":
                    process.send_signal(signal.SIGSTOP)
                    threading.Timer(2.0, process.send_signal, [signal.SIGCONT]).start()

    def job_finished(self, record: JobRecord, *names: Any) -> None:
        super().job_finished(record, *names)
        if self.busy is not None:
            self.busy.__exit__(None, None, None)
            self.busy = None


def test_a_stopped_worker_and_a_busy_core_contaminate_real_jobs(tmp_path: Path) -> None:
    cpus = os.sched_getaffinity(0)
    cpu = max(cpus)
    changes = ["models.bert-tiny.weights=random", "workloads=[{model: bert-tiny, task: sst2}]"]
    changes += ["tasks.sst2.train_samples=800", "training.evaluate=false", "training.max_steps=60"]
    changes += ["arms={pytorch: {backend: pytorch}, again: {backend: pytorch}}"]
    changes += ["pairs=[{baseline: pytorch, candidate: again}]"]
    changes += ["measurement={replicates: 1, parity: null, threads: 1, max_reruns: 0}"]
    plan = make_plan(
        load_suite(ROOT / "configs/smoke.yaml", changes), device="cpu", cache_dir=tmp_path / "cache"
    )
    os.sched_setaffinity(0, {cpu})  # for all that this test starts
    try:
        with (tmp_path / "shown").open("w") as log:
            outcome = run(plan, tmp_path / "results", display=Disturbing(cpu, log))
    finally:
        os.sched_setaffinity(0, cpus)
    stopped, beside = read_records(outcome.folder)[0]
    assert (stopped.state, beside.state) == (State.CONTAMINATED, State.CONTAMINATED)
    assert outcome.exit_code == 1
    assert stopped.contention is not None
    assert stopped.contention.longest_step_s is not None
    assert stopped.contention.longest_step_s > 1.9
    assert "pauses took" in stopped.reason
    assert "was stopped (SIGSTOP) for" in stopped.reason
    assert stopped.telemetry is not None
    assert stopped.telemetry.stopped_s == pytest.approx(2, abs=0.7)
    assert beside.telemetry is not None
    assert beside.telemetry.job_cores == 1
    assert beside.telemetry.stopped_s == 0
    assert "other processes used" in beside.reason
    assert "of the job's 1 core(s), which were" in beside.reason
    # The same window without the sampler: the steps alone tell of the stop.
    assert "pauses took" in observe(*_without_telemetry(stopped, outcome.folder)).heavy
    series = load(
        outcome.folder / str(beside.telemetry.series)
    )  # what was judged can be worked out again
    assert (
        summarise(series, beside.timing).others_cpu_share_mean
        == beside.telemetry.others_cpu_share_mean
    )


class Listening(LineDisplay):
    """Notes what keeps the cores awake has used when each job is ready, and at the end of turns."""

    def __init__(self, log: Any) -> None:
        super().__init__(log)
        self.spun_s: dict[str, list[float]] = {"ready": [], "turn": []}

    def job_event(self, event: dict[str, Any]) -> None:
        super().job_event(event)
        if event["event"] in self.spun_s:
            spinners = [
                process.cpu_times()
                for process in psutil.Process().children()
                if os.sched_getscheduler(process.pid) == os.SCHED_IDLE
            ]
            self.spun_s[event["event"]].append(sum(spun.user + spun.system for spun in spinners))


def test_what_keeps_a_core_awake_is_no_load_on_real_jobs(tmp_path: Path) -> None:
    """Jobs that sleep half of the time, as jobs that wait for a card do: their core is busy all of
    it, and half of that is the spinner's.
    """
    changes = ["models.bert-tiny.weights=random", "workloads=[{model: bert-tiny, task: sst2}]"]
    changes += ["tasks.sst2.train_samples=8000", "training.max_steps=4000"]
    changes += ["arms.pytorch-a.injected_delay_ms=60", "arms.pytorch-b.injected_delay_ms=60"]
    changes += ["measurement={protocol: interleaved, replicates: 1, parity: null, threads: 1}"]
    changes += ["measurement.interleaved={seconds: 8, steps: 4, cores: 1, keep_awake: true}"]
    changes += ["measurement.interleaved.alone_seconds=2.5"]
    changes += ["measurement.contention=note"]  # other tests run on the same cores
    plan = make_plan(
        load_suite(ROOT / "configs/aa-smoke.yaml", changes),
        device="cpu",
        cache_dir=tmp_path / "cache",
    )
    with (tmp_path / "shown").open("w") as log:
        display = Listening(log)
        outcome = run(plan, tmp_path / "results", display=display)
    records = read_records(outcome.folder)[0]
    assert [record.state for record in records] == [State.OK] * 2
    assert (outcome.exit_code, outcome.complete) == (0, True)
    # It did nothing beside the set-ups, and in the turns it had what nothing else wanted.
    assert max(display.spun_s["ready"]) < 0.3
    turns_s = display.spun_s["turn"][:-2]  # those of the rounds
    assert turns_s == sorted(turns_s)
    assert turns_s[-1] > max(display.spun_s["ready"])
    for record in records:
        assert record.turns is not None
        assert record.turns.levers["kept_awake"] is True
        telemetry = record.telemetry
        assert telemetry is not None
        assert telemetry.window_s is not None
        assert telemetry.job_cores == 1
        assert telemetry.job_cores_busy_mean is not None
        # Were it load, the core would be busy all the time, and this sum be 1 and the spinner's
        # share, which is about a half, and more where other tests slow the jobs down. As it spins
        # in rounds outside of the window too, the sum can be a little more than 1.
        assert telemetry.job_cores_busy_mean + turns_s[-1] / telemetry.window_s < 1.4
        # In the turn that each had to itself it alone used the core, and slept as in the others.
        assert telemetry.alone_s == pytest.approx(1.5, abs=0.4)
        assert telemetry.job_cpu_share_mean is not None
        assert telemetry.cores is not None
        assert 0.05 < telemetry.job_cpu_share_mean * telemetry.cores < 0.95


def _without_telemetry(record: JobRecord, folder: Path) -> tuple[JobRecord, list[int], list[float]]:
    table = pq.read_table(folder / str(record.series))
    without = record.model_copy(update={"telemetry": None})
    return without, table["step"].to_pylist(), table["duration_s"].to_pylist()
