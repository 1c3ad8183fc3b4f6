"""How step times are distributed in the steady state: the empirical distribution function of every
arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING

from harness.schema.record import JobRecord
from report.loading.runs import Run
from report.loading.series import Files
from report.plots.drawing import Drawing, by_workload, left_out, missing
from report.plots.style import Look, entry, heading, legend_above, listed, name, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from report.loading.series import Values

SHOWN = 0.99  # of an arm's steps are left of the edge; a rare long step would squeeze all others
FAINT = 0.35
MARKS = (0.1, 0.5, 0.9)
LOG_FROM = 8.0  # largest over smallest


@style()
def draw(runs: Sequence[Run], looks: Mapping[str, Look]) -> list[Drawing]:
    """A figure per workload of every run: an arm's bold line is of all its replicates, the faint
    ones of each.
    """
    return [
        _of_workload(run, workload, arms, looks)
        for run in runs
        for workload, arms in by_workload(run).items()
        if any(arms.values())
    ] or [Drawing((), "Step times", "Left out: no replicate counts.")]


def steady_steps(job: JobRecord, durations: Values) -> Values:
    """The seconds of a job's timed steps in its steady window; finite ones only.

    Under the interleaved protocol the steps at a turn's head, which hand the device over, are no
    timed ones.
    """
    import numpy as np

    begin = job.timing.steady_begin_step
    steady: Values = durations[begin - 1 :] if begin is not None else durations[:0]
    if job.turns:
        turns = job.turns.steps[job.turns.pilot :]
        flags = chain.from_iterable(
            chain(repeat(True, min(steps, len(steady))), repeat(False, job.turns.lead_in_steps))
            for steps in turns
        )
        timed = list(islice(flags, len(steady)))
        steady = steady[: len(timed)][np.array(timed, dtype=bool)]
    finite: Values = steady[np.isfinite(steady)]
    return finite


def _of_workload(
    run: Run, workload: str, arms: Mapping[str, Sequence[JobRecord]], looks: Mapping[str, Look]
) -> Drawing:
    title = f"Steady step times: {name(workload)}"
    files = Files()
    steps: dict[str, list[Values]] = {}
    drawn: list[str | None] = []
    for arm, jobs in arms.items():
        for job in jobs:
            series = files.read(run, job.series, ["duration_s"])
            if series is not None and len(found := 1e3 * steady_steps(job, series["duration_s"])):
                steps.setdefault(arm, []).append(found)
                drawn.append(job.series)
    if not steps:
        return left_out(
            run,
            workload,
            title,
            "step times",
            [job for jobs in arms.values() for job in jobs],
            files,
        )
    figure = new_figure(2.75)
    axes = figure.subplots()
    for arm, replicates in steps.items():
        _draw_arm(
            axes, f"{entry(looks[arm].label)} ({_replicates(replicates)})", replicates, looks[arm]
        )
    edge = _scale(axes, steps)
    axes.set_ylim(0, 1.02)
    axes.grid(True)
    axes.set_xlabel("milliseconds per step")
    axes.set_ylabel("share of steps")
    legend_above(axes)
    heading(figure, title, [run])
    beyond = max(
        float((value > edge).mean())
        for replicates in steps.values()
        for value in [_pooled(replicates)]
    )
    caption = (
        "Share of steps in the steady state that took no longer than this; markers at 10, 50 and "
        "90%. "
    )
    caption += "Bold: the replicates of an arm that count, together; faint: each of them."
    caption += f" Up to {beyond:.1%} of an arm's steps are beyond the right edge." if beyond else ""
    caption += missing(arms, drawn)
    return Drawing(
        (run.info.run, workload), title, caption, _alt(steps, looks), figure, files.take()
    )


def _draw_arm(axes: Axes, label: str, replicates: Sequence[Values], look: Look) -> None:
    import numpy as np

    if len(replicates) > 1:
        for values in replicates:
            shares = np.arange(1, len(values) + 1) / len(values)
            axes.step(
                np.sort(values), shares, where="post", color=look.colour, alpha=FAINT, linewidth=0.6
            )
    values = np.sort(_pooled(replicates))
    shares = np.arange(1, len(values) + 1) / len(values)
    # Marked where a share is first reached; as marks of the line they stand in its legend entry
    # too.
    marked = [int(np.searchsorted(shares, share)) for share in MARKS]
    axes.plot(
        values,
        shares,
        drawstyle="steps-post",
        color=look.colour,
        linestyle=look.line,
        linewidth=1.5,
        marker=look.marker,
        markersize=4.5,
        markevery=marked,
        label=label,
    )


def _scale(axes: Axes, steps: Mapping[str, Sequence[Values]]) -> float:
    """Sets the horizontal scale; returns its right edge in milliseconds."""
    import numpy as np
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    pooled = [_pooled(replicates) for replicates in steps.values()]
    low = min(float(values.min()) for values in pooled)
    high = max(float(np.quantile(values, SHOWN)) for values in pooled)
    if 0 < low < high / LOG_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(low / 1.05, high * 1.05)
        return high * 1.05
    margin = 0.04 * (high - low or high or 1.0)
    axes.set_xlim(low - margin, high + margin)
    return high + margin


def _pooled(replicates: Sequence[Values]) -> Values:
    import numpy as np

    return np.concatenate(replicates)


def _replicates(replicates: Sequence[Values]) -> str:
    return f"{len(replicates)} replicate{'s' if len(replicates) > 1 else ''}"


def _alt(steps: Mapping[str, Sequence[Values]], looks: Mapping[str, Look]) -> str:
    import numpy as np

    said = []
    for arm, replicates in steps.items():
        low, middle, high = np.quantile(_pooled(replicates), MARKS)
        said.append(
            f"{looks[arm].label}: median {middle:.4g} ms, 10% below {low:.4g}, 10% above {high:.4g}"
        )
    return f"Distribution of step times. {listed(said)}."
