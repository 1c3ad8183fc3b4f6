"""The worker as a process: dies with its parent, exits with its runner, stays within its memory. Standard library."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading
from typing import Any

from harness.protocol import Channel

PR_SET_PDEATHSIG = 1
LOST_RUNNER_EXIT = 3


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent dies; exit at once if it died before it could be asked."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(LOST_RUNNER_EXIT)


def exit_with_runner(channel: Channel) -> None:
    """Watch the channel from a thread of its own and leave, without any clean-up, when the runner's end is gone."""

    def watch() -> None:
        try:
            channel.wait_for_close()
        finally:
            os._exit(LOST_RUNNER_EXIT)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()


def environment_of(spec: dict[str, Any]) -> dict[str, str]:
    """What a job spec, as it was read from JSON, wants in the environment before anything heavy is imported."""
    variables: dict[str, str] = {}
    if spec.get("threads"):
        variables |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(spec["threads"]))
    if spec.get("device") == "cuda":
        # One GPU per process: with more, Trainer would silently wrap the model in DataParallel.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")
        if "LOCAL_RANK" not in os.environ:
            variables["CUDA_VISIBLE_DEVICES"] = visible[0]
    else:
        variables["CUDA_VISIBLE_DEVICES"] = ""
    variables["DATASETS_VERBOSITY"] = "error"
    return variables | dict(spec.get("environment") or {})


def limit_memory(gib: float | None) -> None:
    """Bound private memory (RLIMIT_DATA, soft): allocations beyond it fail instead of waking the OOM killer."""
    if gib is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (int(gib * 2**30), hard))


def lift_memory_limit() -> None:
    """Make room for the report of a job that ran out of memory."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
