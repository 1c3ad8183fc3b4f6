"""What exports are made of: one value of one series, with its interval and unit.

The names of series hold nothing of a run (no date, host or commit), so that a series stays the same
over time: `WORKLOAD/ARM/MEASURE`, and of a pair `WORKLOAD/CANDIDATE/over/BASELINE/MEASURE`. No part
holds a `/`: names are unique. Inference of what an arm trained is
`WORKLOAD/ARM/inference/batch-N/ENGINE/MEASURE`, and ONNX Runtime's gain
`…/onnxruntime/over/torch/MEASURE`; its measures have names of their own, for tools compare measures
over benchmarks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import BenchError
from harness.schema.record import ENGINES
from report.analysis.inference import inference_subject
from report.analysis.metrics import (
    INFERENCE_METRICS,
    JOB_METRICS,
    LATENCY_GAIN,
    SPEED_UP,
    THROUGHPUT_GAIN,
    AnyMetric,
    Better,
    Figure,
    exported,
)
from report.loading.runs import Run
from report.tables.arm_rows import arm_rows
from report.tables.gain_rows import gain_rows
from report.tables.inference import inference_rows
from report.tables.rows import AnyRow, ArmRow, GainRow, InferenceRow

INFERENCE = "inference"  # begins the names of the series of inference's gains


@dataclass(frozen=True)
class ExportedMeasure:
    """What a series measures: a declared metric, and the name of the series."""

    name: str
    metric: AnyMetric

    @property
    def unit(self) -> str:
        """The unit's symbol."""
        return self.metric.unit.symbol

    @property
    def bigger_is_better(self) -> bool:
        """Whether higher values are better."""
        return self.metric.better is Better.HIGHER

    @property
    def proportional(self) -> bool:
        """Whether it can be judged by its relative change."""
        return self.metric.proportional

    @property
    def name_with_unit(self) -> str:
        """For formats without units: `steady-step-time-seconds`."""
        return f"{self.name}-{self.metric.unit.words}"


@dataclass(frozen=True)
class ExportPoint:
    """One value of a series: of an arm, or (`baseline`) of a pair's candidate over its baseline.

    Of inference: of an `engine` on what the arm trained, or of it over the `baseline_engine`. `low`
    and `high`: the 95% interval, where there is one; `n`: replicates it was made from, None if not
    published.
    """

    run: str
    device: str
    source: str
    workload: str
    arm: str
    baseline: str | None
    measure: ExportedMeasure
    value: float
    low: float | None
    high: float | None
    n: int | None
    engine: str | None = None
    baseline_engine: str | None = None
    inference_batch_size: int | None = None

    @property
    def subject(self) -> str:
        """The arm, pair or engine: `WORKLOAD/ARM`, `WORKLOAD/CANDIDATE/over/BASELINE`, of inference
        see above.
        """
        if self.engine is not None and self.inference_batch_size is not None:
            trained = inference_subject(self.workload, self.arm, self.inference_batch_size)
            return f"{trained}/{self.engine}" + (
                f"/over/{self.baseline_engine}" if self.baseline_engine else ""
            )
        return f"{self.workload}/{self.arm}" + (
            f"/over/{self.baseline}" if self.baseline is not None else ""
        )

    @property
    def name(self) -> str:
        """Of the series."""
        return f"{self.subject}/{self.measure.name}"


def points_of(run: Run) -> list[ExportPoint]:
    """Every value that a run has, arms first, in the order of tables. What is missing is left out.

    An arm has values if a replicate of it counts, a pair if its gain is valid, inference if its
    gain is, and last.
    """
    points = [point for row in arm_rows(run, JOB_METRICS) for point in _arm_points(row)]
    points += [point for row in gain_rows(run) if row.outcome.ok for point in _gain_points(row)]
    points += [
        point for row in inference_rows(run) if row.outcome.ok for point in _inference_points(row)
    ]
    return list(dict.fromkeys(points))  # a pair that was declared twice is one series


