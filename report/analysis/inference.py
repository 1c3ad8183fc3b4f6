"""Inference of trained models: the gain of ONNX Runtime over PyTorch by arm and batch size, or why
there is none.

The pair is within a job: both engines ran the same trained weights on the same batches, in turns. A
launch's value is d = ln T_torch − ln T_onnxruntime of the mean seconds per batch; its interval is
Student's t over launches, as of every gain. An arm of the training is no side of this pair, only
where the weights come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from harness.schema.record import ENGINES, InferencePoint, InferenceResult, JobRecord
from report.analysis.gains import transformed
from report.analysis.launches import OK, Launches, arms_of, count_verdicts, verdict
from report.analysis.parity import MAIN_METRICS
from report.analysis.statistics import (
    Estimate,
    latency_gain,
    log_ratios,
    mean_interval,
    mean_of,
    throughput_gain,
    usable,
)
from report.loading.runs import Run, once_per_run
from report.tables.footnotes import grouped, in_one_line, source_notes
from report.tables.rows import (
    Row,
    attention,
    backend_label,
    devices,
    finite,
    identity,
    with_interval,
)

V = TypeVar("V")
DISAGREE = "engines disagree: "
LEGEND = (
    "latency: seconds per batch from input ids in host memory to logits in host memory, copies to "
    "and from the device "
    "and the wait for it included; mean, median and 95th percentile over the timed batches of a "
    "launch, each averaged "
    "over launches",
    "both engines ran the same weights in the same precision on the same batches, in alternating "
    "blocks (A B B A), in "
    "a process of its own after training; the interval is Student's t over launches",
)


def inference_subject(workload: str, arm: str, batch_size: int) -> str:
    """What inference is known by over time. No workload's name holds a `/`, so this is none."""
    return f"{workload}/{arm}/inference/batch-{batch_size}"


def has_inference(run: Run) -> bool:
    """Whether any job of the run was asked for inference and got as far."""
    return any(job.inference is not None for job in run.jobs)


def inference_rows(run: Run) -> list[Row]:
    """One row per arm of every workload and batch size, those without a result included. Keys:
    report.tables.keys.
    """
    return [_row(run, found) for found in comparisons_of(run)]


@dataclass(frozen=True)
class Comparison:
    """Both engines on what an arm trained, at one batch size (None: none was timed).

    `counted`: the launches with a result, whose times stand; `ratio` estimates ln T_torch − ln
    T_onnxruntime over them, None if there is no gain, and then `state` says why, else it is `ok`.
    `left_out` says why launches do not count.
    """

    workload: str
    arm: str
    batch_size: int | None
    launches: Launches
    counted: list[tuple[JobRecord, InferencePoint]]
    ratio: Estimate | None
    state: str
    left_out: str

    @property
    def throughput(self) -> tuple[float | None, float | None, float | None]:
        """T_torch / T_onnxruntime − 1: value, low, high."""
        return transformed(self.ratio, throughput_gain)


@once_per_run
def comparisons_of(run: Run) -> list[Comparison]:
    """Every arm of every workload by every batch size that a launch has; of runs without inference
    nothing.
    """
    if not has_inference(run):
        return []
    found = []
    for (workload, arm), launches in arms_of(run).launches.items():
        sizes = dict.fromkeys(
            p.batch_size for job in launches.values() if job.inference for p in job.inference.points
        )
        found += [_compare(workload, arm, launches, size) for size in (sizes or (None,))]
    return found


def _compare(workload: str, arm: str, launches: Launches, size: int | None) -> Comparison:
    jobs = list(launches.values())
    judged = [_judge(job, size) for job in jobs]
    counted = [
        (job, point)
        for job, said in zip(jobs, judged, strict=True)
        if said == OK and (point := _point(job, size))
    ]
    differing = [
        f"{DISAGREE}{job.inference.disagreement or 'not compared'} in launch {launch + 1}"
        for (launch, job), said in zip(launches.items(), judged, strict=True)
        if said == OK and job.inference and not job.inference.agree
    ]
    points = [point for _, point in counted]
    gained = bool(points) and not differing
    ratio = (
        mean_interval(log_ratios((p.torch.mean_s, p.onnxruntime.mean_s) for p in points))
        if gained
        else None
    )
    failures = count_verdicts(judged)
    return Comparison(
        workload=workload,
        arm=arm,
        batch_size=size,
        launches=launches,
        counted=counted,
        ratio=ratio,
        state=OK if gained else "; ".join(differing) or failures or "no job recorded",
        left_out=failures if gained else "",
    )


