"""Parquet: gains.parquet, a row per pair and time that has a gain, and arms.parquet, a row per arm
that has a result.

Where a run has inference, also inference.parquet: a row per arm and batch size at which ONNX
Runtime's gain is valid. Columns are the names of the raw rows (report.tables.rows); each field's
metadata holds its `description` and its `unit`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from report.analysis.inference import has_inference
from report.analysis.metrics import JOB_METRICS
from report.exports.points import nothing_to_export
from report.loading.runs import Run
from report.tables.arm_rows import arm_rows
from report.tables.gain_rows import gain_rows
from report.tables.inference import inference_rows
from report.tables.rows import AnyRow, Kind, describe_key

if TYPE_CHECKING:
    import pyarrow


def files(runs: Sequence[Run]) -> dict[str, bytes]:
    """gains.parquet, arms.parquet and inference.parquet, without rows if there are none. None has
    one: BenchError.
    """
    tables: dict[str, Sequence[AnyRow]] = {
        "gains": [row for run in runs for row in gain_rows(run)],
        "arms": [row for run in runs for row in arm_rows(run, JOB_METRICS)],
    }
    if any(has_inference(run) for run in runs):
        tables["inference"] = [row for run in runs for row in inference_rows(run)]
    if not any(row.outcome.ok for rows in tables.values() for row in rows):
        raise nothing_to_export(runs)
    return {f"{name}.parquet": _table(rows) for name, rows in tables.items()}


def _table(rows: Sequence[AnyRow]) -> bytes:
    """The rows with a result, in the columns of all rows."""
    import pyarrow
    from pyarrow import parquet

    keys = dict.fromkeys(key for row in rows for key in row.flat())
    schema = pyarrow.schema([_field(key) for key in keys])
    valid = [row.flat() for row in rows if row.outcome.ok]
    columns = [
        pyarrow.array([row.get(field.name) for row in valid], type=field.type) for field in schema
    ]
    content = io.BytesIO()
    parquet.write_table(pyarrow.table(columns, schema=schema), content)
    return content.getvalue()


def _field(key: str) -> pyarrow.Field:
    """A column's type goes by its declaration, not by its values: an export in which all are
    missing has the same schema.
    """
    import pyarrow

    types = {
        Kind.TEXT: pyarrow.string(),
        Kind.TEXTS: pyarrow.list_(pyarrow.string()),
        Kind.INTEGER: pyarrow.int64(),
        Kind.NUMBER: pyarrow.float64(),
        Kind.BOOLEAN: pyarrow.bool_(),
    }
    found = describe_key(key)
    unit = found.unit.symbol
    metadata = {"description": found.meaning, **({"unit": unit} if unit else {})}
    return pyarrow.field(key, types[found.kind], metadata=metadata)
