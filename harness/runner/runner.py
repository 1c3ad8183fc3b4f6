"""Executes a plan: job after job, each finished one on disk before the next begins; stops in order
when told to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import INTERRUPTED, BenchError, is_no_space, of_the_system
from harness.launcher.environment import visible_cards
from harness.launcher.srun import allocation
from harness.planning.hub import Hub
from harness.planning.schedule import Looked, Note, Refused, Replanned, Schedule, Work
from harness.planning.stopping import Decision
from harness.results.open_run import now_utc, open_run
from harness.results.provenance import collect, prefixes
from harness.runner import needs, preflight
from harness.runner.display import Display, make_display, stopped
from harness.runner.executor import Executor
from harness.runner.hub_or_builtin import Resolved, resolve
from harness.runner.record_builder import RecordBuilder, without_room
from harness.runner.signals import Stop
from harness.schema.job import JobSpec
from harness.schema.record import JobRecord, Pair, Refusal, RunInfo, State, Stopping

if TYPE_CHECKING:
    from harness.planning.plan import Plan

INTERRUPTED_EXIT_CODE = INTERRUPTED
WAIT_FOR_ROOM_S = 300.0  # for a record that not even the reserve has room for


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


@dataclass(frozen=True)
class RunOptions:
    """How a plan is run.

    Attributes:
        run_name: Name of the run's folder; None: the suite's and the time.
        fresh: Begin a new run even if an unfinished one could be resumed.
        retry_failed: Jobs of the resumed run whose last record is not ok run once more.
        allow_shared_gpu: Other processes on the card neither keep the run from starting nor
            contaminate its jobs.
        resume_command: What an interrupted user is told to type; empty: nothing.
        worker_command: Replaces the stack's `INTERPRETER -m harness.worker`.
        results_option: What names the folder of results, for errors.
    """

    run_name: str | None = None
    fresh: bool = False
    retry_failed: bool = False
    allow_shared_gpu: bool = False
    resume_command: str = ""
    worker_command: Sequence[str] | None = None
    results_option: str = "--results"


def run(
    plan: Plan,
    results_dir: Path,
    options: RunOptions | None = None,
    *,
    display: Display | None = None,
) -> RunOutcome:
    """Run (or resume) a plan; every ended job is a record in the run's folder when this returns or
    is killed. Must be called from the main thread.

    Raises:
        BenchError: The run cannot be opened (harness.results.open_run.open_run), a stack does not
            answer, or the host is not fit to measure on (harness.runner.preflight).
    """
    options = options or RunOptions()
    display = display if display is not None else make_display()
    try:
        with Stop() as stop:
            outcome = _run(plan, results_dir, options, display, stop)
        if outcome.interrupted:
            again = f"; to resume: {options.resume_command}" if options.resume_command else ""
            display.message(f"{stop.reason}: the run is incomplete{again}")
        return outcome
    finally:
        display.close()


def _run(
    plan: Plan, results_dir: Path, options: RunOptions, display: Display, stop: Stop
) -> RunOutcome:
    here = collect(plan.stacks)
    _check_needs(plan, here.packages)
    warnings = _preflight(plan, results_dir, options)
    folder, info, resumed = open_run(
        results_dir,
        plan,
        here,
        run_name=options.run_name,
        fresh=options.fresh,
        retry_failed=options.retry_failed,
    )
    folder.hide(prefixes(plan.stacks))
    folder.hide(
        {str(job.output_dir): "<output>" for job in plan.jobs if job.output_dir is not None}
    )
    with folder:
        builder = RecordBuilder(
            info.run,
            info.host,
            allow_shared_gpu=options.allow_shared_gpu,
            refuse_contention=plan.measurement.contention == "refuse",
        )
        executor = Executor(plan, folder, builder, display, stop, options.worker_command)
        execution = _Execution(plan, info, stop, executor)
        try:
            execution.begin(here.git, resumed=resumed)
        except BenchError:
            _remove_if_empty(folder.path)
            raise
        for warning in warnings:
            display.message(warning)
        try:
            execution.execute(retry_failed=options.retry_failed)
        except BaseException:
            with contextlib.suppress(OSError):  # the disk may be what failed
                execution.end()
            raise
        return execution.end()


def _check_needs(plan: Plan, packages: Mapping[str, str]) -> None:
    """Raises BenchError for what jobs need and this host or their stack does not have."""
    unmet = needs.unmet(plan.jobs, packages)
    if unmet:
        raise BenchError(
            "; ".join(need.message for need in unmet),
            place=f"suite {plan.suite}",
            fix="; ".join(dict.fromkeys(need.fix for need in unmet)),
        )


def _preflight(plan: Plan, results_dir: Path, options: RunOptions) -> list[str]:
    """What to warn of before the first job. Raises BenchError if this host is not fit to measure on
    now.
    """
    if not plan.jobs:
        return []
    device = plan.jobs[0].device
    cache_dir = plan.jobs[0].cache_dir
    nodes = max(job.workload.launch.nodes for job in plan.jobs)
    if nodes > 1:
        allocation(nodes, os.environ)
    written = preflight.places(
        results_dir,
        options.results_option,
        cache_dir,
        device,
        hub=any(map(_asks_the_hub, plan.jobs)),
    )
    needed = max(job.workload.launch.processes for job in plan.jobs)
    visible = visible_cards(needed, os.environ.get("CUDA_VISIBLE_DEVICES"))
    findings = preflight.unwritable(written)
    findings += preflight.inspect(device, (results_dir, cache_dir), visible=visible, needed=needed)
    return [
        f"{finding.message} ({finding.fix})"
        for finding in preflight.enforce(findings, allow_shared_gpu=options.allow_shared_gpu)
    ]


def _asks_the_hub(job: JobSpec) -> bool:
    model, task = job.workload.model, job.workload.task
    return task.source in ("auto", "hub") or (model.weights != "random" and model.path is not None)


class _Execution:
    def __init__(self, plan: Plan, info: RunInfo, stop: Stop, executor: Executor) -> None:
        self.plan, self.info, self.stop, self.executor = plan, info, stop, executor
        self.folder, self.display = executor.folder, executor.display
        self.resolved, self.complete = Resolved(), False
        self._order = [job.id for job in plan.jobs]  # in which they run
        self._remarks: set[str] = set()  # which the record has, and tables say from there

    def begin(self, git: Mapping[str, Any], *, resumed: bool) -> None:
        """Decide the sources, write run.json, say what is going to happen."""
        self.resolved = resolve(self.plan.jobs, Hub(), self.info.config.get("resolved_sources"))
        notes = self.info.notes + self.resolved.notes
        if self.folder.rejected:
            notes.append(
                f"{self.folder.rejected} damaged line(s) were moved from jobs.jsonl to "
                "jobs.jsonl.rejected"
            )
        if git.get("unknown"):
            notes.append(f"the commit of this code is not known: {git['unknown']}")
        elif resumed and git.get("commit") != self.info.git.get("commit"):
            notes.append(
                f"resumed with the code of commit {git.get('commit')}, dirty: {git.get('dirty')}"
            )
        self._write(
            status="running",
            finished_at=None,
            notes=list(dict.fromkeys(notes)),
            config={**self.info.config, "resolved_sources": self.resolved.as_config()},
        )
        finished = [
            record for record in self._records().values() if record.state is not State.INTERRUPTED
        ]
        for text in self.info.notes:  # first: what is trained may not be what the reader expects
            self.display.message(text)
        self.display.run_started(self.info.run, self.plan.jobs, finished, resumed)

    def execute(self, *, retry_failed: bool) -> None:
        """Do what the schedule asks for until nothing is left or the run is to stop."""
        for item in Schedule(self.plan, self.folder.records, retry_failed=retry_failed):
            match item:
                case Work():
                    if self.stop.reason:
                        return
                    self._run(item)
                case Note(text):
                    self._note(text)
                case Refused(refusal, dropped):
                    self._refuse(refusal, dropped)
                case Looked(decision, dropped):
                    self._look(decision, dropped)
                case Replanned():
                    self._replan(item)
        self.complete = True

    def _run(self, work: Work) -> None:
        """Execute jobs that run together, and record them.

        Raises:
            BenchError: A job cannot be started, or the disk is full; what was measured is recorded.
        """
        jobs, names = [self.resolved.apply(job) for job in work.jobs], work.names
        number = min(self._order.index(job.id) for job in jobs) + 1
        self.display.jobs_started(jobs, number, names)
        records, note = self.executor.run(jobs, work.attempt, names)
        lost = self.folder.full is not None  # their series
        if self.folder.is_full():
            ends = (State.OK, State.CRASHED) if lost else (State.CRASHED,)
            why = of_the_system(self.folder.full or OSError()).message
            records = [
                without_room(record, why) if record.state in ends else record for record in records
            ]
        self._keep(records)
        for record in records:
            self.display.job_finished(record, names)
            for remark in record.sources.remarks:
                if remark not in self._remarks:
                    self._remarks.add(remark)
                    self.display.message(remark)
        if note:
            self._note(note)
        if self.folder.is_full():
            said = of_the_system(self.folder.full or OSError())
            message = f"{said.message}: the run stops, and what was measured is recorded"
            fix = f"{said.fix}; the same command then goes on"
            raise BenchError(message, place=str(self.folder.path), fix=fix)

    def _keep(self, records: Sequence[JobRecord]) -> None:
        """Append the records, if need be as soon as there is room for them. Raises OSError if there
        is none in time.
        """
        give_up_at, told = time.monotonic() + WAIT_FOR_ROOM_S, False
        while True:
            try:
                return self.folder.append(*records)
            except OSError as error:
                late = self.stop.reason or time.monotonic() > give_up_at
                if late or not is_no_space(error) or error.errno == errno.EFBIG:
                    raise
            if not told:
                text = (
                    f"no space is left in {self.folder.path}: waiting for room to record the job "
                    "that ended"
                )
                self.display.message(f"{text} (at most {WAIT_FOR_ROOM_S / 60:.0f} min)")
                told = True
            select.select([self.stop.fd], [], [], 1.0)

    def _note(self, text: str) -> None:
        if text not in self.info.notes:  # a resumed run comes by here again
            self._write(notes=[*self.info.notes, text])
            self.display.message(text)

    def _refuse(self, refusal: Refusal, dropped: Sequence[JobSpec]) -> None:
        others = [other for other in self.info.refusals if _names(other) != _names(refusal)]
        self._write(refusals=[*others, refusal])
        self.display.jobs_dropped(dropped)
        self.display.message(
            f"{refusal.workload}: {refusal.candidate} against {refusal.baseline} is refused, for "
            "the arms differ in "
            "what the pair does not declare:"
            + "".join(f"\n  {reason}" for reason in refusal.reasons)
        )

    def _replan(self, item: Replanned) -> None:
        """Count the added jobs in the place of the first one dropped, or at the end."""
        dropped = {job.id for job in item.dropped}
        places = [place for place, job_id in enumerate(self._order) if job_id in dropped]
        at = min(places, default=len(self._order))
        self._order[at:at] = [job.id for job in item.added]
        self._order = [job_id for job_id in self._order if job_id not in dropped]
        self.display.jobs_replanned(item.dropped, item.added)

    def _look(self, decision: Decision, dropped: Sequence[JobSpec]) -> None:
        looked = {_names(pair) for pair in decision.pairs}
        stopping = [*(s for s in self.info.stopping if _names(s) not in looked), *decision.pairs]
        if stopping != self.info.stopping:
            self._write(stopping=stopping)
        if decision.stop:
            self.display.jobs_dropped(dropped)
            for pair in decision.pairs:
                self.display.message(stopped(pair))

    def end(self) -> RunOutcome:
        """Write the run's final state."""
        complete = self.complete
        self._write(
            status="complete" if complete else "incomplete",
            finished_at=now_utc() if complete else None,
        )
        records = list(self._records().values())
        return RunOutcome(
            folder=self.folder.path,
            counts=dict(Counter(record.state for record in records)),
            pairs_without_result=tuple(
                pair for pair in self.plan.pairs if not has_result(pair, records)
            ),
            interrupted=bool(self.stop.reason) and not complete,
            complete=complete,
        )

    def _records(self) -> dict[str, JobRecord]:
        """The last record of every job, by id: of the plan's, and of those that a group which did
        not fit on the device was split into.
        """
        return dict(self.folder.latest())

    def _write(self, **changes: Any) -> None:
        self.info = self.info.replace(**changes)
        self.folder.write_info(self.info)


def _remove_if_empty(folder: Path) -> None:
    """Remove a run folder in which no run was begun."""
    if not (folder / "run.json").exists() and not (folder / "jobs.jsonl").exists():
        shutil.rmtree(folder, ignore_errors=True)


def has_result(pair: Pair, records: Iterable[JobRecord]) -> bool:
    """Whether some replicate of the pair ended ok in both arms (parity runs prove parity, they are
    no result).
    """
    replicates: dict[str, set[int]] = {pair.baseline: set(), pair.candidate: set()}
    for record in records:
        if (
            record.state is State.OK
            and not record.parity_run
            and record.workload.name == pair.workload
        ):
            replicates.setdefault(record.arm.name, set()).add(record.replicate)
    return bool(replicates[pair.baseline] & replicates[pair.candidate])


def _names(part: Stopping | Refusal) -> tuple[str, str, str]:
    return part.workload, part.baseline, part.candidate
