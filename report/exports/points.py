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
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import BenchError
from harness.schema.record import ENGINES
from report.analysis.gains import END_TO_END as END_TO_END_GAIN
from report.analysis.gains import STEADY_STATE as STEADY_STATE_GAIN
from report.analysis.inference import inference_subject
from report.analysis.launches import OK
from report.loading.runs import Run
from report.tables.columns import as_number
from report.tables.gain_rows import gain_rows
from report.tables.inference import inference_rows
from report.tables.rows import END_TO_END, STEADY_STATE, Row, arm_rows
from report.tables.utilization import GPU_FIGURES, HOST_FIGURES

ARM_FIGURES = (*END_TO_END, *STEADY_STATE, *GPU_FIGURES, *HOST_FIGURES)


@dataclass(frozen=True)
class Measure:
    """What a series measures. `key`: where a row has it; `words`: the unit within a name, for
    formats without units.

    `proportional`: halving it is twice as good or bad, whatever its size. A gain is not: it may be
    near 0, and from 0.1% to 0.2% is no doubling of anything.
    """

    name: str
    key: str
    unit: str
    words: str
    bigger_is_better: bool = False
    proportional: bool = True

    @property
    def name_with_unit(self) -> str:
        """`steady-step-time-seconds`."""
        return f"{self.name}-{self.words}"


TIMES = (
    Measure("end-to-end-time", "runtime_s", "s", "seconds"),
    Measure("setup-time", "setup_s", "s", "seconds"),
    Measure("steady-step-time", "steady_step_s", "s", "seconds"),
)
ARM_MEASURES = (
    *TIMES,
    Measure(
        "end-to-end-throughput",
        "train_samples_per_s",
        "samples/s",
        "samples-per-second",
        bigger_is_better=True,
    ),
    Measure(
        "steady-throughput",
        "steady_samples_per_s",
        "samples/s",
        "samples-per-second",
        bigger_is_better=True,
    ),
    Measure("gpu-memory-peak", "gpu_memory_peak_bytes", "bytes", "bytes"),
    Measure("torch-memory-peak", "torch_peak_allocated_bytes", "bytes", "bytes"),
    Measure("process-memory-peak", "peak_rss_bytes", "bytes", "bytes"),
    Measure("energy-per-sample", "joules_per_sample", "J/sample", "joules"),
)
INFERENCE_TIME = Measure("inference-latency", "latency_s", "s", "seconds")  # of a batch
INFERENCE_MEASURES = (  # of an engine: a row's keys begin with its name
    INFERENCE_TIME,
    Measure("inference-latency-p50", "latency_p50_s", "s", "seconds"),
    Measure("inference-latency-p95", "latency_p95_s", "s", "seconds"),
    Measure(
        "inference-throughput",
        "samples_per_s",
        "samples/s",
        "samples-per-second",
        bigger_is_better=True,
    ),
)
GAIN_STEMS = {END_TO_END_GAIN.key: "end-to-end", STEADY_STATE_GAIN.key: "steady"}


@dataclass(frozen=True)
class Point:
    """One value of a series: of an arm, or (`baseline`) of a pair's candidate over its baseline.

    Of inference: of an `engine` on what the arm trained, or of it over the `baseline_engine`. `low`
    and `high`: the 95% interval, where there is one; `n`: launches it was made from, None if not
    published.
    """

    run: str
    device: str
    source: str
    workload: str
    arm: str
    baseline: str | None
    measure: Measure
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


def points_of(run: Run) -> list[Point]:
    """Every value that a run has, arms first, in the order of tables. What is missing is left out.

    An arm has values if a launch of it counts, a pair if its gain is valid, inference if its gain
    is, and last.
    """
    points = [
        point
        for row in arm_rows(run, ARM_FIGURES)
        for measure in ARM_MEASURES
        for point in _point(row, measure, row)
    ]
    for row in gain_rows(run):
        if row["state"] == OK:
            values = {**row, **_speedup(row)}
            measures = _gain_measures(GAIN_STEMS[str(row["measure"])])
            points += [point for measure in measures for point in _point(row, measure, values)]
    points += [
        point
        for row in inference_rows(run)
        if row["state"] == OK
        for point in _inference_points(row)
    ]
    return list(dict.fromkeys(points))  # a pair that was declared twice is one series


def distinct_points(runs: Sequence[Run]) -> list[Point]:
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
    what: str = "no launch of an arm counts",
    fix: str = "`report tables` says what became of each launch",
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


def _inference_points(row: Row) -> Iterator[Point]:
    """Of both engines at one batch size, and the gain of ONNX Runtime."""
    size = row["inference_batch_size"]
    batch_size = size if isinstance(size, int) else None
    baseline, candidate = ENGINES
    for engine in ENGINES:
        values = {
            key.removeprefix(f"{engine}_"): value
            for key, value in row.items()
            if key.startswith(f"{engine}_")
        }
        for measure in INFERENCE_MEASURES:
            for point in _point(row, measure, values):
                yield replace(point, engine=engine, inference_batch_size=batch_size)
    gains = {**row, **_speedup(row)}
    for measure in _gain_measures("inference"):
        for point in _point(row, measure, gains):
            yield replace(
                point, engine=candidate, baseline_engine=baseline, inference_batch_size=batch_size
            )


def _gain_measures(stem: str) -> tuple[Measure, ...]:
    return (
        Measure(
            f"{stem}-latency-gain", "latency_gain", "fraction", "fraction", True, proportional=False
        ),
        Measure(
            f"{stem}-throughput-gain",
            "throughput_gain",
            "fraction",
            "fraction",
            True,
            proportional=False,
        ),
        Measure(f"{stem}-speedup", "speedup", "times", "times", True),
    )


def _speedup(row: Row) -> Row:
    """T_baseline / T_candidate with its interval: the throughput gain as tools can take it that
    judge by ratios.
    """
    gains = {end: as_number(row[f"throughput_gain{end}"]) for end in ("", "_low", "_high")}
    return {f"speedup{end}": None if gain is None else 1 + gain for end, gain in gains.items()}


def _point(row: Row, measure: Measure, values: Row) -> list[Point]:
    value, low, high = (
        as_number(values.get(f"{measure.key}{end}")) for end in ("", "_low", "_high")
    )
    if value is None or not math.isfinite(value):
        return []
    n = row["n"]
    return [
        Point(
            run=str(row["run"]),
            device=str(row["device"]),
            source=str(row["source"]),
            workload=str(row["workload"]),
            arm=str(row["candidate"] if "candidate" in row else row["arm"]),
            baseline=str(row["baseline"]) if "candidate" in row else None,
            measure=measure,
            value=value,
            low=low if high is not None else None,
            high=high if low is not None else None,
            n=n if isinstance(n, int) else None,
        )
    ]
