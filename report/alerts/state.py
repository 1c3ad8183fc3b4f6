"""What each channel was told and what it is still to be told: one file, replaced whole, under a
lock.

An event is in the file before anything is sent (intent) and leaves it after its channel took it.
Killed in between, the next call sends it again; channels that can recognise an identity (all but
the webhook and standard output) skip it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from harness.errors import BenchError
from harness.files import write_atomically
from harness.schema.verdict import Frozen
from report.alerts.events import Event, Told


class ChannelState(Frozen):
    """One channel's memory."""

    told: dict[str, Told] = Field(
        default_factory=dict, description="by subject; steady ones are not here"
    )
    outbox: list[Event] = Field(default_factory=list, description="to be delivered, oldest first")
    newest: str = Field("", description="created_at of the newest verdict it was told from")
    asked: bool = Field(
        False, description="whether the channel was asked what it remembers by itself"
    )


class AlertState(Frozen):
    """The state file."""

    version: Literal[1] = 1
    channels: dict[str, ChannelState] = Field(default_factory=dict)


class StateFile:
    """The state and its file; without a path it lives as long as the process."""

    def __init__(self, path: Path | None) -> None:
        """Raises BenchError if the file is damaged: guessing could repeat or lose alerts."""
        self.path = path
        self._state = AlertState()
        if path is None or not path.exists():
            return
        try:
            self._state = AlertState.model_validate_json(path.read_bytes())
        except OSError as error:
            raise BenchError(
                f"cannot read it: {error.strerror}", place=str(path), fix="see its permissions"
            ) from error
        except ValidationError as error:
            detail = error.errors()[0]["msg"]
            fix = "mend it, or move it away: then everything that is not steady is told anew"
            raise BenchError(
                f"no state of `report alert`: {detail}", place=str(path), fix=fix
            ) from error

    def of(self, channel: str) -> ChannelState:
        """What a channel was told; of a new channel: nothing yet."""
        return self._state.channels.get(channel, ChannelState())

    def put(self, channel: str, state: ChannelState) -> None:
        """Remember it, on disk before this returns."""
        channels = {**self._state.channels, channel: state}
        self._state = AlertState(channels=channels)
        if self.path is not None:
            write_atomically(self.path, self._state.model_dump_json(indent=1).encode())

    def waiting(self) -> dict[str, int]:
        """How many events each channel is still to be told."""
        return {
            name: len(state.outbox) for name, state in self._state.channels.items() if state.outbox
        }


@contextmanager
def locked(path: Path | None) -> Iterator[None]:
    """Hold the state file; raises BenchError if another process does. The lock dies with its
    process.
    """
    if path is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise BenchError(
            f"cannot be written: {error.strerror}", place=str(path), fix="name another file"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BenchError(
            "another `report alert` is using it", place=str(path), fix="wait until it ends"
        ) from error
    finally:
        os.close(descriptor)
