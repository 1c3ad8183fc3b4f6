"""A pair's history as a picture: both arms' times and their ratio over nights, what changed and
what was accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BenchError
from report.loading.runs import Run
from report.plots.drawing import Drawing
from report.plots.style import (
    GREY,
    INK,
    SMALL,
    Look,
    entry,
    legend_above,
    look,
    minus,
    name,
    new_figure,
    save,
    slug,
    style,
)
from report.regressions.check import Rules
from report.regressions.time_series import Course, courses_of
from report.text import seconds, signed_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHANGED, ACCEPTED = "#CC79A7", "#009E73"  # of Okabe and Ito's colours
LEAST_SPAN = 0.04  # of a panel's middle: noise alone must not look wild
MARGIN = 0.12
# What a time is of, by measure; of all others a step.
TIMED = {"end_to_end": "job", "inference": "batch"}
MOST_MARKS, MOST_LETTERS = 8, 72  # lines of text below, and their length


def draw(
    runs: Sequence[Run], looks: Mapping[str, Look] | None = None, rules: Rules | None = None
) -> list[Drawing]:
    """A figure per pair and comparable host that has two nights or more: the interface of
    report.plots.
    """
    courses = courses_of(runs, rules or Rules())
    return [drawing_of(course, looks) for course in courses if len(course.points) > 1]


def write(courses: Sequence[Course], out: Path) -> list[Path]:
    """Draw every course of two nights or more as OUT/NAME.svg. BenchError: `out` cannot be
    written.
    """
    paths: list[Path] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for course in courses:
            if len(course.points) > 1:
                drawing = drawing_of(course)
                stem, number = slug("history", *drawing.of), 1
                while (path := out / f"{stem if number == 1 else f'{stem}-{number}'}.svg") in paths:
                    number += 1
                if drawing.figure is not None:
                    save(drawing.figure, path)
                paths.append(path)
    except OSError as error:
        raise BenchError(
            f"cannot be written: {error.strerror}", place=str(out), fix="name another folder"
        ) from None
    return paths


def drawing_of(course: Course, looks: Mapping[str, Look] | None = None) -> Drawing:
    """The figure of one course with what is said of it. `course` must have a night."""
    pair = course.pair
    baseline, candidate = (_label(arm, looks) for arm in (pair.baseline, pair.candidate))
    timed = TIMED.get(course.measure, "step")
    caption = (
        f"Mean time of a {timed} of both {'engines' if timed == 'batch' else 'arms'} and "
        "their ratio "
        "(below 1: the candidate is faster) of each night on one comparable host. Vertical lines: "
        "the level changed (dashed), or a change is accepted from here on (dotted). A scale need "
        "not begin at 0."
    )
    said = [
        f"from {change.created_at[:10]} on {change.cause or 'unclear'} (ratio "
        f"{signed_percent(change.ratio_change)})"
        for change in course.changes
    ]
    last = course.points[-1]
    alt = (
        f"{len(course.points)} nights, {course.points[0].created_at[:10]} to "
        f"{last.created_at[:10]}; the last one "
        f"{baseline} {seconds(last.baseline_s)}, {candidate} "
        f"{seconds(last.candidate_s)}. "
        f"Changes: {'; '.join(said) or 'none'}."
    )
    title = f"History: {name(_title(course, looks), 70)}"
    of = (pair.workload, pair.candidate, "over", pair.baseline, course.points[0].run)
    return Drawing(of, title, caption, alt, history_figure(course, looks))


@style()
def history_figure(course: Course, looks: Mapping[str, Look] | None = None) -> Figure:
    """Two panels over dates: times in ms (or s), and the ratio. The same course gives the same
    figure.
    """
    marks = min(len(course.changes) + len(course.acknowledged), MOST_MARKS + 1)
    figure = new_figure(3.9 + 0.14 * marks)
    times, ratio = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    dates = [_date(point.created_at) for point in course.points]
    unit, factor = ("s", 1.0) if course.points[-1].baseline_s >= 1 else ("ms", 1000.0)
    arms = ((course.pair.baseline, "baseline_s"), (course.pair.candidate, "candidate_s"))
    entries: list[tuple[Any, str]] = []
    everything: list[float] = []
    for place, (arm, key) in enumerate(arms):
        values = [factor * getattr(point, key) for point in course.points]
        looked = looks[arm] if looks and arm in looks else look(place, arm)
        entries.append((_line(times, dates, values, looked), entry(looked.label)))
        everything += values
    times.set_ylabel(f"{TIMED.get(course.measure, 'step')} ({unit})")
    _scale(times, everything)
    ratios = [point.candidate_s / point.baseline_s for point in course.points]
    _line(ratio, dates, ratios, Look(INK, "-", "o", ""))
    _scale(ratio, ratios)
    ratio.set_ylabel("candidate /\nbaseline")
    legend_above(times, "", entries)
    ratio.set_xlabel(
        "\n".join(_marks(course, (times, ratio))), loc="left", fontsize=SMALL, linespacing=1.4
    )
    for axes in (times, ratio):
        axes.yaxis.grid(True)
    _date_axis(ratio, dates)
    _heading(figure, course, _title(course, looks))
    return figure


def _label(arm: str, looks: Mapping[str, Look] | None) -> str:
    """What tables call an arm."""
    return (looks[arm].label if looks and arm in looks else "") or arm


def _title(course: Course, looks: Mapping[str, Look] | None) -> str:
    """The course's heading, with the arms as tables call them."""
    if course.measure == "inference":
        return course.heading
    pair = course.pair
    return f"{pair.workload}: {_label(pair.candidate, looks)} over {_label(pair.baseline, looks)}"


