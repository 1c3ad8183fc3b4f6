"""Timelines of a job of every arm: the card's utilization, power, memory and clock, or CPU share
and resident set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.schema.record import JobRecord
from report.analysis.replicates import names_of
from report.loading.runs import Run
from report.loading.series import Files
from report.plots.drawing import Drawing, by_workload, left_out
from report.plots.style import GREY, Look, heading, listed, name, new_figure, style, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from report.loading.series import Values

ARMS = 3  # side by side; more go into a further figure
POINTS = 400  # of a line; longer ones are means of this many stretches
NS, GIB = 1e9, 2**30


@dataclass(frozen=True)
class Quantity:
    """A row of panels: a column of the series, what it is and in which unit, and how a value is
    made one of it.
    """

    column: str
    label: str
    scale: float = 1.0


GPU = (
    Quantity("utilization_gpu", "GPU use\n%"),
    Quantity("power_w", "power\nW"),
    Quantity("memory_used_bytes", "memory\nGiB", 1 / GIB),
    Quantity("sm_clock_mhz", "SM clock\nMHz"),
)
CPU = (Quantity("job_cpu_s", "CPU\n% of cores"), Quantity("job_rss_bytes", "RSS\nGiB", 1 / GIB))
Line = tuple["Values", "Values"]  # seconds, values


@dataclass(frozen=True)
class Timeline:
    """What is drawn of a job: its lines by quantity (one per card), and the steady window, all in
    seconds.
    """

    job: JobRecord
    lines: dict[Quantity, list[Line]]
    window: tuple[float, float] | None


@style()
def draw(runs: Sequence[Run], looks: Mapping[str, Look]) -> list[Drawing]:
    """A figure per workload of every run (more, if it has many arms): the first replicate that
    counts of every arm.
    """
    drawings = []
    for run in runs:
        for workload, jobs in by_workload(run).items():
            if any(jobs.values()):
                drawings += _of_workload(run, workload, jobs, looks)
    return drawings or [Drawing((), "Telemetry", "Left out: no replicate counts.")]


def timeline(run: Run, job: JobRecord, files: Files) -> Timeline | None:
    """A job's telemetry; None where it has no readable series, or one without a tick."""
    series = job.telemetry.series if job.telemetry else None
    columns = [quantity.column for quantity in (*GPU, *CPU)]
    table = files.read(run, series, ["t_ns", "gpu", *columns])
    if table is None or not len(table["t_ns"]):
        return None
    begin = table["t_ns"].min()
    seconds, of_host = (table["t_ns"] - begin) / NS, table["gpu"] != table["gpu"]
    cards = sorted(set(table["gpu"][~of_host]))
    lines: dict[Quantity, list[Line]] = {}
    if cards:
        for quantity in GPU:
            of_cards = [table["gpu"] == card for card in cards]
            lines[quantity] = [
                (seconds[of], table[quantity.column][of] * quantity.scale) for of in of_cards
            ]
    else:
        busy, rss = (table[quantity.column][of_host] for quantity in CPU)
        cores = job.telemetry.cores if job.telemetry and job.telemetry.cores else 1
        lines = {
            CPU[0]: [_rate(seconds[of_host], busy, 100 / cores)],
            CPU[1]: [(seconds[of_host], rss * CPU[1].scale)],
        }
    steady = job.timing.steady_begin_ns, job.timing.steady_end_ns
    window = (
        None
        if steady[0] is None or steady[1] is None
        else _seconds(steady[0], steady[1], int(begin))
    )
    return Timeline(
        job, {of: [_thinned(*line) for line in found] for of, found in lines.items()}, window
    )


def _of_workload(
    run: Run, workload: str, jobs: Mapping[str, Sequence[JobRecord]], looks: Mapping[str, Look]
) -> list[Drawing]:
    title = f"Telemetry: {name(workload)}"
    files = Files()
    timelines: list[Timeline] = []
    for of_arm in jobs.values():
        found = (timeline(run, job, files) for job in of_arm)
        timelines += [first] if (first := next((each for each in found if each), None)) else []
    if not timelines:
        everything = [job for of_arm in jobs.values() for job in of_arm]
        return [left_out(run, workload, title, "telemetry series", everything, files)]
    # A host's quantities come first only where no card was seen, so a figure holds one kind of
    # panels.
    chunks = [timelines[begin : begin + ARMS] for begin in range(0, len(timelines), ARMS)]
    problems = files.take()
    drawings = []
    for number, chunk in enumerate(chunks, start=1):
        part = f"{number} of {len(chunks)}" if len(chunks) > 1 else ""
        of = (workload, part)
        said = f"{title} ({part})" if part else title
        drawings.append(_figure(run, of, said, chunk, looks, problems if number == 1 else ()))
    return drawings


