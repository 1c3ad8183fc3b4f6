"""CSV: one line per value of a series, with its interval, unit and run. `report tables` has the
tables themselves.

Where a run has inference, three columns more: the engine, the engine it is compared with, and the
batch size.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from report.exports.points import nothing_to_export, points_of
from report.loading.runs import Run

COLUMNS = (
    *("run", "time", "commit", "device", "source", "workload", "arm", "baseline"),
    *("measure", "value", "low", "high", "unit", "better", "n"),
)

INFERENCE_COLUMNS = ("engine", "baseline_engine", "inference_batch_size")


def files(runs: Sequence[Run]) -> dict[str, bytes]:
    """values.csv. Nothing to export: BenchError."""
    values = [(run.info, point) for run in runs for point in points_of(run)]
    if not values:
        raise nothing_to_export(runs)
    inference = any(point.engine is not None for _, point in values)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*COLUMNS, *INFERENCE_COLUMNS) if inference else COLUMNS)
    for info, point in values:
        measure = point.measure
        about = (point.run, info.created_at, info.git.get("commit"), point.device, point.source)
        better = "bigger" if measure.bigger_is_better else "smaller"
        what = (point.workload, point.arm, point.baseline, measure.name)
        line = (*about, *what, point.value, point.low, point.high, measure.unit, better, point.n)
        of_inference = (point.engine, point.baseline_engine, point.inference_batch_size)
        writer.writerow((*line, *of_inference) if inference else line)
    return {"values.csv": text.getvalue().encode()}
