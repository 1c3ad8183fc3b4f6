"""The view of inference: latency and throughput of both engines on trained models, and the gain
with its checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from harness.schema.record import ENGINES, EngineTimes, InferencePoint, InferenceResult, JobRecord
from report.analysis.inference import EngineComparison, comparisons_of, has_inference
from report.analysis.metrics import (
    DETAIL,
    ESSENTIAL,
    INFERENCE_LATENCY,
    INFERENCE_LATENCY_P50,
    INFERENCE_LATENCY_P95,
    INFERENCE_METRICS,
    INFERENCE_SAMPLES_PER_S,
    THROUGHPUT_GAIN,
    Figure,
    Metric,
    finite,
)
from report.analysis.parity import MAIN_METRICS
from report.analysis.replicates import arms_of
from report.analysis.statistics import mean_above_zero, mean_of
from report.loading.runs import Run
from report.tables.arm_rows import (
    attention,
    backend_label,
    backends_are_shared,
    devices,
    identity,
    with_interval,
)
from report.tables.arms import notes_of, rows_of
from report.tables.columns import (
    ATTENTION,
    GPU,
    MODEL,
    STATE,
    TASK,
    Column,
    Fact,
    count_column,
    decimals,
    format_number,
    fraction_column,
    run_column,
    split_facts,
    text,
    workload_column,
)
from report.tables.footnotes import grouped, source_notes
from report.tables.rows import ENGINE_LABELS, InferenceRow
from report.tables.table import Table, TablePart, make_table, part_of
from report.text import four_decimals, in_one_line

V = TypeVar("V")
LEGEND = (
    "latency: seconds per batch from input ids in host memory to logits in host memory, copies to "
    "and from the device "
    "and the wait for it included; mean, median and 95th percentile over the timed batches of a "
    "replicate, each averaged "
    "over replicates",
    "both engines ran the same weights in the same precision on the same batches, in turns "
    "(A B B A), in "
    "a process of its own after training; the interval is Student's t over replicates",
)
_LATENCIES = (INFERENCE_LATENCY, INFERENCE_LATENCY_P50, INFERENCE_LATENCY_P95)
_PRECISION: Fact[InferenceRow] = Fact(
    Column("Precision", text(lambda row: row.inference_precision), importance=ESSENTIAL)
)


def inference(run: Run) -> TablePart[InferenceRow]:
    """Every arm of every workload by every batch size; of runs without inference nothing."""
    asked = has_inference(run)
    notes = inference_notes(run) if asked else []
    return part_of(run, inference_rows(run), notes, usual=asked, by_name=backends_are_shared(run))


def inference_tables(parts: Sequence[TablePart[InferenceRow]]) -> list[Table[InferenceRow]]:
    """The table of `inference`."""
    rows = rows_of(parts)
    by_name = any(part.by_name for part in parts)
    facts, shared = split_facts(rows, (TASK, _PRECISION, *(() if by_name else (ATTENTION,)), GPU))
    columns: list[Column[InferenceRow]] = [
        *run_column(rows),
        MODEL,
        Column(
            "Trained by",
            lambda row: row.arm if by_name else row.backend,
            importance=ESSENTIAL,
        ),
        *facts,
        *workload_column(rows),
        Column(
            "Inference batch",
            text(lambda row: row.inference_batch_size),
            right=True,
            importance=ESSENTIAL,
            sort=lambda row: row.inference_batch_size,
        ),
        *map(_latency_column, ENGINES),
        *map(_throughput_column, ENGINES),
        fraction_column(THROUGHPUT_GAIN.header, rows, lambda row: row.throughput_gain),
        count_column(),
        Column("Metric", _metric, optional=True),
        Column(
            "Max Δlogit",
            _difference,
            right=True,
            optional=True,
            sort=lambda row: row.logit_difference,
        ),
        Column("Provider", _provider, optional=True, importance=DETAIL),
        Column("Export + session(s)", _setup, right=True, optional=True, importance=DETAIL),
        STATE,
    ]
    title = f"Inference, gain of ONNX Runtime over PyTorch on the trained weights{shared}:"
    return [make_table("inference", title, columns, rows, notes_of(parts, LEGEND if rows else ()))]


def _latency_column(engine: str) -> Column[InferenceRow]:
    """Milliseconds per batch: mean, median and 95th percentile, with the digits of the mean."""

    def show(row: InferenceRow) -> str:
        values = [row.engines[engine][metric].value for metric in _LATENCIES]
        mean, factor = values[0], INFERENCE_LATENCY.factor
        if mean is None:
            return ""
        digits = decimals(mean * factor)
        return " / ".join(format_number(value, factor, digits) or "–" for value in values)

    headers = "/".join(metric.header for metric in _LATENCIES)
    return Column(
        f"{ENGINE_LABELS[engine]}(ms) {headers}",
        show,
        right=True,
        sort=lambda row: row.engines[engine][INFERENCE_LATENCY].value,
    )


def _throughput_column(engine: str) -> Column[InferenceRow]:
    metric = INFERENCE_SAMPLES_PER_S

    def read(row: InferenceRow) -> float | None:
        return row.engines[engine][metric].value

    return Column(
        f"{ENGINE_LABELS[engine]} {metric.header}",
        lambda row: format_number(read(row)),
        right=True,
        sort=read,
    )


def _metric(row: InferenceRow) -> str:
    """The task's main metric by PyTorch and by ONNX Runtime."""
    ours, theirs = row.torch_metric, row.onnxruntime_metric
    if ours is None or theirs is None:
        return ""
    return f"{row.metric} {four_decimals(ours)} / {four_decimals(theirs)}"


