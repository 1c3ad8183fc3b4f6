"""Runs one job, or one launch of a pair in blocks, to its end and makes the record of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.launcher import srun
from harness.launcher.environment import environment_for
from harness.launcher.outcome import Seen, judge
from harness.launcher.process import RunningJob, run_to_end
from harness.results.host import device_name
from harness.results.mfu import efficiency
from harness.results.open_run import now_utc
from harness.results.run_folder import RunFolder
from harness.runner.contention import observe
from harness.runner.display import Display
from harness.schema.measurement import Blocks
from harness.schema.record import Contention, Host, JobRecord, State, Telemetry, WorkerResult
from harness.schema.workload import JobSpec, Launch
from harness.telemetry.session import Sampling
from harness.telemetry.summary import contamination
from harness.worker import backends

if TYPE_CHECKING:
    from harness.planning.plan import Plan

# What the sampler reads of a card, or of a process tree, that two resident jobs share: neither
# arm's own.
SHARED_CARD = (
    "utilization_mean",
    "utilization_p10",
    "memory_utilization_mean",
    "memory_peak_bytes",
    "power_mean_w",
    "energy_j",
    "energy_source",
)
SHARED_HOST = ("job_cpu_share_mean", "job_rss_peak_bytes", "joules_per_sample")


@dataclass(frozen=True)
class Executor:
    """Runs jobs of one run. `stop_reason()`: why the user wants it to end, else empty; `stop_fd`:
    readable then.

    `command` replaces the stack's `INTERPRETER -m harness.worker`.
    """

    plan: Plan
    folder: RunFolder
    host: Host
    display: Display
    stop_fd: int
    stop_reason: Callable[[], str]
    command: Sequence[str] | None = None
    allow_shared_gpu: bool = False

    def run(self, jobs: Sequence[JobSpec], attempt: int) -> tuple[list[JobRecord], str]:
        """The records of one job, or of the two (baseline, candidate) that share the device, and
        what a reader should know besides, one sentence or nothing.

        Nothing is written yet but logs and series. Raises BenchError if a job cannot be started at
        all.
        """
        if len(jobs) == 1:
            return [self._run_one(jobs[0], attempt)], ""
        return self._run_pair(jobs[0], jobs[1], attempt)

    def _start(self, job: JobSpec, log: Path) -> RunningJob:
        return RunningJob(
            job,
            log,
            interpreter=self.plan.stacks[job.arm.stack],
            command=self.command,
            lock_fd=self.folder.lock_fd,
            wake_fd=self.stop_fd,
            libraries=backends.get(job.arm.backend).library_path(job.device),
        )

    def _log(self, name: str) -> Path:
        return self.folder.path / "logs" / f"{name}.log"

    def _run_one(self, job: JobSpec, attempt: int) -> JobRecord:
        name = self.folder.attempt_name(job.id, attempt)
        started, interval = now_utc(), self.plan.telemetry_interval_s
        with (
            self._start(job, self._log(name)) as running,
            Sampling.start(job, [running.pid], interval_s=interval, log=running.log)
            if interval
            else nullcontext() as sampling,
        ):
            seen = run_to_end(
                running,
                self.plan.timeout_s,
                on_event=self.display.job_event,
                stop_reason=self.stop_reason,
            )
        record = self._record(job, seen, name, attempt, started)
        if sampling is not None:
            record = sampling.summarise(
                record, self.folder.path, f"series/{name}.telemetry.parquet"
            )
            record = record.model_copy(
                update={"telemetry": of_first_node(record.telemetry, job.workload.launch)}
            )
        record = record.model_copy(
            update={"efficiency": efficiency(record), "contention": _contention(record, seen)}
        )
        return self._judged([record])[0]

    def _run_pair(
        self, baseline: JobSpec, candidate: JobSpec, attempt: int
    ) -> tuple[list[JobRecord], str]:
        from harness.interleaved import run_pair_launch

        names = (
            self.folder.attempt_name(baseline.id, attempt),
            self.folder.attempt_name(candidate.id, attempt),
        )
        started, interval = now_utc(), self.plan.telemetry_interval_s
        samplings: list[Sampling] = []
        with ExitStack() as stack:

            def sample(pids: tuple[int, int]) -> None:
                if interval:
                    log = self._log(names[0])
                    sampling = Sampling.start(baseline, pids, interval_s=interval, log=log)
                    samplings.append(stack.enter_context(sampling))

            outcome = run_pair_launch(
                baseline,
                candidate,
                (self._log(names[0]), self._log(names[1])),
                settings=self._with_known_length(baseline),
                start=self._start,
                timeout_s=self.plan.timeout_s,
                on_event=lambda job, event: self.display.job_event(event),
                stop_reason=self.stop_reason,
                wake_fd=self.stop_fd,
                on_started=sample,
            )
        records = []
        for job, seen, blocks, name in zip(
            outcome.jobs, outcome.seen, outcome.blocks, names, strict=True
        ):
            record = self._record(job, seen, name, attempt, started)
            if record.blocks is None and blocks.steps:
                record = record.model_copy(update={"blocks": blocks})
            for sampling in samplings:
                record = sampling.summarise(
                    record, self.folder.path, f"series/{name}.telemetry.parquet"
                )
                record = record.model_copy(update={"telemetry": shared(record.telemetry)})
            changes = {"efficiency": efficiency(record), "contention": _contention(record, seen)}
            records.append(record.model_copy(update=changes))
        arms = f"{baseline.arm.name} and {candidate.arm.name}"
        where = f"{baseline.workload.name}, launch {baseline.launch + 1} of {arms}"
        return self._judged(
            self._together(records, outcome.problem)
        ), outcome.note and f"{where}: {outcome.note}"

    def _with_known_length(self, baseline: JobSpec) -> Blocks:
        """The settings, with the block length that an earlier launch of this pair has chosen by its
        pilot.
        """
        settings = self.plan.blocks
        for record in self.folder.latest().values():
            same = (record.workload.name, record.arm.name, record.partner) == (
                baseline.workload.name,
                baseline.arm.name,
                baseline.partner,
            )
            if (
                settings.steps == "auto"
                and same
                and record.state is State.OK
                and record.blocks is not None
            ):
                settings = settings.model_copy(update={"steps": record.blocks.steps[-1]})
        return settings

    def _together(self, records: list[JobRecord], problem: str) -> list[JobRecord]:
        """The records of a launch, such that a launch with a problem is no result and one without
        end has a failure.
        """
        states = {record.state for record in records}
        if problem and states == {State.OK}:
            # Both trained well, but not long enough for blocks to be compared: what was asked for
            # came too late.
            changes = {"state": State.TIMEOUT, "reason": problem}
            return [record.model_copy(update=changes) for record in records]
        if states == {State.INTERRUPTED} and not self.stop_reason():
            # Or it would be launched for ever: `interrupted` is what the user does, or a partner
            # that failed.
            return [record.model_copy(update={"state": State.CRASHED}) for record in records]
        return records

    def _record(self, job: JobSpec, seen: Seen, name: str, attempt: int, started: str) -> JobRecord:
        state, reason = judge(seen, self._log(name))
        if state is State.CRASHED and job.workload.launch.nodes > 1:
            # The ranks of the runner's node only say that they miss the others.
            reason = "; ".join(filter(None, (reason, srun.trouble(self._log(name)))))
        series = self.folder.write_series(name, seen.series)
        changes = {
            "attempt": attempt,
            "started_at": started,
            "series": series,
            "log": f"logs/{name}.log",
        }
        return make_record(job, seen, state, reason, self.host).model_copy(update=changes)

    def _judged(self, records: list[JobRecord]) -> list[JobRecord]:
        """`contaminated` for all of them if one was disturbed; a twin measures nothing that could
        be.
        """
        found = [
            contamination(r.telemetry, allow_shared_gpu=self.allow_shared_gpu)
            for r in records
            if not r.twin
        ]
        if self.plan.contention == "refuse":
            found += [r.contention.heavy for r in records if r.contention]
        disturbed = next((reason for reason in found if reason), "")
        changes = {"state": State.CONTAMINATED, "reason": disturbed}
        return [
            record.model_copy(update=changes) if disturbed and record.state is State.OK else record
            for record in records
        ]


def _contention(record: JobRecord, seen: Seen) -> Contention | None:
    return None if record.twin else observe(record, seen.series.step, seen.series.duration_s)


def make_record(job: JobSpec, seen: Seen, state: State, reason: str, host: Host) -> JobRecord:
    """A job's record. What must not leave this machine is taken out when it is written
    (harness.schema.redaction).
    """
    result = seen.result or WorkerResult()
    fields = {name: getattr(result, name) for name in WorkerResult.model_fields}
    fields["timing"] = result.timing.model_copy(update={"wall_s": seen.wall_s})
    code = seen.exit_code
    return JobRecord(
        **fields,
        id=job.id,
        run=job.run,
        suite=job.suite,
        workload=job.workload,
        arm=job.arm,
        launch=job.launch,
        position=job.position,
        seed=job.seed,
        device=device_name(job.device, host, environment_for(job, os.environ, Path())),
        twin=job.twin,
        partner=job.partner,
        state=state,
        reason=reason,
        exit_code=code,
        signal=-code if code is not None and code < 0 else None,
    )


def of_first_node(telemetry: Telemetry | None, launch: Launch) -> Telemetry | None:
    """A job's telemetry where only the first of its nodes was sampled: without the energy of a
    sample, in which the cards of the others had a part.
    """
    if telemetry is None or launch.nodes == 1:
        return telemetry
    why = f"energy of a sample: {launch.nodes} nodes trained, and only the first is sampled"
    changes = {"joules_per_sample": None, "unreadable": [*telemetry.unreadable, why]}
    return telemetry.model_copy(update=changes)


def shared(telemetry: Telemetry | None) -> Telemetry | None:
    """A job's telemetry where another job was resident: without what cannot be told apart; the
    series keeps it.
    """
    if telemetry is None:
        return None
    changes = dict.fromkeys(SHARED_HOST) | {
        "gpus": [gpu.model_copy(update=dict.fromkeys(SHARED_CARD)) for gpu in telemetry.gpus],
        "unreadable": [
            *telemetry.unreadable,
            "utilization, memory, power and energy: both arms of the pair were on the card, and "
            "are only seen together",
        ],
    }
    return telemetry.model_copy(update=changes)
