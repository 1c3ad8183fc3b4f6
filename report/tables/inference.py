"""The view of inference: latency and throughput of both engines on trained models, and the gain
with its checks.
"""

from __future__ import annotations

from collections.abc import Sequence

from report.analysis.inference import LEGEND, has_inference, inference_notes, inference_rows
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
    four_decimals,
    interval,
    number,
    percent,
    run_column,
    split_facts,
    state,
    text,
    workload_column,
)
from report.tables.rows import Row, backends_are_shared
from report.tables.table import Part, Table, make_table, part_of

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
