"""Histories for a terminal: a row of bars per series, and what changed when."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from report.regressions.time_series import Course
from report.text import seconds, signed_percent

BARS = "▁▂▃▄▅▆▇█"
# of the median, from the lowest bar to the highest: noise alone must not look wild
LEAST_SPAN = 0.02


def as_text(courses: Sequence[Course], width: int = 60) -> str:
    """All courses; `width`: nights shown, the newest."""
    return (
        "\n".join(line for course in courses for line in (*_lines(course, width), ""))
        or "no night\n"
    )


def sparkline(values: Sequence[float]) -> str:
    """A bar per value, from the lowest to the highest (or around the middle, where they hardly
    differ).
    """
    if not values:
        return ""
    middle = (min(values) + max(values)) / 2
    span = max(max(values) - min(values), LEAST_SPAN * abs(statistics.median(values)))
    low = middle - span / 2
    most = len(BARS) - 1
    return "".join(
        BARS[min(most, max(0, round(most * (value - low) / span)))] if span else BARS[0]
        for value in values
    )


def _lines(course: Course, width: int) -> Iterator[str]:
    yield course.title + (" (end to end)" if course.measure == "end_to_end" else "")
    yield f"  host: {course.setting.label}"
    if course.changed:
        yield f"  not compared with earlier nights, for since then {'; '.join(course.changed)}"
    points = course.points[-width:]
    if points:
        count = len(course.points)
        first, last = course.points[0], course.points[-1]
        shown = f", the last {width} shown" if count > width else ""
        yield (
            f"  {count} night{'s' * (count != 1)}, {first.created_at[:10]} to "
            f"{last.created_at[:10]}{shown}"
        )
        baseline, candidate = (
            [getattr(p, key) for p in points] for key in ("baseline_s", "candidate_s")
        )
        ratios = [c / b for b, c in zip(baseline, candidate, strict=True)]
        arms = (course.pair.baseline, course.pair.candidate, "ratio of times")
        names = [name if len(name) <= 24 else name[:23] + "…" for name in arms]
        latest = (seconds(baseline[-1]), seconds(candidate[-1]), f"{ratios[-1]:.4f}")
        for name, values, said in zip(names, (baseline, candidate, ratios), latest, strict=True):
            yield f"  {name:24} {sparkline(values)} {said}"
    for change in course.changes:
        said = (
            f"{course.pair.baseline} {signed_percent(change.baseline_change)}, "
            f"{course.pair.candidate} "
        )
        said += (
            f"{signed_percent(change.candidate_change)}, ratio "
            f"{signed_percent(change.ratio_change)}"
        )
        yield (
            f"  changed on {change.created_at[:10]} ({change.run}): {change.cause or 'unclear'}; "
            f"{said}"
        )
    for entry in course.acknowledged:
        commit = f" ({entry.commit})" if entry.commit else ""
        yield f"  acknowledged from {entry.since:%Y-%m-%d}: {entry.reason}{commit}"
    for run, why in course.missing[-5:]:
        yield f"  no result in {run}: {why}"
    if len(course.missing) > 5:
        yield f"  no result in {len(course.missing) - 5} earlier runs"
