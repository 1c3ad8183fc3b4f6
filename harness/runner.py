"""Executes a plan: job after job, each finished one on disk before the next begins; stops in order when told to."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from harness import guard
from harness.display import Display, make_display
from harness.environment import environment_for
from harness.flops import efficiency
from harness.host import device_name
from harness.launch import RunningJob, run_to_end
from harness.outcome import Seen, judge
from harness.provenance import collect, scrub_tree
from harness.record import Host, JobRecord, Pair, RunInfo, State, WorkerResult
from harness.runs import now_utc, open_run
from harness.settings import JobSpec
from harness.sources import Hub, Resolved, apply, resolve
from harness.store import RunFolder
from harness.telemetry.session import Sampling
from harness.telemetry.summary import contamination

if TYPE_CHECKING:
    from harness.plan import Plan

INTERRUPTED_EXIT_CODE = 130


@dataclass(frozen=True)
class RunOutcome:
    """How a run stands when the runner leaves it."""

    folder: Path
    counts: dict[State, int] = field(default_factory=dict)
    pairs_without_result: tuple[Pair, ...] = ()
    interrupted: bool = False
    complete: bool = False

    @property
    def exit_code(self) -> int:
        """0 if every pair has a result, 1 if one has none, 130 if the run was interrupted."""
        if self.interrupted:
            return INTERRUPTED_EXIT_CODE
        return 1 if self.pairs_without_result else 0


class Stop:
    """SIGINT, SIGTERM and SIGHUP as a wish: `reason` says which came, `fd` becomes readable. Use as a context manager.

    A handler that raised could tear a record in two. Signals that were ignored before (nohup) stay ignored.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.reason = ""
        self.fd, self._write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        for number in self.SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._received)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.fd)
        os.close(self._write_fd)

    def _received(self, number: int, frame: FrameType | None) -> None:
        self.reason = self.reason or f"stopped by {signal.Signals(number).name}"
        os.write(self._write_fd, b"x")


def run(
    plan: Plan,
    results_dir: Path,
    *,
    run_name: str | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    display: Display | None = None,
    keep_going: bool = True,
    resume_command: str = "",
    worker_command: Sequence[str] | None = None,
    allow_shared_gpu: bool = False,
) -> RunOutcome:
    """Run (or resume) a plan; every ended job is a record in the run's folder when this returns or is killed.

    `keep_going=False` ends after the first job without a result. `resume_command` is what an interrupted user is told
    to type. `worker_command` replaces the stack's `INTERPRETER -m harness.worker`. `allow_shared_gpu`: other processes
    on the card neither keep the run from starting nor contaminate its jobs. Must be called from the main thread.
    Raises BenchError if the run cannot be opened (see harness.runs.open_run), a stack does not answer, or the host is
    not fit to measure on (harness.guard).
    """
    display = display if display is not None else make_display()
    try:
        with Stop() as stop:
            here = collect(plan.stacks)
            warnings = _guard(plan, results_dir, allow_shared_gpu)
            folder, info, resumed = open_run(
                results_dir, plan, here, run_name=run_name, fresh=fresh, retry_failed=retry_failed
            )
            with folder:
                execution = _Execution(plan, folder, info, display, stop, worker_command, allow_shared_gpu)
                execution.begin(resumed, here.git)
                for warning in warnings:
                    display.message(warning)
                try:
                    execution.execute(retry_failed, keep_going)
                except BaseException:
                    with contextlib.suppress(OSError):  # the disk may be what failed
                        execution.end()
                    raise
                outcome = execution.end()
        if outcome.interrupted:
            again = f"; to resume: {resume_command}" if resume_command else ""
            display.message(f"{stop.reason}: the run is incomplete{again}")
        return outcome
    finally:
        display.close()


def _guard(plan: Plan, results_dir: Path, allow_shared_gpu: bool) -> list[str]:
    """What to warn of before the first job. Raises BenchError if this host is not fit to measure on now."""
    if not plan.jobs:
        return []
    device = plan.jobs[0].device
    folders = (results_dir, plan.jobs[0].cache_dir)
    findings = guard.inspect(device, folders, visible=os.environ.get("CUDA_VISIBLE_DEVICES"))
    return [
        f"{finding.message} ({finding.fix})" for finding in guard.enforce(findings, allow_shared_gpu=allow_shared_gpu)
    ]


