"""What the machine did while an arm trained, read from the telemetry of its jobs."""

from __future__ import annotations

from harness.schema.record import GpuTelemetry, JobRecord
from report.analysis.replicates import arms_of, is_result
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


def clock_limits(run: Run) -> dict[str, dict[tuple[str, str], float]]:
    """What held the clock down in replicates that count.

    Returns:
        For each reason of NVML and each (workload, arm) that it occurred in, the largest share of a
        replicate's samples.
    """
    seen: dict[str, dict[tuple[str, str], float]] = {}
    for key, replicates in arms_of(run).replicates.items():
        for job in replicates.values():
            for gpu in cards_of(job) if is_result(job) else ():
                for reason, share in gpu.clock_limits.items():
                    if reason not in NO_LIMIT:
                        worst = seen.setdefault(reason, {})
                        worst[key] = max(share, worst.get(key, 0.0))
    return seen
