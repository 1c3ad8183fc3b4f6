"""The worker as a process: dies with its parent, exits with its runner, stays within its memory.
Standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import resource
import signal
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from harness.launcher.channel import Channel

Inbox = queue.SimpleQueue[dict[str, Any]]  # control messages of the runner, in the order they came

PR_SET_PDEATHSIG = 1
LOST_RUNNER_EXIT = 3


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent dies; exit at once if it died before it could be
    asked.
    """
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(LOST_RUNNER_EXIT)


def exit_with_runner(channel: Channel) -> Inbox:
    """Read the channel in a thread of its own: control messages come out of the returned queue.

    The thread leaves the process, without any clean-up, as soon as the runner's end is gone, also
    while the job waits.
    """
    inbox: Inbox = queue.SimpleQueue()

    def watch() -> None:
        try:
            for message in channel.messages():
                inbox.put(message)
        finally:
            os._exit(LOST_RUNNER_EXIT)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
    return inbox


def await_begin(inbox: Inbox) -> list[int] | None:
    """Wait until the runner lets this job of a group set itself up.

    Returns:
        The CPUs on which it sets itself up; None: those of its turns.

    Raises:
        ValueError: The runner said something else.
    """
    order = inbox.get()
    if order["event"] != "begin":
        raise ValueError(f"the runner sent {order['event']!r} to a job that has not begun")
    return order.get("cores") or None


def pin(cores: Iterable[int] | None, set_up_on: Sequence[int] | None = None) -> None:
    """Keep this process, and every thread it will start, on its CPUs; forked children on the others
    it might use.

    Children are the data loader's workers: on the same cores they would run in other jobs' turns
    and slow their steps. Where there is no other core they stay.

    Args:
        cores: CPUs of the job's turns; None or empty: it is not pinned.
        set_up_on: CPUs until `place_threads` moves it; None: `cores` from the beginning. As many as
            `cores`, because libraries start as many threads as they see CPUs.

    Raises:
        OSError: The host forbids the CPUs.
    """
    if not cores:
        return
    others = os.sched_getaffinity(0) - set(cores)
    os.sched_setaffinity(0, set_up_on or cores)
    if others:
        os.register_at_fork(after_in_child=lambda: os.sched_setaffinity(0, others))


def place_threads(cores: Sequence[int], *, apart: bool = True) -> None:
    """The main thread on the first of these CPUs, every other thread of this process on the rest;
    or all on all again.

    The kernel wakes a thread where it ran last. Left to itself, the pass forward of one job runs on
    one core of the two for a whole replicate and that of another on the other, and if those are
    not equally fast, equal jobs differ. The pass backward on a GPU runs in a thread of torch's own.
    Raises OSError if the host forbids the CPUs.
    """
    main = threading.main_thread().native_id
    for thread in map(int, os.listdir("/proc/self/task")):
        chosen = (
            cores if not apart or len(cores) < 2 else cores[:1] if thread == main else cores[1:]
        )
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(thread, chosen)


def real_time(on: bool) -> str:
    """Put every thread of this process under SCHED_FIFO, or back; what the kernel said if it
    refused, else "".

    Every thread, for the backward pass runs in a thread of torch's own; and the watchdog must be
    able to interrupt.
    """
    policy, parameter = (
        (os.SCHED_FIFO, os.sched_param(1)) if on else (os.SCHED_OTHER, os.sched_param(0))
    )
    for thread in os.listdir("/proc/self/task"):
        try:
            os.sched_setscheduler(int(thread), policy, parameter)
        except ProcessLookupError:
            continue
        except OSError as error:
            return error.strerror or str(error)
    return ""


def limit_memory(gib: float | None) -> None:
    """Bound private memory (RLIMIT_DATA, soft): allocations beyond it fail instead of waking the
    OOM killer.
    """
    if gib is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (int(gib * 2**30), hard))


def lift_memory_limit() -> None:
    """Make room for the report of a job that ran out of memory."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
