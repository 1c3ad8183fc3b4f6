"""Two nodes on this host: two torchrun agents that meet by c10d, gloo; what happens when one of them dies."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from runner_support import processes_of, wait_until
from test_distributed import job_of

from harness.errors import BenchError
from harness.launch import RunningJob
from harness.nodes import Nodes, parse_endpoint
from harness.outcome import Seen, judge
from harness.record import State
from harness.waiting import run_to_end

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    """A free port before a free one, both below those that the kernel hands out: a connection may hold one of them."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(max(1024, first - 16384), first - 1)
        with contextlib.suppress(OSError), socket.create_server(("localhost", port)):
            socket.create_server(("localhost", port + 1)).close()
            return port


@contextmanager
def follower(endpoint: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`harness follow` as another node would run it; its processes carry the test's mark."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "follow", endpoint, "--logs", str(folder / "node")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo", "BENCH_TEST_FOLDER": str(folder)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def run(nodes: Nodes, folder: Path, training: dict[str, Any], during: Any = lambda running: "") -> tuple[Seen, Path]:
    job = job_of(folder, 1, do_eval=False, twin=True, training=training, launch={"nodes": 2})
    log = folder / "log"
    rendezvous = nodes.start(job, folder.name, sys.executable)
    with RunningJob(job, log, rendezvous=rendezvous) as running:
        seen = run_to_end(
            running, 120, on_event=lambda event: None, stop_reason=lambda: during(running), trouble=nodes.trouble
        )
    return seen, log


@pytest.mark.parametrize("text", ["node0", "node0:", ":29400", "node0:http", "node0:0", "node0:65535"])
def test_an_endpoint_is_a_host_and_a_port(text: str) -> None:
    with pytest.raises(BenchError, match="is not HOST:PORT"):
        parse_endpoint(text)
    assert parse_endpoint("[::1]:29400") == ("[::1]", 29400)


def test_a_run_on_several_nodes_asks_for_the_rendezvous(tmp_path: Path) -> None:
    words = ["run", str(ROOT / "configs/scaling-smoke.yaml"), "--device", "cpu", "--set", "launch.nodes=2"]
    ended = subprocess.run(
        [sys.executable, "-m", "harness.cli", *words, "--results", str(tmp_path)], capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert "harness follow HOST:PORT" in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", [0, 1])
def test_a_taken_port_is_named(taken: int) -> None:
    port = free_port()
    refused = pytest.raises(BenchError, match=rf"cannot listen at port {port + taken}: Address already in use")
    with socket.create_server(("localhost", port + taken)), refused:
        Nodes(f"localhost:{port}", 2)
    with pytest.raises(BenchError, match="waits no longer"):  # and what the refused had opened is free again
        Nodes(f"localhost:{port}", 2, stop_reason=lambda: "waits no longer")


@pytest.mark.slow
def test_two_nodes_train_one_job_and_the_next_is_lost_with_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    endpoint = f"localhost:{free_port()}"
    with follower(endpoint, tmp_path) as process, Nodes(endpoint, 2) as nodes:
        seen, log = run(nodes, tmp_path, {"max_steps": 8, "batch_size": 8})
        assert nodes.stop() == ""
        assert judge(seen, log) == (State.OK, "")
        assert seen.result is not None
        assert len(seen.result.losses or []) == 8
        timing = seen.result.timing
        assert timing.steady_samples_per_s == pytest.approx(2 * 8 / (timing.steady_step_s or 0))

        killed: list[float] = []

        def kill(running: RunningJob) -> str:
            if not killed and (running.seen.step or 0) > 1:
                os.kill(process.pid, signal.SIGKILL)
                killed.append(time.monotonic())
            return ""

        seen, log = run(nodes, tmp_path, {"max_steps": 100_000}, kill)
        state, reason = judge(seen, log)
        assert state is State.CRASHED
        assert "node 127.0.0.1 is gone" in f"{reason}; {nodes.stop()}"
        assert time.monotonic() - killed[0] < 45
    wait_until(lambda: not processes_of(tmp_path), 10)  # the dead node's rank has not outlived it