class _Execution:
    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        info: RunInfo,
        display: Display,
        stop: Stop,
        command: Sequence[str] | None,
        allow_shared_gpu: bool,
    ) -> None:
        self.plan, self.folder, self.info, self.display, self.stop = plan, folder, info, display, stop
        self.command, self.allow_shared_gpu = command, allow_shared_gpu
        self.resolved = Resolved()

    def begin(self, resumed: bool, git: Mapping[str, Any]) -> None:
        """Decide the sources, write run.json, say what is going to happen."""
        self.resolved = resolve(self.plan.jobs, Hub(), self.info.config.get("resolved_sources"))
        notes = self.info.notes + self.resolved.notes
        if self.folder.rejected:
            notes.append(f"{self.folder.rejected} damaged line(s) were moved from jobs.jsonl to jobs.jsonl.rejected")
        if resumed and git.get("commit") != self.info.git.get("commit"):
            notes.append(f"resumed with the code of commit {git.get('commit')}, dirty: {git.get('dirty')}")
        self._write(
            status="running",
            finished_at=None,
            notes=list(dict.fromkeys(notes)),
            config={**self.info.config, "resolved_sources": self.resolved.as_config()},
        )
        self.display.run_started(self.info.run, self.plan.jobs, self._finished(False).values(), resumed)
        for text in (*self.resolved.warnings, *self.info.notes):
            self.display.message(text)

    def execute(self, retry_failed: bool, keep_going: bool) -> None:
        finished = self._finished(retry_failed)
        for number, job in enumerate(self.plan.jobs, 1):
            if job.id in finished:
                continue
            if self.stop.reason:
                return
            self.display.job_started(job, number)
            record = self._run_one(apply(job, self.resolved).model_copy(update={"run": self.info.run}))
            self.folder.append(record)
            self.display.job_finished(record)
            if not keep_going and record.state is not State.OK:
                return

    def end(self) -> RunOutcome:
        """Write the run's final state."""
        finished = self._finished(False)
        complete = all(job.id in finished for job in self.plan.jobs)
        self._write(status="complete" if complete else "incomplete", finished_at=now_utc() if complete else None)
        latest = self.folder.latest()
        records = [latest[job.id] for job in self.plan.jobs if job.id in latest]
        return RunOutcome(
            folder=self.folder.path,
            counts=dict(Counter(record.state for record in records)),
            pairs_without_result=tuple(pair for pair in self.plan.pairs if not has_result(pair, records)),
            interrupted=bool(self.stop.reason) and not complete,
            complete=complete,
        )

    def _finished(self, retry_failed: bool) -> dict[str, JobRecord]:
        """Jobs not to be run (again), by id."""
        planned = {job.id for job in self.plan.jobs}
        return {
            key: record
            for key, record in self.folder.latest().items()
            if key in planned
            and record.state is not State.INTERRUPTED
            and not (retry_failed and record.state is not State.OK)
        }

    def _run_one(self, job: JobSpec) -> JobRecord:
        name = self.folder.attempt_name(job.id)
        log = self.folder.path / "logs" / f"{name}.log"
        started = now_utc()
        running = RunningJob(
            job,
            log,
            interpreter=self.plan.stacks[job.arm.stack],
            command=self.command,
            lock_fd=self.folder.lock_fd,
            wake_fd=self.stop.fd,
        )
        interval = self.plan.telemetry_interval_s
        with (
            running,
            Sampling.start(job, [running.pid], interval_s=interval) if interval else nullcontext() as sampling,
        ):
            seen = run_to_end(
                running, self.plan.timeout_s, on_event=self.display.job_event, stop_reason=lambda: self.stop.reason
            )
        state, reason = judge(seen, log)
        series = self.folder.write_series(name, seen.series)
        record = make_record(job, seen, state, reason, self.info.host)
        record = record.model_copy(update={"started_at": started, "series": series, "log": f"logs/{name}.log"})
        if sampling is not None:
            record = sampling.summarise(record, self.folder.path, f"series/{name}.telemetry.parquet")
        record = record.model_copy(update={"efficiency": efficiency(record)})
        disturbed = contamination(record.telemetry, allow_shared_gpu=self.allow_shared_gpu)
        if record.state is State.OK and disturbed:
            record = record.model_copy(update={"state": State.CONTAMINATED, "reason": disturbed})
        return record

    def _write(self, **changes: Any) -> None:
        self.info = self.info.model_copy(update=changes)
        self.folder.write_info(scrub_tree(self.info))


def make_record(job: JobSpec, seen: Seen, state: State, reason: str, host: Host) -> JobRecord:
    """A job's record, without this machine's paths."""
    result = seen.result or WorkerResult()
    fields = {name: getattr(result, name) for name in WorkerResult.model_fields}
    fields["timing"] = result.timing.model_copy(update={"wall_s": seen.wall_s})
    code = seen.exit_code
    record = JobRecord(
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
        state=state,
        reason=reason,
        exit_code=code,
        signal=-code if code is not None and code < 0 else None,
    )
    return scrub_tree(record)


def has_result(pair: Pair, records: Iterable[JobRecord]) -> bool:
    """Whether some launch of the pair ended ok in both arms (twins prove parity, they are no result)."""
    launches: dict[str, set[int]] = {pair.baseline: set(), pair.candidate: set()}
    for record in records:
        if record.state is State.OK and not record.twin and record.workload.name == pair.workload:
            launches.setdefault(record.arm.name, set()).add(record.launch)
    return bool(launches[pair.baseline] & launches[pair.candidate])
