"""Parquet: gains.parquet, a row per pair and time that has a gain, and arms.parquet, a row per arm
that has a result.

Where a run has inference, also inference.parquet: a row per arm and batch size at which ONNX
Runtime's gain is valid. Columns are the keys of the tables' rows (report.tables.keys); each field's
metadata holds its `description` and its `unit`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from report.analysis.inference import has_inference
from report.analysis.launches import OK
from report.exports.points import ARM_FIGURES, nothing_to_export
from report.loading.runs import Run
from report.tables.gain_rows import gain_rows
from report.tables.inference import inference_rows
from report.tables.keys import describe_key
from report.tables.rows import Row, arm_rows

if TYPE_CHECKING:
    import pyarrow

TEXTS = frozenset(
    {
        *(
            "run",
            "workload",
            "model",
            "task",
            "precision",
            "arm",
            "backend",
            "attention",
            "device",
            "source",
        ),
        *("baseline", "candidate", "baseline_backend", "candidate_backend", "baseline_attention"),
        *("candidate_attention", "protocol", "measure"),
        *(
            "break_even",
            "noise_floor",
            "noise_floor_run",
            "parity",
            "parity_reason",
            "parity_metric",
        ),
        *("precision_target", "left_out", "unobserved", "state", "kernels"),
        *("inference_precision", "metric", "provider"),
    }
)
INTEGERS = frozenset({"batch_size", "launches", "n", "inference_batch_size", "opset"})
UNITS = {  # by the key, or by how it ends
    "joules_per_sample": "J/sample",
    "samples_per_s": "samples/s",
    "_s": "s",
    "_bytes": "bytes",
    "_percent": "%",
    "_mhz": "MHz",
    "_w": "W",
    "_gain": "fraction",
    "_share": "fraction",
    "_utilization": "fraction",
    "break_even_step": "steps",
    "batch_size": "samples",
}


def files(runs: Sequence[Run]) -> dict[str, bytes]:
    """gains.parquet, arms.parquet and inference.parquet, without rows if there are none. None has
    one: BenchError.
    """
    tables = {
        "gains": [row for run in runs for row in gain_rows(run)],
        "arms": [row for run in runs for row in arm_rows(run, ARM_FIGURES)],
    }
    if any(has_inference(run) for run in runs):
        tables["inference"] = [row for run in runs for row in inference_rows(run)]
    if not any(row["state"] == OK for rows in tables.values() for row in rows):
        raise nothing_to_export(runs)
    return {
        f"{name}.parquet": _table(
            list(dict.fromkeys(key for row in rows for key in row)), _valid(rows)
        )
        for name, rows in tables.items()
    }


def unit_of(key: str) -> str | None:
    """The unit of a numeric column, or None."""
    stem = key.removesuffix("_low").removesuffix("_high")
    return (
        next((unit for end, unit in UNITS.items() if stem.endswith(end)), None)
        if key not in TEXTS
        else None
    )


def _valid(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["state"] == OK]


def _table(keys: Sequence[str], rows: Sequence[Row]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([_field(key, [row.get(key) for row in rows]) for key in keys])
    columns = [
        pyarrow.array([row.get(key) for row in rows], type=field.type)
        for key, field in zip(keys, schema, strict=True)
    ]
    content = io.BytesIO()
    parquet.write_table(pyarrow.table(columns, schema=schema), content)
    return content.getvalue()


def _field(key: str, values: Sequence[Any]) -> pyarrow.Field:
    """A column's type goes by its key, not by its values: an export in which all are missing has
    the same schema.
    """
    import pyarrow

    if key in TEXTS:
        kind = pyarrow.string()
    elif key in INTEGERS:
        kind = pyarrow.int64()
    elif key == "a_a":
        kind = pyarrow.bool_()
    elif key == "differs":
        kind = pyarrow.list_(pyarrow.string())
    else:
        kind = pyarrow.float64()
    unit = unit_of(key)
    return pyarrow.field(
        key, kind, metadata={"description": describe_key(key), **({"unit": unit} if unit else {})}
    )
