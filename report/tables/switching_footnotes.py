"""What taking turns cost under the interleaved protocol, as a note: measured, and whether it is in
the figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from statistics import fmean

from harness.schema.record import JobRecord, TurnTimes
from harness.schema.replicates import ReplicateNames, group_name
from harness.schema.stats import mean_interval
from report.analysis.gains import Gain
from report.analysis.replicates import Arms, is_result

STANDARD_ERRORS = 1.96  # of a 95% interval: each replicate's standard error is of dozens of turns
LEAST_TURNS = 8  # that follow a turn of the same arm, over all replicates; fewer say little


def switching_notes(
    gains: Iterable[Gain], arms: Arms, names_of: Mapping[str, ReplicateNames]
) -> list[str]:
    """What the first step of a turn took more than those after it, for every arm of each group that
    took turns.

    And what of that is left in timed steps (`left_s`), whether there is a lead-in or not.
    `names_of`: what the replicates of each workload are called.
    """
    # By workload, number of the group, and its arms; of each arm its jobs by their replicates.
    groups: dict[tuple[str, int, tuple[str, ...]], dict[str, dict[int, JobRecord]]] = {}
    for gain in gains:
        workload = gain.pair.workload
        for side in arms.of_pair(gain.pair):
            for replicate, job in side.items():
                if is_result(job) and job.group:
                    number = names_of[workload].group(replicate) or 0
                    of_group = groups.setdefault((workload, number, tuple(sorted(job.group))), {})
                    of_group.setdefault(job.arm.name, {})[replicate] = job
    said = []
    order = list(dict.fromkeys(workload for workload, *_ in groups))
    in_order = sorted(groups.items(), key=lambda each: (order.index(each[0][0]), each[0][1]))
    for (workload, number, names), jobs_of in in_order:
        by_arm = {arm: [*jobs.values()] for arm, jobs in jobs_of.items()}
        costs, left = (
            [f"{arm} {cost}" for arm, jobs in by_arm.items() if (cost := cost_of(jobs))]
            for cost_of in (_cost_ms, _left_ms)
        )
        lead_in = {job.turns.lead_in_steps for jobs in by_arm.values() for job in jobs if job.turns}
        if len(lead_in) != 1:
            continue
        (steps,) = lead_in
        untimed = (
            f"not in the gains, for the first {steps} of each turn are not timed"
            if steps > 1
            else "not in the gains, for the first step of each turn is not timed"
            if steps
            else "no step was left untimed"
        )
        first = f"first step of a turn against those after it: {', '.join(costs)}; {untimed}"
        timed = (
            "timed steps of a turn after another arm's against one after its own: "
            f"{', '.join(left)}"
        )
        found = [
            text for text, whose in ((first, costs), (timed, left)) if len(whose) == len(names)
        ]
        if found:
            arms_in_order = next(iter(by_arm.values()))[0].group
            where = f"{workload}, {group_name(number, arms_in_order)}" if number else workload
            said.append(f"switching between the jobs, {where}: {'; '.join(found)}")
    return said


def left_s(times: TurnTimes, arms: int) -> list[float]:
    """What a timed step of a turn that followed another arm's took more than one of the turn after
    it, seconds.

    An entry for each turn of this arm that the arm itself went on from, for the order of turns is
    drawn: last in one round of a group of so many arms and first in the next. Nobody else had the
    device in between, and the two are neighbours in time, so their difference is what switching
    leaves in the figures; it is 0 on average if nothing is left. No pilot's turns.
    """
    turns = list(zip(times.place, times.steps, times.step_s, strict=False))[
        times.pilot :
    ]  # no `place`: none
    return [
        step_s - next_step_s
        for (place, steps, step_s), (next_place, next_steps, next_step_s) in pairwise(turns)
        if place == arms - 1 and next_place == 0 and steps == next_steps
    ]


def _left_ms(jobs: Iterable[JobRecord]) -> str:
    """Mean over turns of all replicates with its 95% interval; empty for fewer than LEAST_TURNS.

    A replicate's level and slow drift cancel in a difference of neighbours, so the differences
    count as independent.
    """
    found = [1e3 * more for job in jobs if job.turns for more in left_s(job.turns, len(job.group))]
    if len(found) < LEAST_TURNS:
        return ""
    estimate = mean_interval(found)
    assert estimate.high is not None
    return f"{estimate.mean:+.1f} ±{estimate.high - estimate.mean:.1f} ms"


def _cost_ms(jobs: Iterable[JobRecord]) -> str:
    """Mean over replicates with its 95% interval; empty where no replicate could tell."""
    measured = [
        (job.turns.switch_s, job.turns.switch_standard_error_s)
        for job in jobs
        if job.turns
        and job.turns.switch_s is not None
        and job.turns.switch_standard_error_s is not None
    ]
    if not measured:
        return ""
    error_s = math.hypot(*(error for _, error in measured)) / len(measured)
    mean_s = fmean(cost for cost, _ in measured)
    return f"{1e3 * mean_s:+.1f} ±{STANDARD_ERRORS * 1e3 * error_s:.1f} ms"
