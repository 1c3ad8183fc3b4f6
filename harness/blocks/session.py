"""One launch of a pair under the `blocks` protocol: both jobs warm up side by side, then take turns until it is enough.

Worker and runner talk by `ready`, `go`, `block` and `finish` (harness.protocol).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.config.suite import Blocks
from harness.launch import RunningJob
from harness.listener import Event
from harness.outcome import Seen
from harness.record import BlockTimes
from harness.settings import JobSpec


@dataclass(frozen=True)
class PairOutcome:
    """How one launch of a pair ended. Tuples are (baseline, candidate).

    `seen` is for `harness.outcome.judge`, job by job; where a job has a result, its `blocks` are filled in. `blocks`
    are there even if a job died: entry j of both is block pair j, and a pair that only one of them finished is left
    out. `jobs` are the specs as they ran (with `cores` assigned).
    """

    jobs: tuple[JobSpec, JobSpec]
    seen: tuple[Seen, Seen]
    blocks: tuple[BlockTimes, BlockTimes]
    problem: str = ""  # one sentence; empty if all block pairs were measured and both jobs ended by themselves
    fits: bool = True  # False: a job ran out of memory while both were resident; measure the pair by epochs
    block_steps: int | None = None  # timed steps per block, as configured or as the pilot chose; None: never got there

    @property
    def ok(self) -> bool:
        """Whether the launch counts."""
        return not self.problem


def run_pair_launch(
    baseline: JobSpec,
    candidate: JobSpec,
    logs: tuple[Path, Path],
    *,
    settings: Blocks,
    start: Callable[[JobSpec, Path], RunningJob],
    timeout_s: float,
    on_event: Callable[[JobSpec, Event], None],
    stop_reason: Callable[[], str],
    wake_fd: int | None = None,
    on_started: Callable[[tuple[int, int]], None] | None = None,
) -> PairOutcome:
    """Run both jobs of a launch to their end; no process of either is left when this returns or raises.

    Each spec names the other arm as `partner` and has the settings' `lead_in_steps`, `freeze_collector` and `realtime`;
    `cores` are assigned here if both specs leave them null. `start(spec, log)` starts a job (harness.launch.RunningJob
    with the stack's interpreter, the run's lock, …; `wake_fd` may be given to it too) and is called for the baseline
    first. `on_started` gets the pids above both jobs' process trees, for a sampler. `on_event(spec, event)` sees every
    event of both jobs. `timeout_s` bounds the launch as a whole; `stop_reason` is asked at least once a second and
    whenever `wake_fd` is readable: not empty, both jobs are stopped as `interrupted`.

    If one job ends before its time, the other is stopped at once and ends `interrupted`, with a reason that names the
    partner. The order of turns is drawn by `{workload}/{seed}`. Raises BenchError if a job cannot be started at all.
    """
    raise NotImplementedError
