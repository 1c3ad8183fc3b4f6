"""A lock on a file that names its holder: a run's folder, and the one night of a host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from harness.errors import BenchError

POLL_S = 0.1


def take_lock(path: Path, wait_s: float, said: str, *, place: str, fix: str) -> int:
    """Lock `path` and write `PID START` of this process there; the descriptor, which holds the lock
    until it is closed.

    A holder that lives is refused at once: BenchError, whose message is `said` with the holder's
    pid for `{pid}`. What a killed holder left behind may hold the lock too (it inherits the
    descriptor): it is waited for, `wait_s` seconds.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(descriptor, 64, 0).decode(errors="replace").split()
                if _lives(holder) or time.monotonic() > deadline:
                    message = said.format(pid=holder[0] if holder else "unknown")
                    raise BenchError(message, place=place, fix=fix) from None
                time.sleep(POLL_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {_state_and_start(os.getpid())[1]}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _state_and_start(pid: int) -> tuple[str, str]:
    """A process's state letter and when it started, in clock ticks since boot: tells it from a
    later one of its pid.
    """
    # The kernel cuts a program's name after 15 bytes, perhaps within a character.
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
    return fields[0], fields[19]


def _lives(holder: list[str]) -> bool:
    """Whether the process that wrote `PID START` still runs; if that is still to be written,
    another look follows.
    """
    if len(holder) != 2:
        return False
    with contextlib.suppress(OSError, ValueError):
        state, start = _state_and_start(int(holder[0]))
        return start == holder[1] and state != "Z"
    return False
