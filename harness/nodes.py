"""Several nodes train a job together: the runner's tells the others, over TCP, which job to start and when to stop.

The runner listens at HOST:PORT; on every other node `harness follow HOST:PORT` (harness.follow) connects and does what
it is told, until the connection ends. Messages are JSON lines. Runner to follower:

start   spec (settings.JobSpec), stack, interpreter, endpoint, job: start your part of this job; torchrun's agents meet
        at `endpoint`, which is HOST and the port after PORT
stop    end it, if it still runs
done    the run is over

and follower to runner, once for each `start`:

ended   state, reason: how its part ended

Both the runner's port and torchrun's are open to whoever can reach them: a cluster's own network, not the internet.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from harness.errors import BenchError
from harness.protocol import MAX_LINE_BYTES, decode
from harness.record import State
from harness.settings import JobSpec
from harness.torchrun import Rendezvous

JOIN_S = 600.0  # the runner waits so long for the other nodes, and they for it
STOP_S = 60.0  # a follower that has not ended its part by then is given up


def parse_endpoint(text: str) -> tuple[str, int]:
    """HOST:PORT. Raises BenchError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65535:
        raise BenchError("is not HOST:PORT", place=text, fix="for example node0:29400; the port after it is used too")
    return host, int(port)


class Line:
    """One end of a connection between nodes. `problem`: why it can no longer be used."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        connection.setblocking(True)
        connection.settimeout(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.socket, self.name = connection, name
        self.problem = ""
        self._buffer = b""

    def send(self, event: str, **fields: Any) -> None:
        """Send one message; `problem` tells if that failed."""
        try:
            self.socket.sendall(json.dumps({"event": event, **fields}).encode() + b"\n")
        except OSError as error:
            self.problem = self.problem or f"node {self.name} does not answer: {error.strerror or error}"

    def receive(self, timeout_s: float) -> list[dict[str, Any]]:
        """The messages that are there within `timeout_s`; none if nothing is."""
        if self.problem or not select.select([self.socket], [], [], timeout_s)[0]:
            return []
        try:
            data = self.socket.recv(1 << 16)
        except OSError as error:
            self.problem = f"node {self.name} does not answer: {error.strerror or error}"
            return []
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        try:
            messages = [decode(line) for line in lines]
        except ValueError as error:
            self.problem = f"node {self.name}: {error}"
            return []
        if not data or len(self._buffer) > MAX_LINE_BYTES:
            self.problem = f"node {self.name} is gone"
        return messages

    def close(self) -> None:
        self.socket.close()


def _listen_at(host: str, port: int, endpoint: str) -> socket.socket:
    try:
        return socket.create_server((host, port), reuse_port=False)
    except OSError as error:
        why = f"cannot listen at port {port}: {error.strerror or error}"
        fix = "an address of this node, and a port that is free like the one after it"
        raise BenchError(why, place=endpoint, fix=fix) from None


class Nodes:
    """The runner's connections to `count - 1` other nodes. Use as a context manager around the run.

    `start` before the job's own part, `trouble` while it runs, `stop` when it has ended.
    """

    def __init__(self, endpoint: str, count: int, stop_reason: Callable[[], str] = lambda: "") -> None:
        """Waits for the others; `stop_reason`: why the user wants to wait no longer. Raises BenchError."""
        self.host, self.port = parse_endpoint(endpoint)
        self._lines: list[Line] = []
        self._busy: list[Line] = []
        self._trouble = ""
        # torchrun's agents meet there; they take the port of every address, and tell the user less if it is taken.
        _listen_at("", self.port + 1, endpoint).close()
        self._listener = _listen_at(self.host, self.port, endpoint)
        deadline = time.monotonic() + JOIN_S
        while len(self._lines) < count - 1:
            if time.monotonic() > deadline or stop_reason():
                self.close()
                why = stop_reason() or f"{len(self._lines)} of {count - 1} other nodes came within {JOIN_S:g} s"
                raise BenchError(why, place=endpoint, fix=f"`harness follow {endpoint}` on each of them")
            if select.select([self._listener], [], [], 0.2)[0]:
                connection, address = self._listener.accept()
                self._lines.append(Line(connection, address[0]))

    def __enter__(self) -> Nodes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in self._lines:
            line.send("done")
        self.close()

    def close(self) -> None:
        """Hang up: followers end what they run."""
        for line in self._lines:
            line.close()
        self._listener.close()

    def start(self, job: JobSpec, name: str, interpreter: str) -> Rendezvous:
        """Tell as many nodes as the job needs to start their part; `name`: of this attempt at it."""
        endpoint = f"{self.host}:{self.port + 1}"
        self._busy, self._trouble = self._lines[: job.workload.launch.nodes - 1], ""
        spec = job.model_dump(mode="json")
        for line in self._busy:
            line.send("start", spec=spec, stack=job.arm.stack, interpreter=interpreter, endpoint=endpoint, job=name)
        return Rendezvous(endpoint, name, host=True)

    def trouble(self) -> str:
        """Why the job cannot go on: another node's part failed or does not answer; empty if all is well."""
        self._listen(self._busy, 0)
        return self._trouble

    def stop(self) -> str:
        """End the other nodes' parts and wait for them; why one of them failed, or empty. Raises nothing."""
        waiting = list(self._busy)
        for line in waiting:
            line.send("stop")
        deadline = time.monotonic() + STOP_S
        while waiting and time.monotonic() < deadline:
            waiting = self._listen(waiting, 0.1)
        for line in waiting:
            line.problem = line.problem or f"node {line.name} did not end its part within {STOP_S:g} s"
            self._trouble = self._trouble or line.problem
        self._busy = []
        return self._trouble

    def _listen(self, lines: Sequence[Line], timeout_s: float) -> list[Line]:
        """Those that have not ended. The first failure is the trouble: what it does to others is no news."""
        left = []
        for line in lines:
            ended = [message for message in line.receive(timeout_s) if message["event"] == "ended"]
            for message in ended:
                with contextlib.suppress(ValueError):
                    if State(str(message.get("state"))) not in (State.OK, State.INTERRUPTED):
                        self._trouble = self._trouble or f"node {line.name}: {message.get('reason')}"
            if line.problem:
                self._trouble = self._trouble or line.problem
            elif not ended:
                left.append(line)
        self._busy = [line for line in self._busy if line not in lines or line in left]
        return left
