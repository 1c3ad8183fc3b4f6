"""Which replicates ran together, how often, and whether something disturbed them. Pure.

A quad is what must be repeated together: two replicates of all arms in ABBA order under the
sequential protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.schema.clocks import clocks_apart
from harness.schema.job import JobSpec
from harness.schema.record import JobRecord, Pair, State
from harness.schema.replicates import ONE_GROUP, ReplicateNames


def quads(jobs: Sequence[JobSpec]) -> list[list[JobSpec]]:
    """The jobs of one workload, two replicates at a time, in order of execution."""
    replicates = sorted({job.replicate for job in jobs})
    place = {replicate: number // 2 for number, replicate in enumerate(replicates)}
    return [
        [job for job in jobs if place[job.replicate] == quad]
        for quad in range((len(replicates) + 1) // 2)
    ]


def attempt_of(jobs: Iterable[JobSpec], records: Iterable[JobRecord]) -> int:
    """The attempt these jobs are at: the highest that any of them has a record of, 1 before the
    first.
    """
    ids = {job.id for job in jobs}
    return max((record.attempt for record in records if record.id in ids), default=1)


def of_attempt(
    jobs: Iterable[JobSpec], records: Iterable[JobRecord], attempt: int
) -> dict[str, JobRecord]:
    """The last record of each of the jobs in this attempt, by id; jobs without one are left out."""
    ids = {job.id for job in jobs}
    return {
        record.id: record for record in records if record.id in ids and record.attempt == attempt
    }


def disturbance(
    records: Iterable[JobRecord],
    pairs: Iterable[Pair],
    names: ReplicateNames = ONE_GROUP,
) -> str:
    """Why these records of one attempt are no fair comparison, as one phrase; empty if nothing
    speaks against it. `names`: what the workload's replicates are called.

    Disturbed: a contaminated job, or median SM clocks of two paired arms of a replicate more than
    harness.schema.clocks.CLOCKS_APART apart.
    """
    found = list(records)
    for record in found:
        if record.state is State.CONTAMINATED:
            return f"{record.arm.name} in {names.name(record.replicate)}: {record.reason}"
    by_arm = {
        (record.arm.name, record.replicate): record for record in found if record.state is State.OK
    }
    for pair in pairs:
        for replicate in sorted({replicate for _, replicate in by_arm}):
            baseline, candidate = (
                by_arm.get((pair.baseline, replicate)),
                by_arm.get((pair.candidate, replicate)),
            )
            if (
                baseline is not None
                and candidate is not None
                and (reason := _clocks(baseline, candidate, names))
            ):
                return reason
    return ""


def systematic(
    earlier: Iterable[JobRecord], now: Iterable[JobRecord], pairs: Iterable[Pair]
) -> bool:
    """Whether clocks alone speak against both attempts, and they were apart in the same direction.

    An arm that keeps the card at its power limit is slowed every time; running the quad again would
    not change that, and the report judges such a pair by cycles too.
    """
    before, after = list(earlier), list(now)
    if any(record.state is State.CONTAMINATED for record in (*before, *after)):
        return False
    pairs = list(pairs)
    return bool(_slower(before, pairs) & _slower(after, pairs))


def _slower(records: Sequence[JobRecord], pairs: Iterable[Pair]) -> set[tuple[str, str, bool]]:
    """(baseline, candidate, whether the baseline had the lower clock) of each pair with clocks
    apart in some replicate.
    """
    found = set()
    by_arm = {
        (record.arm.name, record.replicate): record
        for record in records
        if record.state is State.OK
    }
    for pair in pairs:
        for replicate in sorted({replicate for _, replicate in by_arm}):
            baseline, candidate = (
                by_arm.get((pair.baseline, replicate)),
                by_arm.get((pair.candidate, replicate)),
            )
            if baseline is not None and candidate is not None and clocks_apart(baseline, candidate):
                found.add((pair.baseline, pair.candidate, _clock(baseline) < _clock(candidate)))
    return found


def _clock(record: JobRecord) -> float:
    """Mean over the cards of their median SM clocks; 0 without a reading."""
    cards = record.telemetry.gpus if record.telemetry else []
    clocks = [card.sm_clock_median_mhz for card in cards if card.sm_clock_median_mhz]
    return sum(clocks) / len(clocks) if clocks else 0.0


def _clocks(baseline: JobRecord, candidate: JobRecord, names: ReplicateNames) -> str:
    """Why the SM clocks of two jobs do not allow to compare them; empty if they do."""
    found = clocks_apart(baseline, candidate)
    if found is None:
        return ""
    return (
        f"in {names.name(baseline.replicate)} the median SM clock of GPU {found.gpu} was "
        f"{found.one_mhz:g} MHz under {baseline.arm.name} and {found.other_mhz:g} MHz under "
        f"{candidate.arm.name}"
    )
