"""Quads: which replicates they are, and what disturbs one."""

from __future__ import annotations

import pytest
from runner_support import BASELINE, CANDIDATE, ended, make_job

from harness.planning.reruns import attempt_of, disturbance, of_attempt, quads, systematic
from harness.schema.record import GpuTelemetry, JobRecord, Pair, State, Telemetry

PAIR = Pair(workload="tiny", baseline=BASELINE, candidate=CANDIDATE)


def clocked(position: int, *medians: float | None) -> JobRecord:
    cards = [
        GpuTelemetry(index=index, sm_clock_median_mhz=median)
        for index, median in enumerate(medians)
    ]
    return ended(make_job(position)).model_copy(update={"telemetry": Telemetry(gpus=cards)})


def test_a_quad_is_two_replicates_of_all_arms_in_order() -> None:
    jobs = [make_job(position) for position in (0, 1, 3, 2, 4, 5)]
    assert [[job.id for job in quad] for quad in quads(jobs)] == [
        ["job0", "job1", "job3", "job2"],
        ["job4", "job5"],
    ]
    later = [
        job.model_copy(update={"replicate": job.replicate + 3}) for job in jobs
    ]  # the second pair's, under the interleaved protocol
    assert [len(quad) for quad in quads(later)] == [4, 2]
    assert quads([]) == []


def test_attempts_are_told_apart() -> None:
    jobs = [make_job(0), make_job(1)]
    first, again = ended(jobs[0]), ended(jobs[0], attempt=2)
    assert attempt_of(jobs, []) == 1
    assert attempt_of(jobs, [first, again, ended(make_job(7), attempt=5)]) == 2
    assert of_attempt(jobs, [first, again], 1) == {"job0": first}
    assert of_attempt(jobs, [first, again], 3) == {}


@pytest.mark.parametrize(
    ("other", "disturbed"), [(1980.0, False), (1961.0, False), (1960.0, True), (2000.0, True)]
)
def test_clocks_more_than_a_hundredth_apart_disturb(other: float, disturbed: bool) -> None:
    reason = disturbance([clocked(0, 1980.0), clocked(1, other)], [PAIR])
    assert bool(reason) == disturbed
    if disturbed:
        assert reason == (
            f"in replicate 1 the median SM clock of GPU 0 was 1980 MHz under pytorch and {other:g} "
            "MHz under onnxruntime"
        )


def test_clocks_are_compared_within_a_replicate_a_pair_and_a_card() -> None:
    assert disturbance([clocked(0, 1980.0), clocked(3, 1500.0)], [PAIR]) == "", "two replicates"
    assert disturbance([clocked(0, 1980.0), clocked(1, 1500.0)], []) == "", "nobody pairs them"
    assert disturbance([clocked(0, 1980.0, None), clocked(1, 1980.0, 900.0)], [PAIR]) == "", (
        "no reading"
    )
    assert "GPU 1" in disturbance([clocked(0, 1980.0, 1980.0), clocked(1, 1980.0, 900.0)], [PAIR])
    failed = clocked(1, 1500.0).model_copy(update={"state": State.CRASHED})
    assert disturbance([clocked(0, 1980.0), failed], [PAIR]) == "", (
        "a job without a result is compared with nothing"
    )


def test_a_contaminated_job_disturbs_its_quad() -> None:
    bad = ended(make_job(2), State.CONTAMINATED, "GPU 0 was throttled")
    assert (
        disturbance([ended(make_job(0)), bad], [PAIR])
        == "pytorch in replicate 2: GPU 0 was throttled"
    )
    assert disturbance([ended(make_job(0), State.CRASHED)], [PAIR]) == ""


def test_clocks_apart_in_the_same_direction_twice_are_systematic() -> None:
    capped, free = (
        [clocked(0, 1800.0), clocked(1, 1980.0)],
        [clocked(0, 1980.0), clocked(1, 1980.0)],
    )
    other_way = [clocked(0, 1980.0), clocked(1, 1800.0)]
    assert systematic(capped, capped, [PAIR])
    assert not systematic(capped, other_way, [PAIR]), "noise of the host: worth another attempt"
    assert not systematic(free, capped, [PAIR])
    assert not systematic(capped, capped, []), "nobody pairs them"
    throttled = [capped[0].model_copy(update={"state": State.CONTAMINATED}), capped[1]]
    assert not systematic(throttled, capped, [PAIR]), "something else may have slowed it"
