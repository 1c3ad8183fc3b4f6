"""The command line of a job: the worker itself, or torchrun (torch.distributed.run), which starts
one for each rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.schema.workload import Launch

WORKER_MODULE = ("-m", "harness.worker")
# so often torchrun looks for ranks that ended; one that fails then takes the others with it
MONITOR_S = 0.1


@dataclass(frozen=True)
class Rendezvous:
    """Where the torchrun agents of a job's nodes meet (c10d).

    Attributes:
        endpoint: HOST:PORT on the node of the runner.
        job: Tells jobs apart that meet at the same place one after another.
        is_host: Whether this node is the one of the runner, whose agent keeps the store.
        address: A name of this node that the others can reach.
    """

    endpoint: str
    job: str
    is_host: bool
    address: str


def command(
    launch: Launch,
    interpreter: str,
    private: Path,
    *,
    worker: Sequence[str] | None = None,
    rendezvous: Rendezvous | None = None,
) -> list[str]:
    """What to execute on one node, without the worker's own arguments. `worker` replaces
    `interpreter -m harness.worker`.

    `private`: a folder of the job's, where torchrun may leave files. Without a `rendezvous` this
    node trains alone.
    """
    if not launch.torchrun:
        return [*(worker or (interpreter, *WORKER_MODULE))]
    words = [interpreter, "-m", "torch.distributed.run", f"--nproc-per-node={launch.processes}"]
    words += [
        "--max-restarts=0",
        f"--monitor-interval={MONITOR_S:g}",
        f"--log-dir={private / 'torchrun'}",
    ]
    if rendezvous is None:
        # a container may not know its own name
        words += ["--standalone", "--local-addr=localhost"]
    else:
        words += [
            f"--nnodes={launch.nodes}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={rendezvous.endpoint}",
            f"--rdzv-id={rendezvous.job}",
            f"--rdzv-conf=is_host={str(rendezvous.is_host).lower()}",
            f"--local-addr={rendezvous.address}",
        ]
    return [*words, *(("--no-python", *worker) if worker else WORKER_MODULE)]
