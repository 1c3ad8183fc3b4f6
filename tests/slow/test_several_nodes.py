"""Jobs of several nodes on this host: a stand-in for srun starts real agents, gloo on the CPU; what
happens when one of them is killed, when the job is stopped, and when srun is killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from folders import CONFIGS, ROOT, SUPPORT
from runner_support import processes_of, wait_until
from worker_helpers import job_of

from harness.launcher import srun
from harness.launcher.outcome import Seen, judge
from harness.launcher.process import RunningJob, run_to_end
from harness.results.run_folder import read_records
from harness.schema.record import State

SMOKE = CONFIGS / "scaling-smoke.yaml"
FAKE_SLURM = SUPPORT / "fake_slurm.py"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An allocation of 3 nodes, all of which are this host; the folder that they share."""
    tools = tmp_path / "bin"
    tools.mkdir()
    channel = Path(tempfile.mkdtemp()) / "slurmd"
    command = [sys.executable, str(FAKE_SLURM), "slurmd", str(channel)]
    (tools / "srun").write_text(
        f'#!/bin/sh\nexec {sys.executable} {FAKE_SLURM} srun {channel} "$@"\n'
    )
    (tools / "srun").chmod(0o755)
    slurmd = subprocess.Popen(command)
    wait_until(channel.exists, 10)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    for name, value in {
        "SLURM_JOB_ID": "77",
        "SLURMD_NODENAME": "localhost",
        "SLURM_JOB_NUM_NODES": "3",
        "GLOO_SOCKET_IFNAME": "lo",
        "BENCH_TEST_FOLDER": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    yield tmp_path
    slurmd.kill()
    slurmd.wait()
    shutil.rmtree(channel.parent)


def run(
    folder: Path, nodes: int, max_steps: int, during: Callable[[RunningJob], str] = lambda job: ""
) -> tuple[Seen, Path]:
    """Run one job to its end; `during` is asked now and then why to stop."""
    training = {"max_steps": max_steps, "batch_size": 8}
    job = job_of(
        folder, 1, do_eval=False, parity_run=True, training=training, launch={"nodes": nodes}
    )
    log = folder / "job.log"
    with RunningJob(job, log) as running:
        seen = run_to_end(
            running, 240, on_event=lambda event: None, stop_reason=lambda: during(running)
        )
    return seen, log


def processes_called(folder: Path, word: str) -> list[psutil.Process]:
    """Processes of this test whose second argument is the word."""
    processes = [psutil.Process(pid) for pid in processes_of(folder)]
    return [process for process in processes if process.cmdline()[2:3] == [word]]


def test_nodes_train_one_job_and_tell_of_it_once(cluster: Path) -> None:
    seen, log = run(cluster, nodes=3, max_steps=8)
    assert judge(seen, log) == (State.OK, ""), log.read_text()[-3000:]
    assert seen.result is not None
    assert len(seen.result.losses or []) == 8
    timing = seen.result.timing
    assert timing.steady_samples_per_s == pytest.approx(3 * 8 / (timing.steady_step_s or 0))
    assert {file.name for file in cluster.glob("job*.log")} == {
        "job.log",
        "job.node2.log",
        "job.node3.log",
    }
    assert srun.trouble(log) == ""
    wait_until(lambda: not processes_of(cluster), 15)


@pytest.mark.parametrize("whom", ["agent", "srun"])
def test_a_killed_node_ends_the_job_and_no_process_is_left(cluster: Path, whom: str) -> None:
    killed: list[float] = []

    def kill(running: RunningJob) -> str:
        if not killed and (running.seen.step or 0) > 1:
            (victim,) = processes_called(cluster, srun.AGENT if whom == "agent" else "srun")
            victim.kill()
            killed.append(time.monotonic())
        return ""

    seen, log = run(cluster, nodes=2, max_steps=100_000, during=kill)
    assert time.monotonic() - killed[0] < 45
    state, reason = judge(seen, log)
    assert state is State.CRASHED, reason
    if whom == "agent":
        assert srun.trouble(log) == "node 2: Killed"
    wait_until(lambda: not processes_of(cluster), 15)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_job_that_is_ended_ends_on_every_node(cluster: Path, how: str) -> None:
    def stop(running: RunningJob) -> str:
        if (running.seen.step or 0) < 2:
            return ""
        if how == "killed":
            # The supervisor, and with it by the kernel what it has started: none is asked to stop.
            os.kill(running.pid, signal.SIGKILL)
        return "told so"

    seen, log = run(cluster, nodes=2, max_steps=100_000, during=stop)
    if how == "stopped":
        assert judge(seen, log)[0] is State.INTERRUPTED
    wait_until(lambda: not processes_of(cluster), 15)


def test_a_run_records_that_one_node_was_sampled(cluster: Path) -> None:
    settings = [
        "launch.nodes=2",
        "training.max_steps=4",
        "measurement.replicates=1",
        "measurement.contention=note",
        "measurement.telemetry_interval_ms=100",
        "workloads=[{model: bert-tiny, task: sst2}]",
    ]
    words = [
        "run",
        str(SMOKE),
        "--device",
        "cpu",
        "--no-tables",
        "--results",
        str(cluster / "runs"),
    ]
    command = [sys.executable, "-m", "harness.cli", *words]
    for setting in settings:
        command += ["--set", setting]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    ended = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (folder,) = (cluster / "runs").iterdir()
    records, _ = read_records(folder)
    assert [record.state for record in records] == [State.OK] * 2
    for record in records:
        assert record.workload.launch.nodes == 2
        assert record.telemetry is not None
        assert record.telemetry.joules_per_sample is None
        assert "2 nodes trained, and only the first is sampled" in record.telemetry.unreadable[-1]
        assert (folder / "logs" / f"{record.id}.node2.log").exists()
