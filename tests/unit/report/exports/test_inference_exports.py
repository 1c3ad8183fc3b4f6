"""Exports of inference: names of their own, units, directions, and nothing that the tables do not
show as valid.
"""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet
import pyperf
import pytest
import yaml
from export_schemas import ACTION_SCHEMA, BMF_SCHEMA
from inference_factory import point, replicates, result
from report_factory import four_pairs, make_run

from harness.schema.record import InferenceProof, InferenceResult, State
from report.analysis.metrics import JOB_METRICS
from report.exports.points import points_of
from report.exports.registry import FORMATS, export
from report.loading.runs import Run
from report.tables.inference import inference_rows
from report.tables.rows import Kind, describe_key

TRAINED = "tiny-sst2/pytorch/inference/batch-64"
GAIN = f"{TRAINED}/onnxruntime/over/torch"


def inferred(**fields: Any) -> Run:
    """Two replicates of one arm; at batch 64 PyTorch takes 0.4 s and 0.8 s, ONNX Runtime 0.2 s: d
    is ln 2 and ln 4.
    """
    both = [result(point(0.004, 0.002), point(seconds, 0.2, 64)) for seconds in (0.4, 0.8)]
    return make_run(replicates(*both), [], **fields)


def without(run: Run) -> Run:
    """The same run, had it not been asked for inference."""
    return Run(
        run.folder, run.info, [job.model_copy(update={"inference": None}) for job in run.jobs]
    )


def test_values_by_hand() -> None:
    points = {one.name: one for one in points_of(inferred())}
    latency = points[f"{TRAINED}/torch/inference-latency"]
    assert (latency.value, latency.n, latency.measure.unit) == (pytest.approx(0.6), 2, "s")
    # s = 0.4 / √2, t(0.975, 1) = 12.7062047: half-width 12.7062047 · 0.4 / 2, over the mean
    assert latency.high == pytest.approx(0.6 * math.exp(2.54124095 / 0.6))
    assert latency.low == pytest.approx(0.6 * math.exp(-2.54124095 / 0.6))
    assert points[f"{TRAINED}/torch/inference-latency-p50"].value == pytest.approx(0.54)
    assert points[f"{TRAINED}/torch/inference-latency-p95"].value == pytest.approx(1.2)
    assert points[f"{TRAINED}/onnxruntime/inference-latency"].value == pytest.approx(0.2)
    assert points[f"{TRAINED}/onnxruntime/inference-throughput"].value == pytest.approx(320)
    assert points[f"{GAIN}/inference-speedup"].value == pytest.approx(8**0.5)
    assert points[f"{GAIN}/inference-throughput-gain"].value == pytest.approx(8**0.5 - 1)
    assert points[f"{GAIN}/inference-latency-gain"].value == pytest.approx(1 - 8**-0.5)
    (row,) = (row for row in inference_rows(inferred()) if row.inference_batch_size == 64)
    gain = points[f"{GAIN}/inference-throughput-gain"]
    assert (gain.low, gain.high) == (row.throughput_gain.low, row.throughput_gain.high)


def test_names_are_unique_and_no_measure_is_one_of_training() -> None:
    run = make_run([*inferred().jobs, *four_pairs()[1::2]])
    points = points_of(run)
    assert len({one.name for one in points}) == len(points)
    mine = {one.measure.name for one in points if "/inference/" in one.name}
    others = {one.measure.name for one in points if "/inference/" not in one.name}
    assert len(mine) == 7
    assert not mine & (others | {metric.series for metric in JOB_METRICS})
    assert all(name.startswith("inference-") for name in mine)


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "failed", "reason": "in the export to ONNX: Unsupported"},
        {"proof": InferenceProof(engaged=False, reasons=["2 Softmax ran elsewhere"])},
        {"proof": None},
        {"agree": False, "disagreement": "logits differ by 0.3"},
        {"agree": None},
    ],
)
@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("parquet", "csv")])
def test_what_has_no_valid_gain_is_left_out(fields: dict[str, Any], form: str) -> None:
    run = make_run(replicates(*[result(point(0.4, 0.2), **fields)] * 2), [])
    assert FORMATS[form].files([run]) == FORMATS[form].files([without(run)])
    assert "/inference/" not in "".join(one.name for one in points_of(run))


def test_one_replicate_that_failed_leaves_the_others() -> None:
    good, bad = result(point(0.4, 0.2)), InferenceResult(state="failed", reason="X")
    counts = {one.n for one in points_of(make_run(replicates(good, good, bad), [])) if one.engine}
    assert counts == {2}
    jobs = [job.model_copy(update={"state": State.CONTAMINATED}) for job in replicates(good, good)]
    assert points_of(make_run(jobs, [])) == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_run_without_inference_exports_as_it_did(form: str) -> None:
    files = FORMATS[form].files([without(inferred())])
    assert not [
        name for name, content in files.items() if b"inference" in content or "inference" in name
    ]


