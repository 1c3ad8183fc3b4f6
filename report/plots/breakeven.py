"""What set-up costs against steps: cumulative time of both arms, and the step from which the
candidate is ahead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from report.analysis.break_even import BreakEven
from report.analysis.gains import STEADY_STATE, Gain, gains_of, matched
from report.analysis.metrics import SETUP, STEADY_STEP
from report.analysis.replicates import Arms, arms_of
from report.analysis.statistics import usable
from report.loading.runs import Run
from report.plots.drawing import Drawing
from report.plots.style import GREY, INK, Look, entry, heading, listed, name, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEYOND = 2.0  # times the break-even step that are shown
INTERVAL_SHOWN = 4.0  # times the break-even step at most, for its interval's sake
MARKS = 5
FEWEST = 20.0  # steps shown
TITLE_WIDTH = 58  # letters


@dataclass(frozen=True)
class Cost:
    """An arm's mean seconds of set-up, which ends with the first step, and of a steady step."""

    setup_s: float
    step_s: float

    def at(self, step: float) -> float:
        """Seconds from the start of training to the end of this step (from 1), as
        report.analysis.break_even counts them.
        """
        return self.setup_s + (step - 1) * self.step_s


@style()
def draw(runs: Sequence[Run], looks: Mapping[str, Look]) -> list[Drawing]:
    """A figure per workload of every run, a panel per pair that has a gain in the steady state."""
    drawings = []
    for run in runs:
        arms = arms_of(run)
        gains: dict[str, list[Gain]] = {}
        for gain in gains_of(run, arms):
            if gain.measure is STEADY_STATE and gain.break_even:
                gains.setdefault(gain.pair.workload, []).append(gain)
        title = f"Break-even: {name(run.info.run)}"
        if not gains:
            why = "no pair has a gain in the steady state and recorded set-ups"
            drawings.append(Drawing((run.info.run,), title, f"Left out: {why}."))
        drawings += [
            _figure(run, arms, workload, found, looks) for workload, found in gains.items()
        ]
    return drawings


def costs_of(gain: Gain, arms: Arms) -> tuple[Cost, Cost]:
    """Baseline's and candidate's costs over the replicates that the break-even is of, so that lines
    cross at it.
    """
    sides: tuple[list[Cost], list[Cost]] = ([], [])
    for jobs in matched(*arms.of_pair(gain.pair), STEADY_STEP.read):
        times = [(SETUP.read(job), STEADY_STEP.read(job)) for job in jobs]
        costs = [Cost(setup, step) for setup, step in times if usable(setup) and usable(step)]
        if len(costs) == 2:
            for side, cost in zip(sides, costs, strict=True):
                side.append(cost)
    baseline, candidate = (
        Cost(
            math.fsum(cost.setup_s for cost in side) / len(side),
            math.fsum(cost.step_s for cost in side) / len(side),
        )
        for side in sides
    )
    return baseline, candidate


def _figure(
    run: Run, arms: Arms, workload: str, gains: Sequence[Gain], looks: Mapping[str, Look]
) -> Drawing:
    title = f"Break-even: {name(workload)}"
    figure = new_figure(0.65 + 2.1 * len(gains))
    grid = figure.subplots(len(gains), 1, squeeze=False)[:, 0]
    said = []
    for axes, gain in zip(grid, gains, strict=True):
        _panel(axes, gain, costs_of(gain, arms), looks)
        arms_named = f"{looks[gain.pair.candidate].label} over {looks[gain.pair.baseline].label}"
        said.append(f"{arms_named}: {in_words(gain.break_even)}")
    grid[-1].set_xlabel("optimizer step")
    heading(figure, title, [run])
    caption = (
        "Seconds from the start of training: recorded set-up, which ends with the first step, then "
        "steady steps, "
    )
    caption += (
        "means over replicates. Dotted: the step from which the candidate is ahead; shaded: its "
        "95% "
        "interval."
    )
    if any(
        job.group for gain in gains for side in arms.of_pair(gain.pair) for job in side.values()
    ):
        caption += " Interleaved protocol: set-ups are of jobs side by side."
    alt = f"Cumulative training time against steps. {listed(said)}."
    return Drawing((run.info.run, workload), title, caption, alt, figure)


def in_words(found: BreakEven | None) -> str:
    """ "ahead from step 95 (40 to ∞)", "never ahead", "ahead from the first step"."""
    if found is not None and found.is_never:
        return f"never ahead{found.possible_step}"
    at_once = found is not None and found.is_at_once
    return f"ahead from {'the' if at_once else 'step'} {found}"


def _panel(axes: Axes, gain: Gain, costs: tuple[Cost, Cost], looks: Mapping[str, Look]) -> None:
    import numpy as np

    found = gain.break_even
    assert found is not None  # gains without one are not drawn
    last = _last_step(found, *costs)
    steps = np.linspace(1, last, 2)
    marks = (
        1 + (last - 1) * (np.arange(MARKS) + 0.5) / MARKS
    )  # none at the edges, which would cut them
    for arm, cost in zip((gain.pair.baseline, gain.pair.candidate), costs, strict=True):
        look = looks[arm]
        label = entry(look.label)
        axes.plot(
            steps,
            [cost.at(step) for step in steps],
            color=look.colour,
            linestyle=look.line,
            linewidth=1.5,
        )
        axes.plot(
            marks,
            [cost.at(step) for step in marks],
            color=look.colour,
            marker=look.marker,
            markersize=4.5,
            linestyle="",
            gid=f"cost {arm}",
        )
        axes.plot(
            [],
            [],
            color=look.colour,
            linestyle=look.line,
            linewidth=1.5,
            marker=look.marker,
            markersize=4.5,
            label=label,
        )
    if found.low is not None and found.high is not None and found.low < last:
        axes.axvspan(
            found.low, min(found.high, last), color=GREY, alpha=0.18, linewidth=0, label="_interval"
        )
    if found.step <= last:
        axes.axvline(found.step, color=INK, linestyle=":", linewidth=1.2, label="_break-even")
        axes.plot(
            found.step,
            costs[1].at(found.step),
            marker="o",
            markersize=6,
            color=INK,
            markerfacecolor="white",
            clip_on=False,
        )
    axes.set_xlim(1, last)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", integer=True)
    axes.grid(True)
    axes.set_ylabel("seconds")
    baseline, candidate = (looks[arm].label for arm in (gain.pair.baseline, gain.pair.candidate))
    pair, ahead = (
        f"{name(candidate, 27)} over {name(baseline, 27)}:",
        in_words(found),
    )
    axes.set_title(f"{pair}{' ' if len(pair) + len(ahead) < TITLE_WIDTH else chr(10)}{ahead}")
    axes.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", handlelength=2.8)


def _last_step(found: BreakEven, baseline: Cost, candidate: Cost) -> float:
    """The last step shown: beyond the break-even and its interval, or where set-ups no longer dwarf
    the steps.
    """
    if math.isinf(found.step):
        step = max(baseline.setup_s, candidate.setup_s) / min(baseline.step_s, candidate.step_s)
        return max(BEYOND * step, FEWEST)
    if found.step <= 1:
        return max(BEYOND * max(baseline.setup_s, candidate.setup_s) / baseline.step_s, FEWEST)
    ends = [BEYOND * found.step]
    if found.high is not None and math.isfinite(found.high):
        ends.append(1.1 * found.high)
    return max(min(max(ends), INTERVAL_SHOWN * found.step), FEWEST)