def _line(axes: Axes, dates: Sequence[float], values: Sequence[float], looked: Look) -> Any:
    size = 3.2 if len(values) <= 60 else 1.6
    (line,) = axes.plot(
        dates,
        values,
        color=looked.colour,
        marker=looked.marker,
        markersize=size,
        linewidth=0.9,
        linestyle=looked.line,
    )
    return line


def _scale(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    span = max(high - low, LEAST_SPAN * (high + low) / 2)
    middle = (high + low) / 2
    axes.set_ylim(middle - span * (0.5 + MARGIN), middle + span * (0.5 + MARGIN))


def _marks(course: Course, panels: Sequence[Axes]) -> list[str]:
    """Numbered lines where the level changed and from when on a change is accepted; a line of text
    for each.
    """
    marks = [
        (
            _date(change.created_at),
            CHANGED,
            f"{change.cause or 'unclear'}, ratio {minus(signed_percent(change.ratio_change))}",
        )
        for change in course.changes
    ]
    marks += [
        (_date(accepted.since), ACCEPTED, f"accepted: {accepted.reason}")
        for accepted in course.acknowledged
    ]
    said = []
    for number, (date, colour, what) in enumerate(sorted(marks), start=1):
        for axes in panels:
            axes.axvline(
                date,
                color=colour,
                linewidth=1.1,
                linestyle=(0, (4, 2)) if colour == CHANGED else ":",
            )
        panels[0].annotate(
            str(number),
            (date, 1),
            xycoords=("data", "axes fraction"),
            xytext=(2, -1),
            textcoords="offset points",
            va="top",
            fontsize=SMALL,
            color=INK,
        )
        said.append(name(f"{number}  {_day(date)}: {what}", MOST_LETTERS))
    return (
        said
        if len(said) <= MOST_MARKS
        else [f"{len(said) - MOST_MARKS} changes before", *said[-MOST_MARKS:]]
    )


def _day(date: float) -> str:
    from matplotlib.dates import num2date

    return f"{num2date(date):%Y-%m-%d}"  # type: ignore[no-untyped-call]


def _date_axis(axes: Axes, dates: Sequence[float]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    span = (dates[-1] - dates[0]) * 0.03
    axes.set_xlim(dates[0] - span, dates[-1] + span * 3)


def _heading(figure: Figure, course: Course, title: str) -> None:
    figure.suptitle(f"{name(title, 60)}\n", x=0.012, ha="left", linespacing=1.3)
    below = 1 - 0.2 / float(figure.get_size_inches()[1])
    said = f"{len(course.points)} nights; {course.setting.label}"
    figure.text(0.012, below, name(said, 76), va="top", fontsize=SMALL, color=GREY)


def _date(when: str | datetime) -> float:
    from matplotlib.dates import date2num

    moment = datetime.fromisoformat(when) if isinstance(when, str) else when
    return float(date2num(moment))  # type: ignore[no-untyped-call]
