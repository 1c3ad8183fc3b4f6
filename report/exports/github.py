"""github-action-benchmark: `[{name, unit, value, range, extra}]`, a file for each value of the
action's input `tool`.

Source: https://github.com/benchmark-action/github-action-benchmark, README, "Custom benchmark data"
and src/extract.ts. The action alerts on the ratio of two values, so gains, which may be near 0, go
out as speed-ups. It refuses an empty list, so a direction without a value has no file.
"""

from __future__ import annotations

from collections.abc import Sequence

from report.exports.points import ExportPoint, distinct_points, json_bytes
from report.loading.runs import Run

SYMMETRIC = 0.1  # of the half-width: ends of an interval that lie at nearly equal distances


def files(runs: Sequence[Run]) -> dict[str, bytes]:
    """customBiggerIsBetter.json and customSmallerIsBetter.json. A series in two runs, or no value:
    BenchError.
    """
    points = [point for point in distinct_points(runs) if point.measure.proportional]
    directions = {"customBiggerIsBetter": True, "customSmallerIsBetter": False}
    chosen = {
        f"{tool}.json": [
            _entry(point) for point in points if point.measure.bigger_is_better == bigger
        ]
        for tool, bigger in directions.items()
    }
    return {name: json_bytes(entries) for name, entries in chosen.items() if entries}


def _entry(point: ExportPoint) -> dict[str, str | float]:
    entry: dict[str, str | float] = {
        "name": point.name,
        "unit": point.measure.unit,
        "value": point.value,
    }
    if point.low is not None and point.high is not None:
        entry["range"] = _range(point.value, point.low, point.high)
    told = {
        "run": point.run,
        "device": point.device,
        "replicates": "" if point.n is None else str(point.n),
    }
    entry["extra"] = "\n".join(
        f"{what}: {' '.join(text.split())}" for what, text in told.items() if text
    )
    return entry


def _range(value: float, low: float, high: float) -> str:
    """`± 0.5`, which the action can convert to another unit, where that is nearly true; else `1.17
    to 1.19`.
    """
    if abs((high - value) - (value - low)) <= SYMMETRIC * (high - low) / 2:
        return f"± {(high - low) / 2:.6g}"
    return f"{low:.6g} to {high:.6g}"
