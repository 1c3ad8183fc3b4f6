"""Executes one job, or the jobs of an interleaved replicate, to their end."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from harness.launcher import srun
from harness.launcher.outcome import Seen, judge
from harness.launcher.process import LaunchOptions, RunningJob, run_all_to_end, run_to_end
from harness.results.open_run import now_utc
from harness.results.run_folder import RunFolder
from harness.runner.display import Display
from harness.runner.record_builder import Execution, RecordBuilder, alone_timing, settled
from harness.runner.signals import Stop
from harness.schema.job import JobSpec
from harness.schema.measurement import ALONE_REPLICATES, Interleaved
from harness.schema.record import JobRecord, State, TurnTimes
from harness.schema.replicates import ONE_GROUP, ReplicateNames
from harness.telemetry.session import Sampling
from harness.worker import backends

if TYPE_CHECKING:
    from harness.planning.plan import Plan


# States of a job beside others that do not come of the others, so that it does not run once more.
ENDED_BESIDE_OTHERS = (State.OK, State.INTERRUPTED, State.TIMEOUT)


@dataclass(frozen=True)
class Executor:
    """Executes jobs of one run.

    Attributes:
        plan: Says how long a job may take, and where the interpreters of the stacks are.
        folder: Takes logs and series.
        builder: Makes the records.
        display: Hears of what happens.
        stop: Whether the run is to end.
        command: Replaces the stack's `INTERPRETER -m harness.worker`.
    """

    plan: Plan
    folder: RunFolder
    builder: RecordBuilder
    display: Display
    stop: Stop
    command: Sequence[str] | None = None

    def run(
        self, jobs: Sequence[JobSpec], attempt: int, names: ReplicateNames = ONE_GROUP
    ) -> tuple[list[JobRecord], str]:
        """Execute one job, or jobs that share the device: those of a group in turns, parity runs
        side by side.

        Nothing is written but logs and series.

        Args:
            jobs: What runs together.
            attempt: The number of the attempt, from 1.
            names: What the replicates of the workload are called.

        Returns:
            The records, and what a reader should know besides: one sentence or nothing.

        Raises:
            BenchError: A job cannot be started at all.
        """
        if len(jobs) == 1:
            return self._run_one(jobs[0], attempt), ""
        if jobs[0].group:
            return self._run_group(jobs, attempt, names)
        return self._run_side_by_side(jobs, attempt), ""

    def _start(self, job: JobSpec, log: Path) -> RunningJob:
        options = LaunchOptions(
            interpreter=self.plan.stacks[job.arm.stack],
            command=self.command,
            libraries=backends.get(job.arm.backend).library_path(job.device),
            lock_fd=self.folder.lock_fd,
            wake_fd=self.stop.fd,
        )
        return RunningJob(job, log, options)

    def _stop_reason(self) -> str:
        return self.stop.reason

    def _log(self, name: str) -> Path:
        return self.folder.path / "logs" / f"{name}.log"

    def _run_one(self, job: JobSpec, attempt: int) -> list[JobRecord]:
        name = self.folder.attempt_name(job.id, attempt)
        started_at, interval = now_utc(), self.plan.telemetry_interval_s
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
                stop_reason=self._stop_reason,
            )
        ended = self._ended(job, seen, name)
        ended = replace(ended, attempt=attempt, started_at=started_at)
        return self.builder.build(self._sampled(ended, name, sampling))

    def _run_side_by_side(self, jobs: Sequence[JobSpec], attempt: int) -> list[JobRecord]:
        """Execute jobs of which nothing is measured: as many at once as the host has room for, and
        one that fails once more alone, for it may have lacked memory, or the card may let only one
        process in.
        """
        from harness.interleaved.group import set_ups_at_once

        at_once = set_ups_at_once(len(os.sched_getaffinity(0)), psutil.virtual_memory().available)
        records: list[JobRecord] = []
        for first in range(0, len(jobs), at_once):
            if self.stop.reason:  # the others have no record, and run when the run is resumed
                break
            for ended in self._run_at_once(jobs[first : first + at_once], attempt):
                if ended.state in ENDED_BESIDE_OTHERS or self.stop.reason:
                    records += self.builder.build(ended)
                else:
                    records += self._run_one(ended.job, attempt)
        return records

    def _run_at_once(self, jobs: Sequence[JobSpec], attempt: int) -> list[Execution]:
        names = [self.folder.attempt_name(job.id, attempt) for job in jobs]
        started_at, begin = now_utc(), time.monotonic()
        with ExitStack() as stack:
            running = [
                stack.enter_context(self._start(job, self._log(name)))
                for job, name in zip(jobs, names, strict=True)
            ]
            run_all_to_end(
                running,
                self.plan.timeout_s,
                on_event=self.display.job_event,
                stop_reason=self._stop_reason,
            )
        share_s = (time.monotonic() - begin) / len(jobs)
        return [
            replace(
                self._ended(job, each.seen, name),
                attempt=attempt,
                started_at=started_at,
                share_s=share_s,
            )
            for job, each, name in zip(jobs, running, names, strict=True)
        ]

    def _run_group(
        self, jobs: Sequence[JobSpec], attempt: int, names: ReplicateNames
    ) -> tuple[list[JobRecord], str]:
        from harness.interleaved import Observers, run_replicate

        files = [self.folder.attempt_name(job.id, attempt) for job in jobs]
        logs = [self._log(name) for name in files]
        started_at, interval = now_utc(), self.plan.telemetry_interval_s
        samplings: list[Sampling] = []
        with ExitStack() as stack:

            def sample(pids: tuple[int, ...], spinners: tuple[int, ...]) -> None:
                if interval:
                    if samplings:  # jobs have begun again: their processes are others now
                        samplings.pop().stop()
                    sampling = Sampling.start(
                        jobs[0], pids, spinners=spinners, interval_s=interval, log=logs[0]
                    )
                    samplings.append(stack.enter_context(sampling))

            outcome = run_replicate(
                jobs,
                logs,
                pairs=self._pairs(jobs),
                settings=self._with_known_length(jobs[0]),
                alone_s=self._alone_s(jobs[0]),
                # What an arm compiled for an earlier replicate is there. If it compiles all the
                # same, it does so every time, and would not be faster.
                may_begin_again=[job.arm.name for job in jobs if not self._earlier_turns(job)],
                start=self._start,
                timeout_s=self.plan.timeout_s,
                observers=Observers(
                    stop_reason=self._stop_reason,
                    on_event=lambda job, event: self.display.job_event(event),
                    on_started=sample,
                    wake_fd=self.stop.fd,
                ),
            )
        executions = []
        for job, seen, turns, name in zip(
            outcome.jobs, outcome.seen, outcome.turns, files, strict=True
        ):
            ended = replace(
                self._ended(job, seen, name),
                attempt=attempt,
                started_at=started_at,
                turns=turns if turns.steps or seen.result is not None else None,
            )
            executions.append(self._sampled(ended, name, samplings[0] if samplings else None))
        executions = settled(executions, outcome.problem, stopped=bool(self.stop.reason))
        first = jobs[0]
        where = f"{first.workload.name}, {names.named_with_arms(first.replicate, first.group)}"
        note = f"{where}: {outcome.note}" if outcome.note else ""
        return self.builder.build(*executions), note

    def _pairs(self, jobs: Sequence[JobSpec]) -> list[tuple[str, str]]:
        """The declared pairs both of whose arms are among these jobs."""
        workload, arms = jobs[0].workload.name, {job.arm.name for job in jobs}
        return [
            (pair.baseline, pair.candidate)
            for pair in self.plan.pairs
            if pair.workload == workload and {pair.baseline, pair.candidate} <= arms
        ]

    def _with_known_length(self, job: JobSpec) -> Interleaved:
        """The settings, with the turn length that an earlier replicate of this group has chosen by
        its pilot.
        """
        settings = self.plan.measurement.interleaved
        if settings.steps == "auto":
            for turns in self._earlier_turns(job).values():
                settings = settings.replace(steps=turns.steps[-1])
        return settings

    def _alone_s(self, job: JobSpec) -> float:
        """Seconds of the turn that each arm has to itself; 0 where nothing is read in it, or
        where enough replicates of this group have had it.
        """
        had = [turns for turns in self._earlier_turns(job).values() if turns.alone is not None]
        if not self.plan.telemetry_interval_s or len(had) >= ALONE_REPLICATES:
            return 0.0
        return self.plan.measurement.interleaved.alone_on(job.device)

    def _earlier_turns(self, job: JobSpec) -> dict[int, TurnTimes]:
        """What this arm did in the replicates of this group that ended well, by replicate."""
        return {
            record.replicate: record.turns
            for record in self.folder.latest().values()
            if record.state is State.OK
            and record.turns is not None
            and (record.workload.name, record.arm.name, record.group)
            == (job.workload.name, job.arm.name, job.group)
        }

    def _ended(self, job: JobSpec, seen: Seen, name: str) -> Execution:
        """How a job ended, with its series written under this name."""
        state, reason = judge(seen, self._log(name))
        if state is State.CRASHED and job.workload.launch.nodes > 1:
            # The ranks of the runner's node only say that they miss the others.
            reason = "; ".join(filter(None, (reason, srun.trouble(self._log(name)))))
        return Execution(
            job,
            seen,
            state,
            reason,
            series=self.folder.write_series(name, seen.series),
            log=f"logs/{name}.log",
        )

    def _sampled(self, execution: Execution, name: str, sampling: Sampling | None) -> Execution:
        """The execution with what the sampler saw of it, whose series is written."""
        if sampling is None:
            return execution
        result = execution.result
        telemetry = sampling.summarise(
            result.timing,
            self.folder.path,
            f"series/{name}.telemetry.parquet",
            until_ns=result.inference.begin_ns if result.inference else None,
        )
        turn = execution.turns.alone if execution.turns is not None else None
        alone = alone_timing(turn, result.timing) if turn is not None else None
        return replace(
            execution,
            telemetry=telemetry,
            alone=sampling.look_at(alone) if alone is not None else None,
        )
