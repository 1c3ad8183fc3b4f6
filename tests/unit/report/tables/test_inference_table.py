"""The view of inference: the statistic by hand, the checks a gain has to pass, and runs from before
there was any.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from folders import ROOT
from inference_factory import point, replicates, result
from report_factory import make_job, make_run, write_run
from telemetry_synthetic import T0, recording

from harness.runner.single_job import inference_verdict
from harness.schema.record import (
    InferenceProof,
    InferenceResult,
    JobRecord,
    Pair,
    State,
    Timing,
)
from harness.telemetry.summary import summarise
from report.html.build import make_page
from report.loading.runs import load_run
from report.tables.inference import inference_rows
from report.tables.registry import build
from report.tables.render import render
from report.tables.table import Table


def table_of(
    jobs: list[JobRecord], pairs: Sequence[Pair] = ()
) -> tuple[Table, list[dict[str, str]]]:
    (table,) = build([make_run(jobs, list(pairs))], "inference").tables
    titles = [column.title for column in table.columns]
    return table, [dict(zip(titles, cells, strict=True)) for cells in table.cells]


def test_the_gain_by_hand() -> None:
    # d: ln 2 and ln 4; mean ln √8, s = ln 2 / √2, t(0.975, 1) = 12.7062047: half-width 12.7062047 ·
    # ln 2 / 2 = 4.4036
    _, (row,) = table_of(replicates(result(point(0.004, 0.002)), result(point(0.008, 0.002))))
    assert row["Throughput (95%)"].startswith("182.84% (")  # √8 − 1
    assert "Latency" not in row
    assert (row["n"], row["State"]) == ("2", "ok")
    assert row["PyTorch(ms) mean/p50/p95"] == "6.000 / 5.400 / 12.000"
    assert row["ONNX Runtime(ms) mean/p50/p95"] == "2.000 / 1.800 / 4.000"
    assert row["PyTorch samples(/s)"] == "166.7"  # one sample over the mean of 4 and 8 ms
    assert row["Metric"] == "accuracy 0.8400 / 0.8400"
    assert row["Max Δlogit"] == "2.0e-07"
    assert (row["Provider"], row["Export + session(s)"]) == ("CPU", "1.5 + 0.5")
    (raw,) = inference_rows(
        make_run(replicates(result(point(0.004, 0.002)), result(point(0.008, 0.002))), [])
    )
    assert raw.log_ratio.value == pytest.approx(1.0397208)
    assert raw.log_ratio.high == pytest.approx(1.0397208 + 4.4036373)


def test_each_arm_and_each_batch_size_is_a_row() -> None:
    both = result(point(0.004, 0.002), point(0.1, 0.11, 64))
    jobs = [*replicates(both, both), *replicates(both, both, arm="onnxruntime")]
    table, rows = table_of(
        jobs, [Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")]
    )
    assert [(row["Trained by"], row["Inference batch"]) for row in rows] == [
        ("PyTorch", "1"),
        ("PyTorch", "64"),
        ("ONNX Runtime", "1"),
        ("ONNX Runtime", "64"),
    ]
    assert [row["Throughput (95%)"] for row in rows[:2]] == [
        "100.00% (100.00 to 100.00)",
        "-9.09% (-9.09 to -9.09)",
    ]
    assert table.title.startswith(
        "Inference, gain of ONNX Runtime over PyTorch on the trained weights (sst2, fp32,"
    )
    assert any(
        "16 on CPUExecutionProvider (opset 17, 1 thread each)" in note for note in table.notes
    )


def test_engines_that_disagree_have_no_gain() -> None:
    off = result(
        point(0.004, 0.002), agree=False, disagreement="logits differ by 0.3 (fp32 is given 0.001)"
    )
    _, (row,) = table_of(replicates(result(point(0.004, 0.002)), off))
    assert row["Throughput"] == ""
    assert (
        row["State"]
        == "engines disagree: logits differ by 0.3 (fp32 is given 0.001) in replicate 2"
    )
    assert row["PyTorch(ms) mean/p50/p95"]  # the times stay


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (
            InferenceResult(state="failed", reason="in the export to ONNX: Unsupported"),
            "inference failed",
        ),
        (
            result(
                point(1, 1),
                proof=InferenceProof(engaged=False, reasons=["2 Softmax ran elsewhere"]),
            ),
            "ONNX Runtime not proven engaged",
        ),
        (result(point(1, 1), proof=None), "ONNX Runtime not proven engaged"),
        (result(), "batch size not timed"),
        (None, "no inference recorded"),
    ],
)
def test_a_replicate_without_a_result_is_left_out_and_said(
    bad: InferenceResult | None, said: str
) -> None:
    good = result(point(0.004, 0.002))
    table, (row,) = table_of(replicates(good, good, bad))
    assert row["n"] == "2 of 3"
    assert row["State"] == f"ok; left out: {said} in 1 of 3 replicates"
    assert row["Throughput (95%)"] == "100.00% (100.00 to 100.00)"
    if bad is not None and bad.state == "failed":
        assert "inference failed in the export to ONNX: Unsupported" in table.notes


def test_all_failed_is_a_row_with_its_reason() -> None:
    failed = InferenceResult(state="failed", reason="in the export to ONNX: Unsupported")
    table, (row,) = table_of(replicates(failed, failed))
    assert row["State"] == "no result: inference failed in 2 of 2 replicates"
    assert row["Throughput"] == row["Inference batch"] == ""
    assert "inference failed in the export to ONNX: Unsupported" in table.notes


def test_the_inference_of_a_job_that_failed_does_not_count() -> None:
    good = result(point(0.004, 0.002))
    jobs = [*replicates(good), make_job("pytorch", 1, inference=good, state=State.CONTAMINATED)]
    _, (row,) = table_of(jobs)
    assert (row["n"], row["State"]) == ("1 of 2", "ok; left out: contaminated in 1 of 2 replicates")


def test_runs_without_inference_have_no_table_unless_asked() -> None:
    run = make_run([make_job()], [])
    assert "inference" not in [table.name for table in build([run]).tables]
    assert "(nothing recorded)" in render([run], view="inference")
    old = load_run(ROOT / "results" / "smoke-20261123-012757")
    assert {job.inference for job in old.jobs} == {None}


def test_it_survives_the_record(tmp_path: Path) -> None:
    jobs = replicates(
        result(point(0.004, 0.002), logit_difference=float("nan"), agree=False, disagreement="nan")
    )
    folder = write_run(tmp_path / "run", make_run(jobs, []))
    (read,) = load_run(folder).jobs
    assert read.inference is not None
    assert read.inference.logit_difference is None  # JSON has no NaN
    assert read.inference.points == jobs[0].inference.points


def test_csv_and_the_page_have_it(tmp_path: Path) -> None:
    run = make_run(replicates(result(point(0.004, 0.002)), result(point(0.004, 0.002))), [])
    (row,) = csv.DictReader(io.StringIO(render([run], "csv", "inference")))
    assert float(row["throughput_gain"]) == pytest.approx(1.0)
    assert (row["inference_batch_size"], row["provider"]) == ("1", "CPUExecutionProvider")
    page = make_page([run], tmp_path / "page.html")
    assert page.index('<details id="inference"') < page.index("Inference, gain of ONNX Runtime")
    assert page.count("Inference, gain of ONNX Runtime over PyTorch") > 0
    assert '<a href="#inference">' in page
    assert 'id="inference"' not in make_page([make_run([make_job()], [])], tmp_path / "page.html")


def test_the_verdict_of_a_job_by_hand() -> None:
    good = result(point(0.004, 0.002))
    assert inference_verdict(good) == "ok"
    assert inference_verdict(
        InferenceResult(state="failed", reason="in the export to ONNX: X")
    ) == ("failed in the export to ONNX: X")
    strayed = InferenceProof(engaged=False, reasons=["a", "b"])
    assert (
        inference_verdict(good.model_copy(update={"proof": strayed})) == "not proven engaged: a; b"
    )
    assert (
        inference_verdict(good.model_copy(update={"agree": False, "disagreement": "X"}))
        == "engines disagree: X"
    )


def test_peaks_are_of_the_training_alone() -> None:
    whole = summarise(recording(), Timing())
    training = summarise(recording(), Timing(), until_ns=T0 + 5_000_000_000)  # 50 of 100 ticks
    assert (whole.gpus[0].memory_peak_bytes, training.gpus[0].memory_peak_bytes) == (200, 150)
    assert (whole.gpus[0].temperature_max_c, training.gpus[0].temperature_max_c) == (60, 55)
    assert training.job_rss_peak_bytes is not None
    assert whole.job_rss_peak_bytes is not None
    assert training.job_rss_peak_bytes < whole.job_rss_peak_bytes
