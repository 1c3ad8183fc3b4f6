"""The only place where a job's record is made: from its specification, what was seen of it, how it
ended, and what the sampler saw meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.launcher.environment import cards_of
from harness.launcher.outcome import Seen
from harness.results.host import device_name
from harness.results.mfu import efficiency
from harness.runner.contention import observe
from harness.schema.job import JobSpec
from harness.schema.record import (
    GpuTelemetry,
    Host,
    JobRecord,
    State,
    Telemetry,
    TurnTimes,
    WorkerResult,
)
from harness.telemetry.summary import contamination

SEEN_TOGETHER_ON_CARD = (
    "utilization, memory, power and energy: all arms of the group were on the card, and are only "
    "seen together"
)
SEEN_TOGETHER_ON_CPU = (
    "CPU time and memory: the arms of the group ran at the same time, and are only seen together"
)


@dataclass(frozen=True)
class Execution:
    """One execution of a job. Paths are relative to the run's folder.

    Attributes:
        job: What was executed.
        seen: What the runner saw of it, with the result of its process.
        state: How it ended.
        reason: Why it ended so, as one sentence; empty if the state is ok.
        attempt: 1-based number of the attempt at the job.
        started_at: UTC, ISO 8601.
        series: File with a row for each step.
        log: File with all that its processes printed.
        turns: Of a job that took turns, what it did in them.
        telemetry: What the sampler saw; None: none was running.
    """

    job: JobSpec
    seen: Seen
    state: State
    reason: str = ""
    attempt: int = 1
    started_at: str | None = None
    series: str | None = None
    log: str | None = None
    turns: TurnTimes | None = None
    telemetry: Telemetry | None = None

    @property
    def result(self) -> WorkerResult:
        """What the job's process reported; all of it missing if it never did."""
        return self.seen.result or WorkerResult()


@dataclass(frozen=True)
class RecordBuilder:
    """Makes the records of one run.

    Attributes:
        run: The run's name.
        host: The machine that the run is made on.
        allow_shared_gpu: Other processes on the card do not contaminate a job.
        refuse_contention: A job that others on the host disturbed heavily is contaminated.
    """

    run: str
    host: Host
    allow_shared_gpu: bool = False
    refuse_contention: bool = True

    def build(self, *executions: Execution) -> list[JobRecord]:
        """The records of one job, or of the jobs that ran together, in the order given.

        What must not leave this machine is taken out when records are written
        (harness.schema.redaction). All jobs that ended well are `contaminated` if one of them was
        disturbed.
        """
        records = [self._record(each, together=len(executions) > 1) for each in executions]
        disturbed = self._disturbance(records)
        return [
            ended_as(record, State.CONTAMINATED, disturbed)
            if disturbed and record.state is State.OK
            else record
            for record in records
        ]

    def _record(self, execution: Execution, *, together: bool) -> JobRecord:
        job, seen, result = execution.job, execution.seen, execution.result
        telemetry, code = execution.telemetry, seen.exit_code
        if telemetry is not None and together:
            telemetry = of_its_own(telemetry, job.device)
        if telemetry is not None and job.workload.launch.nodes > 1:
            telemetry = of_first_node(telemetry, job.workload.launch.nodes)
        fields = {
            **dict(result),
            "timing": result.timing.replace(wall_s=seen.wall_s),
            "turns": execution.turns or result.turns,
        }
        record = JobRecord(
            **fields,
            id=job.id,
            run=self.run,
            suite=job.suite,
            workload=job.workload,
            arm=job.arm,
            replicate=job.replicate,
            position=job.position,
            seed=job.seed,
            device=device_name(job.device, self.host, cards_of(job, os.environ)),
            parity_run=job.parity_run,
            group=job.group,
            attempt=execution.attempt,
            state=execution.state,
            reason=execution.reason,
            started_at=execution.started_at,
            exit_code=code,
            signal=-code if code is not None and code < 0 else None,
            series=execution.series,
            log=execution.log,
            telemetry=telemetry,
        )
        # Both are read off the record itself.
        steps = seen.series
        return record.replace(
            efficiency=efficiency(record),
            # A parity run measures nothing that could be disturbed.
            contention=None if job.parity_run else observe(record, steps.step, steps.duration_s),
        )

    def _disturbance(self, records: Sequence[JobRecord]) -> str:
        """Why these jobs were no fair measurement, as one sentence; empty if they were."""
        found = [
            contamination(record.telemetry, allow_shared_gpu=self.allow_shared_gpu)
            for record in records
            if not record.parity_run
        ]
        if self.refuse_contention:
            found += [record.contention.heavy for record in records if record.contention]
        return next((reason for reason in found if reason), "")


