"""The command line of a job: the worker itself, or torchrun (torch.distributed.run), which starts one for each rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.settings import Launch

WORKER_MODULE = ("-m", "harness.worker")
MONITOR_S = 0.1  # so often torchrun looks for ranks that ended; one that fails then takes the others with it


@dataclass(frozen=True)
class Rendezvous:
    """Where the nodes of a job meet: `endpoint` (HOST:PORT) is on the node of the runner, which alone is its `host`.

    `job` tells jobs apart that meet at the same place one after another.
    """

    endpoint: str
    job: str
    host: bool


def command(
    launch: Launch,
    interpreter: str,
    private: Path,
    *,
    worker: Sequence[str] | None = None,
    rendezvous: Rendezvous | None = None,
) -> list[str]:
    """What to execute, without the worker's own arguments. `worker` replaces `interpreter -m harness.worker`.

    `private`: a folder of the job's, where torchrun may leave files. Without a `rendezvous` one node trains alone.
    """
    if not launch.torchrun:
        return [*(worker or (interpreter, *WORKER_MODULE))]
    words = [interpreter, "-m", "torch.distributed.run", f"--nproc-per-node={launch.processes}"]
    words += ["--max-restarts=0", f"--monitor-interval={MONITOR_S:g}", f"--log-dir={private / 'torchrun'}"]
    if rendezvous is None:
        words += ["--standalone", "--local-addr=localhost"]  # a container may not know its own name
    else:
        words += [f"--nnodes={launch.nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={rendezvous.endpoint}"]
        words += [f"--rdzv-id={rendezvous.job}", f"--rdzv-conf=is_host={str(rendezvous.host).lower()}"]
        if rendezvous.endpoint.startswith(("localhost:", "127.")):
            words.append("--local-addr=localhost")
    return [*words, *(("--no-python", *worker) if worker else WORKER_MODULE)]
