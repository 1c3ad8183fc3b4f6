"""Where a pair's level changed and stayed changed: the detector walked along its nights.

From the last change on (at first: the first night) each night is judged by the nights before it, as
on that night. A change is an alarm whose tail is two nights long or longer: one odd night is none.
It is marked where two levels fit the nights so far best (least absolute deviations from two
medians, within the longest tail), and the walk starts anew there. It needs SEEN nights to judge by,
and up to `min_nights` of them a change is beyond the fixed bound, too.

The walk has no second runs, but hindsight: once a level has lasted SEEN nights, a change to it that
is not there any more (`least_change_percent` between the medians of a series that fired, and p < P
by Welch's t) is taken out, the weakest first. What is left is marked where both levels fit best, at
most NEAR nights off. Sources: report.regressions.detector; Welch, Biometrika 34 (1947) 28-35.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.schema.verdict import Cause, Point
from report.regressions.cause import Direction, Pattern, cause_of
from report.regressions.detector import Values, detect
from report.regressions.judge import series_of
from report.regressions.thresholds import Thresholds

PERSISTS = 2  # nights
NEAR = 3  # nights
SEEN = 5  # nights
P = 0.001


@dataclass(frozen=True)
class ChangePoint:
    """From night `index` (0-based) on there is another level; changes are of the medians up to the
    next, fractions.
    """

    index: int
    run: str
    created_at: str
    cause: Cause
    baseline_change: float
    candidate_change: float
    ratio_change: float


def change_points(points: Sequence[Point], thresholds: Thresholds) -> list[ChangePoint]:
    """Every change of one pair's nights on comparable hosts, oldest first."""
    if len(points) < PERSISTS + 1:
        return []
    series = series_of(points)
    found: list[tuple[int, list[Direction]]] = []
    start = 0
    for end in range(PERSISTS + 1, len(points) + 1):
        tail, fired = _alarm(series[:, start:end], thresholds)
        if tail:
            start = end - tail
            found.append((start, fired))
    found = _placed(series, _still_there(series, found, thresholds))
    edges = [0, *(index for index, _ in found), len(points)]
    changes = []
    for place, (index, fired) in enumerate(found):
        before, after = series[:, edges[place] : index], series[:, index : edges[place + 2]]
        moved = np.median(after, axis=1) / np.median(before, axis=1) - 1
        cause, _ = cause_of(Pattern(fired[0], fired[1], fired[2], float(moved[0]), float(moved[1])))
        point = points[index]
        changes.append(
            ChangePoint(index, point.run, point.created_at, cause, *(float(one) for one in moved))
        )
    return changes


def _still_there(
    series: Values, found: list[tuple[int, list[Direction]]], thresholds: Thresholds
) -> list[tuple[int, list[Direction]]]:
    """The changes that hindsight leaves."""
    while True:
        edges = [0, *(index for index, _ in found), series.shape[1]]
        weakest, strength = None, 1.0
        for place, (index, fired) in enumerate(found):
            before, after = series[:, edges[place] : index], series[:, index : edges[place + 2]]
            if min(before.shape[1], after.shape[1]) >= SEEN:
                shown = max(
                    _strength(one, other, thresholds)
                    for one, other, f in zip(before, after, fired, strict=True)
                    if f
                )
                if shown < strength:
                    weakest, strength = place, shown
        if weakest is None:
            return found
        del found[weakest]


def _placed(
    series: Values, found: list[tuple[int, list[Direction]]]
) -> list[tuple[int, list[Direction]]]:
    """Each change where, at most NEAR nights off, the levels on both sides fit best now that both
    are known; by the series that fired and moved most.
    """
    placed: list[tuple[int, list[Direction]]] = []
    for place, (index, fired) in enumerate(found):
        begin = placed[-1][0] if placed else 0
        end = found[place + 1][0] if place + 1 < len(found) else series.shape[1]
        window, at = series[:, begin:end], index - begin
        moved = np.abs(
            np.log(np.median(window[:, at:], axis=1) / np.median(window[:, :at], axis=1))
        )
        values = window[int(np.argmax(np.where(np.array(fired) != 0, moved, -1.0)))]

        def misfit(split: int, values: Values = values) -> float:
            parts = (values[:split], values[split:])
            return float(sum(np.abs(part - np.median(part)).sum() for part in parts))

        near = range(max(PERSISTS, at - NEAR), min(at + NEAR, len(values) - PERSISTS) + 1)
        # The night that it was found on where both fit equally well.
        best = min(near, key=lambda split: (misfit(split), abs(split - at)), default=at)
        placed.append((begin + best, fired))
    return placed


def _strength(before: Values, after: Values, thresholds: Thresholds) -> float:
    """Below 1: no change."""
    from scipy.special import stdtrit

    change = abs(np.median(after) / np.median(before) - 1) / (
        thresholds.least_change_percent / 100 or 1e-9
    )
    parts = [one.var(ddof=1) / len(one) for one in (before, after)]
    if sum(parts) == 0:
        return float(change)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(one) - 1) for part, one in zip(parts, (before, after), strict=True)
    )
    statistic = abs(after.mean() - before.mean()) / np.sqrt(sum(parts))
    return float(min(change, statistic / stdtrit(freedom, 1 - P / 2)))


def _alarm(window: Values, thresholds: Thresholds) -> tuple[int, list[Direction]]:
    """How many nights ago the level changed (0: it did not), and which series fire."""
    if window.shape[1] < SEEN + PERSISTS:
        return 0, []
    # Student's t makes the detector itself careful with few nights, which the fixed bound of a
    # check is not.
    found = detect(window, thresholds.model_copy(update={"min_nights": SEEN}))
    signs = np.where(found.tail >= PERSISTS, found.alarm, 0)
    few = found.nights < thresholds.min_nights
    signs[few & (np.abs(found.level / found.mean - 1) <= thresholds.fixed_bound_percent / 100)] = 0
    loudest = int(np.argmax(np.abs(found.score) * (signs != 0)))
    if not signs.any():
        return 0, []
    return _best_tail(window[loudest], thresholds.longest_tail), [
        _direction(sign) for sign in signs
    ]


def _best_tail(values: Values, longest: int) -> int:
    """How many of the last nights are on a level of their own."""

    def misfit(tail: int) -> float:
        parts = (values[:-tail], values[-tail:])
        return float(sum(np.abs(part - np.median(part)).sum() for part in parts))

    return min(range(PERSISTS, min(longest, len(values) - PERSISTS) + 1), key=misfit)


def _direction(sign: int) -> Direction:
    return 1 if sign > 0 else -1 if sign < 0 else 0
