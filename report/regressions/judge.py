"""One pair's night against the nights before it: its state, the evidence, the cause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from harness.schema.verdict import Cause, Change, FindingState, Point, Series
from report.analysis.statistics import usable
from report.regressions.cause import Direction, Pattern, cause_of
from report.regressions.detector import (
    FEWEST,
    Scores,
    Values,
    again_score,
    detect,
    detect_by_tail,
    levels_of,
    replicates_allow,
)
from report.regressions.thresholds import Thresholds
from report.text import seconds

SERIES: tuple[Series, ...] = tuple(Series)
UNMARKED = (FindingState.STEADY, FindingState.NOT_ENOUGH_NIGHTS)  # no series speaks
LONG_GAP = 7  # days without a night: a reader should know how old the level before is


@dataclass(frozen=True)
class Judgement:
    """What became of a pair.

    Attributes:
        state: What it is now, `reason` in words.
        cause: Which arm changed.
        changes: The evidence, a series each.
        tail: Nights since the change; 0: there is none.
        alarm: Whether the detector fired before the second run was looked at.
        confirmed: Whether the second run fired too; None: there was none, or no alarm.
        level: The first and the last night of the level before the tail; None: there is none.
        flips: Which arm's time flips between which levels, in words; empty: none does.
    """

    state: FindingState
    cause: Cause
    reason: str
    changes: list[Change]
    tail: int
    alarm: bool
    confirmed: bool | None
    level: tuple[Point, Point] | None = None
    flips: str = ""


def series_of(points: Sequence[Point]) -> Values:
    """The series of SERIES, an array (3, nights): seconds, seconds, candidate's over baseline's."""
    times = np.array(
        [[point.baseline_s, point.candidate_s] for point in points], dtype=np.float64
    ).T
    return np.vstack([times, times[1] / times[0]])


def judge(points: Sequence[Point], thresholds: Thresholds, again: Point | None = None) -> Judgement:
    """Judge the last night of a pair by the nights before it.

    A night whose times are not above 0 and finite is no night; if it is the last one, the pair is
    missing.

    Args:
        points: Comparable nights, oldest first; two at least.
        thresholds: Of the detector.
        again: The last night's second run; without one an alarm must be loud enough to stand alone.
    """
    if not has_times(points[-1]):
        tonight = points[-1]
        reason = (
            f"tonight's times are not above 0 and finite: {tonight.baseline_s:g} s and "
            f"{tonight.candidate_s:g} s"
        )
        return Judgement(FindingState.MISSING, Cause.NONE, reason, [], 0, False, None)
    kept = [point for point in points if has_times(point)]
    left_out = len(points) - len(kept)
    noted = (
        f"; left out: {left_out} night{'s' * (left_out != 1)} without a time above 0"
        if left_out
        else ""
    )
    if len(kept) < 2:
        reason = f"no earlier night to compare with{noted}"
        return Judgement(FindingState.NOT_ENOUGH_NIGHTS, Cause.NONE, reason, [], 0, False, None)
    again = again if again is not None and has_times(again) else None
    return _judge(kept, thresholds, again, noted)


def has_times(point: Point) -> bool:
    """Whether both times can be compared: finite and above 0."""
    return usable(point.baseline_s) and usable(point.candidate_s)


def _judge(
    points: Sequence[Point], thresholds: Thresholds, again: Point | None, noted: str
) -> Judgement:
    series = series_of(points)
    found = detect(series, thresholds, _replicate_bound(points))
    fired = found.alarm
    if again is None:
        confirmed = None
        counted = np.where(np.abs(found.alone) > 1, fired, 0)
    else:
        second = again_score(found, series_of([again])[:, 0], thresholds)
        counted = np.where((np.abs(second) > 1) & (np.sign(second) == fired), fired, 0)
        confirmed = bool(counted.any()) if fired.any() else None
    speaking = counted if counted.any() else fired
    loudest = int(
        np.argmax(
            np.where(speaking != 0, np.abs(found.score), 0.0) if speaking.any() else found.score
        )
    )
    tail = (
        int(found.tail[loudest])
        if speaking.any() or found.score[loudest] > thresholds.watch_score
        else 0
    )
    few = len(points) - 1 < thresholds.min_nights
    measured = series.copy()
    if again is not None:  # both runs say how far each arm moved
        measured[:, -1] = np.sqrt(series[:, -1] * series_of([again])[:, 0])
    cause, direction = _cause(measured, speaking, tail, int(found.nights[loudest]))
    flips = _flips(series, found, thresholds)
    state = _state(found, fired, counted, direction, few, bool(flips), thresholds)
    if state in UNMARKED:
        cause, tail = Cause.NONE, 0
    changes = _changes(series, found, fired, tail, thresholds)
    end = len(points) - max(1, changes[loudest].tail)
    level = (points[max(0, end - changes[loudest].nights)], points[end - 1])
    reason = _reason(
        state,
        cause,
        changes,
        changes[loudest],
        confirmed,
        float(found.least[loudest]),
        thresholds,
        has_second=again is not None,
    )
    aged = _age(level, points[-1], changes[loudest])
    reason = "; ".join(filter(None, [flips if not counted.any() else "", reason + aged]))
    return Judgement(
        state, cause, reason + noted, changes, tail, bool(fired.any()), confirmed, level, flips
    )


def _replicate_bound(points: Sequence[Point]) -> Values:
    """What replicates allow for of each series of SERIES."""
    unknown = (math.nan,) * len(SERIES)
    spread = np.array([point.spread or unknown for point in points]).T
    return replicates_allow(spread, [point.replicates for point in points])


def _state(
    found: Scores,
    fired: Any,
    counted: Any,
    direction: Direction,
    few: bool,
    flips: bool,
    thresholds: Thresholds,
) -> FindingState:
    if counted.any():
        return FindingState.REGRESSION if direction > 0 else FindingState.IMPROVEMENT
    if fired.any():
        return FindingState.WATCH
    if few:
        return FindingState.NOT_ENOUGH_NIGHTS
    near = found.score.max() > thresholds.watch_score
    return FindingState.WATCH if near or flips else FindingState.STEADY


def _cause(series: Values, speaking: Any, tail: int, nights: int) -> tuple[Cause, Direction]:
    if not tail:
        return Cause.NONE, 0
    before = series[:, :-tail][:, -nights:]
    levels = np.median(series[:, -tail:], axis=1) / np.median(before, axis=1) - 1
    baseline, candidate, ratio = (_direction(int(value)) for value in speaking)
    return cause_of(Pattern(baseline, candidate, ratio, float(levels[0]), float(levels[1])))


def _direction(value: int) -> Direction:
    return 1 if value > 0 else -1 if value < 0 else 0


def _flips(series: Values, found: Scores, thresholds: Thresholds) -> str:
    """Which arms' times flip between levels; a ratio that flips alone is no matter of the host."""
    said = []
    for index, arm in enumerate(("baseline", "candidate")):
        if found.flips[index]:
            _, levels = levels_of(series[index], thresholds)
            middle = math.sqrt(levels.min() * levels.max())
            low, high = (levels[side].mean() for side in (levels < middle, levels >= middle))
            said.append(f"{arm}'s time flips between {seconds(low)} and {seconds(high)}")
    return " and ".join(said)


