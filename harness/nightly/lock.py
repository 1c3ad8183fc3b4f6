"""One night at a time on a host: two would share the card, and both would measure nonsense."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from harness.errors import BenchError

WAIT_S = 120.0  # for what a killed night left behind: its last program may still be delivering
POLL_S = 0.2


@contextlib.contextmanager
def night_lock(path: Path, wait_s: float = WAIT_S) -> Iterator[int]:
    """Hold the lock at `path`; yields its descriptor, for children to hold it too.

    A holder that lives is refused at once, by its pid (BenchError). If only the programs of a killed one are left, they
    are waited for, at most `wait_s` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                if _lives(holder) or time.monotonic() > deadline:
                    raise BenchError(
                        f"another night is running (pid {holder or 'unknown'})",
                        place=str(path),
                        fix="wait for it to end; two would share the card",
                    ) from None
                time.sleep(POLL_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _lives(pid: str) -> bool:
    import psutil

    if not pid.isdigit():
        return False  # about to be written; another look follows
    try:
        return bool(psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
