"""Pictures of a run: the step times of every job and the recorded border between warm-up and steady state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError
from harness.record import JobRecord, State
from report.load import Run, load_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with any kind of colour vision; their yellow is too pale for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
UNSETTLED = "#000000"
RUNNING_MEDIAN = 11  # steps
FIRST_SHOWN = 2  # step 1 is set-up: export and compilation would squeeze all others flat
LOG_FROM = 20.0  # largest over smallest: from here on a linear scale hides the small ones
LOG_STEPS_FROM = 1000  # steps from which on a linear axis hides the warm-up
MOST_NAMED = 4  # jobs a legend names one by one
FAINT, GREY = 0.3, "#666666"

Series = Mapping[str | None, Sequence[float]]  # seconds of every step, by the record's `series`


def draw_steps(run_folder: Path, out: Path) -> list[Path]:
    """Draw the step times of a run into `out`, `WORKLOAD-steps.png` each; returns the files, in the tables' order.

    Every recorded job is drawn, whatever became of it, except parity twins, which train without dropout and are never
    timed. BenchError: no run there, no step times recorded, or a series that cannot be read.
    """
    run = load_run(run_folder)
    series = _series_of(run)
    if not series:
        raise BenchError("no step times recorded", place=str(run_folder), fix="name a run with a filled series/ folder")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for workload, arms in _grouped(run).items():
        if any(job.series in series for jobs in arms.values() for job in jobs):
            path = out / f"{workload}-steps.png"
            steps_figure(workload, arms, series).savefig(path, dpi=150)
            written.append(path)
    return written


def steps_figure(workload: str, arms: Mapping[str, Sequence[JobRecord]], series: Series) -> Figure:
    """One panel per arm, all on the same scales: step times, a running median, and the recorded cut of every job."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.0 + 2.3 * len(arms)), layout="constrained")
    panels = figure.subplots(len(arms), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for number, (axes, (arm, jobs)) in enumerate(zip(panels, arms.items(), strict=True)):
        _draw_arm(axes, arm, jobs, series, COLOURS[number % len(COLOURS)])
    _scale(panels[0], [series[job.series] for jobs in arms.values() for job in jobs if job.series in series])
    devices = sorted({job.device for jobs in arms.values() for job in jobs})
    figure.suptitle(f"{workload}: time of every step, {', '.join(devices)}", fontsize=13)
    figure.supylabel("milliseconds per step", fontsize=11)
    panels[-1].set_xlabel("optimizer step (the first is set-up and not drawn)", fontsize=11)
    return figure


def _grouped(run: Run) -> dict[str, dict[str, list[JobRecord]]]:
    """Jobs by workload and arm, both in the order in which pairs name them, then in that of the records."""
    groups: dict[str, dict[str, list[JobRecord]]] = {}
    for pair in run.info.pairs:
        for arm in (pair.baseline, pair.candidate):
            groups.setdefault(pair.workload, {}).setdefault(arm, [])
    for job in run.jobs:
        if not job.twin:
            groups.setdefault(job.workload.name, {}).setdefault(job.arm.name, []).append(job)
    return groups


def _series_of(run: Run) -> dict[str | None, Sequence[float]]:
    from pyarrow import ArrowException, parquet

    series: dict[str | None, Sequence[float]] = {}
    for name in {job.series for job in run.jobs if job.series and not job.twin}:
        path = run.folder / name
        try:
            durations = parquet.read_table(path, columns=["duration_s"])["duration_s"].to_numpy()
        except FileNotFoundError:
            continue  # said in the panel
        except (OSError, ArrowException) as error:
            raise BenchError(
                f"cannot be read: {error}", place=str(path), fix="restore the file, or remove it"
            ) from None
        if len(durations) >= FIRST_SHOWN:
            series[name] = durations
    return series


def _draw_arm(axes: Axes, arm: str, jobs: Sequence[JobRecord], series: Series, colour: str) -> None:
    import numpy as np
    import pandas as pd

    drawn = [job for job in jobs if job.series in series]
    named = []
    for job in drawn:
        milliseconds = 1e3 * np.asarray(series[job.series][FIRST_SHOWN - 1 :])
        steps = np.arange(FIRST_SHOWN, FIRST_SHOWN + len(milliseconds))
        smooth = pd.Series(milliseconds).rolling(RUNNING_MEDIAN, center=True).median()
        name = _name(job)
        unsettled = job.timing.settled is False
        shade, style = (UNSETTLED, (0, (4, 1.5))) if unsettled else (colour, "-")
        axes.plot(steps, milliseconds, color=shade, alpha=FAINT, linewidth=0.7, label=f"_{name} steps")
        (line,) = axes.plot(steps, smooth, color=shade, linestyle=style, linewidth=1.4, label=f"_{name}")
        if unsettled or job.state is not State.OK:
            why = [*(["never settled"] if unsettled else []), *([job.state.value] if job.state is not State.OK else [])]
            named.append((line, f"{name}: {', '.join(why).replace('_', ' ')}"))
        if job.timing.steady_begin_step is not None:
            cut = UNSETTLED if unsettled else GREY
            axes.axvline(job.timing.steady_begin_step, color=cut, linestyle=":", linewidth=1.3, label=f"_{name} cut")
    axes.set_title(arm, loc="left", fontsize=11, color=colour, fontweight="bold")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10)
    _explain(axes, drawn, len(jobs) - len(drawn), named, colour)


def _explain(
    axes: Axes, drawn: Sequence[JobRecord], missing: int, named: Sequence[tuple[object, str]], colour: str
) -> None:
    """The legend: what the lines are, where the cut is, which jobs did not settle and how many are not drawn."""
    from matplotlib.lines import Line2D

    entries: list[tuple[object, str]] = []
    if drawn:
        jobs = f"{len(drawn)} job{'s' if len(drawn) > 1 else ''}"
        entries.append((Line2D([], [], color=colour, linewidth=1.5), f"{jobs}, median of {RUNNING_MEDIAN} steps"))
    settled = [job.timing.steady_begin_step for job in drawn if job.timing.settled is not False]
    cuts = sorted({step for step in settled if step is not None})
    if cuts:
        where = f"step {cuts[0]}" if len(cuts) == 1 else f"steps {cuts[0]} to {cuts[-1]}"
        entries.append((Line2D([], [], color=GREY, linestyle=":", linewidth=1.3), f"steady state from {where}"))
    entries += named[:MOST_NAMED]
    notes = []
    if len(named) > MOST_NAMED:
        notes.append(f"and {len(named) - MOST_NAMED} more")
    if missing:
        notes.append(f"{missing} job{'s' if missing > 1 else ''} without step times")
    entries += [(Line2D([], [], linestyle=""), note) for note in notes]
    if entries:
        # above the panel, where it hides no step
        axes.legend(
            *zip(*entries, strict=True), loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=9, frameon=False
        )


def _scale(axes: Axes, drawn: Sequence[Sequence[float]]) -> None:
    """Scales of one panel, which all others share: logarithmic only where linear ones would hide something."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    shown = [durations[FIRST_SHOWN - 1 :] for durations in drawn]
    smallest, largest = min(map(min, shown)), max(map(max, shown))
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


def _name(job: JobRecord) -> str:
    attempt = f", attempt {job.attempt}" if job.attempt > 1 else ""
    return f"launch {job.launch}{attempt}"
