"""Which records count: the latest attempt at every replicate, and why a replicate has no result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.schema.compiled import alike
from harness.schema.record import JobRecord, Pair, State, Telemetry
from harness.schema.replicates import ReplicateNames, planned_replicates
from report.loading.runs import Run, once_per_run

NEEDS_NO_PROOF = frozenset(
    {"pytorch"}
)  # plain PyTorch is what every other backend could fall back to
# The share of a steady window that samples must cover before what they say is taken for all of it:
# what disturbs the rest alone can hide in a tenth at most.
WELL_COVERED = 0.9
COMPILED_ANEW = "compiled anew"  # why a replicate does not count beside others of its arm

Replicates = Mapping[int, JobRecord]  # replicate number -> its latest attempt


class JobStatus(StrEnum):
    """Whether a job is a result, or why it is none; the names are those of its record's states."""

    OK = "ok"
    OUT_OF_MEMORY = "out of memory"
    TIMEOUT = "timeout"
    DIVERGED = "diverged"
    FALLBACK = "fallback"
    CRASHED = "crashed"
    INTERRUPTED = "interrupted"
    CONTAMINATED = "contaminated"
    NOT_ENGAGED = "not proven engaged"


@dataclass(frozen=True)
class Arms:
    """The replicates of a run by (workload, arm), in the order tables show them; `superseded`
    attempts were run again.

    `parity_runs` are the parity runs, the latest of each (workload, arm).
    """

    replicates: dict[tuple[str, str], Replicates]
    superseded: list[JobRecord]
    parity_runs: dict[tuple[str, str], JobRecord]
    _of_pairs: dict[tuple[str, str, str], tuple[Replicates, Replicates]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def of_pair(self, pair: Pair) -> tuple[Replicates, Replicates]:
        """The replicates of a pair's baseline and candidate that were made for it; worked out once.

        Under the interleaved protocol a job belongs to the pairs of the arms that it took turns
        with. A group that did not fit on the card was split, and a pair that did not fit was
        measured sequentially instead, in the same run.
        """
        key = (pair.workload, pair.baseline, pair.candidate)
        if key not in self._of_pairs:
            self._of_pairs[key] = self._made_for(pair)
        return self._of_pairs[key]

    def _made_for(self, pair: Pair) -> tuple[Replicates, Replicates]:
        sides = (pair.baseline, pair.candidate)
        baseline, candidate = (
            {
                k: job
                for k, job in self.replicates[pair.workload, arm].items()
                if not job.group or other in job.group
            }
            for arm, other in zip(sides, reversed(sides), strict=True)
        )
        if any(job.group for job in self.of_workload(pair.workload)):
            # Replicate numbers are unique over such a workload's groups: a job without a group,
            # alone at its number, was measured sequentially for another pair of its arm.
            for one, other in ((baseline, candidate), (candidate, baseline)):
                for replicate in [k for k, job in one.items() if k not in other and not job.group]:
                    del one[replicate]
        return baseline, candidate

    def of_workload(self, workload: str) -> list[JobRecord]:
        """The jobs of all its arms that were recorded."""
        return [
            job
            for (name, _), replicates in self.replicates.items()
            if name == workload
            for job in replicates.values()
        ]


@once_per_run
def arms_of(run: Run) -> Arms:
    """Group a run's records. Parity runs are no replicates: they train without dropout and are no
    measurement.

    Of several attempts at one replicate the last counts (by when it started, then by its number),
    whatever became of it: choosing by outcome would bias the result. Declared arms without any
    record are there, with no replicate.
    """
    attempts: dict[tuple[str, str], dict[int, JobRecord]] = {}
    parity_runs: dict[tuple[str, str], JobRecord] = {}
    superseded: list[JobRecord] = []
    for job in run.jobs:
        key = (job.workload.name, job.arm.name)
        if job.parity_run:
            parity_runs[key] = max(parity_runs.get(key, job), job, key=_order)
            continue
        replicates = attempts.setdefault(key, {})
        if (other := replicates.get(job.replicate)) is None:
            replicates[job.replicate] = job
            continue
        earlier, replicates[job.replicate] = sorted((other, job), key=_order)
        superseded.append(earlier)
    declared = [
        (pair.workload, arm) for pair in run.info.pairs for arm in (pair.baseline, pair.candidate)
    ]
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
    return Arms(
        {key: dict(sorted(attempts.get(key, {}).items())) for key in keys}, superseded, parity_runs
    )


@once_per_run
def names_of(run: Run) -> Mapping[str, ReplicateNames]:
    """What the replicates of each workload of a run are called; of all that has a job."""
    numbers: dict[str, set[int]] = {}
    for job in run.jobs:
        found = numbers.setdefault(job.workload.name, set())
        if not job.parity_run:
            found.add(job.replicate)
    planned = planned_replicates(run.info.config)
    return {
        workload: ReplicateNames.of_numbers(planned, found) for workload, found in numbers.items()
    }


def _order(job: JobRecord) -> tuple[str, int]:
    # By time first: where an interleaved pair went on sequentially, its replicates begin again at
    # attempt 1.
    return job.started_at or "", job.attempt


def is_interleaved(run: Run, jobs: Iterable[JobRecord]) -> bool:
    """Whether `jobs` of `run` were all measured by the interleaved protocol; without any, whether
    its suite asks for that.

    Such jobs wait for one another, so they have no time end to end.
    """
    groups = [job.group for job in jobs]
    if groups:
        return all(groups)
    measurement = run.info.measurement
    return measurement is not None and measurement.protocol == "interleaved"


def only_interleaved(run: Run) -> bool:
    """Whether all replicates of a run took turns on the device."""
    return is_interleaved(
        run, [job for replicates in arms_of(run).replicates.values() for job in replicates.values()]
    )


def verdict(job: JobRecord) -> JobStatus:
    """Whether this job is a result. A backend that was not proven engaged has none."""
    if job.state is not State.OK:
        return JobStatus[job.state.name]
    if job.source == "published" or job.arm.backend in NEEDS_NO_PROOF:
        return JobStatus.OK
    engaged = job.engagement is not None and job.engagement.engaged
    return JobStatus.OK if engaged else JobStatus.NOT_ENGAGED


def is_result(job: JobRecord) -> bool:
    """Whether this job is a result, so that its replicate may count."""
    return verdict(job) is JobStatus.OK


def counting(replicates: Iterable[JobRecord]) -> list[JobRecord]:
    """The replicates of one arm that figures of its speed are of: the results, without those in
    which it compiled anew beside others in which it did not (harness.schema.compiled).
    """
    return [job for (job,) in alike([(job,) for job in replicates if is_result(job)])]


def well_covered(telemetry: Telemetry) -> bool:
    """Whether its samples tell of the whole steady window; records of old do not say."""
    return telemetry.covered_share is None or telemetry.covered_share >= WELL_COVERED


def unobserved(job: JobRecord) -> str:
    """Why it is unknown whether the job's cards were throttled or shared; empty if it is known.

    On a CPU there is no such thing, and of a publication nobody asks.
    """
    if job.device == "cpu" or job.source == "published":
        return ""
    telemetry = job.telemetry
    if telemetry is None:
        return "no telemetry"
    if (
        not telemetry.samples
        or not telemetry.gpus
        or not all(gpu.samples for gpu in telemetry.gpus)
    ):
        return "no telemetry samples"
    if not well_covered(telemetry):
        return "telemetry samples missing"
    # Records hold an entry as `field: reason`.
    unread = {line.partition(": ")[0] for gpu in telemetry.gpus for line in gpu.unreadable}
    if unread & {"clock_reasons", "card"}:
        return "clock reasons not read"
    if any(gpu.foreign_processes is None for gpu in telemetry.gpus):
        return "processes on the card not read"
    return ""


def count_verdicts(verdicts: Iterable[str]) -> str:
    """Every phrase but `ok`, counted: "fallback in 3 of 4 replicates, crashed in 1 of 4
    replicates"; empty if all are ok.
    """
    said = list(verdicts)
    if said.count(JobStatus.OK) == len(said):
        return ""
    counted = Counter(said)
    total = counted.total()
    return ", ".join(
        f"{what} in {count} of {total} replicate{'s' if total > 1 else ''}"
        for what, count in sorted(counted.items(), key=lambda item: (-item[1], item[0]))
        if what != JobStatus.OK
    )
