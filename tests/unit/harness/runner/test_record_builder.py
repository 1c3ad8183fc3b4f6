"""The record of a job: what is taken from where, and what of jobs that ran together is nobody's."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from runner_support import make_job

from harness.launcher.outcome import Seen
from harness.runner.record_builder import (
    MEMORY_SEEN_TOGETHER_ON_CARD,
    MEMORY_SEEN_TOGETHER_ON_CPU,
    SEEN_TOGETHER_ON_CARD,
    SEEN_TOGETHER_ON_CPU,
    Execution,
    RecordBuilder,
    alone_timing,
    in_run,
    of_its_own,
    settled,
    without_room,
)
from harness.schema.record import (
    AloneTurn,
    Engagement,
    GpuTelemetry,
    Host,
    JobRecord,
    ModelShape,
    Part,
    State,
    Telemetry,
    Timing,
    TurnTimes,
    WorkerResult,
)

CARD = {"name": "NVIDIA H100", "uuid": "GPU-1"}
THROTTLED = Telemetry(
    gpus=[GpuTelemetry(index=0, samples=100, clock_limits={"hw_thermal_slowdown": 0.5})]
)


def builder(**settings: Any) -> RecordBuilder:
    return RecordBuilder("the-run", Host(gpus=[CARD]), **settings)


def execution(position: int = 0, **changes: Any) -> Execution:
    values = {"seen": Seen(exit_code=0, wall_s=9.0, result=WorkerResult()), "state": State.OK}
    return Execution(make_job(position), **{**values, **changes})


def test_a_record_has_what_the_job_was_what_it_said_and_how_it_ended() -> None:
    result = WorkerResult(
        timing=Timing(setup_s=2.0, steady_samples_per_s=10.0),
        engagement=Engagement(engaged=True),
        metrics={"accuracy": 0.5},
        shape=ModelShape(layers=1, hidden_size=8, intermediate_size=16),
    )
    (record,) = builder().build(
        execution(
            1,
            seen=Seen(exit_code=-9, wall_s=9.0, result=result),
            state=State.TIMEOUT,
            reason="too long",
            attempt=2,
            started_at="then",
            series="series/a.parquet",
            log="logs/a.log",
        )
    )
    job = make_job(1)
    assert (record.id, record.run, record.suite) == (job.id, "the-run", job.suite)
    assert (record.workload, record.arm) == (job.workload, job.arm)
    assert (record.replicate, record.position, record.seed) == (0, 1, 42)
    assert (record.state, record.reason, record.attempt) == (State.TIMEOUT, "too long", 2)
    assert (record.exit_code, record.signal, record.started_at) == (-9, 9, "then")
    assert (record.series, record.log) == ("series/a.parquet", "logs/a.log")
    assert record.timing == result.timing.replace(wall_s=9.0)
    assert (record.metrics, record.engagement) == (result.metrics, result.engagement)
    assert record.efficiency is not None
    assert record.efficiency.flops_per_sample is not None
    assert record.contention is not None
    assert (record.device, record.telemetry, record.turns) == ("cpu", None, None)


def test_a_job_that_said_nothing_has_a_record_too() -> None:
    (record,) = builder().build(execution(seen=Seen(exit_code=3), state=State.CRASHED))
    assert record.timing == Timing()
    assert (record.exit_code, record.signal) == (3, None)


def test_the_device_is_the_card_that_the_job_saw() -> None:
    job = make_job().replace(device="cuda")
    (record,) = builder().build(Execution(job, Seen(exit_code=0), State.OK))
    assert record.device == "NVIDIA H100"


def test_turns_are_in_the_record_even_of_a_job_without_a_result() -> None:
    times = TurnTimes(lead_in_steps=1, steps=[2])
    (record,) = builder().build(execution(seen=Seen(exit_code=1), state=State.CRASHED, turns=times))
    assert record.turns == times


def test_a_parity_run_is_not_held_against_anything() -> None:
    parity_run = make_job().replace(parity_run=True)
    (record,) = builder().build(
        Execution(parity_run, Seen(exit_code=0), State.OK, telemetry=THROTTLED)
    )
    assert (record.state, record.contention) == (State.OK, None)


def test_what_disturbs_one_job_disturbs_all_that_ran_with_it() -> None:
    disturbed, quiet = builder().build(execution(0, telemetry=THROTTLED), execution(1))
    assert disturbed.state is quiet.state is State.CONTAMINATED
    assert "was throttled" in disturbed.reason
    assert quiet.reason == disturbed.reason
    _, failed = builder().build(
        execution(0, telemetry=THROTTLED), execution(1, state=State.DIVERGED, reason="nan")
    )
    assert (failed.state, failed.reason) == (State.DIVERGED, "nan")


def test_others_on_the_card_contaminate_unless_that_is_allowed() -> None:
    shared = Telemetry(gpus=[GpuTelemetry(index=0, foreign_processes=1)])
    (refused,) = builder().build(execution(telemetry=shared))
    (allowed,) = builder(allow_shared_gpu=True).build(execution(telemetry=shared))
    assert (refused.state, allowed.state) == (State.CONTAMINATED, State.OK)


def test_a_process_that_was_stopped_contaminates_unless_it_is_only_noted() -> None:
    stopped = Telemetry(stopped_s=5.0)
    (refused,) = builder().build(execution(telemetry=stopped))
    (noted,) = builder(refuse_contention=False).build(execution(telemetry=stopped))
    assert (refused.state, noted.state) == (State.CONTAMINATED, State.OK)
    assert noted.contention is not None
    assert noted.contention.heavy == refused.reason


BLANK_OF_THE_JOB = {"job_cpu_share_mean", "job_rss_peak_bytes", "joules_per_sample", "alone_s"}
BLANK_OF_A_CARD = {
    "utilization_mean",
    "utilization_p10",
    "memory_utilization_mean",
    "memory_peak_bytes",
    "power_mean_w",
    "energy_j",
    "energy_source",
}


def filled(kind: type[Part], **given: Any) -> Any:
    """A part all of whose fields have a value."""
    values: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        choices = [c for c in get_args(field.annotation) if c is not type(None)]
        simple = choices[0] if choices else field.annotation
        kinds = {str: "x", int: 1, float: 1.0}
        values[name] = kinds.get(simple, 1.0)
    return kind.model_validate({**values, **given})


@pytest.mark.parametrize(
    ("device", "note"), [("cuda", SEEN_TOGETHER_ON_CARD), ("cpu", SEEN_TOGETHER_ON_CPU)]
)
def test_what_two_jobs_on_one_device_share_is_no_ones_own(device: str, note: str) -> None:
    """Every field is either kept or named here: one that is added must be decided on."""
    card = filled(GpuTelemetry, energy_source="counter", clock_limits={"a": 0.5}, unreadable=["u"])
    whole = filled(Telemetry, gpus=[card], unreadable=["said before"])
    own = of_its_own(whole, device)
    (of_card,) = own.gpus
    blank = {name for name in GpuTelemetry.model_fields if getattr(of_card, name) is None}
    assert blank == BLANK_OF_A_CARD
    assert of_card == card.replace(**dict.fromkeys(BLANK_OF_A_CARD))
    assert {name for name in Telemetry.model_fields if getattr(own, name) is None} == (
        BLANK_OF_THE_JOB
    )
    assert own == whole.replace(
        **dict.fromkeys(BLANK_OF_THE_JOB),
        gpus=[of_card],
        unreadable=["said before", note],
    )


@pytest.mark.parametrize(
    ("device", "note"),
    [("cuda", MEMORY_SEEN_TOGETHER_ON_CARD), ("cpu", MEMORY_SEEN_TOGETHER_ON_CPU)],
)
def test_a_turn_to_itself_tells_all_but_memory(device: str, note: str) -> None:
    card = filled(GpuTelemetry, energy_source="power", clock_limits={"a": 0.5}, unreadable=["u"])
    whole = filled(Telemetry, gpus=[card], unreadable=["said before"])
    seen = {name: getattr(card, name) for name in BLANK_OF_A_CARD}
    of_alone = {
        name: "counter" if name == "energy_source" else 7 * value for name, value in seen.items()
    }
    alone = Telemetry(
        window_s=1.5,
        job_cpu_share_mean=0.25,
        joules_per_sample=0.125,
        gpus=[card.replace(**of_alone, samples=3)],
    )
    own = of_its_own(whole, device, alone)
    assert own == whole.replace(
        job_cpu_share_mean=0.25,
        job_rss_peak_bytes=None,
        joules_per_sample=0.125,
        alone_s=1.5,
        gpus=[card.replace(**{**of_alone, "memory_peak_bytes": None})],
        unreadable=["said before", note],
    )


def test_the_first_second_of_a_turn_to_itself_is_left_out() -> None:
    timing = Timing(steady_step_s=0.5, steady_samples_per_s=16.0)  # 8 samples a step
    turn = AloneTurn(steps=6, step_s=0.4, begin_ns=10**10, end_ns=10**10 + 2_400_000_000)
    window = alone_timing(turn, timing)
    assert window is not None
    assert (window.steady_begin_ns, window.steady_end_ns) == (11 * 10**9, 12_400_000_000)
    assert window.steady_samples_per_s == pytest.approx(20.0)
    assert alone_timing(turn.replace(end_ns=11 * 10**9), timing) is None
    unknown = alone_timing(turn, Timing())
    assert unknown is not None
    assert unknown.steady_samples_per_s is None


def test_only_jobs_that_ran_together_lose_what_they_share() -> None:
    telemetry = Telemetry(job_cpu_share_mean=0.5)
    (alone,) = builder().build(execution(telemetry=telemetry))
    together = builder().build(execution(0, telemetry=telemetry), execution(1, telemetry=telemetry))
    assert alone.telemetry == telemetry
    assert [record.telemetry for record in together] == [of_its_own(telemetry, "cpu")] * 2


@pytest.mark.parametrize(
    ("states", "problem", "stopped", "expected"),
    [
        ((State.OK, State.OK), "", False, (State.OK, State.OK)),
        ((State.OK, State.OK), "too few turns", False, (State.TIMEOUT, State.TIMEOUT)),
        ((State.OK, State.CRASHED), "b died", False, (State.OK, State.CRASHED)),
        ((State.INTERRUPTED,) * 2, "", True, (State.INTERRUPTED,) * 2),
        ((State.INTERRUPTED,) * 2, "", False, (State.CRASHED,) * 2),
    ],
)
def test_a_replicate_has_one_end(
    states: tuple[State, ...], problem: str, stopped: bool, expected: tuple[State, ...]
) -> None:
    ended = [execution(position, state=state) for position, state in enumerate(states)]
    found = settled(ended, problem, stopped=stopped)
    assert tuple(each.state for each in found) == expected
    if State.TIMEOUT in expected:
        assert {each.reason for each in found} == {problem}


def test_a_job_whose_series_had_no_room_runs_again() -> None:
    (record,) = builder().build(execution(state=State.CRASHED, reason="exited with 1"))
    found = without_room(record, "no space")
    assert found.state is State.INTERRUPTED
    assert found.reason == "of the run's folder: no space; exited with 1"


def test_a_part_becomes_part_of_the_whole() -> None:
    (record,) = builder().build(execution(1))
    found = in_run(record, "whole", first=10)
    assert (found.run, found.position) == ("whole", 11)
    assert isinstance(found, JobRecord)
    assert found.replace(run="the-run", position=1) == record