def _age(level: tuple[Point, Point], tonight: Point, change: Change) -> str:
    """How old the level before is, where nights are missing in it or after it."""
    first, last, now = (_date(point) for point in (*level, tonight))
    if first is None or last is None or now is None:
        return ""
    missing = (now - first).days - (change.nights + change.tail - 1)
    if missing < LONG_GAP:
        return ""
    return (
        f"; these nights are of {first:%Y-%m-%d} to {last:%Y-%m-%d}, the last of them "
        f"{(now - last).days} days before tonight"
    )


def _date(point: Point) -> datetime | None:
    try:
        when = datetime.fromisoformat(point.created_at)
    except ValueError:
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _changes(
    series: Values, found: Scores, fired: Any, tail: int, thresholds: Thresholds
) -> list[Change]:
    """Each series by the tail of its own alarm; without one by the tail that speaks, else by
    tonight alone.
    """
    first = series.shape[1] <= FEWEST
    common = found if first else detect_by_tail(series, max(1, tail), thresholds)
    return [
        _change(series_name, found if fired[index] else common, index)
        for index, series_name in enumerate(SERIES)
    ]


def _change(series: Series, found: Scores, index: int) -> Change:
    mean, level = float(found.mean[index]), float(found.level[index])
    return Change(
        series=series,
        level=level,
        mean=mean,
        change=level / mean - 1,
        score=float(found.score[index]),
        tail=int(found.tail[index]),
        nights=int(found.nights[index]),
    )


NAMES = {
    Series.BASELINE: "baseline's time",
    Series.CANDIDATE: "candidate's time",
    Series.RATIO: "ratio of times",
}
# What a cause means for the gain.
MEANING = {
    Cause.BASELINE_IMPROVED: "the candidate's gain is smaller because the baseline got faster",
    Cause.BASELINE_REGRESSED: "the candidate's gain is larger because the baseline got slower",
    Cause.HOST: "both arms moved alike",
    Cause.UNCLEAR: "neither arm's own time explains it",
}


def _reason(
    state: FindingState,
    cause: Cause,
    changes: list[Change],
    loudest: Change,
    confirmed: bool | None,
    least: float,
    thresholds: Thresholds,
    *,
    has_second: bool,
) -> str:
    """The sentence beside the state, for a reader."""
    bound = f"{100 * least:.3g}%"
    few = 100 * least > thresholds.least_change_percent
    first = loudest.nights < FEWEST and few
    parts = ", ".join(f"{NAMES[change.series]} {_percent(change.change)}" for change in changes)
    nights = f"{loudest.nights} night{'s' * (loudest.nights != 1)}"
    against = f"{parts} against the {'median' if first else 'mean'} of {nights}"
    if loudest.tail > 1 and state not in UNMARKED:
        against += f", over the last {loudest.tail}"
    if state is FindingState.STEADY:
        return against
    if state is FindingState.NOT_ENOUGH_NIGHTS:
        within = (
            f"within the fixed bound of {bound}" if abs(loudest.change) <= least else "no alarm"
        )
        return f"{within}; {against}; the detector needs {thresholds.min_nights}"
    if confirmed:
        against += "; a second run the same night says so too"
    elif state is FindingState.WATCH and confirmed is False:
        return f"{against}; a second run the same night does not confirm it"
    elif state is FindingState.WATCH:
        return f"{against}; not enough for an alarm{'' if has_second else ' without a second run'}"
    elif few:
        against += f"; beyond the fixed bound of {bound}"
    meaning = MEANING.get(cause)
    return f"{against}; {meaning}" if meaning else against


def _percent(fraction: float) -> str:
    return f"{100 * fraction:+.1f}%".replace("-", "−")
