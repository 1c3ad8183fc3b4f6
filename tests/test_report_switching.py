"""The note on what taking turns cost."""

from __future__ import annotations

import math

from report_factory import make_block_job, make_job, make_run

from harness.record import JobRecord, Pair, State
from report.tables import render

PAIR = Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")


def measured(job: JobRecord, switch_s: float | None, error_s: float | None, lead_in: int = 1) -> JobRecord:
    assert job.blocks is not None
    cost = {"switch_s": switch_s, "switch_standard_error_s": error_s, "lead_in_steps": lead_in}
    return job.model_copy(update={"blocks": job.blocks.model_copy(update=cost)})


def note(launches: list[tuple[float | None, float | None]], lead_in: int = 1) -> list[str]:
    jobs = []
    for launch, (one, other) in enumerate(launches):
        for arm, partner, cost in (("pytorch", "onnxruntime", one), ("onnxruntime", "pytorch", other)):
            job = make_block_job(arm, partner, launch, [0.5] * 4)
            jobs.append(measured(job, cost, None if cost is None else 3e-4, lead_in))
    text = render([make_run(jobs, [PAIR])], view="gains")
    return [line for line in text.splitlines() if line.startswith("- first step of a turn")]


def test_the_mean_over_launches_with_its_interval() -> None:
    error = 1.96 * math.hypot(0.3, 0.3) / 2
    assert note([(1e-3, -5e-4), (3e-3, -1.5e-3)]) == [
        f"- first step of a turn against those after it, tiny-sst2: pytorch +2.0 ±{error:.1f} ms, "
        f"onnxruntime -1.0 ±{error:.1f} ms; kept out by 1 untimed at its head"
    ]


def test_without_a_lead_in_the_note_says_that_the_figures_hold_it() -> None:
    (said,) = note([(1e-3, 2e-3)], lead_in=0)
    assert said.endswith("; it is in the figures, no step was left untimed")


def test_nothing_is_said_where_an_arm_could_not_tell() -> None:
    assert note([(1e-3, None)]) == []


def test_a_launch_that_failed_says_nothing() -> None:
    jobs = [
        measured(make_block_job(arm, other, k, [0.5] * 4), 1e-3, 1e-4)
        for k in (0, 1)
        for arm, other in (("pytorch", "onnxruntime"), ("onnxruntime", "pytorch"))
    ]
    jobs[2] = make_job(
        "pytorch", 1, backend="pytorch", partner="onnxruntime", state=State.CRASHED, blocks=jobs[2].blocks
    )
    text = render([make_run(jobs, [PAIR])], view="gains")
    assert "pytorch +1.0 ±0.2 ms, onnxruntime +1.0 ±0.1 ms" in text
