"""The private channel between runner and worker: JSON lines over a Unix socket, never stdout.
Standard library only.

The runner listens; every worker process (each rank under torchrun) connects to the path it was
given and sends events. A worker that sees the runner's end close exits at once, so no worker
outlives its runner.

Each message is a JSON object with `event` and `t_ns` (CLOCK_MONOTONIC). Worker to runner:

hello     pid, rank: among the processes on this node; what rank 0 sends then is about all ranks
phase     name (imports, data, model, train, evaluate, save)
progress  step, total_steps, samples_per_s, loss (may be null)
series    first_step, duration_s [..], loss [..]: one entry per step, in chunks
result    the fields of record.WorkerResult
failure   state (record.State), reason, traceback
bye       nothing follows: the worker is about to exit with 0

Interleaved protocol (a job with a `group`), worker to runner:

ready     step, levers {..}: warmed up and parked at the border after `step`, the device idle,
          waiting for the runner
turn      step, lead_in_s [..], timed_s [..], begin_ns, end_ns, host {..}: the steps of one turn are
          done (seconds of each) and the job is parked again; begin_ns: when its first step began;
          host: what worker.instruments.os_counters counted meanwhile (may be missing). A job whose
          training ends within a turn sends none.

and runner to worker, which reads them only before it sets itself up and while parked:

begin     cores [..] or null: the job may set itself up, on these CPUs or on those of its turns
go        lead_in, steps, counts: a turn of `lead_in` untimed and `steps` timed steps; counts: false
          in the pilot, and in the turn that a job has to itself at the end
finish    end the training here
"""

from __future__ import annotations

import json
import math
import selectors
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROTOCOL_VERSION = 1
MAX_LINE_BYTES = 16 << 20
CHUNK_BYTES = 1 << 16
Event = dict[str, Any]


class Channel:
    """The worker's end. Events are sent whole, in order; a lost runner raises BrokenPipeError."""

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


def turn_seconds(event: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Lead-in and timed seconds of a `turn` event. Raises ValueError if it is not one."""
    columns = (event.get("lead_in_s"), event.get("timed_s"))
    for column in columns:
        if not isinstance(column, list) or not all(
            isinstance(s, int | float) and 0 < s < math.inf for s in column
        ):
            raise ValueError("turn needs lead_in_s and timed_s: seconds above 0")
    if (
        not isinstance(event.get("step"), int)
        or not isinstance(event.get("begin_ns"), int)
        or not isinstance(event.get("end_ns"), int)
        or not columns[1]
    ):
        raise ValueError("turn needs step, begin_ns, end_ns and at least one timed step")
    return columns  # type: ignore[return-value]


class ProtocolError(ValueError):
    """A worker sent what is not an event; `events` came before it."""

    def __init__(self, message: str, events: list[Event]) -> None:
        super().__init__(message)
        self.events = events


class Peer:
    """One connected worker process; `rank` is known from its `hello` on. `parted`: it has said its
    last word.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.rank: int | None = None
        self.pid: int | None = None
        self.parted = False
        self._buffer = bytearray()

    def send(self, event: str, **fields: Any) -> None:
        """Send one control message. Raises OSError if the worker is gone or does not read."""
        line = json.dumps({"event": event, "t_ns": time.monotonic_ns(), **fields}).encode() + b"\n"
        self.socket.settimeout(5)
        try:
            self.socket.sendall(line)
        finally:
            self.socket.setblocking(False)

    def receive(self) -> tuple[list[Event], bool]:
        """What has arrived, and whether the connection is still open. Raises ProtocolError on
        garbage.
        """
        events: list[Event] = []
        while True:
            try:
                chunk = self.socket.recv(CHUNK_BYTES)
            except BlockingIOError:
                return events, True
            except ConnectionError:
                return events, False
            # the rest of an event in the buffer is no garbage: a worker can be killed while it
            # sends
            if not chunk:
                return events, False
            self._buffer += chunk
            if b"\n" in chunk:
                self._take_lines(events)
            if len(self._buffer) > MAX_LINE_BYTES:
                raise ProtocolError(f"a line of more than {MAX_LINE_BYTES} bytes", events)

    def _take_lines(self, events: list[Event]) -> None:
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        for line in lines:
            try:
                event = decode(line)
                self.parted = self.parted or event["event"] in ("bye", "failure")
                if event["event"] == "hello":
                    self.rank, self.pid = int(event.get("rank", 0)), event.get("pid")
            except (ValueError, TypeError) as error:
                raise ProtocolError(f"{error} in {line[:80]!r}", events) from error
            events.append({"rank": self.rank or 0, **event})


class Listener:
    """Accepts workers on `path` and registers them, with itself, in `selector` (key.data: the
    Listener or the Peer).
    """

    def __init__(self, path: Path, selector: selectors.BaseSelector) -> None:
        self.peers: list[Peer] = []
        self._selector = selector
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(64)
        self._socket.setblocking(False)
        selector.register(self._socket, selectors.EVENT_READ, self)

    def accept(self) -> None:
        """Take every waiting connection."""
        while True:
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                return
            peer = Peer(connection)
            self.peers.append(peer)
            self._selector.register(connection, selectors.EVENT_READ, peer)

    def receive(self, peer: Peer) -> list[Event]:
        """Events of one worker; forgets it when it closed. Raises ProtocolError on garbage (and
        forgets it too).
        """
        try:
            events, is_open = peer.receive()
        except ProtocolError:
            self._forget(peer)
            raise
        if not is_open:
            self._forget(peer)
        return events

    def _forget(self, peer: Peer) -> None:
        self._selector.unregister(peer.socket)
        self.peers.remove(peer)
        peer.socket.close()

    def close(self) -> None:
        """Close every connection: a worker that still lives takes it as the order to exit."""
        for peer in list(self.peers):
            self._forget(peer)
        self._selector.unregister(self._socket)
        self._socket.close()
