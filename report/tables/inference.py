"""The view of inference: latency and throughput of both engines on trained models, and the gain
with its checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from harness.schema.record import ENGINES, InferenceResult, JobRecord
from report.analysis.gains import transformed
from report.analysis.inference import Comparison, comparisons_of, has_inference
from report.analysis.launches import OK, arms_of
from report.analysis.parity import MAIN_METRICS
from report.analysis.statistics import latency_gain, mean_interval, mean_of
from report.loading.runs import Run
from report.tables.arms import notes_of, rows_of
from report.tables.columns import (
    DETAIL,
    ESSENTIAL,
    GPU,
    TASK,
    Column,
    Fact,
    Show,
    as_number,
    count,
    decimals,
    interval,
    number,
    percent,
    run_column,
    split_facts,
    state,
    text,
    workload_column,
)
from report.tables.footnotes import grouped, source_notes
from report.tables.rows import (
    Row,
    attention,
    backend_label,
    backends_are_shared,
    devices,
    finite,
    identity,
    with_interval,
)
from report.tables.table import Part, Table, make_table, part_of
from report.text import four_decimals, in_one_line

V = TypeVar("V")
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
_PRECISION = Fact(Column("Precision", text("inference_precision"), importance=ESSENTIAL))
_ATTENTION = Fact(Column("Attention", text("attention")), "{} attention")


def inference(run: Run) -> Part:
    """Every arm of every workload by every batch size; of runs without inference nothing."""
    asked = has_inference(run)
    notes = inference_notes(run) if asked else []
    return part_of(run, inference_rows(run), notes, usual=asked, by_name=backends_are_shared(run))


def inference_tables(parts: Sequence[Part]) -> list[Table]:
    """The table of `inference`."""
    rows = rows_of(parts)
    by_name = any(part.by_name for part in parts)
    facts, shared = split_facts(rows, (TASK, _PRECISION, *(() if by_name else (_ATTENTION,)), GPU))
    columns = [
        *run_column(rows),
        Column("Model", text("model"), importance=ESSENTIAL),
        Column("Trained by", text("arm" if by_name else "backend"), importance=ESSENTIAL),
        *facts,
        *workload_column(rows),
        Column("Inference batch", text("inference_batch_size"), right=True, importance=ESSENTIAL),
        Column("PyTorch(ms) mean/p50/p95", _latency("torch"), right=True),
        Column("ONNX Runtime(ms) mean/p50/p95", _latency("onnxruntime"), right=True),
        Column("PyTorch samples(/s)", number("torch_samples_per_s"), right=True),
        Column("ONNX Runtime samples(/s)", number("onnxruntime_samples_per_s"), right=True),
        Column("Latency", percent("latency_gain"), right=True),
        Column("Throughput", percent("throughput_gain"), right=True, importance=ESSENTIAL),
        Column("Throughput 95%", interval("throughput_gain"), right=True, optional=True),
        Column("n", count, right=True),
        Column("Metric", _metric, optional=True),
        Column("Max Δlogit", _difference, right=True, optional=True),
        Column("Provider", _provider, optional=True, importance=DETAIL),
        Column("Export + session(s)", _setup, right=True, optional=True, importance=DETAIL),
        Column("State", state, importance=ESSENTIAL),
    ]
    title = f"Inference, gain of ONNX Runtime over PyTorch on the trained weights{shared}:"
    return [make_table("inference", title, columns, rows, notes_of(parts, LEGEND if rows else ()))]


def _latency(engine: str) -> Show:
    """Milliseconds per batch: mean, median and 95th percentile, with the digits of the mean."""

    def show(row: Row) -> str:
        values = [as_number(row[f"{engine}_latency_{kind}"]) for kind in ("s", "p50_s", "p95_s")]
        mean = values[0]
        if mean is None:
            return ""
        digits = decimals(mean * 1e3)
        return " / ".join("–" if value is None else f"{value * 1e3:.{digits}f}" for value in values)

    return show


def _metric(row: Row) -> str:
    """The task's main metric by PyTorch and by ONNX Runtime."""
    ours, theirs = as_number(row["torch_metric"]), as_number(row["onnxruntime_metric"])
    if ours is None or theirs is None:
        return ""
    return f"{row['metric']} {four_decimals(ours)} / {four_decimals(theirs)}"


def _difference(row: Row) -> str:
    value = as_number(row["logit_difference"])
    return "" if value is None else f"{value:.1e}"


def _provider(row: Row) -> str:
    return text("provider")(row).removesuffix("ExecutionProvider")


def _setup(row: Row) -> str:
    values = [as_number(row[key]) for key in ("export_s", "session_s")]
    return " + ".join(f"{value:.1f}" for value in values if value is not None)


def inference_rows(run: Run) -> list[Row]:
    """One row per arm of every workload and batch size, those without a result included. Keys:
    report.tables.keys.
    """
    return [_row(run, found) for found in comparisons_of(run)]


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


def _agreement(results: Sequence[InferenceResult]) -> Row:
    """The worst difference of logits, and the main metric by both engines, averaged over
    launches.
    """
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
