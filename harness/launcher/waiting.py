"""Waits for one job: until it ends by itself, its time is up, or the user stops it."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.launcher.listener import Event
from harness.launcher.outcome import Seen
from harness.launcher.process import RunningJob


def run_to_end(
    running: RunningJob,
    timeout_s: float,
    *,
    on_event: Callable[[Event], None],
    stop_reason: Callable[[], str],
) -> Seen:
    """Pump a job until it is gone; it is killed after `timeout_s` or as soon as `stop_reason()` is
    not empty.
    """
    deadline = time.monotonic() + timeout_s
    while not running.done:
        left = deadline - time.monotonic()
        for event in running.pump(left if left > 0 else 1.0):
            on_event(event)
        if running.done or running.seen.stopped is not None:
            continue
        if reason := stop_reason():
            running.stop("interrupted", reason)
        elif time.monotonic() >= deadline:
            running.stop("timeout", f"killed after the time limit of {timeout_s:g} s")
    return running.seen
