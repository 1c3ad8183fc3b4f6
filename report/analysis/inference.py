"""Inference of trained models: the gain of ONNX Runtime over PyTorch by arm and batch size, or why
there is none.

The pair is within a job: both engines ran the same trained weights on the same batches, in turns. A
replicate's value is d = ln T_torch − ln T_onnxruntime of the mean seconds per batch; its interval
is Student's t over replicates, as of every gain. An arm of the training is no side of this pair,
only where the weights come from.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.schema.record import InferencePoint, JobRecord
from harness.schema.replicates import ONE_GROUP, ReplicateNames
from report.analysis.gains import transformed
from report.analysis.outcome import HAS_RESULT, GainStatus, Outcome, no_result
from report.analysis.replicates import (
    JobStatus,
    Replicates,
    arms_of,
    count_verdicts,
    names_of,
    verdict,
)
from report.analysis.statistics import (
    Estimate,
    latency_gain,
    log_ratios,
    mean_interval,
    throughput_gain,
    usable,
)
from report.loading.runs import Run, once_per_run


def inference_subject(workload: str, arm: str, batch_size: int) -> str:
    """What inference is known by over time. No workload's name holds a `/`, so this is none."""
    return f"{workload}/{arm}/inference/batch-{batch_size}"


def has_inference(run: Run) -> bool:
    """Whether any job of the run was asked for inference and got as far."""
    return any(job.inference is not None for job in run.jobs)


@dataclass(frozen=True)
class EngineComparison:
    """Both engines on what an arm trained, at one batch size (None: none was timed).

    `counted`: the replicates with a result, whose times stand; `ratio` estimates ln T_torch − ln
    T_onnxruntime over them, None if there is no gain, and then `outcome` says why.
    `left_out` says why replicates do not count.
    """

    workload: str
    arm: str
    batch_size: int | None
    replicates: Replicates
    counted: list[tuple[JobRecord, InferencePoint]]
    ratio: Estimate | None
    outcome: Outcome
    left_out: str

    @property
    def latency(self) -> tuple[float | None, float | None, float | None]:
        """1 − T_onnxruntime / T_torch: value, low, high."""
        return transformed(self.ratio, latency_gain)

    @property
    def throughput(self) -> tuple[float | None, float | None, float | None]:
        """T_torch / T_onnxruntime − 1: value, low, high."""
        return transformed(self.ratio, throughput_gain)


@once_per_run
def comparisons_of(run: Run) -> list[EngineComparison]:
    """Every arm of every workload by every batch size that a replicate has; of runs without
    inference nothing.
    """
    if not has_inference(run):
        return []
    found = []
    for (workload, arm), replicates in arms_of(run).replicates.items():
        sizes = dict.fromkeys(
            p.batch_size
            for job in replicates.values()
            if job.inference
            for p in job.inference.points
        )
        names = names_of(run).get(workload, ONE_GROUP)
        found += [_compare(workload, arm, replicates, size, names) for size in (sizes or (None,))]
    return found


def _compare(
    workload: str, arm: str, replicates: Replicates, size: int | None, names: ReplicateNames
) -> EngineComparison:
    jobs = list(replicates.values())
    judged = [_judge(job, size) for job in jobs]
    counted = [
        (job, point)
        for job, said in zip(jobs, judged, strict=True)
        if said == JobStatus.OK and (point := _point(job, size))
    ]
    differing = [
        f"{job.inference.disagreement or 'not compared'} in {names.name(replicate)}"
        for (replicate, job), said in zip(replicates.items(), judged, strict=True)
        if said == JobStatus.OK and job.inference and not job.inference.agree
    ]
    points = [point for _, point in counted]
    gained = bool(points) and not differing
    ratio = (
        mean_interval(log_ratios((p.torch.mean_s, p.onnxruntime.mean_s) for p in points))
        if gained
        else None
    )
    failures = count_verdicts(judged)
    if gained:
        outcome = HAS_RESULT
    elif differing:
        status = GainStatus.ENGINES_DISAGREE
        outcome = Outcome(status, f"; {status}: ".join(differing))
    else:
        outcome = no_result(failures or "no job recorded")
    return EngineComparison(
        workload=workload,
        arm=arm,
        batch_size=size,
        replicates=replicates,
        counted=counted,
        ratio=ratio,
        outcome=outcome,
        left_out=failures if gained else "",
    )


def _point(job: JobRecord, size: int | None) -> InferencePoint | None:
    points = job.inference.points if job.inference else []
    return next((point for point in points if point.batch_size == size), None)


def _judge(job: JobRecord, size: int | None) -> str:
    """`ok`, or why the job has no inference result at this batch size, as a phrase."""
    result = job.inference
    if (why := verdict(job)) is not JobStatus.OK:
        return why
    if result is None:
        return "no inference recorded"
    if result.state != "ok":
        return "inference failed"
    if result.proof is None or not result.proof.engaged:
        return "ONNX Runtime not proven engaged"
    if (point := _point(job, size)) is None:
        return "batch size not timed"
    engines = (point.torch, point.onnxruntime)
    times = [
        (engine.mean_s, engine.p50_s, engine.p95_s, engine.samples_per_s) for engine in engines
    ]
    return (
        JobStatus.OK
        if all(usable(value) for of_engine in times for value in of_engine)
        else "no usable times"
    )
