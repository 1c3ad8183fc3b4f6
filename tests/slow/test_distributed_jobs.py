"""Real jobs of several processes under torchrun, with gloo on the CPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import worker_helpers as worker
from folders import ROOT
from runner_support import processes_of, wait_until

from harness.launcher.outcome import Seen, judge
from harness.launcher.process import RunningJob, run_to_end
from harness.schema.job import JobSpec
from harness.schema.record import State
from report.analysis.gains import gains_of
from report.analysis.parity import ParityOutcome
from report.loading.runs import load_run


def run(
    folder: Path, job: JobSpec, during: Callable[[RunningJob], str] = lambda running: ""
) -> tuple[Seen, Path]:
    """Run to the end; `during` is asked now and then why to stop."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with RunningJob(job, log) as running:
        return run_to_end(
            running, 150, on_event=lambda event: None, stop_reason=lambda: during(running)
        ), log


@pytest.mark.parametrize("backend", ["pytorch", "onnxruntime"])
def test_two_processes_train_as_one_with_twice_the_batch(backend: str, tmp_path: Path) -> None:
    """Same samples in the same order, losses and gradients averaged; both ranks proven, both
    arms.
    """
    job = worker.job_of(
        tmp_path,
        2,
        backend,
        parity_run=True,
        do_eval=False,
        training={"batch_size": 8, "max_steps": 10},
    )
    seen, log = run(tmp_path / "two", job)
    assert judge(seen, log) == (State.OK, "")
    assert seen.result is not None
    two = seen.result
    one = worker.run(
        tmp_path / "one",
        worker.spec(
            tmp_path, parity_run=True, do_eval=False, training={"batch_size": 16, "max_steps": 10}
        ),
        # PyTorch in both: ONNX Runtime's parity with it is not this test's business, and within the
        # tolerance
    ).result
    assert two.losses == pytest.approx(one["losses"], abs=2e-5)
    assert two.fingerprint.data_order_sha256 == one["fingerprint"]["data_order_sha256"]
    assert two.fingerprint.initial_weights_sha256 == one["fingerprint"]["initial_weights_sha256"]
    assert two.fingerprint.training_arguments["ddp_find_unused_parameters"] is False
    timing = two.timing
    assert timing.steady_step_s is not None
    assert timing.steady_samples_per_s == pytest.approx(
        2 * 8 / timing.steady_step_s
    )  # of all ranks
    assert sum(seen.series.duration_s[timing.steady_begin_step - 1 :]) == pytest.approx(
        timing.steady_step_s * (timing.steady_steps or 0)
    )
    if backend == "onnxruntime":
        assert two.engagement is not None
        assert (two.engagement.engaged, two.engagement.ranks) == (True, 2)
        assert two.engagement.torch_module == "TorchModuleORT"


def test_a_killed_rank_ends_the_job_at_once_and_by_name(tmp_path: Path) -> None:
    """Not after gloo's half an hour."""
    killed: list[float] = []

    def kill(running: RunningJob) -> str:
        second = next((peer.pid for peer in running.peers if peer.rank == 1), None)
        if not killed and (running.seen.step or 0) >= 5 and second is not None:
            os.kill(second, signal.SIGKILL)
            killed.append(time.monotonic())
        return ""

    job = worker.job_of(tmp_path, 2, do_eval=False, training={"max_steps": 100_000})
    seen, log = run(tmp_path / "job", job, kill)
    assert time.monotonic() - killed[0] < 45
    state, reason = judge(seen, log)
    assert state is State.CRASHED
    assert "rank 1 was killed or ended without a word" in reason


RUNNER = """
import sys
from pathlib import Path
from harness.launcher.process import RunningJob
from harness.schema.job import JobSpec

job = JobSpec.model_validate_json(Path(sys.argv[1]).read_text())
with RunningJob(job, Path(sys.argv[2])) as running:
    while True:
        running.pump(0.2)
        pids = [peer.pid for peer in running.peers if peer.pid]
        if len(pids) == 2:
            print(running.pid, *pids, flush=True)
"""


@pytest.mark.parametrize("whom", ["runner", "supervisor"])
def test_no_rank_outlives_its_runner_or_its_supervisor(whom: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(worker.job_of(tmp_path, 2).model_dump_json())
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(spec), str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "BENCH_TEST_FOLDER": str(tmp_path)},
    )
    assert process.stdout is not None
    supervisor, *ranks = map(int, process.stdout.readline().split())
    assert len(ranks) == 2
    os.kill(process.pid if whom == "runner" else supervisor, signal.SIGKILL)
    wait_until(lambda: not [pid for pid in processes_of(tmp_path) if pid != process.pid], 15)
    process.kill()
    process.wait()


@pytest.mark.parametrize("how", ["stop", "timeout"])
def test_no_rank_is_left_after_a_stop_or_the_time_limit(how: str, tmp_path: Path) -> None:
    pids: list[int] = []
    job = worker.job_of(tmp_path, 2, do_eval=False, training={"max_steps": 100_000})
    log = tmp_path / "log"
    with RunningJob(job, log) as running:
        while len(pids) < 2:
            running.pump(1)
            pids = [peer.pid for peer in running.peers if peer.pid is not None]
        limit = 0.1 if how == "timeout" else 60.0
        seen = run_to_end(
            running,
            limit,
            on_event=lambda e: None,
            stop_reason=lambda: "told so" if how == "stop" else "",
        )
        agent = running.pid
    assert judge(seen, log)[0] is (State.TIMEOUT if how == "timeout" else State.INTERRUPTED)
    for pid in (*pids, agent):
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), 5)


def test_the_scaling_suite_proves_parity_of_two_processes(tmp_path: Path) -> None:
    """The suite for GPUs, with a tiny model on the CPU."""
    changes = ["models.roberta-base.architecture=roberta-tiny"]
    changes += ["training.precision=fp32", "training.batch_size=8", "training.max_steps=12"]
    changes += ["tasks.sst2.train_samples=400", "measurement.warmup_steps=5"]
    changes += ["workloads.0.sweep.processes=[2]"]
    changes += ["measurement.replicates=1", "measurement.threads=1"]
    changes += ["measurement.contention=note"]  # other tests run on the same cores
    command = [sys.executable, "-m", "harness.cli", "run", "scaling-gpu", "--device", "cpu"]
    command += ["--results", str(tmp_path)]
    for change in changes:
        command += ["--set", change]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    run = load_run(folder)
    parity_runs = [job for job in run.jobs if job.parity_run]
    assert [
        (job.arm.name, job.workload.launch.processes, len(job.losses or ())) for job in parity_runs
    ] == [(arm, 2, 10) for arm in ("pytorch", "onnxruntime")]
    begin = [job.parity_run for job in run.jobs[:3]]
    assert begin == [True, True, False], "what is compiled at first use is so before measuring"
    gains = gains_of(run)
    assert gains
    for gain in gains:
        assert gain.parity is not None
        assert gain.parity.outcome is ParityOutcome.PASSED, gain.parity.reason
        assert gain.parity.difference is not None
        assert gain.parity.difference < 1e-4
