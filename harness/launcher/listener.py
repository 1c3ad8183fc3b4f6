"""The runner's end of the channel (harness.launcher.channel): a Unix socket to which every worker
process of a job connects.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from pathlib import Path
from typing import Any

from harness.launcher.channel import MAX_LINE_BYTES, decode

Event = dict[str, Any]
CHUNK_BYTES = 1 << 16


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
        """Send one control message to this worker. Raises OSError if it is gone or does not read."""
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