def _difference(row: InferenceRow) -> str:
    return "" if row.logit_difference is None else f"{row.logit_difference:.1e}"


def _provider(row: InferenceRow) -> str:
    return (row.provider or "").removesuffix("ExecutionProvider")


def _setup(row: InferenceRow) -> str:
    return " + ".join(
        f"{value:.1f}" for value in (row.export_s, row.session_s) if value is not None
    )


def inference_rows(run: Run) -> list[InferenceRow]:
    """One row per arm of every workload and batch size, those without a result included."""
    return [_row(run, found) for found in comparisons_of(run)]


def _row(run: Run, found: EngineComparison) -> InferenceRow:
    workload, arm = found.workload, found.arm
    jobs = list(found.replicates.values())
    points = [point for _, point in found.counted]
    results = [job.inference for job, _ in found.counted if job.inference]
    return InferenceRow(
        run=run.info.run,
        **identity(jobs or arms_of(run).of_workload(workload), workload),
        arm=arm,
        backend=backend_label(jobs, arm),
        attention=attention(jobs),
        device=devices(jobs),
        source="measured",
        replicates=len(jobs),
        n=len(points) if found.outcome.ok else 0,
        inference_batch_size=found.batch_size,
        inference_precision=_one(result.precision for result in results),
        engines={engine: _times(engine, points) for engine in ENGINES},
        log_ratio=with_interval(found.ratio),
        latency_gain=Figure.of(*found.latency),
        throughput_gain=Figure.of(*found.throughput),
        **_agreement(results),
        **_proof(results),
        left_out=found.left_out,
        outcome=found.outcome,
    )


def _times(engine: str, points: Sequence[InferencePoint]) -> Mapping[Metric[EngineTimes], Figure]:
    """The figures of an engine, each the mean over the replicates that count."""
    timed: list[EngineTimes] = [getattr(point, engine) for point in points]
    return {metric: _figure(metric, timed) for metric in INFERENCE_METRICS}


def _figure(metric: Metric[EngineTimes], timed: Sequence[EngineTimes]) -> Figure:
    values = [value for times in timed if (value := metric.read(times)) is not None]
    if metric.interval or metric.rate:
        return with_interval(mean_above_zero(values, rate=metric.rate) if values else None)
    return Figure(_mean(values))


def _agreement(results: Sequence[InferenceResult]) -> dict[str, Any]:
    """The worst difference of logits, and the main metric by both engines, averaged over
    replicates.
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


def _proof(results: Sequence[InferenceResult]) -> dict[str, Any]:
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
