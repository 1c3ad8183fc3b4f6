"""A job that trains on several nodes of a SLURM allocation.

The torchrun agent of the runner's node is a child of the runner, as it is for a job of one node:
the telemetry, and the check for processes of others on a card, follow the runner's children. The
agents of the other nodes are started by one `srun` (harness.launcher.node_agent), and all agents
meet by c10d. `harness.launcher.first_node` keeps the two together.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import BenchError
from harness.launcher import first_node
from harness.launcher.outcome import log_tail
from harness.launcher.torchrun import Rendezvous, command
from harness.schema.job import JobSpec

AGENT = "harness.launcher.node_agent"
# Below the ports that the kernel hands to connections (32768 and up on Linux), one of which could
# take the port between the moment it is chosen and the moment torchrun opens it.
PORTS = range(20_000, 30_000)
DOCS = "docs/several-gpus.md"


@dataclass(frozen=True)
class Allocation:
    """The SLURM job that the runner is in: `node` is the runner's, `nodes` is how many it has."""

    node: str
    nodes: int


@dataclass(frozen=True)
class NodePart:
    """What the agent of another node is told, as JSON on its standard input.

    Attributes:
        spec: The job.
        interpreter: The interpreter of the arm's stack, the same path on every node.
        worker: What replaces `interpreter -m harness.worker`, if anything does.
        endpoint: HOST:PORT where the agents meet.
        job: Name of this attempt at the job.
        log: The log of the runner's node; those of the others lie beside it.
    """

    spec: dict[str, object]
    interpreter: str
    worker: list[str] | None
    endpoint: str
    job: str
    log: str

    @classmethod
    def read(cls, text: str) -> NodePart:
        """Raises ValueError or TypeError if the text is not what `first_node_command` wrote."""
        return cls(**json.loads(text))


def allocation(nodes: int, environment: Mapping[str, str]) -> Allocation:
    """The allocation that a job of `nodes` nodes can train in.

    Raises:
        BenchError: There is no `srun`, the runner is in no allocation or on no node of it, or the
            allocation has fewer nodes.
    """
    what = f"a job trains on {nodes} nodes"
    batch = f"`harness submit`, or `harness run` in a batch script of {nodes} nodes ({DOCS})"
    if shutil.which("srun", path=environment.get("PATH")) is None:
        raise BenchError(
            f"{what}, which SLURM starts, and there is no `srun` in PATH",
            place="launch.nodes",
            fix=f"on a SLURM cluster {batch}; elsewhere `--set launch.nodes=1`",
        )
    if "SLURM_JOB_ID" not in environment:
        raise BenchError(
            f"{what}, and this is no allocation of SLURM", place="launch.nodes", fix=batch
        )
    node = environment.get("SLURMD_NODENAME")
    if node is None:
        raise BenchError(
            f"{what}, and the runner must be on one of them, but this host is not in the "
            "allocation",
            place="launch.nodes",
            fix=batch,
        )
    given = environment.get("SLURM_JOB_NUM_NODES") or environment.get("SLURM_NNODES") or "1"
    if not given.isdecimal() or int(given) < nodes:
        raise BenchError(
            f"{what}, and the allocation has {given}",
            place="launch.nodes",
            fix=f"an allocation of {nodes} nodes (`sbatch --nodes={nodes} --ntasks-per-node=1`)",
        )
    return Allocation(node, int(given))


def free_port() -> int:
    """A port that nobody listens at on this node. Raises OSError if there is none."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port
    raise OSError(f"no free port among {PORTS.start} to {PORTS.stop - 1}")


def first_node_command(
    job: JobSpec, interpreter: str, private: Path, log: Path, worker: Sequence[str] | None = None
) -> list[str]:
    """What the runner's node executes for a job of several nodes, without the worker's arguments.

    Args:
        job: The job; `launch.nodes` is above 1.
        interpreter: The interpreter of the arm's stack.
        private: A folder of the job's on this node.
        log: The job's log, in a folder that all nodes share.
        worker: Replaces `interpreter -m harness.worker`.

    Raises:
        BenchError: No such job can be started here (see `allocation`).
        OSError: No port is free.
    """
    launch = job.workload.launch
    here = allocation(launch.nodes, os.environ)
    meeting = Rendezvous(f"{here.node}:{free_port()}", private.name, True, here.node)
    part = NodePart(
        spec=job.model_dump(mode="json"),
        interpreter=interpreter,
        worker=list(worker) if worker else None,
        endpoint=meeting.endpoint,
        job=meeting.job,
        log=str(log.absolute()),
    )
    told = private / "part.json"
    told.write_text(json.dumps(asdict(part)), encoding="ascii")
    others = launch.nodes - 1
    step = [
        "srun",
        f"--nodes={others}",
        f"--ntasks={others}",
        "--ntasks-per-node=1",
        f"--exclude={here.node}",
        # The step may share what the step or the batch script of the runner holds.
        "--overlap",
        # Else the agent and its ranks would be bound to the core of one task.
        "--cpu-bind=none",
        "--export=ALL",
        "--kill-on-bad-exit=1",
        sys.executable,
        "-m",
        AGENT,
    ]
    own = command(launch, interpreter, private, worker=worker, rendezvous=meeting)
    return [
        sys.executable,
        "-I",
        "-S",
        first_node.__file__,
        str(told),
        str(len(step)),
        *step,
        *own,
    ]


def node_log(log: Path, node: int) -> Path:
    """The log of another node of the job with this log; the runner's node is the first, node 1."""
    return log.with_name(f"{log.stem}.node{node}.log")


def trouble(log: Path) -> str:
    """What went wrong on another node first, in words for the record; empty if nothing did.

    It is read from the job's log: an agent's own last line, or what srun says of an agent that was
    killed.
    """
    for line in log_tail(log, lines=10_000, last_bytes=1 << 20):
        if found := re.match(r"node \d+: .+", line):
            return found[0]
        if found := re.match(r"srun: error: \S+: task (\d+): (.+)", line):
            return f"node {int(found[1]) + 2}: {found[2]}"
    return ""
