"""`harness follow HOST:PORT`: this node trains with the one whose `harness run` listens there (harness.nodes)."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from harness import guard
from harness.environment import visible_cards
from harness.errors import BenchError
from harness.launch import RunningJob
from harness.nodes import JOIN_S, Line, parse_endpoint
from harness.outcome import judge
from harness.record import State
from harness.runner import Stop
from harness.settings import JobSpec
from harness.setup.stack import cache_root
from harness.torchrun import Rendezvous

LOOK_S = 0.2  # so often the runner's word is looked for while a job runs


def follow(endpoint: str, logs: Path, join_s: float = JOIN_S) -> int:
    """Do the runner's jobs until it has no more. 0: it said so; 1: it went away; 130: interrupted here.

    Raises BenchError if nobody listens there within `join_s` seconds.
    """
    logs.mkdir(parents=True, exist_ok=True)
    with Stop() as stop:
        line = _connect(endpoint, join_s, stop)
        print(f"following {endpoint}; logs in {logs}", flush=True)
        try:
            while not stop.reason and not line.problem:
                for message in line.receive(LOOK_S):
                    if message["event"] == "done":
                        return 0
                    if message["event"] == "start":
                        state, reason = _part(message, line, logs, stop)
                        print(f"{message['job']}: {state.value}{f', {reason}' if reason else ''}", flush=True)
                        line.send("ended", state=state.value, reason=reason)
        finally:
            line.close()
    print(stop.reason or line.problem, file=sys.stderr)
    return 130 if stop.reason else 1


def _connect(endpoint: str, join_s: float, stop: Stop) -> Line:
    address = parse_endpoint(endpoint)
    deadline = time.monotonic() + join_s
    while True:
        try:
            return Line(socket.create_connection(address, timeout=5), endpoint)
        except OSError as error:
            if stop.reason or time.monotonic() > deadline:
                why = stop.reason or f"nobody listens there: {error.strerror or error}"
                fix = f"`harness run SUITE --rendezvous {endpoint}` on the first node"
                raise BenchError(why, place=endpoint, fix=fix) from None
            time.sleep(0.5)


def _part(message: dict[str, Any], line: Line, logs: Path, stop: Stop) -> tuple[State, str]:
    """This node's part of a job, to its end."""
    try:
        job = JobSpec.model_validate(message["spec"]).model_copy(update={"cache_dir": cache_root()})
        interpreter = _interpreter(message)
        _fit(job)
        log = logs / f"{message['job']}.log"
        meeting = Rendezvous(message["endpoint"], message["job"], host=False)
        with RunningJob(job, log, interpreter=interpreter, wake_fd=stop.fd, rendezvous=meeting) as running:
            told = False
            while not running.done:
                running.pump(LOOK_S)
                told = told or any(said["event"] == "stop" for said in line.receive(0))
                # A part that has its result only leaves yet: the first node is done a little earlier.
                told = told and running.seen.result is None
                if (told or line.problem or stop.reason) and running.seen.stopped is None:
                    running.stop("interrupted", stop.reason or "the runner's node has ended the job")
        return judge(running.seen, log)
    except (BenchError, KeyError, ValueError) as error:
        return State.CRASHED, str(error)


def _interpreter(message: dict[str, Any]) -> str:
    """The stack's interpreter on this node: this one's own, or at the same path as on the runner's."""
    if message["stack"] == "ort":
        return sys.executable
    if not Path(message["interpreter"]).exists():
        raise BenchError(
            f"no interpreter of stack {message['stack']} here",
            place=message["interpreter"],
            fix="set it up, at the same path as on the first node",
        )
    return str(message["interpreter"])


def _fit(job: JobSpec) -> None:
    """Raises BenchError if this node has too few cards, or they are not idle."""
    needed = job.workload.launch.processes
    visible = visible_cards(needed, os.environ.get("CUDA_VISIBLE_DEVICES"))
    guard.enforce(guard.inspect(job.device, [cache_root()], visible=visible, needed=needed))