def test_bmf_and_the_action_take_it() -> None:
    content = json.loads(FORMATS["bmf"].files([inferred()])["bmf.json"])
    jsonschema.validate(content, BMF_SCHEMA)
    assert set(content[GAIN]) == {
        "inference-latency-gain-fraction",
        "inference-throughput-gain-fraction",
        "inference-speedup-times",
    }
    assert content[f"{TRAINED}/torch"]["inference-latency-seconds"]["value"] == pytest.approx(0.6)
    units: dict[str, dict[str, str]] = {}
    for file, text in FORMATS["github"].files([inferred()]).items():
        entries = json.loads(text)
        jsonschema.validate(entries, ACTION_SCHEMA)
        units[file] = {
            entry["name"]: entry["unit"]
            for entry in entries
            if "/inference/batch-64/" in entry["name"]
        }
    assert units["customBiggerIsBetter.json"] == {
        f"{TRAINED}/torch/inference-throughput": "samples/s",
        f"{TRAINED}/onnxruntime/inference-throughput": "samples/s",
        f"{GAIN}/inference-speedup": "times",
    }
    assert set(units["customSmallerIsBetter.json"].values()) == {"s"}
    assert len(units["customSmallerIsBetter.json"]) == 6


def test_otava_has_a_test_of_each_engine_and_of_the_gain(tmp_path: Path) -> None:
    runs = [
        inferred(run=f"night-{day}", created_at=f"2001-02-0{day}T00:00:00+00:00") for day in (1, 2)
    ]
    export(runs, "otava", tmp_path)
    tests = yaml.safe_load((tmp_path / "otava.yaml").read_text())["tests"]
    directions = {
        metric["column"]: metric["direction"]
        for metric in tests[f"cpu-Abacus/{TRAINED}/torch"]["metrics"].values()
    }
    assert directions == {
        "inference-latency-seconds": -1,
        "inference-latency-p50-seconds": -1,
        "inference-latency-p95-seconds": -1,
        "inference-throughput-samples-per-second": 1,
    }
    (metric,) = tests[f"cpu-Abacus/{GAIN}"]["metrics"].values()
    assert (metric["column"], metric["direction"]) == ("inference-speedup-times", 1)
    rows = list(csv.DictReader((tmp_path / tests[f"cpu-Abacus/{GAIN}"]["file"]).open()))
    assert [float(row["inference-speedup-times"]) for row in rows] == [pytest.approx(8**0.5)] * 2


def test_csv_tells_engine_and_batch_size() -> None:
    rows = list(
        csv.DictReader(io.StringIO(FORMATS["csv"].files([inferred()])["values.csv"].decode()))
    )
    (row,) = (
        row
        for row in rows
        if (row["measure"], row["inference_batch_size"]) == ("inference-speedup", "64")
    )
    assert (row["arm"], row["engine"], row["baseline_engine"], row["better"]) == (
        "pytorch",
        "onnxruntime",
        "torch",
        "bigger",
    )
    training = next(row for row in rows if row["measure"] == "steady-step-time")
    assert (training["engine"], training["inference_batch_size"]) == ("", "")


def test_parquet_has_a_table_of_its_own() -> None:
    run = inferred()
    files = FORMATS["parquet"].files([run])
    others = FORMATS["parquet"].files([without(run)])
    assert {name: files[name] for name in others} == others
    table = pyarrow.parquet.read_table(io.BytesIO(files["inference.parquet"]))
    assert table.to_pylist() == [row.flat() for row in inference_rows(run)]
    assert {
        name: describe_key(name).unit.symbol
        for name in ("torch_latency_p95_s", "onnxruntime_samples_per_s", "opset")
    } == {
        "torch_latency_p95_s": "s",
        "onnxruntime_samples_per_s": "samples/s",
        "opset": "",
    }
    rows = [row.flat() for row in inference_rows(run)]
    kinds = {key: {type(row[key]) for row in rows} for key in rows[0]}
    texts = {key for key, seen in kinds.items() if str in seen}
    assert {describe_key(key).kind for key in texts} == {Kind.TEXT}
    integers = {key for key in kinds if describe_key(key).kind is Kind.INTEGER}
    assert {key for key, seen in kinds.items() if int in seen} == integers
    disagree = make_run(replicates(result(point(0.4, 0.2), agree=False)), [])
    empty = pyarrow.parquet.read_table(
        io.BytesIO(FORMATS["parquet"].files([disagree])["inference.parquet"])
    )
    assert empty.num_rows == 0
    assert empty.schema.equals(table.schema, check_metadata=True)


def test_pyperf_has_a_run_per_replicate(tmp_path: Path) -> None:
    (path,) = export([inferred()], "pyperf", tmp_path)
    suite = pyperf.BenchmarkSuite.load(str(path))
    benchmark = suite.get_benchmark(f"{TRAINED}/torch/inference-latency")
    assert benchmark.get_values() == (0.4, 0.8)
    about = benchmark.get_metadata()
    assert (about["engine"], about["inference_batch_size"], about["inference_precision"]) == (
        "torch",
        64,
        "fp32",
    )
    assert "mem_max_rss" not in about
    assert len(suite) == 7  # of training 3, of two engines at two batch sizes 4
