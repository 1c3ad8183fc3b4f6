"""One replicate under the interleaved protocol: the jobs of all arms of a group warm up, then take
turns until it is enough.

Worker and runner talk by `ready`, `go`, `turn` and `finish` (harness.launcher.channel).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import psutil

from harness.interleaved import pinning
from harness.interleaved.monitor import BrokenError, Monitor, Observers, ResidentJob
from harness.interleaved.turns import LEAST_ROUNDS, MeasuredTurn, Round, TurnSchedule
from harness.launcher.outcome import Seen, judge
from harness.launcher.process import RunningJob
from harness.schema.job import JobSpec
from harness.schema.measurement import Interleaved
from harness.schema.record import AloneTurn, State, TurnTimes

LEAST_SET_UPS = 2  # at once, however small the host: jobs of a pair have always warmed up together
CORES_OF_A_SET_UP = 2  # that it keeps busy: imports and tokenization are mostly serial
# Host memory, with room for what it needs for a moment: jobs of roberta-large peak at 3 GiB
# (results/glue-sst2-today-roberta-large-20261130-030523).
BYTES_OF_A_SET_UP = 4 << 30

# What an arm measured in its turn, when that began, and what the host did meanwhile.
Measured = tuple[MeasuredTurn, int, dict[str, float]]


@dataclass(frozen=True)
class GroupOutcome:
    """How one replicate of a group ended. Entries of tuples are in the order of the group's arms.

    Attributes:
        jobs: The specifications as they ran, with `cores` assigned.
        seen: For `harness.launcher.outcome.judge`, job by job.
        turns: What each did in its turns, even if it died: entry j of all is of round j. An arm
            that left has fewer rounds, and a round that some arm did not finish is left out.
        problem: Why the replicate does not count, as one sentence; empty if enough rounds were
            measured of at least one pair.
        note: What a reader should know although the replicate counts, as one sentence.
    """

    jobs: tuple[JobSpec, ...]
    seen: tuple[Seen, ...]
    turns: tuple[TurnTimes, ...]
    problem: str = ""
    note: str = ""


def run_replicate(
    jobs: Sequence[JobSpec],
    logs: Sequence[Path],
    *,
    pairs: Sequence[tuple[str, str]],
    settings: Interleaved,
    start: Callable[[JobSpec, Path], RunningJob],
    timeout_s: float,
    observers: Observers,
    alone_s: float = 0.0,
    may_begin_again: Collection[str] | None = None,
) -> GroupOutcome:
    """Run all jobs of a replicate to their end; no process of any is left when this returns or
    raises.

    A job that ends before its time leaves the group, and the others go on while some pair has both
    its arms. Without such a pair the others are stopped and end `interrupted`, with a reason that
    names who left. The order of turns is drawn by the workload, the arms, the replicate and the
    seed.

    Args:
        jobs: One per arm. Each names all arms as its `group` and has the settings'
            `lead_in_steps`, `freeze_collector` and `realtime`; `cores` are assigned here if none
            has any.
        logs: Files that take what their processes print, job by job.
        pairs: Names of the arms (baseline, candidate) that are to be compared.
        settings: How they take turns.
        start: Starts a job with this log (harness.launcher.process.RunningJob); called in the order
            of `position`. The jobs then set themselves up in this order, as many at once as the
            host has cores and memory for.
        timeout_s: Seconds that the replicate as a whole may take.
        observers: Who watches.
        alone_s: Seconds of the turn that each job has to itself after the last round; 0: none.
        may_begin_again: Names of the arms whose jobs begin again before their turns if they
            compiled; None: of all.

    Raises:
        BenchError: A job cannot be started at all.
    """
    specs = list(jobs)
    if all(spec.cores is None for spec in specs):
        chosen = pinning.assign(settings, specs[0].device, len(specs))
        specs = [spec.with_cores(own) for spec, own in zip(specs, chosen, strict=True)]
    available = os.sched_getaffinity(0)
    with ExitStack() as stack:
        # The runner, its sampler and the jobs' watchdogs wake up often: not on the cores that are
        # measured.
        at_once = set_ups_at_once(len(available), psutil.virtual_memory().available)
        cores = {core for spec in specs for core in spec.cores or ()}
        stack.enter_context(pinning.keep_off(cores))
        # Started here, where they are still idle, so that the sampler knows them from its start.
        spinners = stack.enter_context(pinning.kept_awake(cores if settings.keep_awake else ()))
        in_order = sorted(zip(specs, logs, strict=True), key=lambda both: both[0].position)
        arms = {
            spec.arm.name: ResidentJob(spec, stack.enter_context(start(spec, log)), log)
            for spec, log in in_order
        }
        resident = [arms[spec.arm.name] for spec in specs]

        def tell_pids() -> None:
            if observers.on_started is not None:
                observers.on_started(tuple(arm.running.pid for arm in resident), spinners.pids)

        def start_again(again: Sequence[ResidentJob]) -> None:
            for arm in again:
                arm.begin_again(stack.enter_context(start(arm.spec, arm.log)))
            tell_pids()

        tell_pids()
        monitor = stack.enter_context(Monitor(list(arms.values()), pairs, timeout_s, observers))
        replicate = _Replicate(resident, pairs, settings, monitor, spinners, start_again)
        allowed = list(arms) if may_begin_again is None else may_begin_again
        return replicate.run(at_once, available, alone_s, allowed)


def set_ups_at_once(cores: int, free_bytes: int) -> int:
    """How many jobs of a group may set themselves up at once on a host with so many cores, and so
    many bytes of memory that can be had without swapping.
    """
    return max(LEAST_SET_UPS, min(cores // CORES_OF_A_SET_UP, free_bytes // BYTES_OF_A_SET_UP))


class _Replicate:
    def __init__(
        self,
        arms: Sequence[ResidentJob],
        pairs: Sequence[tuple[str, str]],
        settings: Interleaved,
        monitor: Monitor,
        spinners: pinning.Spinners,
        start_again: Callable[[Sequence[ResidentJob]], None],
    ) -> None:
        self.arms, self.settings, self.monitor = arms, settings, monitor
        self.spinners, self._awake = spinners, False
        self._start_again = start_again
        index = {arm.name: place for place, arm in enumerate(arms)}
        first = arms[0].spec
        parts = (first.workload.name, *index, first.replicate, first.seed)
        self.schedule = TurnSchedule(
            settings,
            "/".join(map(str, parts)),
            len(arms),
            [(index[baseline], index[candidate]) for baseline, candidate in pairs],
        )
        self.rounds: list[tuple[Round, dict[int, Measured]]] = []
        self.alone: dict[int, AloneTurn] = {}
        self._without: set[int] = set()  # arms that the schedule knows to be gone

    def run(
        self,
        at_once: int,
        available: Collection[int],
        alone_s: float,
        may_begin_again: Collection[str],
    ) -> GroupOutcome:
        """Set up so many jobs at once on the available CPUs, let all take turns, and then each have
        the device to itself for so many seconds.
        """
        problem = note = ""
        try:
            self._set_up(self.arms, at_once, available)
            self._set_up_again(may_begin_again, at_once, available)
            # Only now: jobs set themselves up on these cores too.
            self._awake = self.settings.keep_awake and not self.spinners.begin()
            self._take_turns()
            if early := [arm for arm in self.arms if arm.trained and not arm.left]:
                note = self._ended_early(early)
                problem = note if self.schedule.counted_rounds < LEAST_ROUNDS else ""
            elif alone_s:
                self._stay_alone(alone_s)
            self.spinners.end()  # now, for what the jobs have left to do is not measured
            for arm in self.arms:
                arm.finish()
            self.monitor.until(lambda: all(arm.running.done for arm in self.arms), together=False)
        except BrokenError as error:
            problem = str(error)
            self.monitor.drain()
            if self._out_of_memory():
                problem = f"the jobs do not fit together: {problem}"
        finally:
            self.spinners.end()
        left = [f"{arm.name} left the group: it {arm.left}" for arm in self.arms if arm.left]
        failed = [f"{arm.name} {arm.trouble}" for arm in self.arms if arm.trouble and not arm.left]
        if len(self.arms) == 2:  # a failure after the last turn is one of the pair
            problem = problem or next(iter(failed), "")
        elif not problem:
            note = "; ".join(filter(None, [note, *left, *failed]))
        return GroupOutcome(
            jobs=tuple(arm.spec for arm in self.arms),
            seen=tuple(arm.seen for arm in self.arms),
            turns=tuple(self._turn_times(index) for index in range(len(self.arms))),
            problem=problem,
            note=note,
        )

    def _set_up(
        self, arms: Sequence[ResidentJob], at_once: int, available: Collection[int]
    ) -> None:
        """Let these jobs warm up, so many at once, until each is parked or gone.

        On the few cores of the turns all set-ups would wait for each other.
        """
        in_order = sorted(arms, key=lambda arm: arm.spec.position)
        cores = pinning.spread([len(arm.spec.cores or ()) for arm in in_order], available)
        for arm, own in zip(in_order, cores, strict=True):
            self.monitor.until(lambda: sum(a.setting_up for a in self.arms) < at_once)
            arm.begin(own)
        self.monitor.until(lambda: not any(arm.setting_up for arm in self.arms))

    def _set_up_again(
        self, names: Collection[str], at_once: int, available: Collection[int]
    ) -> None:
        """Begin those jobs again that compiled what they find on disk now.

        Their replicate would otherwise differ from all later ones in its set-up, and compiled
        PyTorch also in its steps (harness.schema.compiled).
        """
        compiled = [arm for arm in self.arms if arm.compiled and arm.waiting and not arm.left]
        again = [arm for arm in compiled if arm.name in names]
        if not again:
            return
        for arm in again:
            arm.running.stop("interrupted", "stopped to begin again with what it had compiled")
        try:
            self.monitor.until(lambda: all(arm.running.done for arm in again), together=False)
        except BrokenError as error:
            for arm in again:
                arm.running.seen.stop_reason = str(error)
            raise
        self._start_again(again)
        for arm in again:
            self.monitor.watch(arm)
        self._set_up(again, at_once, available)

    def _take_turns(self) -> None:
        """Rounds until it is enough, or until training ends by itself."""
        while True:
            self._tell_who_left()
            if any(arm.trained and not arm.left for arm in self.arms):
                return
            if (round_ := self.schedule.next()) is None:
                return
            measured: dict[int, Measured] = {}
            for index in round_.order:
                arm = self.arms[index]
                arm.go(self.settings.lead_in_steps, round_.steps, counts=not round_.pilot)
                self.monitor.until(partial(_turn_is_over, arm))
                if arm.turn is None:
                    break
                measured[index] = (arm.turn, arm.begin_ns, arm.host)
            if len(measured) == len(round_.order):
                self.schedule.add({index: turn for index, (turn, *_) in measured.items()})
                self.rounds.append((round_, measured))

    def _stay_alone(self, seconds: float) -> None:
        """A turn of so many seconds for each arm, in which telemetry sees nothing but this arm."""
        for index, arm in enumerate(self.arms):
            mine = [measured[index][0] for _, measured in self.rounds if index in measured]
            if not arm.waiting or not mine:
                continue
            step_s = fmean(fmean(turn.timed_s) for turn in mine)
            timed_s: list[float] = []
            begin_ns = 0
            # Alone its steps can take less than they did beside the others, so that the turn ends
            # early; then it goes on.
            while sum(timed_s) < seconds and arm.waiting:
                arm.go(0, math.ceil((seconds - sum(timed_s)) / step_s), counts=False)
                self.monitor.until(partial(_turn_is_over, arm))
                if arm.turn is None:
                    break
                begin_ns = begin_ns or arm.begin_ns
                timed_s += arm.turn.timed_s
                step_s = fmean(timed_s)
            if timed_s:
                self.alone[index] = AloneTurn(
                    steps=len(timed_s),
                    step_s=fmean(timed_s),
                    begin_ns=begin_ns,
                    end_ns=arm.end_ns,
                )

    def _tell_who_left(self) -> None:
        for index, arm in enumerate(self.arms):
            if arm.left and index not in self._without:
                self._without.add(index)
                self.schedule.leave(index)

    def _ended_early(self, arms: Sequence[ResidentJob]) -> str:
        who = " and ".join(f"{arm.name} (at step {arm.running.seen.step})" for arm in arms)
        return (
            f"the training of {who} ended by itself after {self.schedule.counted_rounds} rounds "
            f"of turns, {self.schedule.spent_s:.1f} of {self.settings.seconds:g} s: more epochs or "
            "max_steps would fill the time"
        )

    def _out_of_memory(self) -> bool:
        states = [judge(arm.running.seen, arm.log)[0] for arm in self.arms]
        return State.OUT_OF_MEMORY in states

    def _turn_times(self, index: int) -> TurnTimes:
        mine = [
            (round_, round_.order.index(index), *measured[index])
            for round_, measured in self.rounds
            if index in measured
        ]
        arm = self.arms[index]
        done = dict(arm.levers or {})
        told = sorted(set.intersection(*(set(host) for *_, host in mine))) if mine else []
        if arm.spec.cores:
            done["same_cores"] = all(arm.spec.cores == other.spec.cores for other in self.arms)
        if self.settings.keep_awake:
            done["kept_awake"] = self._awake and not self.spinners.refused
            if self.spinners.refused:
                done["awake_refused"] = self.spinners.refused
        switch_s, switch_error_s = cost_of_switching([turn for _, _, turn, *_ in mine])
        return TurnTimes(
            lead_in_steps=self.settings.lead_in_steps,
            steps=[round_.steps for round_, *_ in mine],
            place=[place for _, place, *_ in mine],
            step_s=[fmean(turn.timed_s) for _, _, turn, *_ in mine],
            lead_in_s=[fmean(turn.lead_in_s) for _, _, turn, *_ in mine if turn.lead_in_s],
            begin_ns=[begin_ns for *_, begin_ns, _ in mine],
            host={name: [host[name] for *_, host in mine] for name in told},
            pilot=sum(round_.pilot for round_, *_ in mine),
            switch_s=switch_s,
            switch_standard_error_s=switch_error_s,
            alone=self.alone.get(index),
            compiling_setup_s=arm.compiling_setup_s,
            levers=done,
        )


def _turn_is_over(arm: ResidentJob) -> bool:
    return arm.turn is not None or arm.trained or bool(arm.left)


def cost_of_switching(turns: Sequence[MeasuredTurn]) -> tuple[float | None, float | None]:
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
