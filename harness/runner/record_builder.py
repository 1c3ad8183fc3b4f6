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
from harness.schema.measurement import SETTLES_S
from harness.schema.record import (
    AloneTurn,
    GpuTelemetry,
    Host,
    JobRecord,
    State,
    Telemetry,
    Timing,
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
MEMORY_SEEN_TOGETHER_ON_CARD = (
    "memory of the card: all arms of the group were on it, and are only seen together"
)
MEMORY_SEEN_TOGETHER_ON_CPU = (
    "memory of a job's processes together: the arms of the group ran at the same time, and are "
    "only seen together"
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
        alone: What it saw in the turn that a job of a group had to itself; None: it had none.
    """

    job: JobSpec
    seen: Seen
    state: State
    reason: str = ""
    attempt: int = 1
    started_at: str | None = None
    share_s: float | None = None
    series: str | None = None
    log: str | None = None
    turns: TurnTimes | None = None
    telemetry: Telemetry | None = None
    alone: Telemetry | None = None

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
            telemetry = of_its_own(telemetry, job.device, execution.alone)
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
            share_s=execution.share_s,
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


def of_its_own(telemetry: Telemetry, device: str, alone: Telemetry | None = None) -> Telemetry:
    """A job's telemetry where other jobs were resident: without what cannot be told apart.

    The series keeps it. Of the card, memory is missing, and of the job's process tree too: they are
    those of all jobs of the group. CPU time, utilization, power and energy are those of the turn
    that the job had to itself, and missing if it had none.

    Args:
        telemetry: What the sampler saw.
        device: On which the jobs trained, `cpu` or `cuda`.
        alone: What it saw in the job's turn to itself; None: it had none.
    """
    if alone is None:
        together = SEEN_TOGETHER_ON_CPU if device == "cpu" else SEEN_TOGETHER_ON_CARD
    else:
        together = MEMORY_SEEN_TOGETHER_ON_CPU if device == "cpu" else MEMORY_SEEN_TOGETHER_ON_CARD
    seen = alone or Telemetry()
    cards = {gpu.index: gpu for gpu in seen.gpus}
    return telemetry.replace(
        job_cpu_share_mean=seen.job_cpu_share_mean,
        job_rss_peak_bytes=None,
        joules_per_sample=seen.joules_per_sample,
        alone_s=seen.window_s,
        gpus=[
            _card_of_its_own(gpu, cards.get(gpu.index) or GpuTelemetry(index=gpu.index))
            for gpu in telemetry.gpus
        ],
        unreadable=[*telemetry.unreadable, together],
    )


def _card_of_its_own(gpu: GpuTelemetry, alone: GpuTelemetry) -> GpuTelemetry:
    return gpu.replace(
        utilization_mean=alone.utilization_mean,
        utilization_p10=alone.utilization_p10,
        memory_utilization_mean=alone.memory_utilization_mean,
        memory_peak_bytes=None,
        power_mean_w=alone.power_mean_w,
        energy_j=alone.energy_j,
        energy_source=alone.energy_source,
    )


def alone_timing(turn: AloneTurn, timing: Timing) -> Timing | None:
    """The turn that a job had to itself as a steady window of its own, without what settles in its
    first second; None if nothing is left of it.

    Args:
        turn: The turn.
        timing: Of the job, which says how many samples a step has.
    """
    begin_ns = turn.begin_ns + round(1e9 * SETTLES_S)
    if turn.end_ns <= begin_ns:
        return None
    rate, step_s = timing.steady_samples_per_s, timing.steady_step_s
    return Timing(
        steady_begin_ns=begin_ns,
        steady_end_ns=turn.end_ns,
        steady_samples_per_s=rate * step_s / turn.step_s if rate and step_s else None,
    )