def settled(executions: Sequence[Execution], problem: str, *, stopped: bool) -> list[Execution]:
    """Executions of one replicate, such that a replicate with a problem is no result and one
    without end has a failure.

    Args:
        executions: Of the jobs that ran together.
        problem: Why the replicate does not count, as one sentence; empty if it does.
        stopped: Whether the run was told to end.
    """
    states = {execution.state for execution in executions}
    if problem and states == {State.OK}:
        # Both trained well, but not long enough for turns to be compared: what was asked for came
        # too late.
        return [replace(each, state=State.TIMEOUT, reason=problem) for each in executions]
    if states == {State.INTERRUPTED} and not stopped:
        # Otherwise it would be started again for ever: `interrupted` is what the user does, or
        # another arm that failed.
        return [replace(each, state=State.CRASHED) for each in executions]
    return list(executions)


def ended_as(record: JobRecord, state: State, reason: str) -> JobRecord:
    """The record of a job whose end is judged otherwise than by itself."""
    return record.replace(state=state, reason=reason)


def without_room(record: JobRecord, why: str) -> JobRecord:
    """The record of a job that ended while the disk was full: the same command runs it again once
    there is room.
    """
    reason = f"of the run's folder: {why}" + (f"; {record.reason}" if record.reason else "")
    return ended_as(record, State.INTERRUPTED, reason)


def in_run(record: JobRecord, run: str, first: int) -> JobRecord:
    """The record of a part's job as one of the whole run, in which so many jobs come before."""
    return record.replace(run=run, position=first + record.position)


def of_first_node(telemetry: Telemetry, nodes: int) -> Telemetry:
    """A job's telemetry where only the first of its nodes was sampled: without the energy of a
    sample, in which the cards of the others had a part.
    """
    why = f"energy of a sample: {nodes} nodes trained, and only the first is sampled"
    return telemetry.replace(joules_per_sample=None, unreadable=[*telemetry.unreadable, why])


def of_its_own(telemetry: Telemetry, device: str) -> Telemetry:
    """A job's telemetry where another job was resident: without what cannot be told apart.

    The series keeps it. Missing here are, of the card, utilization, memory, power and energy, and
    of the job's process tree the CPU time and memory, which are those of all jobs of the group.

    Args:
        telemetry: What the sampler saw.
        device: On which the jobs trained, `cpu` or `cuda`.
    """
    together = SEEN_TOGETHER_ON_CPU if device == "cpu" else SEEN_TOGETHER_ON_CARD
    return Telemetry(
        interval_s=telemetry.interval_s,
        window_s=telemetry.window_s,
        samples=telemetry.samples,
        missed_ticks=telemetry.missed_ticks,
        cores=telemetry.cores,
        host_cpu_share_mean=telemetry.host_cpu_share_mean,
        job_cores=telemetry.job_cores,
        job_cores_busy_mean=telemetry.job_cores_busy_mean,
        others_cpu_share_mean=telemetry.others_cpu_share_mean,
        stopped_s=telemetry.stopped_s,
        covered_share=telemetry.covered_share,
        gpus=[_card_of_its_own(gpu) for gpu in telemetry.gpus],
        unreadable=[*telemetry.unreadable, together],
        series=telemetry.series,
    )


def _card_of_its_own(gpu: GpuTelemetry) -> GpuTelemetry:
    return GpuTelemetry(
        index=gpu.index,
        uuid=gpu.uuid,
        name=gpu.name,
        memory_total_bytes=gpu.memory_total_bytes,
        power_limit_w=gpu.power_limit_w,
        samples=gpu.samples,
        sm_clock_median_mhz=gpu.sm_clock_median_mhz,
        sm_clock_p10_mhz=gpu.sm_clock_p10_mhz,
        memory_clock_median_mhz=gpu.memory_clock_median_mhz,
        temperature_max_c=gpu.temperature_max_c,
        clock_limits=gpu.clock_limits,
        foreign_processes=gpu.foreign_processes,
        unreadable=gpu.unreadable,
    )
