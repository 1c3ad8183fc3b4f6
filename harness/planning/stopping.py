"""Adaptive stopping: whether the pairs of a workload are precise enough, from its records alone.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.schema.compiled import alike
from harness.schema.measurement import Adaptive
from harness.schema.record import JobRecord, Pair, State, Stopping, wall_share_s
from harness.schema.stats import half_width_pp, needed_replicates, turn_interval, usable


@dataclass(frozen=True)
class Decision:
    """What a look at a workload found; `stop`: no further replicate of it is to be made."""

    stop: bool
    pairs: tuple[Stopping, ...]


def decide(
    settings: Adaptive,
    pairs: Sequence[Pair],
    records: Sequence[JobRecord],
    replicates: int,
    *,
    first: int = 0,
) -> Decision:
    """Look at one workload, or one group of its arms, after its first `replicates` replicates have
    ended.

    `records` are all records of the workload in the order written (the last one of an arm's
    replicate counts); replicates before number `first` and later ones are left out, so that a
    resumed run decides at every look what it decided then. A pair without any usable replicate
    after `min_replicates` is not waited for.
    """
    looked_at = range(first, first + replicates)
    seen = [record for record in records if record.parity_run or record.replicate in looked_at]
    minutes = sum(wall_share_s(record) or 0.0 for record in seen) / 60
    found = [_judge(settings, pair, seen, minutes) for pair in pairs]
    waiting = [
        s
        for s in found
        if s.state == "precision not reached"
        and (s.replicates or replicates < settings.min_replicates)
    ]
    exhausted = replicates >= settings.max_replicates or minutes >= settings.budget_minutes
    return Decision(exhausted or not waiting, tuple(found))


def times(
    pair: Pair, records: Iterable[JobRecord], measure: str
) -> list[list[tuple[float, float]]]:
    """Seconds of (baseline, candidate) in every replicate that ended ok in both arms, by replicate:
    of each round of turns, or of the whole replicate.

    A replicate in which an arm compiled anew is left out where the arm did not in others
    (harness.schema.compiled).
    """
    latest = {
        (record.arm.name, record.replicate): record
        for record in records
        if not record.parity_run and record.workload.name == pair.workload
    }
    found: dict[int, list[tuple[float, float]]] = {}
    jobs: list[tuple[JobRecord, JobRecord]] = []
    for replicate in sorted({replicate for _, replicate in latest}):
        baseline = latest.get((pair.baseline, replicate))
        candidate = latest.get((pair.candidate, replicate))
        if baseline is None or candidate is None:
            continue
        if baseline.state is not State.OK or candidate.state is not State.OK:
            continue
        both = [(_seconds(baseline, measure), _seconds(candidate, measure))]
        if baseline.turns is not None and candidate.turns is not None:
            both = [*baseline.turns.seconds_beside(candidate.turns)]
        usable_times = [(a, b) for a, b in both if usable(a) and usable(b)]
        if usable_times and len(usable_times) == len(both):
            found[replicate] = usable_times
            jobs.append((baseline, candidate))
    return [found[baseline.replicate] for baseline, _ in alike(jobs)]


def _judge(
    settings: Adaptive, pair: Pair, records: Sequence[JobRecord], minutes: float
) -> Stopping:
    values = times(pair, records, settings.measure)
    estimate = turn_interval(values) if values else None
    half_width = half_width_pp(estimate) if estimate else None
    reached = (
        len(values) >= settings.min_replicates
        and half_width is not None
        and half_width <= settings.half_width_pp
    )
    needed = None
    if estimate is not None and not reached:
        needed = needed_replicates(estimate, settings.half_width_pp, settings.min_replicates)
    return Stopping(
        workload=pair.workload,
        baseline=pair.baseline,
        candidate=pair.candidate,
        state="precision reached" if reached else "precision not reached",
        replicates=len(values),
        half_width_pp=half_width,
        target_pp=settings.half_width_pp,
        minutes=minutes,
        needed_replicates=needed,
        needed_minutes=needed * minutes / len(values) if needed is not None else None,
    )


def _seconds(record: JobRecord, measure: str) -> float | None:
    return (
        record.timing.steady_step_s if measure == "steady_state" else record.timing.train_runtime_s
    )
