"""Which records count: the latest attempt at every launch, and why a launch has no result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.record import JobRecord, State
from report.load import Run

OK = "ok"
NEEDS_NO_PROOF = frozenset({"pytorch"})  # plain PyTorch is what every other backend could fall back to

Launches = Mapping[int, JobRecord]  # launch number -> its latest attempt


@dataclass(frozen=True)
class Arms:
    """The launches of a run by (workload, arm), in the order tables show them; `superseded` attempts were run again."""

    launches: dict[tuple[str, str], Launches]
    superseded: list[JobRecord]

    def of_workload(self, workload: str) -> list[JobRecord]:
        """The jobs of all its arms that were recorded."""
        return [job for (name, _), launches in self.launches.items() if name == workload for job in launches.values()]


def arms_of(run: Run) -> Arms:
    """Group a run's records. Parity twins are left out: they train without dropout and are no measurement.

    Of several attempts at one launch the one started last counts, whatever became of it: choosing by outcome would
    bias the result. Declared arms without any record are there, with no launch.
    """
    attempts: dict[tuple[str, str], dict[int, JobRecord]] = {}
    superseded: list[JobRecord] = []
    for job in run.jobs:
        if job.twin:
            continue
        launches = attempts.setdefault((job.workload.name, job.arm.name), {})
        other = launches.get(job.launch)
        if other is None:
            launches[job.launch] = job
            continue
        earlier, later = (job, other) if (job.started_at or "") < (other.started_at or "") else (other, job)
        launches[job.launch] = later
        superseded.append(earlier)
    declared = [(pair.workload, arm) for pair in run.info.pairs for arm in (pair.baseline, pair.candidate)]
    workloads = list(dict.fromkeys(workload for workload, _ in declared))

    def place(key: tuple[str, str]) -> tuple[int, int, str, str]:
        workload, arm = key
        return (
            workloads.index(workload) if workload in workloads else len(workloads),
            declared.index(key) if key in declared else len(declared),
            workload,
            arm,
        )

    keys = sorted({*declared, *attempts}, key=place)
    return Arms({key: dict(sorted(attempts.get(key, {}).items())) for key in keys}, superseded)


def verdict(job: JobRecord) -> str:
    """`ok`, or why this job is no result, as a phrase. A backend that was not proven engaged has no result."""
    if job.state is not State.OK:
        return job.state.value.replace("_", " ")
    if job.source == "published" or job.arm.backend in NEEDS_NO_PROOF:
        return OK
    return OK if job.engagement is not None and job.engagement.engaged else "not proven engaged"


def count_verdicts(verdicts: Iterable[str]) -> str:
    """Everything but `ok`, counted: "fallback in 3 of 4 launches, crashed in 1 of 4 launches"; empty if all are ok."""
    counted = Counter(verdicts)
    total = counted.total()
    return ", ".join(
        f"{what} in {count} of {total} launch{'es' if total > 1 else ''}"
        for what, count in sorted(counted.items(), key=lambda item: (-item[1], item[0]))
        if what != OK
    )
