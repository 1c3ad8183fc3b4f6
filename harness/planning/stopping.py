"""Adaptive stopping: whether the pairs of a workload are precise enough, from its records alone.
Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.schema.measurement import Adaptive
from harness.schema.record import JobRecord, Pair, State, Stopping
from harness.schema.stats import CONFIDENCE, Estimate, log_ratios, mean_interval, usable

MOST_REPLICATES = 1_000_000  # beyond this no number of replicates is worth naming


@dataclass(frozen=True)
class Decision:
    """What a look at a workload found; `stop`: no further replicate of it is to be made."""

    stop: bool
    pairs: tuple[Stopping, ...]


def decide(
    settings: Adaptive, pairs: Sequence[Pair], records: Sequence[JobRecord], replicates: int
) -> Decision:
    """Look at one workload after its first `replicates` replicates have ended.

    `records` are all records of the workload in the order written (the last one of an arm's
    replicate counts); later replicates are left out, so that a resumed run decides at every look
    what it decided then. A pair without any usable replicate after `min_replicates` is not
    waited for.
    """
    seen = [record for record in records if record.parity_run or record.replicate < replicates]
    minutes = sum(record.timing.wall_s or 0.0 for record in seen) / 60
    found = [_judge(settings, pair, seen, minutes) for pair in pairs]
    waiting = [
        s
        for s in found
        if s.state == "precision not reached"
        and (s.replicates or replicates < settings.min_replicates)
    ]
    exhausted = replicates >= settings.max_replicates or minutes >= settings.budget_minutes
    return Decision(exhausted or not waiting, tuple(found))


def ratios(pair: Pair, records: Iterable[JobRecord], measure: str) -> list[float]:
    """ln T_baseline - ln T_candidate of every replicate that ended ok in both arms, in order."""
    latest = {
        (record.arm.name, record.replicate): record
        for record in records
        if not record.parity_run and record.workload.name == pair.workload
    }
    times: list[tuple[float, float]] = []
    for replicate in sorted({replicate for _, replicate in latest}):
        both = [latest.get((arm, replicate)) for arm in (pair.baseline, pair.candidate)]
        baseline, candidate = (_seconds(record, measure) for record in both)
        if usable(baseline) and usable(candidate):
            times.append((baseline, candidate))
    return log_ratios(times)


def half_width_pp(estimate: Estimate) -> float | None:
    """Half-width of the interval of the throughput gain, in percentage points; None where there is
    no interval.
    """
    if estimate.low is None or estimate.high is None:
        return None
    return 100 * (math.exp(estimate.high) - math.exp(estimate.low)) / 2


def needed_replicates(estimate: Estimate, target_pp: float, at_least: int = 2) -> int | None:
    """The smallest number of replicates whose half-width would meet the target if mean and spread
    stayed what they are.

    Half-width in percentage points is 100 · exp(mean) · sinh(t(n-1) · s / √n). None: not to be
    told, or absurdly many.
    """
    if estimate.low is None or estimate.high is None:
        return None
    from scipy.special import stdtrit

    probability = 1 - (1 - CONFIDENCE) / 2
    root = math.sqrt(estimate.n) / float(stdtrit(estimate.n - 1, probability))
    deviation = (estimate.high - estimate.low) / 2 * root
    target = math.asinh(target_pp / 100 / math.exp(estimate.mean))

    def enough(n: int) -> bool:
        return float(stdtrit(n - 1, probability)) * deviation / math.sqrt(n) <= target

    low, high = 1, max(2, at_least)  # t · s / √n falls with n
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST_REPLICATES:
            return None
    low = max(low, at_least - 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _judge(
    settings: Adaptive, pair: Pair, records: Sequence[JobRecord], minutes: float
) -> Stopping:
    values = ratios(pair, records, settings.measure)
    estimate = mean_interval(values) if values else None
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


def _seconds(record: JobRecord | None, measure: str) -> float | None:
    if record is None or record.state is not State.OK:
        return None
    return (
        record.timing.steady_step_s if measure == "steady_state" else record.timing.train_runtime_s
    )
