"""Bencher Metric Format: `{benchmark: {measure: {value, lower_value, upper_value}}}`.

Source: https://bencher.dev/docs/reference/bencher-metric-format, schema
https://bencher.dev/bmf.json. It has no place for units (Bencher keeps them with the measure), so
the measures' names end in theirs. Bencher's built-in measures `latency` (nanoseconds) and
`throughput` (operations per second) are other quantities and not used.
"""

from __future__ import annotations

from collections.abc import Sequence

from report.exports.points import distinct_points, json_bytes
from report.loading.runs import Run


def files(runs: Sequence[Run]) -> dict[str, bytes]:
    """bmf.json. A series in two runs, or nothing to export: BenchError."""
    benchmarks: dict[str, dict[str, dict[str, float]]] = {}
    for point in distinct_points(runs):
        metric = {"value": point.value}
        if point.low is not None and point.high is not None:
            metric |= {"lower_value": point.low, "upper_value": point.high}
        benchmarks.setdefault(point.subject, {})[point.measure.name_with_unit] = metric
    return {"bmf.json": json_bytes(benchmarks)}
