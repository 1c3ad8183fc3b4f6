"""The sampler process beside real processes: what it reads of them, and that nothing ends the job
or outlives it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager

import psutil
import pytest

from harness.schema.record import Timing
from harness.telemetry import session
from harness.telemetry.series import load
from harness.telemetry.session import Sampling

# Allocates 64 MiB, has a child that computes for as long as it itself sleeps, and says both pids.
BUSY = """
import os, subprocess, sys, time
turn = bytearray(64 << 20)
turn[::4096] = b"x" * len(turn[::4096])
child = subprocess.Popen([sys.executable, "-c", "while True: sum(range(10000))"])
print(child.pid, flush=True)
time.sleep(60)
"""


@contextmanager
def busy():
    """Pids of a sleeping parent and its computing child."""
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        yield process.pid, child
    finally:
        os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()
        process.stdout.close()


def gone(pid: int, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def wait_for_lines(sampling: Sampling, lines: int, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while sampling.lines_so_far() < lines:
        assert time.monotonic() < deadline, sampling.problem
        time.sleep(0.05)


def test_a_busy_child_of_the_job(tmp_path):
    (tmp_path / "series").mkdir()
    with busy() as (parent, child), Sampling([parent], gpus="") as sampling:
        wait_for_lines(sampling, 3)
        before = psutil.Process(child).cpu_times()
        begin = time.monotonic_ns()
        time.sleep(2.2)
        end = time.monotonic_ns()
        after = psutil.Process(child).cpu_times()
        sampling.stop()
    used = (after.user + after.system - before.user - before.system) / ((end - begin) / 1e9)
    timing = Timing(steady_begin_ns=begin, steady_end_ns=end)
    telemetry = sampling.summarise(timing, tmp_path, "series/a.telemetry.parquet")
    assert telemetry.unreadable == []
    assert telemetry.gpus == []
    assert telemetry.cores == psutil.cpu_count()
    # The child's own clock is the truth, whatever else this machine does meanwhile.
    assert used > 0.1
    assert telemetry.job_cpu_share_mean == pytest.approx(
        used / telemetry.cores, abs=0.1 / telemetry.cores
    )
    assert 0.8 * telemetry.job_cpu_share_mean <= telemetry.host_cpu_share_mean <= 1
    assert 64 << 20 < telemetry.job_rss_peak_bytes < 256 << 20
    assert telemetry.samples + telemetry.missed_ticks >= 20
    assert telemetry.samples <= 23
    series = load(tmp_path / telemetry.series)
    assert series.ticks[0]["tree"] == sorted([parent, child])
    assert series.end is not None


def test_cpu_time_of_a_child_that_ended_is_not_lost():
    code = "import subprocess, sys, time\n"
    code += (
        "subprocess.run([sys.executable, '-c', 'import time\\nwhile time.process_time() < 1.5: "
        "pass'])\n"
    )
    code += "time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        with Sampling([process.pid], gpus="", interval_s=0.05) as sampling:
            deadline = time.monotonic() + 60
            waited = psutil.Process(process.pid).cpu_times
            while waited().children_user + waited().children_system < 1.4:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(0.5)
            sampling.stop()
    finally:
        process.kill()
        process.wait()
    cpu = [tick["job_cpu_s"] for tick in sampling.series().ticks]
    assert cpu == sorted(cpu)
    assert (
        cpu[-1] > 0.9
    )  # what the child did before it was found, or after the last reading, may be missing


def test_without_a_driver_the_rest_is_sampled_and_the_record_says_so(tmp_path):
    from harness.telemetry.nvml import NvmlSource

    source = NvmlSource(None)
    source.close()
    if source.gpus:
        pytest.skip("this host has a card: the path without a driver cannot be taken")
    (tmp_path / "series").mkdir()
    with Sampling([os.getpid()], gpus=None) as sampling:
        wait_for_lines(sampling, 4)
    telemetry = sampling.summarise(Timing(), tmp_path, "series/a.telemetry.parquet")
    assert telemetry.gpus == []
    assert len(telemetry.unreadable) == 1
    assert telemetry.unreadable[0].startswith("NVML: ")
    assert telemetry.job_rss_peak_bytes > 1 << 20


PARENT = """
import os, time
from harness.telemetry.session import Sampling
with Sampling([os.getpid()], gpus="") as sampling:
    while sampling.lines_so_far() < 2:
        time.sleep(0.05)
    print(sampling.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_the_sampler_dies_with_a_parent_that_is_killed(stopped):
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    sampler = int(parent.stdout.readline())
    assert psutil.pid_exists(sampler)
    if stopped:  # as if it hung in the driver: it cannot notice that stdin closed
        os.kill(sampler, signal.SIGSTOP)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(sampler)


def test_a_sampler_that_hangs_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(session, "STOP_S", 0.5)
    with Sampling([os.getpid()], gpus="") as sampling:
        wait_for_lines(sampling, 2)
        os.kill(sampling.pid, signal.SIGSTOP)
        begin = time.monotonic()
        sampling.stop()
    assert time.monotonic() - begin < 5
    assert gone(sampling.pid)
    assert "did not end" in sampling.problem
    assert sampling.series().ticks
    assert sampling.series().end is None


def test_a_sampler_that_was_killed_leaves_what_it_had(tmp_path):
    (tmp_path / "series").mkdir()
    with Sampling([os.getpid()], gpus="") as sampling:
        wait_for_lines(sampling, 2)
        os.kill(sampling.pid, signal.SIGKILL)
        assert gone(sampling.pid)
    last = sampling.series().ticks[-1]["t_ns"]
    window = {"steady_begin_ns": last - 10**9, "steady_end_ns": last + 3 * 10**9}
    found = sampling.summarise(Timing(**window), tmp_path, "series/a.telemetry.parquet")
    assert found.covered_share is not None
    assert found.covered_share < 0.5
    assert found.series is not None
    assert "the sampler was cut off before the job ended" in found.unreadable
    assert "the sampler exited with -9: no message" in found.unreadable


def test_a_sampler_that_cannot_start_is_said(tmp_path):
    log, nothing = tmp_path / "job.log", str(tmp_path / "nothing")
    with Sampling([os.getpid()], gpus="", python=nothing, log=log) as sampling:
        assert sampling.pid is None
    found = sampling.summarise(Timing(), tmp_path, "series/a.telemetry.parquet")
    assert found.series is None
    assert any("could not be started" in text for text in found.unreadable)
    assert "--- telemetry: the sampler could not be started" in log.read_text()
    assert "Traceback" in log.read_text()


def test_a_series_that_cannot_be_written_is_said(tmp_path):
    log = tmp_path / "job.log"
    log.write_text("of the job\n")
    with Sampling([os.getpid()], gpus="", log=log) as sampling:
        wait_for_lines(sampling, 2)
    found = sampling.summarise(Timing(), tmp_path, "nowhere/a.telemetry.parquet")
    assert found.series is None
    assert "the series could not be written: No such file or directory" in found.unreadable
    assert log.read_text().startswith("of the job\n")
    assert "Traceback" in log.read_text()
    assert "FileNotFoundError" in log.read_text()


def test_output_of_the_sampler_that_is_damaged_is_said(tmp_path):
    log = tmp_path / "job.log"
    with Sampling([os.getpid()], gpus="", log=log) as sampling:
        wait_for_lines(sampling, 2)
    os.pwrite(sampling._output.fileno(), b"[1, 2", 0)
    assert not sampling.series().ticks
    assert sampling.problem.startswith("the sampler's output is damaged")
    assert "Traceback" in log.read_text()


def test_the_sampler_imports_nothing_heavy():
    code = (
        "import harness.telemetry.session, harness.telemetry.sampler, harness.telemetry.nvml, sys\n"
    )
    code += "import harness.telemetry.processes, pynvml\n"
    code += (
        "print([m for m in ('torch', 'numpy', 'pandas', 'pyarrow', 'pydantic', 'scipy') if m in "
        "sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
