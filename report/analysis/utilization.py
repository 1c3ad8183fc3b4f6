"""What the machine did while an arm trained, read from the telemetry of its jobs."""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.schema.record import GpuTelemetry, JobRecord
from report.analysis.launches import OK, arms_of, verdict
from report.loading.runs import Run

NO_LIMIT = frozenset({"gpu_idle"})  # NVML's reason for a low clock when there is nothing to do


def is_measured(run: Run) -> bool:
    """Whether the run was measured here, so that there may be telemetry; publications have none."""
    return all(job.source == "measured" for job in run.jobs)


def is_on_gpu(run: Run) -> bool:
    """Whether any of its jobs ran on a GPU."""
    return any(job.device != "cpu" or cards_of(job) for job in run.jobs)


def cards_of(job: JobRecord) -> list[GpuTelemetry]:
    """The telemetry of each card of a job; empty without any."""
    return job.telemetry.gpus if job.telemetry else []


def of_cards(
    combine: Callable[[list[float]], float], field: str
) -> Callable[[JobRecord], float | None]:
    """One figure of all cards of a job; None unless every card has it."""

    def read(job: JobRecord) -> float | None:
        values = [getattr(gpu, field) for gpu in cards_of(job)]
        return float(combine(values)) if values and None not in values else None

    return read


def mean(values: list[float]) -> float:
    """The arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


def clock_limits(run: Run) -> dict[str, dict[tuple[str, str], float]]:
    """What held the clock down in launches that count.

    Returns:
        For each reason of NVML and each (workload, arm) that it occurred in, the largest share of a
        launch's samples.
    """
    seen: dict[str, dict[tuple[str, str], float]] = {}
    for key, launches in arms_of(run).launches.items():
        for job in launches.values():
            for gpu in cards_of(job) if verdict(job) == OK else ():
                for reason, share in gpu.clock_limits.items():
                    if reason not in NO_LIMIT:
                        worst = seen.setdefault(reason, {})
                        worst[key] = max(share, worst.get(key, 0.0))
    return seen
