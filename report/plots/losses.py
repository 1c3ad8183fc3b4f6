"""Loss curves of the arms of a workload: of the replicates, and step by step of the parity runs
where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.schema.record import JobRecord
from report.analysis.parity import check_parity
from report.analysis.replicates import Arms, arms_of
from report.loading.runs import Run
from report.loading.series import Files
from report.plots.drawing import Drawing, by_workload, left_out, missing
from report.plots.style import Look, entry, heading, legend_above, listed, name, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from report.loading.series import Values

RUNNING_MEAN = 11  # steps at least: a batch's own loss varies more than what is learned in a step
STRETCHES = 100  # of a long curve, each as long as its running mean
SHORT = 3 * RUNNING_MEAN  # curves of fewer steps are drawn as they are
BAND = 0.18
MARKS = 8  # markers of a curve


@style()
def draw(runs: Sequence[Run], looks: Mapping[str, Look]) -> list[Drawing]:
    """A figure per workload of every run."""
    drawings = []
    for run in runs:
        arms = arms_of(run)
        for workload, jobs in by_workload(run, speed=False).items():
            if any(jobs.values()):
                drawings.append(_of_workload(run, arms, workload, jobs, looks))
    return drawings or [Drawing((), "Losses", "Left out: no replicate counts.")]


def window_of(steps: int) -> int:
    """Over how many steps a curve of so many is averaged: an odd number, 1 for a short one."""
    return 1 if steps < SHORT else max(RUNNING_MEAN, steps // STRETCHES // 2 * 2 + 1)


def smoothed(losses: Values, window: int) -> Values:
    """The centred mean of `window` steps, of fewer at the ends; NaN where a step in it has no
    loss.
    """
    import numpy as np

    kernel = np.ones(window)
    return np.convolve(losses, kernel, "same") / np.convolve(np.ones(len(losses)), kernel, "same")


def _of_workload(
    run: Run,
    arms: Arms,
    workload: str,
    jobs: Mapping[str, Sequence[JobRecord]],
    looks: Mapping[str, Look],
) -> Drawing:
    title = f"Training loss: {name(workload)}"
    files = Files()
    curves: dict[str, list[Values]] = {}
    drawn: list[str | None] = []
    for arm, of_arm in jobs.items():
        for job in of_arm:
            series = files.read(run, job.series, ["loss"])
            if series is not None and (series["loss"] == series["loss"]).any():
                curves.setdefault(arm, []).append(series["loss"])
                drawn.append(job.series)
    parity_runs = {
        arm: losses
        for arm in jobs
        if (losses := _parity_run(run, arms.parity_runs.get((workload, arm)), files)) is not None
    }
    if not curves and not parity_runs:
        return left_out(
            run,
            workload,
            title,
            "losses",
            [job for of_arm in jobs.values() for job in of_arm],
            files,
        )
    panels = [bool(curves), bool(parity_runs)].count(True)
    figure = new_figure(0.75 + 2.0 * panels)
    grid = figure.subplots(panels, 1, squeeze=False)[:, 0]
    caption, said = "", []
    if curves:
        window = window_of(
            max(len(losses) for replicates in curves.values() for losses in replicates)
        )
        for number, (arm, replicates) in enumerate(curves.items()):
            _draw_arm(
                grid[0],
                entry(looks[arm].label),
                replicates,
                looks[arm],
                window,
                number / len(curves),
            )
            said.append(f"{looks[arm].label} from {_ends(replicates, window)}")
        caption = (
            "Loss of every step, " if window == 1 else f"Loss, running mean of {window} steps, "
        )
        caption += (
            "mean over replicates; the band reaches from the lowest to the highest replicate."
        )
        caption += missing(jobs, drawn)
        _finish(grid[0], "replicates, dropout as configured" if parity_runs else "")
    if parity_runs:
        for number, (arm, losses) in enumerate(parity_runs.items()):
            _draw_line(
                grid[-1], entry(looks[arm].label), losses, looks[arm], number / len(parity_runs)
            )
        _finish(grid[-1], "parity runs, dropout 0, the same weights and batches")
        caption += " " * bool(caption) + _parity_runs_caption(run, arms, workload, looks)
    heading(figure, title, [run])
    alt = (
        f"Loss against optimizer steps. {listed(said)}."
        if said
        else "Losses of parity runs against steps."
    )
    return Drawing((run.info.run, workload), title, caption.strip(), alt, figure, files.take())


def _parity_run(run: Run, job: JobRecord | None, files: Files) -> Values | None:
    """The losses of a parity run: in its record, else in its series."""
    import numpy as np

    if job is None:
        return None
    if job.losses:
        return np.asarray(job.losses, dtype=np.float64)
    series = files.read(run, job.series, ["loss"])
    return series["loss"] if series is not None and len(series["loss"]) else None


def _draw_arm(
    axes: Axes, label: str, replicates: Sequence[Values], look: Look, window: int, shift: float
) -> None:
    import numpy as np

    # Replicates cut short end earlier: each step is the mean of those that reached it.
    longest = max(map(len, replicates))
    table = np.full((len(replicates), longest), np.nan)
    for row, losses in zip(table, replicates, strict=True):
        row[: len(losses)] = smoothed(losses, window)
    there = np.isfinite(table).any(axis=0)
    # Of what is averaged over many steps, not every one needs a point.
    there = np.flatnonzero(there)[:: max(1, window // RUNNING_MEAN)]
    table = np.where(np.isfinite(table), table, np.nan)[:, there]
    steps = there + 1
    if len(replicates) > 1:
        low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
        axes.fill_between(steps, low, high, color=look.colour, alpha=BAND, linewidth=0)
    _draw_line(
        axes, f"{label} (n = {len(replicates)})", np.nanmean(table, axis=0), look, shift, steps
    )


def _draw_line(
    axes: Axes, label: str, losses: Values, look: Look, shift: float, steps: Values | None = None
) -> None:
    """A curve; `shift`: its first marker, as a share of their distance, so that equal curves both
    show theirs.
    """
    import numpy as np

    every = max(1, len(losses) // MARKS)
    axes.plot(
        np.arange(1, len(losses) + 1) if steps is None else steps,
        losses,
        label=label,
        color=look.colour,
        linestyle=look.line,
        linewidth=1.4,
        marker=look.marker,
        markersize=4,
        markevery=(int(shift * every), every),
    )


def _finish(axes: Axes, title: str) -> None:
    axes.grid(True)
    axes.set_ylabel("loss")
    axes.set_xlabel("optimizer step")
    axes.margins(x=0.02)
    axes.locator_params(axis="x", integer=True)
    legend_above(axes, title)


def _parity_runs_caption(run: Run, arms: Arms, workload: str, looks: Mapping[str, Look]) -> str:
    """What the parity gate says of the workload's pairs."""
    said = []
    for pair in run.info.pairs:
        both = f"{looks[pair.candidate].label} and {looks[pair.baseline].label}"
        parity = check_parity(run, pair, arms) if pair.workload == workload else None
        if parity and parity.difference is not None and parity.tolerance is not None:
            numbers = (
                f"{parity.difference:.2g} apart at most, {parity.tolerance:.2g} allowed: "
                f"{parity.outcome}"
            )
            said.append(f"{both} {numbers}")
        elif parity:
            said.append(f"{both} {parity.outcome}: {parity.reason}")
    return f"Parity runs: {'; '.join(said)}." if said else "Parity runs as recorded."


def _ends(replicates: Sequence[Values], window: int) -> str:
    import numpy as np

    ends = np.array([smoothed(losses, window)[[0, -1]] for losses in replicates])
    known = [of[np.isfinite(of)] for of in ends.T]
    return " to ".join(f"{float(of.mean()):.3g}" if len(of) else "no number" for of in known)
