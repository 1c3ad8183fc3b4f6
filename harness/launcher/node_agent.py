"""`python -m harness.launcher.node_agent`: the part of a job that another node than the runner's
trains. Started by srun (harness.launcher.srun), told what to do on standard input.

The part is a job like any other, with a supervisor, a channel and a log of its own, so that nothing
of it outlives this process. The measurements of all ranks go to the runner through the ranks of its
node; what this process hears of its own ranks only decides how it ends.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from harness.errors import BenchError
from harness.launcher.outcome import judge
from harness.launcher.process import LaunchOptions, RunningJob
from harness.launcher.srun import NodePart, node_log
from harness.launcher.torchrun import Rendezvous
from harness.schema.job import JobSpec
from harness.schema.record import State

IDLE_S = 60.0  # signals and the end of the job interrupt this wait
FIRST_OTHER = 2  # the runner's node is node 1


def main() -> int:
    """Train the part. 0: it ended well; 1: it did not, or could not be started."""
    node = int(os.environ.get("SLURM_NODEID", "0")) + FIRST_OTHER
    reason = ""
    wake, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def received(number: int, frame: object) -> None:
        nonlocal reason
        reason = reason or f"stopped by {signal.Signals(number).name}"
        os.write(write_end, b"x")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, received)
    for warning in (signal.SIGUSR1, signal.SIGUSR2):
        # SLURM's warning before the time is up goes to every step; the runner decides what follows.
        signal.signal(warning, signal.SIG_IGN)
    try:
        part = NodePart.read(sys.stdin.read())
        job = JobSpec.model_validate(part.spec)
        address = os.environ.get("SLURMD_NODENAME", "localhost")
        log = node_log(Path(part.log), node)
        options = LaunchOptions(
            interpreter=part.interpreter,
            command=part.worker,
            wake_fd=wake,
            rendezvous=Rendezvous(part.endpoint, part.job, False, address),
        )
        with RunningJob(job, log, options) as running:
            # The time limit of a job is the runner's business, who ends srun and so this process.
            while not running.done:
                running.pump(IDLE_S)
                if reason:
                    running.stop("interrupted", reason)
    except (BenchError, OSError, ValueError, TypeError) as error:
        print(f"node {node}: cannot start its part: {error}", file=sys.stderr)
        return 1
    state, why = judge(running.seen, log)
    if state not in (State.OK, State.INTERRUPTED):
        print(f"node {node}: {state.value}: {why}", file=sys.stderr)
    return 0 if state is State.OK else 1


if __name__ == "__main__":
    sys.exit(main())
