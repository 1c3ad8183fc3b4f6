"""One row per arm, in raw, unrounded numbers: what CSV and JSON hold and what Markdown displays.
See report.tables.keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.schema.record import JobRecord
from report.analysis.launches import OK, arms_of, count_verdicts, verdict
from report.analysis.statistics import Estimate, mean_interval, mean_of, usable
from report.labels import BACKEND_LABELS, known
from report.loading.runs import Run

Value = str | int | float | bool | list[str] | None
Row = dict[str, Value]


@dataclass(frozen=True)
class Figure:
    """A figure of an arm: its key and how it is read from a record.

    `interval`: a time or rate, with a t interval. `label`: its name in the reason why a launch does
    not count.
    """

    key: str
    read: Callable[[JobRecord], float | None]
    interval: bool = False
    label: str = ""


END_TO_END = (
    Figure(
        "runtime_s",
        lambda job: None if job.partner else job.timing.train_runtime_s,
        True,
        "end to end time",
    ),
    Figure(
        "train_samples_per_s",
        lambda job: None if job.partner else job.timing.train_samples_per_s,
        True,
        "end to end throughput",
    ),
)
STEADY_STATE = (
    Figure("setup_s", lambda job: job.timing.setup_s, True, "set-up time"),
    Figure("steady_step_s", lambda job: job.timing.steady_step_s, True, "steady state time"),
    Figure(
        "steady_samples_per_s",
        lambda job: job.timing.steady_samples_per_s,
        True,
        "steady state throughput",
    ),
)


def arm_rows(
    run: Run,
    figures: Sequence[Figure],
    more: Callable[[Sequence[JobRecord]], Row] = lambda counted: {},
    needs: Sequence[str] = (),
) -> list[Row]:
    """One row per arm of every workload, those without a result included. Keys: KEYS.

    Every figure is its mean over the launches that count and have it; `more` adds what is no mean,
    from those launches. `needs`: keys of figures without which a launch does not count, so that no
    row is ok without them.
    """
    needed = [figure for figure in figures if figure.key in needs]
    rows: list[Row] = []
    arms = arms_of(run)
    for (workload, arm), launches in arms.launches.items():
        jobs = list(launches.values())
        verdicts = [_verdict_with(needed, job) for job in jobs]
        counted = [job for job, said in zip(jobs, verdicts, strict=True) if said == OK]
        row: Row = {
            "run": run.info.run,
            **identity(jobs or arms.of_workload(workload), workload),
            "arm": arm,
            "backend": backend_label(jobs, arm),
            "attention": attention(jobs),
            "device": devices(jobs),
            "source": jobs[0].source if jobs else "measured",
            "launches": known(jobs[0], "launch", len(jobs)) if jobs else 0,
            "n": known(jobs[0], "launch", len(counted)) if jobs else 0,
        }
        row |= figure_means(figures, counted)
        failures = count_verdicts(verdicts)
        state = OK if counted else failures or "no job recorded"
        rows.append(
            {**row, **more(counted), "left_out": failures if counted else "", "state": state}
        )
    return rows


def _verdict_with(needed: Sequence[Figure], job: JobRecord) -> str:
    """`ok`, or why this job is no result or lacks a figure that is needed, as a phrase."""
    if (why := verdict(job)) != OK:
        return why
    missing = [figure.label for figure in needed if not usable(figure.read(job))]
    return f"no {' and no '.join(missing)}" if missing else OK


def figure_means(figures: Sequence[Figure], counted: Sequence[JobRecord]) -> Row:
    """The mean of every figure over the launches that have it, with its interval where the figure
    has one.
    """
    row: Row = {}
    for figure in figures:
        read = [value for job in counted if (value := figure.read(job)) is not None]
        if figure.interval:
            values = [value for value in read if usable(value)]
            row |= with_interval(figure.key, mean_interval(values) if values else None)
        else:
            row[figure.key] = finite(mean_of(read)) if read else None
    return row


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
    launches = arms_of(run).launches
    labels = {
        (workload, backend_label([*jobs.values()], arm))
        for (workload, arm), jobs in launches.items()
    }
    return len(labels) < len(launches)


def identity(jobs: Sequence[JobRecord], workload: str) -> Row:
    """What a row is about: the workload and what it is made of. A workload nobody ran is known by
    its name alone.
    """
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


def attention(jobs: Sequence[JobRecord]) -> Value:
    """The arm's attention implementation; None where it is not known."""
    return known(jobs[0], "arm.attention", jobs[0].arm.attention) if jobs else None


def devices(jobs: Sequence[JobRecord]) -> str:
    """The devices of jobs by name, usually one."""
    return ", ".join(sorted({job.device for job in jobs}))


def with_interval(key: str, estimate: Estimate | None) -> Row:
    """The columns of an estimate: `key`, `key_low`, `key_high`."""
    if estimate is None:
        return {key: None, f"{key}_low": None, f"{key}_high": None}
    return {
        key: estimate.mean,
        f"{key}_low": finite(estimate.low),
        f"{key}_high": finite(estimate.high),
    }


def finite(value: float | None) -> float | None:
    """JSON has no infinity: an end of an interval that overflowed is as good as none."""
    return value if value is not None and math.isfinite(value) else None
