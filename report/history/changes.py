"""Where a pair's level changed and stayed changed: the detector walked along its nights.

From the last change on (at first: the first night) each night is judged by the nights before it, as on that night. A
change is marked where the tail of the loudest alarm begins, once that tail is two nights long: one odd night is none.
Then the walk starts anew there. Up to `min_nights` nights after a change both nights must be beyond the fixed bound.
Source of cutting a series at each change and judging on: binary segmentation's online counterpart, Page, Biometrika 41
(1954) 100-115; see report.regressions.detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from report.regressions.cause import Direction, Pattern, cause_of
from report.regressions.detector import Values, detect
from report.regressions.judge import series_of
from report.regressions.model import Cause, Point
from report.regressions.thresholds import Thresholds

PERSISTS = 2  # nights


@dataclass(frozen=True)
class ChangePoint:
    """From night `index` (0-based) on there is another level; changes are of the medians up to the next, fractions."""

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
    edges = [0, *(index for index, _ in found), len(points)]
    changes = []
    for place, (index, fired) in enumerate(found):
        before, after = series[:, edges[place] : index], series[:, index : edges[place + 2]]
        moved = np.median(after, axis=1) / np.median(before, axis=1) - 1
        cause, _ = cause_of(Pattern(fired[0], fired[1], fired[2], float(moved[0]), float(moved[1])))
        point = points[index]
        changes.append(ChangePoint(index, point.run, point.created_at, cause, *(float(one) for one in moved)))
    return changes


def _alarm(window: Values, thresholds: Thresholds) -> tuple[int, list[Direction]]:
    """The tail of the loudest alarm of a tail of two nights or more (0: none), and which series fire."""
    nights = window.shape[1]
    if nights - PERSISTS < thresholds.min_nights:
        if nights < PERSISTS + 1:
            return 0, []
        change = window[:, -PERSISTS:] / np.median(window[:, :-PERSISTS], axis=1, keepdims=True) - 1
        bound = thresholds.fixed_bound_percent / 100
        signs = np.where((change > bound).all(axis=1), 1, np.where((change < -bound).all(axis=1), -1, 0))
        return (PERSISTS if signs.any() else 0), [_direction(sign) for sign in signs]
    found = detect(window, thresholds)
    signs = np.where(found.tail >= PERSISTS, found.alarm, 0)
    loudest = int(np.argmax(np.abs(found.score) * (signs != 0)))
    return (int(found.tail[loudest]) if signs.any() else 0), [_direction(sign) for sign in signs]


def _direction(sign: int) -> Direction:
    return 1 if sign > 0 else -1 if sign < 0 else 0
