"""One replicate of a pair under the interleaved protocol: both jobs warm up side by side, then take
turns until it is enough.

Worker and runner talk by `ready`, `go`, `turn` and `finish` (harness.launcher.channel).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

from harness.interleaved import pinning as levers
from harness.interleaved.monitor import Arm, BrokenError, Watch
from harness.interleaved.turns import LEAST_PAIRS, PairOfTurns, Schedule, Turn
from harness.launcher.channel import Event
from harness.launcher.outcome import Seen, judge
from harness.launcher.process import RunningJob
from harness.schema.job import JobSpec
from harness.schema.measurement import Interleaved
from harness.schema.record import State, TurnTimes

# Seconds, when it began, what the host did meanwhile.
Measured = tuple[Turn, int, dict[str, float]]


@dataclass(frozen=True)
class PairOutcome:
    """How one replicate of a pair ended. Tuples are (baseline, candidate).

    Attributes:
        jobs: The specifications as they ran, with `cores` assigned.
        seen: For `harness.launcher.outcome.judge`, job by job.
        turns: What each did in its turns, even if it died: entry j of both is pair of turns j, and
            a
            pair that only one of them finished is left out.
        problem: Why the replicate does not count, as one sentence; empty if enough pairs of turns
            were measured and both jobs ended well.
        note: One sentence on what a reader should know although the replicate counts.
    """

    jobs: tuple[JobSpec, JobSpec]
    seen: tuple[Seen, Seen]
    turns: tuple[TurnTimes, TurnTimes]
    problem: str = ""
    note: str = ""


@dataclass(frozen=True)
class Observers:
    """Who watches a replicate, and who may end it.

    Attributes:
        stop_reason: Why the replicate is to end now, else empty. Asked at least once a second and
            whenever `wake_fd` is readable; if it is not empty, both jobs are stopped as
            `interrupted`.
        on_event: Sees every event of both jobs.
        on_started: Gets the pids above both jobs' process trees, for a sampler.
        wake_fd: A file descriptor that wakes up who waits; None: nobody is woken.
    """

    stop_reason: Callable[[], str]
    on_event: Callable[[JobSpec, Event], None]
    on_started: Callable[[tuple[int, int]], None] | None = None
    wake_fd: int | None = None


def run_pair_replicate(
    jobs: tuple[JobSpec, JobSpec],
    logs: tuple[Path, Path],
    *,
    settings: Interleaved,
    start: Callable[[JobSpec, Path], RunningJob],
    timeout_s: float,
    observers: Observers,
) -> PairOutcome:
    """Run both jobs of a replicate to their end; no process of either is left when this returns or
    raises.

    If one job ends before its time, the other is stopped at once and ends `interrupted`, with a
    reason that names the partner. The order of turns is drawn by `{workload}/{seed}`.

    Args:
        jobs: (baseline, candidate). Each names the other's arm as `partner` and has the settings'
            `lead_in_steps`, `freeze_collector` and `realtime`; `cores` are assigned here if
            neither has any.
        logs: Files that take what their processes print.
        settings: How they take turns.
        start: Starts a job with this log (harness.launcher.process.RunningJob); called for the one
            with the lower `position` first.
        timeout_s: Seconds that the replicate as a whole may take.
        observers: Who watches.

    Raises:
        BenchError: A job cannot be started at all.
    """
    specs = list(jobs)
    if all(spec.cores is None for spec in specs):
        pinning = levers.assign(settings, jobs[0].device)
        specs = [jobs[0].with_cores(pinning.baseline), jobs[1].with_cores(pinning.candidate)]
    pinned = {core for spec in specs for core in spec.cores or ()}
    with ExitStack() as stack:
        # The runner, its sampler and the jobs' watchdogs wake up often: not on the cores that are
        # measured.
        stack.enter_context(levers.keep_off(pinned))
        in_order = sorted(zip(specs, logs, strict=True), key=lambda both: both[0].position)
        started = {spec.arm.name: stack.enter_context(start(spec, log)) for spec, log in in_order}
        arms = [Arm(spec, started[spec.arm.name]) for spec in specs]
        if observers.on_started is not None:
            observers.on_started((arms[0].running.pid, arms[1].running.pid))
        watch = Watch(arms, timeout_s, observers.on_event, observers.stop_reason, observers.wake_fd)
        return _Replicate(arms, settings, stack.enter_context(watch)).run(logs)


class _Replicate:
    def __init__(self, arms: Sequence[Arm], settings: Interleaved, watch: Watch) -> None:
        self.arms, self.settings, self.watch = arms, settings, watch
        baseline, candidate = (arm.spec for arm in arms)
        parts = (
            baseline.workload.name,
            baseline.arm.name,
            candidate.arm.name,
            baseline.replicate,
            baseline.seed,
        )
        self.schedule = Schedule(settings, "/".join(map(str, parts)))
        self.pairs: list[tuple[PairOfTurns, list[Measured]]] = []

    def run(self, logs: tuple[Path, Path]) -> PairOutcome:
        problem = note = ""
        try:
            self.watch.until(
                lambda: all(arm.levers is not None or arm.trained for arm in self.arms)
            )
            self._take_turns()
            if early := [arm for arm in self.arms if arm.trained]:
                note = self._ended_early(early)
                problem = note if self.schedule.counted_pairs < LEAST_PAIRS else ""
            for arm in self.arms:
                arm.finish()
            self.watch.until(lambda: all(arm.running.done for arm in self.arms), together=False)
        except BrokenError as error:
            problem = str(error)
            self.watch.drain()
            if self._out_of_memory(logs):
                problem = f"the two jobs do not fit together: {problem}"
        problem = problem or next(
            (f"{arm.name} {arm.trouble}" for arm in self.arms if arm.trouble), ""
        )
        return self._outcome(problem, note)

    def _take_turns(self) -> None:
        """Pairs of turns until it is enough, or until training ends by itself."""
        while not any(arm.trained for arm in self.arms) and (pair := self.schedule.next()):
            for arm in self.arms if pair.baseline_first else reversed(self.arms):
                arm.go(self.settings.lead_in_steps, pair.steps, counts=not pair.pilot)
                self.watch.until(partial(_turn_is_over, arm))
                if arm.turn is None:
                    return
            measured = [
                (arm.turn, arm.begin_ns, arm.host) for arm in self.arms if arm.turn is not None
            ]
            self.schedule.add(measured[0][0], measured[1][0])
            self.pairs.append((pair, measured))

    def _ended_early(self, arms: Sequence[Arm]) -> str:
        who = " and ".join(f"{arm.name} (at step {arm.running.seen.step})" for arm in arms)
        return (
            f"the training of {who} ended by itself after {self.schedule.counted_pairs} pairs of "
            "turns, "
            f"{self.schedule.spent_s:.1f} of {self.settings.seconds:g} s: more epochs or "
            "max_steps would fill the time"
        )

    def _out_of_memory(self, logs: tuple[Path, Path]) -> bool:
        states = [judge(arm.running.seen, log)[0] for arm, log in zip(self.arms, logs, strict=True)]
        return State.OUT_OF_MEMORY in states

    def _outcome(self, problem: str, note: str) -> PairOutcome:
        one, other = self.arms
        return PairOutcome(
            jobs=(one.spec, other.spec),
            seen=(one.running.seen, other.running.seen),
            turns=(self._turn_times(0), self._turn_times(1)),
            problem=problem,
            note=note,
        )

    def _turn_times(self, index: int) -> TurnTimes:
        mine = [(pair, *measured[index]) for pair, measured in self.pairs]
        ours, theirs = self.arms[index].spec, self.arms[1 - index].spec
        done = dict(self.arms[index].levers or {})
        told = sorted(set.intersection(*(set(host) for *_, host in mine))) if mine else []
        if ours.cores:
            done["same_cores"] = ours.cores == theirs.cores
        switch_s, switch_error_s = cost_of_switching([turn for _, turn, *_ in mine])
        return TurnTimes(
            lead_in_steps=self.settings.lead_in_steps,
            steps=[pair.steps for pair, *_ in mine],
            first=[pair.baseline_first == (index == 0) for pair, *_ in mine],
            step_s=[fmean(turn.timed_s) for _, turn, *_ in mine],
            lead_in_s=[fmean(turn.lead_in_s) for _, turn, *_ in mine if turn.lead_in_s],
            begin_ns=[begin_ns for _, _, begin_ns, _ in mine],
            host={name: [host[name] for *_, host in mine] for name in told},
            pilot=self.schedule.pilot_pairs,
            switch_s=switch_s,
            switch_standard_error_s=switch_error_s,
            levers=done,
        )


def _turn_is_over(arm: Arm) -> bool:
    return arm.turn is not None or arm.trained


def cost_of_switching(turns: Sequence[Turn]) -> tuple[float | None, float | None]:
    """What the first step of a turn takes more than the mean of its others: mean over turns and its
    standard error.

    Seconds. Turns of one step say nothing; (None, None) for fewer than two others. The two parts of
    a difference are neighbours in time, so drift of the host is hardly in it.
    """
    steps = [[*turn.lead_in_s, *turn.timed_s] for turn in turns]
    more = [first - fmean(rest) for first, *rest in steps if rest]
    if len(more) < 2:
        return None, None
    return fmean(more), stdev(more) / math.sqrt(len(more))
