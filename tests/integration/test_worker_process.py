"""The worker as a process: cores, priority, the runner's messages."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from folders import ROOT

from harness.launcher.channel import Channel, Peer, turn_seconds
from harness.worker import process


def _child(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import os, resource, threading\nfrom harness.worker import process\n{script}",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )


def test_threads_inherit_the_cores() -> None:
    core = max(os.sched_getaffinity(0))
    started = (
        "t = threading.Thread(target=lambda: print(os.sched_getaffinity(0))); t.start(); t.join()"
    )
    ended = _child(f"process.pin([{core}]); {started}")
    assert ended.stdout.strip() == str({core})


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_forked_children_stay_off_the_cores() -> None:
    """As the data loader's workers are made."""
    first, *others = sorted(os.sched_getaffinity(0))
    script = f"""
import multiprocessing
process.pin([{first}])
def child(): print(sorted(os.sched_getaffinity(0)))
one = multiprocessing.get_context("fork").Process(target=child)
one.start(); one.join()
print(sorted(os.sched_getaffinity(0)))"""
    assert _child(script).stdout.splitlines() == [str(others), str([first])]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_a_job_sets_itself_up_on_other_cores_than_it_is_measured_on() -> None:
    """Its data loader keeps off the cores of the turns from the beginning."""
    first, second, *_ = sorted(os.sched_getaffinity(0))
    rest = sorted(os.sched_getaffinity(0) - {first})
    script = f"""
import multiprocessing
process.pin([{first}], [{second}])
def child(): print(sorted(os.sched_getaffinity(0)))
one = multiprocessing.get_context("fork").Process(target=child)
one.start(); one.join()
print(sorted(os.sched_getaffinity(0)))
process.place_threads([{first}])
print(sorted(os.sched_getaffinity(0)))"""
    assert _child(script).stdout.splitlines() == [str(rest), str([second]), str([first])]


def test_cores_that_the_host_does_not_have() -> None:
    ended = _child("process.pin([100_000])")
    assert "OSError: [Errno 22]" in ended.stderr


def test_no_cores_means_all() -> None:
    before = os.sched_getaffinity(0)
    process.pin(None)
    assert os.sched_getaffinity(0) == before


def test_a_refused_priority_is_said() -> None:
    """Without the right to it, as most users are."""
    drop = "resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0)); os.getuid() or os.setuid(65534)"
    ended = _child(
        f"{drop}; print(process.real_time(True), os.sched_getscheduler(0) == os.SCHED_OTHER)"
    )
    assert ended.stdout.strip() == "Operation not permitted True", ended.stderr


def test_every_thread_gets_the_priority_and_gives_it_back() -> None:
    script = """
go = threading.Event()
t = threading.Thread(target=go.wait); t.start()
said = process.real_time(True)
policies = lambda: {os.sched_getscheduler(int(n)) for n in os.listdir('/proc/self/task')}
high = policies()
process.real_time(False)
print(said or (high == {os.SCHED_FIFO}, policies() == {os.SCHED_OTHER}))
go.set()
"""
    said = _child(script).stdout.strip()
    if said == "Operation not permitted":
        pytest.skip("this user may not use SCHED_FIFO")
    assert said == "(True, True)"


def test_messages_arrive_whole_and_in_order(tmp_path: Path) -> None:
    """However the socket cuts them."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(os.path.relpath(tmp_path / "s"))
    listener.listen(1)
    channel = Channel(os.path.relpath(tmp_path / "s"))
    connection, _ = listener.accept()
    received: list[dict[str, object]] = []
    reader = threading.Thread(target=lambda: received.extend(channel.messages()))
    reader.start()
    peer = Peer(connection)
    for steps in range(50):
        peer.send("go", lead_in=1, steps=steps, counts=True, padding="x" * 3000)
    connection.sendall(b'{"event": "fin')  # the runner dies in the middle of a message
    connection.close()
    reader.join(10)
    assert [message["steps"] for message in received] == list(range(50))
    channel.close()
    listener.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"timed_s": []},
        {"timed_s": [0.0]},
        {"timed_s": [float("nan")]},
        {"lead_in_s": None},
        {"lead_in_s": ["1"]},
        {"step": "9"},
        {"begin_ns": None},
        {"end_ns": "2"},
    ],
)
def test_a_turn_that_makes_no_sense(wrong: dict[str, object]) -> None:
    event = {
        "event": "turn",
        "step": 9,
        "lead_in_s": [0.2],
        "timed_s": [0.1, 0.1],
        "begin_ns": 1,
        "end_ns": 2,
    }
    assert turn_seconds(event) == ([0.2], [0.1, 0.1])
    with pytest.raises(ValueError, match="turn needs"):
        turn_seconds({**event, **wrong})


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_the_main_thread_has_a_core_of_its_own_until_all_may_run_everywhere_again() -> None:
    done = _child(
        "cores = sorted(os.sched_getaffinity(0))[-2:]\n"
        "process.pin(cores)\n"
        "stop, other = threading.Event(), []\n"
        "thread = threading.Thread(target=lambda: (other.append(threading.get_native_id()), "
        "stop.wait()))\n"
        "thread.start()\n"
        "while not other: pass\n"
        "process.place_threads(cores)\n"
        "assert os.sched_getaffinity(0) == {cores[0]}\n"
        "assert os.sched_getaffinity(other[0]) == {cores[1]}\n"
        "process.place_threads(cores, apart=False)\n"
        "assert os.sched_getaffinity(0) == os.sched_getaffinity(other[0]) == set(cores)\n"
        "process.place_threads(cores[:1])\n"
        "assert os.sched_getaffinity(0) == os.sched_getaffinity(other[0]) == {cores[0]}\n"
        "stop.set()\n"
        "print('placed')"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "placed"), done.stderr