def _figure(
    run: Run,
    of: tuple[str, ...],
    title: str,
    chunk: Sequence[Timeline],
    looks: Mapping[str, Look],
    problems: tuple[str, ...],
) -> Drawing:
    quantities = list(dict.fromkeys(quantity for each in chunk for quantity in each.lines))
    figure = new_figure(0.9 + 0.85 * len(quantities))
    grid = figure.subplots(len(quantities), len(chunk), sharex=True, sharey="row", squeeze=False)
    for column, each in zip(grid.T, chunk, strict=True):
        for axes, quantity in zip(column, quantities, strict=True):
            _panel(axes, each, quantity, looks[each.job.arm.name])
        column[0].set_title(wrapped(looks[each.job.arm.name].label, 54 // len(chunk)), fontsize=7.5)
    grid[0, 0].set_xlim(0, max(_end(each) for each in chunk))
    for row, quantity in zip(grid, quantities, strict=True):
        row[0].set_ylabel(quantity.label, fontsize=7.5)
        row[0].set_ylim(0, 105 if quantity.label.endswith(("%", "cores")) else None)
    figure.align_ylabels(grid[:, 0])
    figure.supxlabel("seconds since the job was started", fontsize=8)
    heading(figure, title, [run])
    names = names_of(run)[chunk[0].job.workload.name]
    caption = f"One job of each arm ({names.named(each.job.replicate for each in chunk)}). "
    caption += "Shaded: the steady window. "
    if GPU[0] in quantities:
        caption += (
            "GPU use is NVML's: the share of time in which any kernel ran. Memory is the whole "
            "card's."
        )
    else:
        caption += (
            "CPU is the share of all cores that the job's processes had; RSS is their resident "
            "memory."
        )
    if any(each.job.group for each in chunk):
        caption += " All arms of the group ran at the same time, and are seen together."
    return Drawing((run.info.run, *of), title, caption, _alt(chunk, looks), figure, problems)


def _panel(axes: Axes, each: Timeline, quantity: Quantity, look: Look) -> None:
    if each.window:
        axes.axvspan(*each.window, color=GREY, alpha=0.22, linewidth=0, label="_steady")
    styles = ("-", "--", ":", "-.")
    for number, (seconds, values) in enumerate(each.lines.get(quantity, [])):
        axes.plot(
            seconds,
            values,
            color=look.colour,
            linewidth=1.0,
            linestyle=styles[number % 4],
            label=f"_{number}",
        )
    axes.grid(True, axis="y")
    axes.margins(x=0)
    axes.locator_params(axis="y", nbins=4)
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(labelsize=7)


def _end(each: Timeline) -> float:
    return max(
        (
            float(seconds[-1])
            for found in each.lines.values()
            for seconds, _ in found
            if len(seconds)
        ),
        default=1.0,
    )


def _seconds(begin_ns: int, end_ns: int, origin_ns: int) -> tuple[float, float]:
    return (begin_ns - origin_ns) / NS, (end_ns - origin_ns) / NS


def _rate(seconds: Values, spent: Values, scale: float) -> Line:
    """What a growing counter grew by per second, at the end of each interval, times `scale`."""
    import numpy as np

    there = np.isfinite(spent)
    seconds, spent = seconds[there], spent[there]
    return seconds[1:], scale * np.diff(spent) / np.maximum(np.diff(seconds), 1e-9)


def _thinned(seconds: Values, values: Values) -> Line:
    """At most POINTS points, each the mean of as many neighbours; those without a value are left
    out.
    """
    import numpy as np

    there = np.isfinite(values)
    seconds, values = seconds[there], values[there]
    if len(values) <= POINTS:
        return seconds, values
    edges = np.linspace(0, len(values), POINTS + 1).astype(int)[:-1]
    counts = np.diff(np.append(edges, len(values)))
    return np.add.reduceat(seconds, edges) / counts, np.add.reduceat(values, edges) / counts


def _alt(chunk: Sequence[Timeline], looks: Mapping[str, Look]) -> str:
    import numpy as np

    said = []
    for each in chunk:
        means = []
        for quantity, found in each.lines.items():
            inside = [
                values[(seconds >= each.window[0]) & (seconds <= each.window[1])]
                if each.window
                else values
                for seconds, values in found
            ]
            values = np.concatenate(inside)
            if len(values):
                what, unit = quantity.label.split("\n")
                mean = float(values.mean())
                means.append(f"{what} {mean:.{0 if mean >= 100 else 1}f} {unit}")
        label = looks[each.job.arm.name].label
        said.append(f"{label}: {', '.join(means)}" if means else label)
    return f"Timelines of a job of each arm. Means of the steady window: {listed(said)}."
