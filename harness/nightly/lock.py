"""One night at a time on a host: two would share the card, and both would measure nonsense."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from harness.file_lock import take_lock

WAIT_S = 120.0  # for what a killed night left behind: its last program may still be delivering


@contextlib.contextmanager
def night_lock(path: Path, wait_s: float = WAIT_S) -> Iterator[int]:
    """Hold the lock at `path`; yields its descriptor, for children to hold it too.

    A holder that lives is refused at once, by its pid (BenchError). If only the programs of a
    killed one are left, they are waited for, at most `wait_s` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    said, fix = (
        "another night is running (pid {pid})",
        "wait for it to end; two would share the card",
    )
    descriptor = take_lock(path, wait_s, said, place=str(path), fix=fix)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