def _row(run: Run, found: Comparison) -> Row:
    workload, arm, ratio = found.workload, found.arm, found.ratio
    jobs = list(found.launches.values())
    points = [point for _, point in found.counted]
    results = [job.inference for job, _ in found.counted if job.inference]
    row: Row = {
        "run": run.info.run,
        **identity(jobs or arms_of(run).of_workload(workload), workload),
        "arm": arm,
        "backend": backend_label(jobs, arm),
        "attention": attention(jobs),
        "device": devices(jobs),
        "source": "measured",
        "launches": len(jobs),
        "n": len(points) if found.state == OK else 0,
        "inference_batch_size": found.batch_size,
        "inference_precision": _one(result.precision for result in results),
    }
    for engine in ENGINES:
        times = [getattr(point, engine) for point in points]
        row |= with_interval(
            f"{engine}_latency_s", mean_interval([t.mean_s for t in times]) if times else None
        )
        row |= {
            f"{engine}_latency_p50_s": _mean(t.p50_s for t in times),
            f"{engine}_latency_p95_s": _mean(t.p95_s for t in times),
            f"{engine}_samples_per_s": _mean(t.samples_per_s for t in times),
        }
    row |= with_interval("log_ratio", ratio)
    latency = transformed(ratio, latency_gain)
    for key, (value, low, high) in (
        ("latency_gain", latency),
        ("throughput_gain", found.throughput),
    ):
        row |= {key: finite(value), f"{key}_low": finite(low), f"{key}_high": finite(high)}
    return {
        **row,
        **_agreement(results),
        **_proof(results),
        "left_out": found.left_out,
        "state": found.state,
    }


def _point(job: JobRecord, size: int | None) -> InferencePoint | None:
    points = job.inference.points if job.inference else []
    return next((point for point in points if point.batch_size == size), None)


def _judge(job: JobRecord, size: int | None) -> str:
    """`ok`, or why the job has no inference result at this batch size, as a phrase."""
    result = job.inference
    if (why := verdict(job)) != OK:
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
        OK
        if all(usable(value) for of_engine in times for value in of_engine)
        else "no usable times"
    )


def _agreement(results: Sequence[InferenceResult]) -> Row:
    """The worst difference of logits, and the main metric by both engines, averaged over launches."""
    known = [metrics for result in results if len(metrics := result.metrics) == len(ENGINES)]
    names = (
        set.intersection(*(set(of) for metrics in known for of in metrics.values()))
        if known
        else set()
    )
    name = next((metric for metric in (*MAIN_METRICS, *sorted(names)) if metric in names), None)
    means = {
        engine: _mean(metrics[engine][name] for metrics in known) if name else None
        for engine in ENGINES
    }
    differences = [
        result.logit_difference for result in results if result.logit_difference is not None
    ]
    tolerances = [
        result.logit_tolerance for result in results if result.logit_tolerance is not None
    ]
    return {
        "metric": name,
        **{f"{engine}_metric": mean for engine, mean in means.items()},
        "logit_difference": max(differences, default=None),
        "logit_tolerance": min(tolerances, default=None),
    }


def _proof(results: Sequence[InferenceResult]) -> Row:
    proofs = [result.proof for result in results if result.proof]
    return {
        "provider": _one(proof.provider for proof in proofs),
        "opset": _one(proof.opset for proof in proofs),
        "export_s": _mean(result.export_s for result in results if result.export_s is not None),
        "session_s": _mean(result.session_s for result in results if result.session_s is not None),
    }


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return finite(mean_of(found)) if found else None


def _one(values: Iterable[V]) -> V | None:
    """The value that all have; None where they differ or there is none."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def inference_notes(run: Run) -> list[str]:
    """Why inference failed, what the session ran where, and where data and weights came from."""

    def failed(job: JobRecord) -> list[str]:
        result = job.inference
        if result is None:
            return []
        said = [f"inference failed {result.reason}"] if result.state != "ok" else []
        if result.proof is not None and not result.proof.engaged:
            said.append(f"ONNX Runtime not proven engaged: {'; '.join(result.proof.reasons)}")
        return [in_one_line(text) for text in said]

    def placed(job: JobRecord) -> list[str]:
        proof = job.inference.proof if job.inference else None
        if proof is None or not proof.node_counts:
            return []
        counts = ", ".join(
            f"{sum(nodes.values())} on {provider}" for provider, nodes in proof.node_counts.items()
        )
        threads = (
            f", {proof.threads} thread{'' if proof.threads == 1 else 's'} each"
            if proof.threads
            else ""
        )
        return [
            f"nodes of the optimized graph by a profiled batch: {counts} (opset "
            f"{proof.opset}{threads})"
        ]

    return [*grouped(run, failed), *grouped(run, placed), *source_notes(run)]
