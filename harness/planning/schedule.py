"""What a run has to do next, from its plan and the records so far: the same after a kill as without
one. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.planning import comparability, reruns, stopping
from harness.schema.job import JobSpec
from harness.schema.record import JobRecord, Pair, Refusal, State
from harness.schema.replicates import ONE_GROUP, ReplicateNames

if TYPE_CHECKING:
    from harness.planning.plan import Plan

CRASH_RETRIES = 1  # of an interleaved replicate: what kills it twice will kill it again
# A parity run trains without dropout, whose masks took 4% more memory on an H200
# (results/glue-sst2-full-20261129-233635).
MORE_THAN_PARITY = 1.1
# Of the card, beside what PyTorch's allocator reserves: on an H200 0.73 GiB with PyTorch and 1.18
# GiB with ONNX Runtime, in each of the parity runs of results/glue-sst2-20261130-124407.
BYTES_OF_A_PROCESS = 1.2 * 2**30
GOOD = (State.OK, State.CONTAMINATED)


@dataclass(frozen=True)
class Work:
    """To be run now: one job, the jobs of one replicate of an interleaved group, or parity runs
    that run side by side. `names`: what their replicates are called.
    """

    jobs: tuple[JobSpec, ...]
    attempt: int = 1
    names: ReplicateNames = ONE_GROUP


@dataclass(frozen=True)
class Note:
    """What a reader of the tables must know."""

    text: str


@dataclass(frozen=True)
class Refused:
    """A pair whose arms differ in more than it declares; `dropped` jobs will not run."""

    refusal: Refusal
    dropped: tuple[JobSpec, ...]


@dataclass(frozen=True)
class Looked:
    """How a look at a workload's precision ended; `dropped` jobs will not run, because it was
    enough.
    """

    decision: stopping.Decision
    dropped: tuple[JobSpec, ...] = ()


@dataclass(frozen=True)
class Replanned:
    """Jobs of a group that does not fit on the device: `dropped` will not run, `added` run in their
    place.
    """

    dropped: tuple[JobSpec, ...]
    added: tuple[JobSpec, ...]


Item = Work | Note | Refused | Looked | Replanned


class Schedule:
    """Iterates over what a run has to do. A `Work` whose record has not been appended to `records`
    comes again.

    `records` is the run's growing list, in the order written. `retry_failed`: jobs whose last
    record is not ok run once more.
    """

    def __init__(
        self, plan: Plan, records: Sequence[JobRecord], *, retry_failed: bool = False
    ) -> None:
        self.plan, self.records = plan, records
        latest = {record.id: record.state for record in records}
        self.retry = (
            {job_id for job_id, state in latest.items() if state is not State.OK}
            if retry_failed
            else set()
        )
        self._names: dict[str, ReplicateNames] = {}  # of the workloads that take turns

    def __iter__(self) -> Iterator[Item]:
        for workload in dict.fromkeys(job.workload.name for job in self.plan.jobs):
            jobs = [job for job in self.plan.jobs if job.workload.name == workload]
            yield from self._workload(
                jobs, [pair for pair in self.plan.pairs if pair.workload == workload]
            )

    def _workload(self, jobs: Sequence[JobSpec], pairs: Sequence[Pair]) -> Iterator[Item]:
        yield from self._parity_runs([job for job in jobs if job.parity_run])
        jobs = [job for job in jobs if not job.parity_run]
        refused = [item for pair in pairs if (item := self._refused(pair, pairs, jobs))]
        yield from refused
        left, jobs = _without(refused, pairs, jobs)
        yield from (Note(text) for pair in left for text in self._of_the_stacks(pair))
        yield from self._sequential([job for job in jobs if not job.group], left)
        yield from self._interleaved([job for job in jobs if job.group], left)

    def _parity_runs(self, jobs: Sequence[JobSpec]) -> Iterator[Item]:
        """The parity runs of a workload: the first alone, by which it is known how many of the
        others the device has room for side by side. Nothing in them is measured against another.
        """
        while left := [job for job in jobs if not self._ended([job], 1)]:
            at_once = 1 if left[0] is jobs[0] else self._room_beside(jobs[0])
            yield self._work(left[:at_once], 1)

    def _room_beside(self, parity_run: JobSpec) -> int:
        """How many jobs that need as much memory as this one the device holds; 1 if that is not
        known.
        """
        need, total = memory_of(self._parity_run(parity_run.workload.name, parity_run.arm.name))
        return max(1, int(total // (MORE_THAN_PARITY * need))) if need and total else 1

    def _refused(
        self, pair: Pair, pairs: Sequence[Pair], jobs: Sequence[JobSpec]
    ) -> Refused | None:
        """The refusal of a pair, with those of `jobs` that no sound pair needs; None if nothing
        speaks against it.
        """
        if not (reasons := self._confounds(pair)):
            return None
        others = [other for other in pairs if other != pair and not self._confounds(other)]
        dropped = tuple(
            job for job in jobs if _needs(pair, job) and not any(_needs(o, job) for o in others)
        )
        names = {"workload": pair.workload, "baseline": pair.baseline, "candidate": pair.candidate}
        return Refused(Refusal(**names, reasons=reasons), dropped)

    def _confounds(self, pair: Pair) -> list[str]:
        """What the parity runs of a pair differ in undeclared; nothing if they did not both end
        well.
        """
        return comparability.undeclared(*both, pair.differs) if (both := self._probes(pair)) else []

    def _of_the_stacks(self, pair: Pair) -> list[str]:
        """For a pair across stacks, what these resolve differently of one suite, as one sentence;
        [] if nothing.
        """
        both = self._probes(pair) if "stack" in pair.differs else None
        found = comparability.excused_by_stack(*both, pair.differs) if both else []
        return (
            [f"{pair.candidate} against {pair.baseline}: in their stacks {'; '.join(found)}"]
            if found
            else []
        )

    def _probes(self, pair: Pair) -> tuple[JobRecord, JobRecord] | None:
        """The jobs of a pair that are compared, its parity runs; None if they did not both end
        well.

        A suite without parity runs is looked at when its first sequential replicates are there.
        (Jobs that take turns are never compared: how far each gets is not its own doing.)
        """
        parity_runs = any(job.parity_run for job in self.plan.jobs)
        probes = [
            record
            for record in self.records
            if record.workload.name == pair.workload
            and record.state is State.OK
            and not record.group
        ]
        first = {
            arm: next(
                (
                    r
                    for r in probes
                    if r.arm.name == arm and (r.parity_run if parity_runs else r.replicate == 0)
                ),
                None,
            )
            for arm in (pair.baseline, pair.candidate)
        }
        baseline, candidate = first.values()
        return None if baseline is None or candidate is None else (baseline, candidate)

    def _sequential(self, jobs: Sequence[JobSpec], pairs: Sequence[Pair]) -> Iterator[Item]:
        replicates, adaptive = 0, self.plan.measurement.adaptive
        for quad in reruns.quads(jobs):
            # Those of pairs that were refused meanwhile are gone.
            left = {job.id for job in jobs}
            quad = [job for job in quad if job.id in left]
            if not quad:
                return
            yield from self._quad(quad, pairs)
            rest = [job for job in jobs if job.replicate > max(job.replicate for job in quad)]
            refused = [item for pair in pairs if (item := self._refused(pair, pairs, rest))]
            yield from refused
            pairs, rest = _without(refused, pairs, rest)
            left = {job.id for job in (*rest, *quad)}
            jobs = [job for job in jobs if job.id in left]
            replicates += len({job.replicate for job in quad})
            if adaptive is not None and pairs:
                of_workload = [
                    record
                    for record in self.records
                    if record.workload.name == quad[0].workload.name
                ]
                decision = stopping.decide(adaptive, pairs, of_workload, replicates)
                beyond = {job.replicate for job in quad}
                dropped = (
                    tuple(job for job in jobs if job.replicate > max(beyond))
                    if decision.stop
                    else ()
                )
                yield Looked(decision, dropped)
                if decision.stop:
                    return

    def _quad(self, quad: Sequence[JobSpec], pairs: Sequence[Pair]) -> Iterator[Item]:
        """Every job of the quad, and all of them again as long as something disturbs them (and it
        is allowed).
        """
        attempt = reruns.attempt_of(quad, self.records)
        while True:
            for job in quad:
                while not self._ended([job], attempt):
                    yield self._work([job], attempt)
            found = reruns.of_attempt(quad, self.records, attempt).values()
            reason = reruns.disturbance(found, pairs, self._names_of(quad))
            again = attempt <= self.plan.measurement.max_reruns
            if again and attempt > 1:
                earlier = reruns.of_attempt(quad, self.records, attempt - 1).values()
                again = not reruns.systematic(earlier, found, pairs)
            if reason:
                yield self._rerun_note(quad, attempt, reason, again=again)
            if not reason or not again:
                return
            attempt += 1

    def _interleaved(self, jobs: Sequence[JobSpec], pairs: Sequence[Pair]) -> Iterator[Item]:
        """The groups of a workload's arms, one after the other.

        Replicates have numbers of their own in each group, for an arm that is in several groups is
        measured in each of them.
        """
        if not jobs or not pairs:
            return
        most = len({job.replicate for job in jobs})
        groups, note = self._groups(pairs)
        if note:
            yield Note(note)
        # Room for a group of each pair, should this one not fit on the device.
        firsts = [number * (len(pairs) + 1) * most for number in range(len(groups))]
        self._names[pairs[0].workload] = ReplicateNames.of_numbers(most, firsts)
        if len(groups) > 1:
            yield _replanned(
                jobs,
                [
                    together
                    for first, group in zip(firsts, groups, strict=True)
                    for together in self._of_group(_arms(group), jobs, first)
                ],
            )
        for first, group in zip(firsts, groups, strict=True):
            yield from self._group(group, jobs, first)

    def _groups(self, pairs: Sequence[Pair]) -> tuple[list[list[Pair]], str]:
        """The pairs by the groups in which their arms take turns, and a sentence if there are
        several.

        All arms are one group unless the device's memory is too small for them by their parity
        runs. Then each pair in the order declared joins the first group that has room for its arms.
        """
        needs, total = self._memory(pairs)
        if total is None or sum(needs.values()) <= total:
            return [list(pairs)], ""
        groups: list[list[Pair]] = []
        for pair in pairs:
            for group in groups:
                if sum(needs[arm] for arm in _arms([*group, pair])) <= total:
                    group.append(pair)
                    break
            else:
                groups.append([pair])
        named = "; ".join(", ".join(_arms(group)) for group in groups)
        return groups, (
            f"{pairs[0].workload}: by their parity runs the arms need "
            f"{sum(needs.values()) / 2**30:.1f} GiB together, and the device has "
            f"{total / 2**30:.1f} GiB: they take turns in {len(groups)} groups ({named})"
        )

    def _memory(self, pairs: Sequence[Pair]) -> tuple[dict[str, float], int | None]:
        """Bytes of the device that each arm needs, by its parity run, and how many there are; None
        where either is not known.
        """
        needs: dict[str, float] = {}
        totals: list[int] = []
        for arm in _arms(pairs):
            need, total = memory_of(self._parity_run(pairs[0].workload, arm))
            if need is None:
                return {}, None
            needs[arm] = MORE_THAN_PARITY * need
            totals += [total] if total is not None else []
        return needs, min(totals, default=None)

    def _group(
        self, pairs: Sequence[Pair], jobs: Sequence[JobSpec], first: int, begin: int = 0
    ) -> Iterator[Item]:
        """The replicates of a group from `begin` on, with numbers from `first` on.

        From the replicate on in which an arm runs out of memory, each pair is a group of its own,
        and a pair is measured sequentially.
        """
        measurement, arms = self.plan.measurement, _arms(pairs)
        replicates = self._of_group(arms, jobs, first)
        for index in range(begin, len(replicates)):
            yield from self._replicate(pairs, replicates[index])
            records = self._latest(replicates[index])
            unfit = [record for record in records if record.state is State.OUT_OF_MEMORY]
            if unfit:
                yield self._does_not_fit(arms, unfit[0])
                later = [job for together in replicates[index + 1 :] for job in together]
                if len(arms) == 2:
                    rest = [job for together in replicates[index:] for job in together]
                    alone = _abba([job.alone() for job in rest])
                    yield _replanned(later, [alone])
                    yield from self._sequential(alone, pairs)
                    return
                firsts = [first + n * len(replicates) for n in range(1, len(pairs) + 1)]
                self._also_groups_from(firsts, jobs)
                yield _replanned(
                    later,
                    [
                        together
                        for pair, first_of_pair in zip(pairs, firsts, strict=True)
                        for together in self._of_group(_arms([pair]), jobs, first_of_pair)[index:]
                    ],
                )
                for pair, first_of_pair in zip(pairs, firsts, strict=True):
                    yield from self._group([pair], jobs, first_of_pair, index)
                return
            if measurement.adaptive is not None:
                of_workload = [r for r in self.records if r.workload.name == pairs[0].workload]
                decision = stopping.decide(
                    measurement.adaptive, pairs, of_workload, index + 1, first=first
                )
                rest = [job for together in replicates[index + 1 :] for job in together]
                yield Looked(decision, tuple(rest) if decision.stop else ())
                if decision.stop:
                    return

    def _of_group(
        self, arms: Sequence[str], jobs: Sequence[JobSpec], first: int
    ) -> list[list[JobSpec]]:
        """The jobs of these arms by replicate, with numbers from `first` on, as planned where the
        group is the planned one.
        """
        settings = self.plan.measurement.interleaved
        planned = {(job.arm.name, job.replicate): job for job in jobs}
        return [
            [
                job
                if (job.group, job.replicate) == ([*arms], number)
                else job.in_turns(arms, settings, number)
                for job in (planned[arm, replicate] for arm in arms)
            ]
            for number, replicate in enumerate(sorted({job.replicate for job in jobs}), first)
        ]

    def _also_groups_from(self, firsts: Iterable[int], jobs: Sequence[JobSpec]) -> None:
        """Replicates of further groups begin at these numbers too."""
        names = self._names_of(jobs)
        known = [place * (names.planned or 0) for place in names.groups]
        self._names[jobs[0].workload.name] = ReplicateNames.of_numbers(
            names.planned, [*known, *firsts]
        )

    def _names_of(self, jobs: Sequence[JobSpec]) -> ReplicateNames:
        """What the replicates of the workload of these jobs are called."""
        return self._names.get(jobs[0].workload.name, ONE_GROUP)

    def _does_not_fit(self, arms: Sequence[str], unfit: JobRecord) -> Note:
        names = self._names.get(unfit.workload.name, ONE_GROUP)
        instead = "measured sequentially" if len(arms) == 2 else "each pair takes turns by itself"
        return Note(
            f"{unfit.workload.name}: {' and '.join(arms)} do not fit on the device together "
            f"({unfit.arm.name} ran out of memory in {names.name(unfit.replicate)}): {instead} "
            "instead"
        )

    def _replicate(self, pairs: Sequence[Pair], jobs: Sequence[JobSpec]) -> Iterator[Item]:
        attempt, names = reruns.attempt_of(jobs, self.records), self._names_of(jobs)
        while True:
            while not self._ended(jobs, attempt):
                yield self._work(jobs, attempt)
            found = reruns.of_attempt(jobs, self.records, attempt)
            crashed = [record for record in found.values() if record.state is State.CRASHED]
            # An arm that left does not stop the others: their pairs have their replicate.
            ok = {record.arm.name for record in found.values() if record.state is State.OK}
            lost = not any({pair.baseline, pair.candidate} <= ok for pair in pairs)
            ids = {job.id for job in jobs}
            crashes = len(
                {r.attempt for r in self.records if r.id in ids and r.state is State.CRASHED}
            )
            if crashed and lost:
                again = crashes <= CRASH_RETRIES
                where = names.name(crashed[0].replicate)
                reason = f"{crashed[0].arm.name} in {where}: {crashed[0].reason}"
            else:
                again = attempt - crashes <= self.plan.measurement.max_reruns
                reason = reruns.disturbance(found.values(), pairs, names)
            if reason:
                yield self._rerun_note(jobs, attempt, reason, again=again)
            if not reason or not again:
                return
            attempt += 1

    def _latest(self, jobs: Iterable[JobSpec]) -> list[JobRecord]:
        jobs = list(jobs)
        return list(
            reruns.of_attempt(jobs, self.records, reruns.attempt_of(jobs, self.records)).values()
        )

    def _parity_run(self, workload: str, arm: str) -> JobRecord | None:
        """The latest record of this arm's parity run."""
        found = (
            record
            for record in reversed(self.records)
            if record.parity_run and (record.workload.name, record.arm.name) == (workload, arm)
        )
        return next(found, None)

    def _ended(self, jobs: Sequence[JobSpec], attempt: int) -> bool:
        """Whether these jobs, which run together, need not run (again) in this attempt.

        One `interrupted` because an arm failed without which there is no pair has ended;
        `interrupted` by the user, all run again.
        """
        records = reruns.of_attempt(jobs, self.records, attempt).values()
        if len(records) < len(jobs) or any(job.id in self.retry for job in jobs):
            return False
        failed = {
            record.arm.name for record in records if record.state not in (*GOOD, State.INTERRUPTED)
        }
        stopped = {record.arm.name for record in records if record.state is State.INTERRUPTED}
        if len(jobs) == 1:
            return not stopped
        workload = jobs[0].workload.name
        arms = {job.arm.name for job in jobs}
        pairs = [
            {pair.baseline, pair.candidate}
            for pair in self.plan.pairs
            if pair.workload == workload and {pair.baseline, pair.candidate} <= arms
        ]
        return not any(pair & stopped and not pair & failed for pair in pairs)

    def _work(self, jobs: Sequence[JobSpec], attempt: int) -> Work:
        self.retry.difference_update(job.id for job in jobs)
        return Work(tuple(jobs), attempt, self._names_of(jobs))

    def _rerun_note(
        self, jobs: Sequence[JobSpec], attempt: int, reason: str, *, again: bool
    ) -> Note:
        names, first = self._names_of(jobs), jobs[0]
        which = (
            names.named_with_arms(first.replicate, first.group)
            if first.group
            else names.named(job.replicate for job in jobs)
        )
        done = (
            f"run again, attempt {attempt + 1}"
            if again
            else f"left as it is after {attempt} attempt(s)"
        )
        return Note(f"{first.workload.name}, {which}: {done}: {reason}")


