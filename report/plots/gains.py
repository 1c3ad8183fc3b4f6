"""The forest plot: every pair's throughput gain with its 95% interval, or the reason why it has
none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from report.analysis.gains import END_TO_END, STEADY_STATE, Measure
from report.loading.runs import Run
from report.plots.drawing import Drawing
from report.plots.style import (
    COLOURS,
    GREY,
    INK,
    PALE,
    SMALL,
    Look,
    heading,
    listed,
    minus,
    name,
    new_figure,
    style,
    wrapped,
)
from report.tables.columns import has_open_gain
from report.tables.gain_axis import GainAxis, gain_axis, mark_label
from report.tables.gain_rows import gain_rows
from report.tables.gains import PairLabel, pair_label_of
from report.tables.rows import GainRow
from report.text import OPEN, OPEN_NOTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAIRS = 14  # of a figure; more go into a further one on the same scale
ANY = Measure("any time", "any time", lambda job: None)
LOOKS = {
    STEADY_STATE: (COLOURS[0], "o", COLOURS[0]),
    END_TO_END: (COLOURS[1], "s", "white"),
}
FLOOR = "noise floor (A/A), 95%"
ROW, GAP = 1.0, 0.55  # heights of a line and between pairs, in lines
LINE_INCHES = 0.175
REASON_WIDTH = 76  # letters of small print that fit


@dataclass(frozen=True)
class Block:
    """The gains of a pair under its name, and above that its run's name where a new run begins;
    `top` in lines.
    """

    top: float
    run: str
    pair: str
    rows: list[GainRow]

    @property
    def places(self) -> list[float]:
        """Where the rows are, in lines."""
        first = self.top + ROW * (2 if self.run else 1) + 0.5
        return list(itertools.accumulate([first, *map(_lines, self.rows[:-1])]))

    @property
    def bottom(self) -> float:
        return self.places[-1] - 0.5 + _lines(self.rows[-1]) + GAP


@style()
def draw(runs: Sequence[Run], looks: Mapping[str, Look]) -> list[Drawing]:
    """Throughput gains of all pairs of `runs`, in percent, on one scale; steady state and end to
    end.
    """
    rows = [row for run in runs for row in gain_rows(run)]
    title = "Throughput gains"
    if not rows:
        return [Drawing((), title, "Left out: no run declares a pair.")]
    pairs = _by_pair(rows)
    axis = gain_axis(rows)
    label = pair_label_of(runs)
    chunks = [pairs[begin : begin + PAIRS] for begin in range(0, len(pairs), PAIRS)]
    drawings = []
    for number, chunk in enumerate(chunks, start=1):
        of = f" ({number} of {len(chunks)})" if len(chunks) > 1 else ""
        drawings.append(_figure(runs, chunk, axis, label, title + of, str(number) if of else ""))
    return drawings


def _by_pair(rows: Iterable[GainRow]) -> list[list[GainRow]]:
    """The rows of each pair, the steady state first."""
    groups = itertools.groupby(
        rows, lambda row: (row.run, row.workload, row.baseline, row.candidate)
    )
    return [
        _merged(sorted(pair, key=lambda row: row.measure is not STEADY_STATE)) for _, pair in groups
    ]


def _merged(rows: list[GainRow]) -> list[GainRow]:
    """A reason that is the same for all measures is said once."""
    if len(rows) == 1 or any(
        _value(row) is not None or row.outcome != rows[0].outcome for row in rows
    ):
        return rows
    return [replace(rows[0], measure=ANY)]


def _blocks(pairs: Iterable[list[GainRow]], label: PairLabel, several: bool) -> list[Block]:
    """Where everything is; runs are named where there are `several`."""
    blocks: list[Block] = []
    previous, top = None, 0.0
    for rows in pairs:
        first = rows[0]
        candidate, baseline = label.arms(first)
        arms = f"{name(candidate, 28)} over {name(baseline, 28)}"
        pair = f"{name(first.workload, 36)}: {arms}" + (" (A/A)" if first.a_a else "")
        run = name(first.run, 50) if several and first.run != previous else ""
        blocks.append(Block(top, run, pair, rows))
        previous, top = first.run, blocks[-1].bottom
    return blocks


def _figure(
    runs: Sequence[Run],
    pairs: Sequence[list[GainRow]],
    axis: GainAxis,
    label: PairLabel,
    title: str,
    part: str,
) -> Drawing:
    shown = [row for rows in pairs for row in rows]
    names = {row.run for row in shown}
    of_runs = [run for run in runs if run.info.run in names]
    limits = (100 * axis.ends[0], 100 * axis.ends[1])
    blocks = _blocks(pairs, label, several=len(runs) > 1)
    figure = new_figure(0.95 + LINE_INCHES * blocks[-1].bottom)
    axes = figure.subplots()
    axes.set_xscale("function", functions=(_to_log, _from_log))
    axes.set_xticks(
        [100 * mark for mark in axis.marks], [mark_label(mark) for mark in axis.marks], minor=False
    )
    axes.set_xlim(*limits)
    axes.set_ylim(blocks[-1].bottom, -0.4)
    axes.axvline(0, color=INK, linewidth=0.9, label="_zero")
    for block in blocks:
        if block.run:
            _say(axes, block.top + 0.45, block.run, fontweight="bold", fontsize=8)
        _say(axes, block.places[0] - ROW, block.pair, fontsize=7.5)
        for row, y in zip(block.rows, block.places, strict=True):
            _draw_row(axes, row, y, limits)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.grid(True)
    axes.set_xlabel("throughput gain of the candidate with its 95% interval", loc="left")
    _legend(axes, shown)
    heading(figure, title, of_runs)
    of = (of_runs[0].info.run if len(runs) == 1 else "of-runs", part)
    return Drawing(of, title, _caption(shown, limits), _alt(shown, label), figure)


def _lines(row: GainRow) -> float:
    return ROW * (1 if _value(row) is not None else 1 + _reason(row).count("\n"))


def _draw_row(axes: Axes, row: GainRow, y: float, limits: tuple[float, float]) -> None:
    """Marker, interval and numbers of one gain, on the noise floor's band; or why there is none."""
    measure = row.measure.key
    value, low, high = _gain(row)
    if value is None:
        middle = y + (_lines(row) - ROW) / 2
        _say(
            axes,
            middle,
            _reason(row),
            fontsize=SMALL,
            color=GREY,
            style="italic",
            gid=f"{measure} reason",
        )
        return
    colour, marker, fill = LOOKS[row.measure]
    floor = (
        _percent(row.noise_floor_throughput_gain_low),
        _percent(row.noise_floor_throughput_gain_high),
    )
    if floor[0] is not None and floor[1] is not None:
        axes.barh(
            y,
            floor[1] - floor[0],
            left=floor[0],
            height=0.9,
            color=PALE,
            hatch="////",
            edgecolor="#bbbbbb",
            lw=0,
        )
    left, right = limits
    if low is not None and high is not None:
        ends = max(low, left), min(high, right)
        axes.plot(
            ends,
            (y, y),
            color=colour,
            linewidth=1.4,
            label=f"_{measure} interval",
            solid_capstyle="butt",
        )
        for end, beyond, arrow in ((ends[0], low < left, "<"), (ends[1], high > right, ">")):
            axes.plot(
                end,
                y,
                marker=arrow if beyond else "|",
                color=colour,
                markersize=5 if beyond else 7,
                clip_on=False,
            )
    axes.plot(
        value,
        y,
        marker=marker,
        color=colour,
        markerfacecolor=fill,
        markersize=4.2,
        label=f"_{measure}",
        linestyle="",
    )
    axes.annotate(
        _numbers(row),
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        fontsize=SMALL,
    )


