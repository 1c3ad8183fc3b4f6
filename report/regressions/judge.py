"""One pair's night against the nights before it: its state, the evidence, the cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.schema.verdict import Cause, Change, FindingState, Point, Series
from report.regressions.cause import Direction, Pattern, cause_of
from report.regressions.detector import Scores, Values, again_score, detect, detect_by_tail
from report.regressions.thresholds import Thresholds

SERIES: tuple[Series, ...] = tuple(Series)
UNMARKED = (FindingState.STEADY, FindingState.NOT_ENOUGH_NIGHTS)  # no series speaks


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
    """

    state: FindingState
    cause: Cause
    reason: str
    changes: list[Change]
    tail: int
    alarm: bool
    confirmed: bool | None


def series_of(points: Sequence[Point]) -> Values:
    """The series of SERIES, an array (3, nights): seconds, seconds, candidate's over baseline's."""
    times = np.array(
        [[point.baseline_s, point.candidate_s] for point in points], dtype=np.float64
    ).T
    return np.vstack([times, times[1] / times[0]])


def judge(points: Sequence[Point], thresholds: Thresholds, again: Point | None = None) -> Judgement:
    """Judge the last night of a pair by the nights before it.

    Args:
        points: Comparable nights, oldest first; two at least.
        thresholds: Of the detector.
        again: The last night's second run; without one an alarm must be loud enough to stand alone.
    """
    series = series_of(points)
    found = detect(series, thresholds)
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
    cause, direction = _cause(series, speaking, tail, thresholds)
    state = _state(found, fired, counted, direction, few, thresholds)
    if state in UNMARKED:
        cause, tail = Cause.NONE, 0
    changes = _changes(series, found, fired, tail, thresholds)
    reason = _reason(
        state, cause, changes, changes[loudest], confirmed, thresholds, has_second=again is not None
    )
    return Judgement(state, cause, reason, changes, tail, bool(fired.any()), confirmed)


def _state(
    found: Scores, fired: Any, counted: Any, direction: Direction, few: bool, thresholds: Thresholds
) -> FindingState:
    if counted.any():
        return FindingState.REGRESSION if direction > 0 else FindingState.IMPROVEMENT
    if fired.any():
        return FindingState.WATCH
    if few:
        return FindingState.NOT_ENOUGH_NIGHTS
    near = found.score.max() > thresholds.watch_score
    return FindingState.WATCH if near else FindingState.STEADY


def _cause(
    series: Values, speaking: Any, tail: int, thresholds: Thresholds
) -> tuple[Cause, Direction]:
    if not tail:
        return Cause.NONE, 0
    before = series[:, :-tail][:, -thresholds.baseline_nights :]
    levels = np.median(series[:, -tail:], axis=1) / np.median(before, axis=1) - 1
    baseline, candidate, ratio = (_direction(int(value)) for value in speaking)
    return cause_of(Pattern(baseline, candidate, ratio, float(levels[0]), float(levels[1])))


def _direction(value: int) -> Direction:
    return 1 if value > 0 else -1 if value < 0 else 0


def _changes(
    series: Values, found: Scores, fired: Any, tail: int, thresholds: Thresholds
) -> list[Change]:
    """Each series by the tail of its own alarm; without one by the tail that speaks, else by
    tonight alone.
    """
    few = series.shape[1] - 1 < thresholds.min_nights
    common = found if few else detect_by_tail(series, max(1, tail), thresholds)
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
    thresholds: Thresholds,
    *,
    has_second: bool,
) -> str:
    """The sentence beside the state, for a reader."""
    few = loudest.nights < thresholds.min_nights
    parts = ", ".join(f"{NAMES[change.series]} {_percent(change.change)}" for change in changes)
    nights = f"{loudest.nights} night{'s' * (loudest.nights != 1)}"
    against = f"{parts} against the {'median' if few else 'mean'} of {nights}"
    if loudest.tail > 1 and state not in UNMARKED:
        against += f", over the last {loudest.tail}"
    if state is FindingState.STEADY:
        return against
    if state is FindingState.NOT_ENOUGH_NIGHTS:
        bound = f"{thresholds.fixed_bound_percent:g}%"
        return (
            f"within the fixed bound of {bound}; {against}; the detector needs "
            f"{thresholds.min_nights}"
        )
    if confirmed:
        against += "; a second run the same night says so too"
    elif state is FindingState.WATCH and confirmed is False:
        return f"{against}; a second run the same night does not confirm it"
    elif state is FindingState.WATCH:
        return f"{against}; not enough for an alarm{'' if has_second else ' without a second run'}"
    elif few:
        against += f"; beyond the fixed bound of {thresholds.fixed_bound_percent:g}%"
    meaning = MEANING.get(cause)
    return f"{against}; {meaning}" if meaning else against


def _percent(fraction: float) -> str:
    return f"{100 * fraction:+.1f}%".replace("-", "−")
