"""The time of every step of every job, and the recorded border between warm-up and steady state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.schema.record import JobRecord, State
from harness.schema.replicates import ONE_GROUP, ReplicateNames
from report.analysis.replicates import names_of
from report.loading.runs import Run
from report.loading.series import Files
from report.plots.drawing import Drawing, left_out
from report.plots.style import (
    GREY,
    PALE,
    Look,
    heading,
    legend_above,
    listed,
    look,
    name,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNSETTLED = "#000000"
RUNNING_MEDIAN = 11  # steps
FIRST_SHOWN = 2  # step 1 is set-up: export and compilation would squeeze all others flat
LOG_FROM = 20.0  # largest over smallest: from here on a linear scale hides the small ones
LOG_STEPS_FROM = 1000  # steps from which on a linear axis hides the warm-up
MOST_NAMED = 4  # jobs a legend names one by one
FAINT = 0.3

Series = Mapping[str | None, Sequence[float]]  # seconds of every step, by the record's `series`


@style()
def draw(runs: Sequence[Run], looks: Mapping[str, Look]) -> list[Drawing]:
    """A figure per workload of every run.

    Every recorded job is drawn, whatever became of it, except parity runs, which train without
    dropout and are never timed.
    """
    drawings = []
    for run in runs:
        for workload, arms in _grouped(run).items():
            jobs = [job for of_arm in arms.values() for job in of_arm]
            if any(job.source == "measured" for job in jobs):
                drawings.append(_of_workload(run, workload, arms, jobs, looks))
    return drawings or [Drawing((), "Time of every step", "Left out: no job was measured.")]


def _of_workload(
    run: Run,
    workload: str,
    arms: Mapping[str, Sequence[JobRecord]],
    jobs: Sequence[JobRecord],
    looks: Mapping[str, Look],
) -> Drawing:
    files = Files()
    series: dict[str | None, Sequence[float]] = {}
    for job in jobs:
        found = files.read(run, job.series, ["duration_s"])
        if found is not None and len(found["duration_s"]) >= FIRST_SHOWN:
            # An array is as good as a list here.
            series[job.series] = found["duration_s"]  # type: ignore[assignment]
    title = f"Time of every step: {name(workload)}"
    if not series:
        return left_out(run, workload, title, "step times", jobs, files)
    caption = (
        f"Every optimizer step of every job after the first (faint), the median of "
        f"{RUNNING_MEDIAN} steps (bold), "
    )
    caption += "and where each job's warm-up ends (dotted)."
    said = []
    for arm, of_arm in arms.items():
        cuts = _cuts(of_arm)
        said.append(
            f"{looks[arm].label}: {_jobs(len(of_arm))}"
            + (f", steady from {_steps(cuts)}" if cuts else "")
        )
    alt = f"Step times of every job. {listed(said)}."
    figure = steps_figure(workload, arms, series, looks, names_of(run)[workload])
    heading(figure, title, [run])
    return Drawing((run.info.run, workload), title, caption, alt, figure, files.take())


@style()
def steps_figure(
    workload: str,
    arms: Mapping[str, Sequence[JobRecord]],
    series: Series,
    looks: Mapping[str, Look] | None = None,
    names: ReplicateNames = ONE_GROUP,
) -> Figure:
    """One panel per arm, all on the same scales: step times, a running median, and the recorded cut
    of every job. `names`: what the workload's replicates are called.
    """
    looks = looks or {arm: look(number, arm) for number, arm in enumerate(arms)}
    figure = new_figure(0.75 + 1.6 * len(arms))
    panels = figure.subplots(len(arms), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (arm, jobs) in zip(panels, arms.items(), strict=True):
        _draw_arm(axes, looks[arm].label, jobs, series, looks[arm].colour, names)
    _scale(
        panels[0],
        [series[job.series] for jobs in arms.values() for job in jobs if job.series in series],
    )
    figure.supylabel("milliseconds per step", fontsize=8)
    panels[-1].set_xlabel("optimizer step (the first is set-up and not drawn)")
    return figure


def _grouped(run: Run) -> dict[str, dict[str, list[JobRecord]]]:
    """Jobs by workload and arm, both in the order in which pairs name them, then in that of the
    records.
    """
    groups: dict[str, dict[str, list[JobRecord]]] = {}
    for pair in run.info.pairs:
        for arm in (pair.baseline, pair.candidate):
            groups.setdefault(pair.workload, {}).setdefault(arm, [])
    for job in run.jobs:
        if not job.parity_run:
            groups.setdefault(job.workload.name, {}).setdefault(job.arm.name, []).append(job)
    return groups


def _draw_arm(
    axes: Axes,
    arm: str,
    jobs: Sequence[JobRecord],
    series: Series,
    colour: str,
    names: ReplicateNames,
) -> None:
    import numpy as np
    import pandas as pd

    drawn = [job for job in jobs if job.series in series]
    named = []
    for job in drawn:
        milliseconds = 1e3 * np.asarray(series[job.series][FIRST_SHOWN - 1 :])
        steps = np.arange(FIRST_SHOWN, FIRST_SHOWN + len(milliseconds))
        smooth = pd.Series(milliseconds).rolling(RUNNING_MEDIAN, center=True).median()
        job_name = _name(job, names)
        unsettled = job.timing.settled is False
        shade, dashes = (UNSETTLED, (0, (4, 1.5))) if unsettled else (colour, "-")
        axes.plot(
            steps, milliseconds, color=shade, alpha=FAINT, linewidth=0.5, label=f"_{job_name} steps"
        )
        (line,) = axes.plot(
            steps, smooth, color=shade, linestyle=dashes, linewidth=1.1, label=f"_{job_name}"
        )
        if unsettled or job.state is not State.OK:
            why = [
                *(["never settled"] if unsettled else []),
                *([job.state.value] if job.state is not State.OK else []),
            ]
            named.append((line, f"{job_name}: {', '.join(why).replace('_', ' ')}"))
        if job.timing.steady_begin_step is not None:
            cut = UNSETTLED if unsettled else GREY
            axes.axvline(
                job.timing.steady_begin_step,
                color=cut,
                linestyle=":",
                linewidth=1.1,
                label=f"_{job_name} cut",
            )
    axes.grid(axis="y", color=PALE)
    _explain(axes, arm, drawn, len(jobs) - len(drawn), named, colour)


def _explain(
    axes: Axes,
    arm: str,
    drawn: Sequence[JobRecord],
    missing: int,
    named: Sequence[tuple[object, str]],
    colour: str,
) -> None:
    """The legend: what the lines are, where the cut is, which jobs did not settle and how many are
    not drawn.
    """
    from matplotlib.lines import Line2D

    entries: list[tuple[object, str]] = []
    if drawn:
        entries.append((Line2D([], [], color=colour, linewidth=1.5), _jobs(len(drawn))))
    if cuts := _cuts(drawn):
        entries.append(
            (
                Line2D([], [], color=GREY, linestyle=":", linewidth=1.3),
                f"steady state from {_steps(cuts)}",
            )
        )
    entries += named[:MOST_NAMED]
    notes = []
    if len(named) > MOST_NAMED:
        notes.append(f"and {len(named) - MOST_NAMED} more")
    if missing:
        notes.append(f"{_jobs(missing)} without step times")
    entries += [(Line2D([], [], linestyle=""), note) for note in notes]
    legend_above(axes, name(arm, 48), entries, color=colour, fontweight="bold", fontsize=8)


def _scale(axes: Axes, drawn: Sequence[Sequence[float]]) -> None:
    """Scales of one panel, which all others share: logarithmic only where linear ones would hide
    something.
    """
    import numpy as np
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    shown = np.concatenate([durations[FIRST_SHOWN - 1 :] for durations in drawn])
    smallest, largest = np.nanmin(shown), np.nanmax(shown)
    if 0 < smallest < largest / LOG_FROM:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=9))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    if max(map(len, drawn)) >= LOG_STEPS_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())


def _name(job: JobRecord, names: ReplicateNames) -> str:
    attempt = f", attempt {job.attempt}" if job.attempt > 1 else ""
    return f"{names.name(job.replicate)}{attempt}"


def _cuts(jobs: Sequence[JobRecord]) -> list[int]:
    settled = [job.timing.steady_begin_step for job in jobs if job.timing.settled is not False]
    return sorted({step for step in settled if step is not None})


def _steps(cuts: Sequence[int]) -> str:
    return f"step {cuts[0]}" if len(cuts) == 1 else f"steps {cuts[0]} to {cuts[-1]}"


def _jobs(count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'}"