def _say(axes: Axes, y: float, text: str, **how: object) -> None:
    """Text from the left edge on, over the whole width, legible where it crosses a line."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    where = axes.get_yaxis_transform()
    axes.text(0, y, text, transform=where, va="center", bbox=box, **how)  # type: ignore[arg-type]


def _legend(axes: Axes, rows: Sequence[GainRow]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[tuple[object, str]] = []
    for measure, (colour, marker, fill) in LOOKS.items():
        if any(row.measure is measure and _value(row) is not None for row in rows):
            entries.append(
                (
                    Line2D([], [], color=colour, marker=marker, markerfacecolor=fill, markersize=5),
                    measure.label,
                )
            )
    if any(row.noise_floor for row in rows):
        entries.append(
            (Patch(facecolor=PALE, hatch="////", edgecolor="#bbbbbb", linewidth=0), FLOOR)
        )
    if entries:
        axes.legend(
            *zip(*entries, strict=True),
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=3,
            borderaxespad=0.2,
        )


def _numbers(row: GainRow) -> str:
    value, low, high = _gain(row)
    count = "n not published" if row.n is None else f"n = {row.n}"
    if has_open_gain(row.throughput_gain):
        return minus(f"{value:+z.1f} ({OPEN}), {count}")
    if low is not None and high is not None and (row.a_a or low <= 0 <= high):
        # The middle of an interval that does not tell the gain from 0 is no finding.
        return minus(f"{low:+z.1f} to {high:+z.1f}, {count}")
    interval = "" if low is None or high is None else f" ({low:z.1f} to {high:z.1f})"
    return minus(f"{value:+z.1f}{interval}, {count}")


def _reason(row: GainRow) -> str:
    measure = f"{row.measure.label}: " if row.measure is not ANY else ""
    return wrapped(f"{measure}no gain: {row.outcome}", REASON_WIDTH, lines=3)


def _value(row: GainRow) -> float | None:
    return _gain(row)[0]


def _gain(row: GainRow) -> tuple[float | None, float | None, float | None]:
    """The throughput gain and the ends of its interval, in percent."""
    gain = row.throughput_gain
    return _percent(gain.value), _percent(gain.low), _percent(gain.high)


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else fraction * 100


def _to_log(percent: Any) -> Any:
    """The logarithm of the ratio of throughputs, of gains in percent; −100% has none."""
    import numpy as np

    return np.log1p(np.maximum(np.asarray(percent, dtype=np.float64) / 100, -1 + 1e-12))


def _from_log(log_ratio: Any) -> Any:
    import numpy as np

    return 100 * np.expm1(log_ratio)


def _caption(rows: Sequence[GainRow], limits: tuple[float, float]) -> str:
    said = (
        "Gain in samples per second of the candidate over the baseline, with its 95% interval over "
        "replicates, on a logarithmic scale"
    )
    said += (
        "; right of zero the candidate is faster."
        if any(_value(row) is not None for row in rows)
        else "."
    )
    if any(row.noise_floor for row in rows):
        said += " Hatched: the noise floor, what identical arms differ by on the same host."
    if any(_value(row) is not None and row.n is None for row in rows):
        said += " Published gains have no interval."
    ends = [end for row in rows for end in _gain(row)[1:]]
    if any(end is not None and not limits[0] <= end <= limits[1] for end in ends):
        said += " An arrow: the interval goes on beyond the axis."
    if any(has_open_gain(row.throughput_gain) for row in rows):
        said += f" {OPEN_NOTE.capitalize()}."
    return said


def _alt(rows: Sequence[GainRow], label: PairLabel) -> str:
    said = [
        f"{row.workload}, {label(row)}, "
        f"{row.measure.label}: " + (_numbers(row) if _value(row) is not None else "no gain")
        for row in rows
    ]
    return f"Forest plot of throughput gains in percent. {listed(said)}."
