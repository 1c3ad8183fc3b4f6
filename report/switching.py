"""What taking turns cost under the `blocks` protocol, as a note: measured, and whether it is in the figures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import fmean

from harness.record import JobRecord
from report.gains import Gain
from report.launches import OK, Arms, verdict

STANDARD_ERRORS = 1.96  # of a 95% interval: each launch's standard error is of dozens of turns


def switching_notes(gains: Iterable[Gain], arms: Arms) -> list[str]:
    """What the first step of a turn took more than those after it, for both arms of each pair measured by blocks."""
    said = []
    for gain in gains:
        sides = [[job for job in side.values() if verdict(job) == OK] for side in arms.of_pair(gain.pair)]
        costs = [f"{side[0].arm.name} {cost}" for side in sides if side and (cost := _cost_ms(side))]
        lead_in = {job.blocks.lead_in_steps for side in sides for job in side if job.blocks}
        if len(costs) < 2 or len(lead_in) != 1:
            continue
        (steps,) = lead_in
        said.append(
            f"first step of a turn against those after it, {gain.pair.workload}: {', '.join(costs)}; "
            + (
                f"kept out by {steps} untimed at its head"
                if steps
                else "it is in the figures, no step was left untimed"
            )
        )
    return said


def _cost_ms(jobs: Iterable[JobRecord]) -> str:
    """Mean over launches with its 95% interval; empty where no launch could tell."""
    measured = [
        (job.blocks.switch_s, job.blocks.switch_standard_error_s)
        for job in jobs
        if job.blocks and job.blocks.switch_s is not None and job.blocks.switch_standard_error_s is not None
    ]
    if not measured:
        return ""
    error_s = math.hypot(*(error for _, error in measured)) / len(measured)
    return f"{1e3 * fmean(cost for cost, _ in measured):+.1f} ±{STANDARD_ERRORS * 1e3 * error_s:.1f} ms"
