"""Training samples per second in the steady state, by workload and arm, with the interval over
replicates.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from report.analysis.metrics import STEADY_SAMPLES_PER_S as RATE
from report.loading.runs import Run
from report.plots.drawing import Drawing
from report.plots.style import (
    GREY,
    INK,
    SMALL,
    Look,
    heading,
    listed,
    name,
    new_figure,
    style,
    wrapped,
)
from report.tables.arm_rows import arm_rows
from report.tables.columns import decimals, has_open_ratio
from report.tables.rows import ArmRow
from report.text import OPEN, OPEN_NOTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ARMS = 18  # of a figure, about; more workloads go into a further one


@style()
def draw(runs: Sequence[Run], looks: Mapping[str, Look]) -> list[Drawing]:
    """A figure per run (or more, if it has many arms) with a panel per workload, whose scales
    differ.
    """
    return [drawing for run in runs for drawing in _of_run(run, looks)]


def _of_run(run: Run, looks: Mapping[str, Look]) -> list[Drawing]:
    title = "Steady throughput"
    rows = [row for row in arm_rows(run, (RATE,), (RATE,)) if row.source == "measured"]
    if not any(row.figure(RATE).value for row in rows):
        why = "no job has one" if rows else "publications have none"
        return [Drawing((run.info.run,), title, f"Left out: no steady state; {why}.")]
    chunks: list[dict[str, list[ArmRow]]] = [{}]
    for workload, of_workload in itertools.groupby(rows, lambda row: row.workload):
        found = list(of_workload)
        if chunks[-1] and sum(map(len, chunks[-1].values())) + len(found) > ARMS:
            chunks.append({})
        chunks[-1][workload] = found
    parts = [
        f" ({number} of {len(chunks)})" if chunks[1:] else ""
        for number in range(1, len(chunks) + 1)
    ]
    return [
        _figure(run, chunk, looks, title + part, part.strip(" ()").replace(" ", "-"))
        for chunk, part in zip(chunks, parts, strict=True)
    ]


def _figure(
    run: Run, panels: Mapping[str, list[ArmRow]], looks: Mapping[str, Look], title: str, part: str
) -> Drawing:
    sizes = [len(rows) for rows in panels.values()]
    figure = new_figure(0.7 + sum(0.42 + 0.3 * size for size in sizes))
    grid = figure.subplots(
        len(panels), 1, squeeze=False, height_ratios=[0.4 + size for size in sizes]
    )[:, 0]
    for axes, (workload, rows) in zip(grid, panels.items(), strict=True):
        _panel(axes, workload, rows, looks)
    grid[-1].set_xlabel("training samples per second")
    heading(figure, title, [run])
    everything = [row for rows in panels.values() for row in rows]
    caption = (
        "Samples per second after the warm-up, mean over replicates; the line is its 95% interval. "
    )
    caption += (
        "Scales begin at 0 and differ between workloads."
        if len(panels) > 1
        else "The scale begins at 0."
    )
    if any(has_open_ratio(row.figure(RATE)) for row in everything):
        caption += f" {OPEN_NOTE.capitalize()}."
    said = [f"{row.workload}, {looks[row.arm].label}: {_numbers(row)}" for row in everything]
    alt = f"Bars of steady training samples per second. {listed(said)}."
    return Drawing((run.info.run, part), title, caption, alt, figure)


def _panel(axes: Axes, workload: str, rows: Sequence[ArmRow], looks: Mapping[str, Look]) -> None:
    figures = [row.figure(RATE) for row in rows]
    # An open interval is told in words: its line would leave nothing of the bars.
    highs = [None if has_open_ratio(figure) else figure.high for figure in figures]
    most = max(end or 0.0 for end in [*(figure.value for figure in figures), *highs])
    for place, (row, figure) in enumerate(zip(rows, figures, strict=True)):
        value, low, high = figure.value, figure.low, highs[place]
        look = looks[row.arm]
        if value is not None:
            axes.barh(
                place,
                value,
                height=0.62,
                color=look.colour,
                hatch=look.hatch,
                edgecolor="white",
                linewidth=0,
            )
        if value is not None and low is not None and high is not None:
            # An interval of few replicates may reach below 0, which no rate does.
            axes.errorbar(
                value,
                place,
                xerr=[[value - max(low, 0.0)], [high - value]],
                color=INK,
                capsize=2.5,
                linewidth=1.1,
            )
        at = max(value or 0.0, high or 0.0)
        axes.annotate(
            _numbers(row),
            (at, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=INK if value is not None else GREY,
        )
    axes.set_yticks(range(len(rows)), [wrapped(looks[row.arm].label, 18) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1.5 * (most or 1.0))  # the numbers stand behind the bars
    axes.tick_params(axis="y", length=0)
    axes.xaxis.grid(True)
    axes.set_title(name(workload, 60))


def _numbers(row: ArmRow) -> str:
    figure = row.figure(RATE)
    value, low, high = figure.value, figure.low, figure.high
    if value is None:
        return wrapped(str(row.outcome), 44)
    digits = decimals(value)
    if has_open_ratio(figure):
        return f"{value:.{digits}f} ({OPEN}), n = {row.n}"
    half = f" ± {(high - low) / 2:.{digits}f}" if low is not None and high is not None else ""
    return f"{value:.{digits}f}{half}, n = {row.n}"
