"""Histories for a terminal: what the last night came to, then a row of bars per series with its
range, and what changed when. As Markdown: the same as a table.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from operator import itemgetter

from harness.schema.verdict import Finding, FindingState, Verdict
from report.regressions.text import ORDER
from report.regressions.time_series import Course
from report.tables.columns import Column
from report.tables.render import written
from report.tables.table import Document, make_table
from report.text import seconds, signed_percent

# States of which the first line names the pairs, where there are not many.
_NAMED = frozenset({FindingState.REGRESSION, FindingState.MISSING, FindingState.IMPROVEMENT})
FEW = 3
_HEADERS = ("Pair", "Host", "Nights", "Last night", "Baseline", "Candidate", "Ratio", "Changed")
BARS = "▁▂▃▄▅▆▇█"
# of the median, from the lowest bar to the highest: noise alone must not look wild
LEAST_SPAN = 0.02


def as_text(courses: Sequence[Course], width: int = 60, last: Verdict | None = None) -> str:
    """All courses; `width`: nights shown, the newest; `last`: what `check` says of the last
    night.
    """
    if not courses:
        return "no night\n"
    head = [f"{verdict_line(courses, last)}\n"] if last else []
    lines = [
        line
        for course in courses
        for line in (*_lines(course, width, finding_of(course, last)), "")
    ]
    return "\n".join([*head, *lines])


def as_markdown(courses: Sequence[Course], width: int = 60, last: Verdict | None = None) -> str:
    """The verdict and a row per course, as Markdown; arguments as of `as_text`."""
    if not courses:
        return "no night\n"
    rows = [_cells(course, width, finding_of(course, last)) for course in courses]
    columns = [
        Column[Sequence[str]](title, itemgetter(index)) for index, title in enumerate(_HEADERS)
    ]
    head = verdict_line(courses, last) if last else ""
    return written(Document((make_table("history", head, columns, rows, []),), ()), "markdown")


def verdict_line(courses: Sequence[Course], last: Verdict) -> str:
    """What the last night came to: "last night, 2026-11-23 (RUN): 1 regression (tiny-sst2:
    onnxruntime over pytorch), 3 steady".
    """
    shown = {_of_course(course) for course in courses}
    told = [found for found in last.findings if _of_finding(found) in shown]
    words = []
    for state in ORDER:
        of_state = [finding for finding in told if finding.state is state]
        if not of_state:
            continue
        names = [f"{one.workload}: {one.candidate} over {one.baseline}" for one in of_state]
        named = state in _NAMED and len(names) <= FEW
        words.append(f"{len(names)} {state}" + (f" ({'; '.join(names)})" if named else ""))
    what = ", ".join(words) or "none of these pairs is part of it"
    return f"last night, {last.created_at[:10]} ({last.run}): {what}"


def finding_of(course: Course, last: Verdict | None) -> Finding | None:
    """What the verdict on the last night says of a course; None where the night is not part of
    it.
    """
    nights = {*(point.run for point in course.points), *(run for run, _ in course.missing)}
    for found in last.findings if last else ():
        if _of_finding(found) == _of_course(course) and found.run in nights:
            return found
    return None


def _of_course(course: Course) -> tuple[str, str, str, str]:
    pair = course.pair
    return pair.workload, pair.baseline, pair.candidate, course.measure


def _of_finding(found: Finding) -> tuple[str, str, str, str]:
    return found.workload, found.baseline, found.candidate, found.measure


def _series(course: Course, width: int) -> list[tuple[str, list[float], str, str]]:
    """Name, values, the latest and the range of both arms' times and their ratio."""
    points = course.points[-width:]
    if not points:
        return []
    baseline, candidate = [p.baseline_s for p in points], [p.candidate_s for p in points]
    ratios = [c / b for b, c in zip(baseline, candidate, strict=True)]
    found = []
    arms = (course.pair.baseline, course.pair.candidate, "ratio of times")
    writers = (seconds, seconds, _ratio)
    for name, values, write in zip(arms, (baseline, candidate, ratios), writers, strict=True):
        low, high = write(min(values)), write(max(values))
        found.append((name, values, write(values[-1]), f"{low} to {high}"))
    return found


def _ratio(value: float) -> str:
    return f"{value:.4f}"


def _cells(course: Course, width: int, finding: Finding | None) -> list[str]:
    values = [f"{latest} ({within})" for _, _, latest, within in _series(course, width)]
    return [
        course.title,
        course.setting.label,
        str(len(course.points)),
        _state(finding) if finding else "not part of it",
        *(values or [""] * 3),
        "; ".join(change.created_at[:10] for change in course.changes),
    ]


def _state(finding: Finding) -> str:
    return finding.state + (f", {finding.cause}" if finding.cause else "")


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


def _lines(course: Course, width: int, finding: Finding | None = None) -> Iterator[str]:
    yield course.title + (" (end to end)" if course.measure == "end_to_end" else "")
    if finding:
        yield f"  last night: {_state(finding)}; {finding.reason}"
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
        for name, values, latest, within in _series(course, width):
            short = name if len(name) <= 24 else name[:23] + "…"
            several = f" ({within})" if len(values) > 1 else ""
            yield f"  {short:24} {sparkline(values)} {latest}{several}"
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
