"""The command line of a job: the worker itself, or torchrun (torch.distributed.run), which starts
one for each rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.schema.workload import Launch

WORKER_MODULE = ("-m", "harness.worker")
# so often torchrun looks for ranks that ended; one that fails then takes the others with it
MONITOR_S = 0.1


def command(
    launch: Launch,
    interpreter: str,
    private: Path,
    *,
    worker: Sequence[str] | None = None,
) -> list[str]:
    """What to execute, without the worker's own arguments. `worker` replaces `interpreter -m
    harness.worker`.

    `private`: a folder of the job's, where torchrun may leave files. All processes are of this
    host.
    """
    if not launch.torchrun:
        return [*(worker or (interpreter, *WORKER_MODULE))]
    words = [interpreter, "-m", "torch.distributed.run", f"--nproc-per-node={launch.processes}"]
    words += [
        "--max-restarts=0",
        f"--monitor-interval={MONITOR_S:g}",
        f"--log-dir={private / 'torchrun'}",
    ]
    words += ["--standalone", "--local-addr=localhost"]  # a container may not know its own name
    return [*words, *(("--no-python", *worker) if worker else WORKER_MODULE)]
