"""The private channel between runner and worker: JSON lines over a Unix socket, never stdout. Standard library only.

The runner listens; every worker process (each rank under torchrun) connects to the path it was given and sends events.
A worker that sees the runner's end close exits at once, so no worker outlives its runner.

Events, each a JSON object with `event` and `t_ns` (CLOCK_MONOTONIC):

hello     pid, rank
phase     name (imports, data, model, train, evaluate, save)
progress  step, total_steps, samples_per_s, loss (may be null)
series    first_step, duration_s [..], loss [..]: one entry per step, in chunks
result    the fields of record.WorkerResult
failure   state (record.State), reason, traceback
bye       nothing follows: the worker is about to exit with 0
"""

from __future__ import annotations

import json
import socket
import time
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

    def wait_for_close(self) -> None:
        """Block until the runner's end is gone (used by the worker's watchdog thread)."""
        while self._socket.recv(4096):
            pass

    def close(self) -> None:
        self._socket.close()


def decode(line: bytes) -> dict[str, Any]:
    """One received line as an event. Raises ValueError on anything that is not an object with an `event`."""
    message = json.loads(line)
    if not isinstance(message, dict) or not isinstance(message.get("event"), str):
        raise ValueError(f"not an event: {line[:80]!r}")
    return message
