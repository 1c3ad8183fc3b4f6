"""The private channel between runner and worker: JSON lines over a Unix socket, never stdout.
Standard library only.

The runner listens; every worker process (each rank under torchrun) connects to the path it was
given and sends events. A worker that sees the runner's end close exits at once, so no worker
outlives its runner.

Each message is a JSON object with `event` and `t_ns` (CLOCK_MONOTONIC). Worker to runner:

hello     pid, rank: among the processes on this node; what rank 0 sends then is about all ranks of the job
phase     name (imports, data, model, train, evaluate, save)
progress  step, total_steps, samples_per_s, loss (may be null)
series    first_step, duration_s [..], loss [..]: one entry per step, in chunks
result    the fields of record.WorkerResult
failure   state (record.State), reason, traceback
bye       nothing follows: the worker is about to exit with 0

Blocks protocol (a job with `partner`), worker to runner:

ready     step, levers {..}: warmed up and parked at the border after `step`, the device idle, waiting for the runner
block     step, lead_in_s [..], timed_s [..], begin_ns, end_ns, host {..}: the steps of one turn are done (seconds of
          each) and the job is parked again; begin_ns: when its first step began; host: what worker.pressure counted
          meanwhile (may be missing). A job whose training ends within a turn sends none.

and runner to worker, which reads them only while parked:

go        lead_in, steps, counts: a turn of `lead_in` untimed and `steps` timed steps; counts: false in the pilot
finish    end the training here
"""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROTOCOL_VERSION = 1
MAX_LINE_BYTES = 16 << 20


class Channel:
    """The worker's end. Events are sent whole and in order; a lost runner raises BrokenPipeError."""

    def __init__(self, path: Path | str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))

    def send(self, event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, "t_ns": time.monotonic_ns(), **fields}, allow_nan=True)
        self._socket.sendall(line.encode() + b"\n")

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the runner sends, until its end is gone (for the watchdog thread). Raises ValueError
        on garbage.
        """
        rest = b""
        while data := self._socket.recv(1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            yield from map(decode, lines)

    def close(self) -> None:
        self._socket.close()


def decode(line: bytes) -> dict[str, Any]:
    """One received line as an event. Raises ValueError on anything that is not an object with an
    `event`.
    """
    message = json.loads(line)
    if not isinstance(message, dict) or not isinstance(message.get("event"), str):
        raise ValueError(f"not an event: {line[:80]!r}")
    return message


def block_seconds(event: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Lead-in and timed seconds of a `block` event. Raises ValueError if it is not one."""
    columns = (event.get("lead_in_s"), event.get("timed_s"))
    for column in columns:
        if not isinstance(column, list) or not all(
            isinstance(s, int | float) and 0 < s < math.inf for s in column
        ):
            raise ValueError("block needs lead_in_s and timed_s: seconds above 0")
    if (
        not isinstance(event.get("step"), int)
        or not isinstance(event.get("begin_ns"), int)
        or not columns[1]
    ):
        raise ValueError("block needs step, begin_ns and at least one timed step")
    return columns  # type: ignore[return-value]
