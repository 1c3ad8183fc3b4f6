"""The jobs behind the tables, each with a link to its log where that is on disk beside the run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from harness.schema.record import JobRecord
from report.analysis.metrics import RUNTIME, STEADY_STEP, finite
from report.analysis.replicates import JobStatus, names_of, verdict
from report.html.links import jobs_id
from report.loading.runs import Run
from report.tables.columns import format_number
from report.text import in_one_line

MAX_JOBS = 2000  # rows: some 600 bytes each


@dataclass(frozen=True)
class JobLine:
    """One record. `log`: relative to the page's folder, percent-encoded; empty where there is
    none. `of`: the id that numbers of its arm link to; `id`: the same where the job is its first.
    `replicate`: its number in the record, by which lines are sorted; `name`: what it is called,
    empty for a parity run.
    """

    id: str
    of: str
    run: str
    workload: str
    model: str
    arm: str
    device: str
    replicate: int
    name: str
    kind: str
    started: str
    runtime_s: float | None
    step_s: float | None
    state: JobStatus
    reason: str
    log: str

    @property
    def runtime(self) -> str:
        """Seconds end to end, as the tables print them."""
        return format_number(self.runtime_s, RUNTIME.factor)

    @property
    def step_ms(self) -> str:
        """Milliseconds a step in the steady state, as the tables print them."""
        return format_number(self.step_s, STEADY_STEP.factor)


def job_list(runs: Sequence[Run], page: Path | None) -> tuple[list[JobLine], str]:
    """The measured jobs in the order recorded, and what was left out: past MAX_JOBS all that went
    well. `page`: None for one that is published without the logs, which are not linked to then.
    """
    beside = None if page is None else page.parent
    jobs = [_job(run, job, beside) for run in runs for job in run.jobs if job.source == "measured"]
    if len(jobs) <= MAX_JOBS:
        return _with_ids(jobs), ""
    failed = [job for job in jobs if job.state is not JobStatus.OK][:MAX_JOBS]
    return _with_ids(
        failed
    ), f"{len(jobs):,} jobs: only the first {len(failed):,} without a result are listed"


def _with_ids(jobs: Sequence[JobLine]) -> list[JobLine]:
    """The jobs, of which the first of each arm has its id."""
    seen: set[str] = set()
    lines = []
    for job in jobs:
        lines.append(job if job.of in seen else replace(job, id=job.of))
        seen.add(job.of)
    return lines


def _job(run: Run, job: JobRecord, beside: Path | None) -> JobLine:
    reason = job.reason or "; ".join(job.engagement.reasons if job.engagement else [])
    return JobLine(
        id="",
        of=jobs_id(run.info.run, job.workload.name, job.arm.name),
        run=run.info.run,
        workload=job.workload.name,
        model=job.workload.model.name,
        arm=job.arm.name,
        device=job.device.removeprefix("NVIDIA "),
        replicate=job.replicate,
        name="" if job.parity_run else names_of(run)[job.workload.name].short(job.replicate),
        kind=_kind(job),
        started=(job.started_at or "")[:19].replace("T", " "),
        runtime_s=finite(RUNTIME.read(job)),
        step_s=finite(STEADY_STEP.read(job)),
        state=verdict(job),
        reason=in_one_line(reason),
        log="" if beside is None else _link(run.folder, job.log, beside),
    )


def _kind(job: JobRecord) -> str:
    others = " and ".join(name for name in job.group if name != job.arm.name)
    said = [
        "parity run" if job.parity_run else "",
        f"in turns with {others}" if others else "",
    ]
    said.append(f"attempt {job.attempt}" if job.attempt > 1 else "")
    return ", ".join(filter(None, said))


def _link(folder: Path, log: str | None, beside: Path) -> str:
    """A record is input: only a file within the run's own folder is linked to."""
    if not log or "\0" in log:
        return ""
    path, root = (folder / log).resolve(), folder.resolve()
    try:
        found = path.is_relative_to(root) and path.is_file()
    except OSError:  # a name that no file can have, or a folder that may not be read
        found = False
    if not found:
        return ""
    return quote(Path(os.path.relpath(path, beside.resolve())).as_posix())
