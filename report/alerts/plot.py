"""The history of a finding as a small picture: SVG and PNG by matplotlib, Mermaid for Markdown,
bars of text.

All show the same: the times of both arms, per step (of inference: per batch), in percent of the
level before, so that a look tells which arm moved.
"""

from __future__ import annotations

import io
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.schema.verdict import Finding

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NIGHTS = 60
MOST_BARS = 40
BARS = "▁▂▃▄▅▆▇█"
LEAST_SPAN = 4.0  # percentage points: a steady series does not look wild
CANDIDATE, BASELINE = "#D55E00", "#0072B2"  # of Okabe and Ito's colours
MERMAID = {
    "xyChart": {"width": 640, "height": 280},
    "themeVariables": {"xyChart": {"plotColorPalette": f"{CANDIDATE}, {BASELINE}"}},
}


@dataclass(frozen=True)
class PlottedCourse:
    """Percent above the level before, per night, oldest first; `tail` is the index of the first
    night of the change.
    """

    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    tail: int | None
    dates: tuple[str, ...]
    timed: str = "step time"


def course_of(finding: Finding, since: str) -> PlottedCourse | None:
    """The finding's history against the median of the nights before `since`; None with fewer than
    two nights.
    """
    points = [
        point
        for point in finding.history[-MOST_NIGHTS:]
        if point.baseline_s > 0 and point.candidate_s > 0
    ]
    if len(points) < 2:
        return None
    tail = next((index for index, point in enumerate(points) if point.run == since), None)
    before = points[:tail] or points[:1]

    def percent(values: Sequence[float], level: float) -> tuple[float, ...]:
        return tuple(100 * (value / level - 1) for value in values)

    return PlottedCourse(
        percent(
            [point.baseline_s for point in points],
            statistics.median(point.baseline_s for point in before),
        ),
        percent(
            [point.candidate_s for point in points],
            statistics.median(point.candidate_s for point in before),
        ),
        tail,
        tuple(point.created_at[:10] for point in points),
        "batch time" if finding.measure == "inference" else "step time",
    )


def bars(course: PlottedCourse) -> tuple[str, str]:
    """Candidate and baseline as bars of text, on one scale; the newest nights, newest last."""
    shown = [values[-MOST_BARS:] for values in (course.candidate, course.baseline)]
    low = min(min(values) for values in shown)
    span = max(LEAST_SPAN, max(max(values) for values in shown) - low)
    step = span / len(BARS)
    candidate, baseline = (
        "".join(BARS[min(len(BARS) - 1, int((value - low) / step))] for value in values)
        for values in shown
    )
    return candidate, baseline


def mermaid(course: PlottedCourse) -> str:
    """A chart that GitHub draws in issues, comments and job summaries. No name is in it, so nothing
    has to be escaped.

    Source: mermaid's xychart-beta, in GitHub since its version 10.6; it has no legend, so the text
    names the colours.
    """
    both = [*course.candidate, *course.baseline]
    low, high = min([-1.0, *both]), max([1.0, *both])
    return "\n".join(
        [
            f"%%{{init: {json.dumps(MERMAID)}}}%%",
            "xychart-beta",
            f'    x-axis "night" 1 --> {len(course.candidate)}',
            f'    y-axis "{course.timed} against before, %" {low - 0.5:.1f} --> {high + 0.5:.1f}',
            f"    line [{', '.join(f'{value:.2f}' for value in course.candidate)}]",
            f"    line [{', '.join(f'{value:.2f}' for value in course.baseline)}]",
        ]
    )


def figure_of(finding: Finding, course: PlottedCourse) -> Figure:
    """The picture."""
    from report.plots.style import GREY, PALE, entry, name, new_figure, style

    with style():
        figure = new_figure(2.1)
        axes = figure.add_subplot()
        nights = range(1, len(course.dates) + 1)
        axes.axhline(0, color=PALE, linewidth=1)
        axes.plot(nights, course.baseline, "s--", color=BASELINE, markersize=2.4, linewidth=0.9,
                  label=entry(finding.baseline))  # fmt: skip
        axes.plot(nights, course.candidate, "o-", color=CANDIDATE, markersize=2.8, linewidth=1.1,
                  label=entry(finding.candidate))  # fmt: skip
        if course.tail:
            axes.axvline(course.tail + 0.5, color=GREY, linestyle=":", linewidth=1)
        low, high = axes.get_ylim()
        if high - low < LEAST_SPAN:
            middle = (low + high) / 2
            axes.set_ylim(middle - LEAST_SPAN / 2, middle + LEAST_SPAN / 2)
        marks = sorted({0, len(nights) // 2, len(nights) - 1})
        axes.set_xticks([mark + 1 for mark in marks], [course.dates[mark] for mark in marks])
        axes.set_ylabel(f"{course.timed} against\nthe level before, %")
        axes.set_title(name(finding.workload, 60))
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def svg(finding: Finding, course: PlottedCourse) -> str:
    """The picture as an `<svg>` element; the same finding gives the same text."""
    from report.plots.style import to_svg

    return to_svg(figure_of(finding, course))


def png(finding: Finding, course: PlottedCourse) -> bytes:
    """The picture as PNG; the same finding gives the same bytes."""
    from report.plots.style import style

    content = io.BytesIO()
    with style():
        figure_of(finding, course).savefig(
            content, format="png", dpi=160, metadata={"Software": None}
        )
    return content.getvalue()
