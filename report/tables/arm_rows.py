"""The rows of arms: the figures of every arm of a run, means over the replicates that count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.schema.compiled import compiled_anew, set_apart
from harness.schema.record import JobRecord
from report.analysis.metrics import NO_FIGURE, WARM_ONLY, Figure, JobMetric, finite
from report.analysis.outcome import HAS_RESULT, no_result
from report.analysis.replicates import (
    COMPILED_ANEW,
    JobStatus,
    arms_of,
    count_verdicts,
    is_result,
    verdict,
)
from report.analysis.statistics import Estimate, mean_above_zero, mean_of, usable
from report.labels import BACKEND_LABELS, known
from report.loading.runs import Run
from report.tables.rows import ArmRow, Figures


def arm_rows(
    run: Run,
    metrics: Sequence[JobMetric],
    needs: Sequence[JobMetric] = (),
    *,
    speed: bool = True,
) -> list[ArmRow]:
    """One row per arm of every workload, those without a result included.

    Args:
        run: The run.
        metrics: The figures of the rows.
        needs: Metrics without which a replicate does not count, so that no row is ok without them.
        speed: Whether the figures are of how fast the replicates were, for which those in which an
            arm compiled anew do not count beside others (harness.schema.compiled).

    Returns:
        The rows in the order of tables; every figure is its mean over the replicates that count and
        have it.
    """
    return [row for row, _ in counted_rows(run, metrics, needs, speed=speed)]


def counted_rows(
    run: Run,
    metrics: Sequence[JobMetric],
    needs: Sequence[JobMetric] = (),
    *,
    speed: bool = True,
) -> list[tuple[ArmRow, list[JobRecord]]]:
    """The rows of `arm_rows`, each with the jobs of the replicates that count."""
    rows = []
    arms = arms_of(run)
    for (workload, arm), replicates in arms.replicates.items():
        jobs = list(replicates.values())
        verdicts = _verdicts(needs, jobs, speed=speed)
        counted = [job for job, said in zip(jobs, verdicts, strict=True) if said == JobStatus.OK]
        failures = count_verdicts(verdicts)
        row = ArmRow(
            run=run.info.run,
            **identity(jobs or arms.of_workload(workload), workload),
            arm=arm,
            backend=backend_label(jobs, arm),
            attention=attention(jobs),
            device=devices(jobs),
            source=jobs[0].source if jobs else "measured",
            replicates=known(jobs[0], "replicate", len(jobs)) if jobs else 0,
            n=known(jobs[0], "replicate", len(counted)) if jobs else 0,
            figures=figure_means(metrics, counted),
            left_out=failures if counted else "",
            outcome=HAS_RESULT if counted else no_result(failures or "no job recorded"),
        )
        rows.append((row, counted))
    return rows


def _verdicts(needs: Sequence[JobMetric], jobs: Sequence[JobRecord], *, speed: bool) -> list[str]:
    """Of each job `ok`, or why it does not count, as a phrase."""
    said = [_verdict_with(needs, job) for job in jobs]
    places = [place for place, each in enumerate(said) if each == JobStatus.OK] if speed else []
    causes = set_apart([(jobs[place],) for place in places])
    for place, cause in zip(places, causes, strict=True):
        if cause:
            said[place] = COMPILED_ANEW
    return said


def _verdict_with(needs: Sequence[JobMetric], job: JobRecord) -> str:
    """`ok`, or why this job is no result or lacks a figure that is needed, as a phrase."""
    if not is_result(job):
        return verdict(job)
    missing = [metric for metric in needs if not usable(metric.read(job))]
    if not missing:
        return JobStatus.OK
    if compiled_anew(job) and all(metric in WARM_ONLY for metric in missing):
        return COMPILED_ANEW
    return f"no {' and no '.join(metric.label for metric in missing)}"


def figure_means(metrics: Sequence[JobMetric], counted: Sequence[JobRecord]) -> Figures:
    """The mean of every metric over the replicates that have it, with its interval where the metric
    has one.
    """
    return {metric: _mean(metric, counted) for metric in metrics}


def _mean(metric: JobMetric, counted: Sequence[JobRecord]) -> Figure:
    values = [value for job in counted if (value := metric.read(job)) is not None]
    if not metric.interval and not metric.rate:
        return Figure.of(mean_of(values)) if values else NO_FIGURE
    values = [value for value in values if usable(value)]
    return with_interval(mean_above_zero(values, rate=metric.rate) if values else None)


def backend_label(jobs: Sequence[JobRecord], arm: str) -> str:
    """How tables name an arm's backend; the arm's own name where no job tells the backend."""
    return (
        BACKEND_LABELS.get(jobs[0].arm.backend, jobs[0].arm.backend)
        if jobs
        else BACKEND_LABELS.get(arm, arm)
    )


def backends_are_shared(run: Run) -> bool:
    """Whether two arms of one workload have the same backend, so that its label does not tell them
    apart.
    """
    replicates = arms_of(run).replicates
    labels = {
        (workload, backend_label([*jobs.values()], arm))
        for (workload, arm), jobs in replicates.items()
    }
    return len(labels) < len(replicates)


def arm_labels(runs: Sequence[Run]) -> dict[str, str]:
    """What tables of `runs` call each arm: the label of its backend where that tells the arms of
    every run apart and is the arm's in all of them, else the arm's own name.
    """
    labels: dict[str, set[str]] = {}
    for run in runs:
        by_name = backends_are_shared(run)
        for (_, arm), jobs in arms_of(run).replicates.items():
            label = arm if by_name else backend_label([*jobs.values()], arm)
            labels.setdefault(arm, set()).add(label)
    return {arm: found.pop() if len(found) == 1 else arm for arm, found in labels.items()}


def identity(jobs: Sequence[JobRecord], workload: str) -> dict[str, Any]:
    """The fields of `Row` but for the run: the workload and what it is made of."""
    if not jobs:
        return {
            "workload": workload,
            "model": workload,
            "task": None,
            "precision": None,
            "batch_size": None,
        }
    of = jobs[0].workload
    sizes = {
        known(job, "workload.training.batch_size", job.workload.training.batch_size) for job in jobs
    }
    return {
        "workload": workload,
        "model": of.model.name,
        "task": of.task.name,
        "precision": known(jobs[0], "workload.training.precision", of.training.precision),
        "batch_size": sizes.pop() if len(sizes) == 1 else None,
    }


def attention(jobs: Sequence[JobRecord]) -> str | None:
    """The arm's attention implementation; None where it is not known."""
    return known(jobs[0], "arm.attention", jobs[0].arm.attention) if jobs else None


def devices(jobs: Sequence[JobRecord]) -> str:
    """The devices of jobs by name, usually one."""
    return ", ".join(sorted({job.device for job in jobs}))


def with_interval(estimate: Estimate | None) -> Figure:
    """The figure of an estimate."""
    if estimate is None:
        return NO_FIGURE
    return Figure(estimate.mean, finite(estimate.low), finite(estimate.high))