def memory_of(record: JobRecord | None) -> tuple[float | None, int | None]:
    """Bytes of the card that a job on one card needed, and how many the card has; None where it is
    not known.

    Of a job beside others nothing was read from the card; there it is what PyTorch's allocator
    reserved, which ONNX Runtime uses too, and what a process needs besides.
    """
    if record is None:
        return None, None
    cards = record.telemetry.gpus if record.telemetry is not None else []
    if len(cards) == 1:
        return cards[0].memory_peak_bytes, cards[0].memory_total_bytes
    reserved = record.memory.torch_peak_reserved_bytes
    if record.share_s is None or reserved is None:
        return None, None
    return reserved + BYTES_OF_A_PROCESS, None


def _without(
    refused: Sequence[Refused], pairs: Sequence[Pair], jobs: Sequence[JobSpec]
) -> tuple[list[Pair], list[JobSpec]]:
    """Pairs and jobs that are left."""
    gone = {(item.refusal.baseline, item.refusal.candidate) for item in refused}
    dropped = {job.id for item in refused for job in item.dropped}
    left = [pair for pair in pairs if (pair.baseline, pair.candidate) not in gone]
    return left, [job for job in jobs if job.id not in dropped]


def _replanned(planned: Sequence[JobSpec], instead: Iterable[Iterable[JobSpec]]) -> Replanned:
    """What is dropped of the planned jobs, and what of the others is new."""
    added = {job.id: job for together in instead for job in together}
    dropped = [job for job in planned if job.id not in added]
    kept = {job.id for job in planned} & added.keys()
    return Replanned(tuple(dropped), tuple(job for key, job in added.items() if key not in kept))


def _needs(pair: Pair, job: JobSpec) -> bool:
    """Whether the pair's figures come from this job."""
    return job.arm.name in (pair.baseline, pair.candidate)


def _arms(pairs: Iterable[Pair]) -> list[str]:
    """The arms of these pairs, each once, in the order of the pairs."""
    return list(dict.fromkeys(arm for pair in pairs for arm in (pair.baseline, pair.candidate)))


def _abba(jobs: Sequence[JobSpec]) -> list[JobSpec]:
    """Jobs in pairs of replicates A B A B … as A B B A …"""
    ordered: list[JobSpec] = []
    for number, replicate in enumerate(sorted({job.replicate for job in jobs})):
        both = [job for job in jobs if job.replicate == replicate]
        ordered += both[::-1] if number % 2 else both
    return ordered