def distinct_points(runs: Sequence[Run]) -> list[ExportPoint]:
    """The points of all runs, each of another series: for formats that hold one value a series.
    Else BenchError.
    """
    points = [point for run in runs for point in points_of(run)]
    if not points:
        raise nothing_to_export(runs)
    seen: dict[str, str] = {}
    for point in points:
        reject_clash(seen, point.name, point.run)
    return points


def reject_clash(seen: dict[str, str], name: str, run: str) -> None:
    """Note that `run` has a value of the series `name`; BenchError if one was `seen` already."""
    if name in seen:
        raise BenchError(
            f"{name} is in {seen[name]} and in {run}, and this format holds one value of it",
            fix="export one run at a time, or choose otava, csv or parquet, which hold several",
        )
    seen[name] = run


def nothing_to_export(
    runs: Iterable[Run],
    what: str = "no replicate of an arm counts",
    fix: str = "`report tables` says what became of each replicate",
) -> BenchError:
    """The error for runs without a single value for a format."""
    return BenchError(
        f"nothing to export: {what}",
        place=", ".join(run.info.run for run in runs) or "no run",
        fix=fix,
    )


def json_bytes(content: Any) -> bytes:
    """Indented JSON, a newline at its end, and never NaN (ValueError)."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _arm_points(row: ArmRow) -> Iterator[ExportPoint]:
    for metric in exported(JOB_METRICS):
        yield from _point(row, ExportedMeasure(metric.series, metric), row.figure(metric), row.arm)


def _gain_points(row: GainRow) -> Iterator[ExportPoint]:
    for measure, figure in _gains(row.measure.stem, row):
        yield from _point(row, measure, figure, row.candidate, baseline=row.baseline)


def _inference_points(row: InferenceRow) -> Iterator[ExportPoint]:
    """Of both engines at one batch size, and the gain of ONNX Runtime."""
    size = row.inference_batch_size
    baseline, candidate = ENGINES
    for engine in ENGINES:
        for metric in INFERENCE_METRICS:
            measure, figure = ExportedMeasure(metric.series, metric), row.engines[engine][metric]
            yield from _point(
                row, measure, figure, row.arm, engine=engine, inference_batch_size=size
            )
    for measure, figure in _gains(INFERENCE, row):
        yield from _point(
            row,
            measure,
            figure,
            row.arm,
            engine=candidate,
            baseline_engine=baseline,
            inference_batch_size=size,
        )


def _gains(stem: str, row: GainRow | InferenceRow) -> Iterator[tuple[ExportedMeasure, Figure]]:
    """The gains that are exported, and their series."""
    gain = row.throughput_gain
    ends = (
        None if end is None else SPEED_UP.read(end) for end in (gain.value, gain.low, gain.high)
    )
    figures = {
        LATENCY_GAIN: row.latency_gain,
        THROUGHPUT_GAIN: gain,
        SPEED_UP: Figure(*ends),
    }
    for metric, figure in figures.items():
        yield ExportedMeasure(f"{stem}-{metric.series}", metric), figure


def _point(
    row: AnyRow,
    measure: ExportedMeasure,
    figure: Figure,
    arm: str,
    *,
    baseline: str | None = None,
    engine: str | None = None,
    baseline_engine: str | None = None,
    inference_batch_size: int | None = None,
) -> Iterator[ExportPoint]:
    if figure.value is None or not math.isfinite(figure.value):
        return
    both = figure.low is not None and figure.high is not None
    yield ExportPoint(
        run=row.run,
        device=row.device,
        source=row.source,
        workload=row.workload,
        arm=arm,
        baseline=baseline,
        measure=measure,
        value=figure.value,
        low=figure.low if both else None,
        high=figure.high if both else None,
        n=row.n,
        engine=engine,
        baseline_engine=baseline_engine,
        inference_batch_size=inference_batch_size,
    )
