"""The note on what taking turns cost."""

from __future__ import annotations

import math

import pytest
from report_factory import make_interleaved_job, make_job, make_run

from harness.schema.record import JobRecord, Pair, State
from report.tables.render import render
from report.tables.switching_footnotes import left_s

PAIR = Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")


def measured(
    job: JobRecord, switch_s: float | None, error_s: float | None, lead_in: int = 1
) -> JobRecord:
    assert job.turns is not None
    cost = {"switch_s": switch_s, "switch_standard_error_s": error_s, "lead_in_steps": lead_in}
    return job.model_copy(update={"turns": job.turns.model_copy(update=cost)})


def note(replicates: list[tuple[float | None, float | None]], lead_in: int = 1) -> list[str]:
    jobs = []
    for replicate, (one, other) in enumerate(replicates):
        for arm, partner, cost in (
            ("pytorch", "onnxruntime", one),
            ("onnxruntime", "pytorch", other),
        ):
            job = make_interleaved_job(arm, partner, replicate, [0.5] * 4)
            jobs.append(measured(job, cost, None if cost is None else 3e-4, lead_in))
    text = render([make_run(jobs, [PAIR])], view="gains")
    return [line for line in text.splitlines() if line.startswith("- switching between")]


def test_the_mean_over_replicates_with_its_interval() -> None:
    error = 1.96 * math.hypot(0.3, 0.3) / 2
    assert note([(1e-3, -5e-4), (3e-3, -1.5e-3)]) == [
        "- switching between the jobs, tiny-sst2: first step of a turn against those after it: "
        f"pytorch +2.0 ±{error:.1f} ms, onnxruntime -1.0 ±{error:.1f} ms; not in the gains, for the "
        "first step of each turn is not timed"
    ]


def test_without_a_lead_in_the_note_says_so() -> None:
    (said,) = note([(1e-3, 2e-3)], lead_in=0)
    assert said.endswith("; no step was left untimed")


def taking_turns(
    arm: str, partner: str, replicate: int, first: list[bool], switch_s: float
) -> JobRecord:
    """A step takes 50 ms, `switch_s` more in a turn that follows the partner's, and 1 ms more in
    each turn: drift.
    """
    order = [mine for went_first in first for mine in (went_first, not went_first)]
    step_s = [
        0.05 + 0.001 * at + (switch_s if at == 0 or not order[at - 1] else 0.0)
        for at, mine in enumerate(order)
        if mine
    ]
    job = make_interleaved_job(arm, partner, replicate, step_s, pilot=1)
    assert job.turns is not None
    return job.model_copy(
        update={"turns": job.turns.model_copy(update={"place": [int(not mine) for mine in first]})}
    )


def test_what_is_left_in_timed_steps_comes_from_turns_that_follow_the_same_arm() -> None:
    # The order of turns, from the pilot's pair on: a b | b a a b | b a a b | a b b a ...
    first = [True, *[False, True] * 3, *[True, False] * 5]
    jobs = []
    for replicate in (0, 1):
        jobs.append(taking_turns("pytorch", "onnxruntime", replicate, first, 0.004))
        jobs.append(
            taking_turns("onnxruntime", "pytorch", replicate, [not mine for mine in first], -0.002)
        )
    baseline, candidate = (job.turns for job in jobs[:2])
    assert baseline is not None
    assert candidate is not None
    # 1 ms of drift between the two turns; the pilot's turn begins no difference, though its
    # partner's follows itself.
    assert left_s(baseline, 2) == [pytest.approx(0.003)] * 7
    assert left_s(candidate, 2) == [pytest.approx(-0.003)] * 7
    text = render([make_run(jobs, [PAIR])], view="gains")
    said = (
        "timed steps of a turn after another arm's against one after its own: pytorch +3.0 ±0.0 ms"
    )
    assert f"- switching between the jobs, tiny-sst2: {said}, onnxruntime -3.0 ±0.0 ms" in text


def test_a_handful_of_turns_says_nothing() -> None:
    both = ("pytorch", [False, True] * 3), ("onnxruntime", [True, False] * 3)
    jobs = [
        taking_turns(arm, other, 0, first, 0.0) for (arm, first), (other, _) in (both, both[::-1])
    ]
    assert "switching" not in render([make_run(jobs, [PAIR])], view="gains")


def test_nothing_is_said_where_an_arm_could_not_tell() -> None:
    assert note([(1e-3, None)]) == []


def test_a_replicate_that_failed_says_nothing() -> None:
    jobs = [
        measured(make_interleaved_job(arm, other, k, [0.5] * 4), 1e-3, 1e-4)
        for k in (0, 1)
        for arm, other in (("pytorch", "onnxruntime"), ("onnxruntime", "pytorch"))
    ]
    jobs[2] = make_job(
        "pytorch",
        1,
        backend="pytorch",
        group=["pytorch", "onnxruntime"],
        state=State.CRASHED,
        turns=jobs[2].turns,
    )
    text = render([make_run(jobs, [PAIR])], view="gains")
    assert "pytorch +1.0 ±0.2 ms, onnxruntime +1.0 ±0.1 ms" in text
