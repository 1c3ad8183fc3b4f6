"""Exports: values, names, units and what is left out. As peers read them:
test_peers.
"""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
import yaml
from folders import ROOT
from report_factory import clock, four_pairs, make_job, make_run, write_run

from harness.errors import BenchError
from harness.schema.record import Pair, State
from report.analysis.metrics import JOB_METRICS, STEADY_STEP
from report.commands import export as command
from report.exports.points import distinct_points, points_of
from report.exports.registry import FORMATS, export
from report.loading.runs import Run, load_run
from report.tables.arm_rows import arm_rows
from report.tables.gain_rows import gain_rows
from report.tables.rows import Kind, describe_key

COMMITTED = sorted(path.parent for path in (ROOT / "results").glob("*/run.json"))
SMOKE = next(path for path in COMMITTED if path.name.startswith("smoke"))
PUBLISHED = ROOT / "results" / "published"


def json_of(runs: list[Run], form: str, file: str) -> object:
    def reject(constant: str) -> None:
        raise AssertionError(f"{constant} in {file}")

    return json.loads(FORMATS[form].files(runs)[file], parse_constant=reject)


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda path: path.name)
@pytest.mark.parametrize("form", FORMATS)
def test_every_committed_run_exports_the_same_bytes_twice_and_no_nan(
    folder: Path, form: str
) -> None:
    if folder == PUBLISHED and form in ("otava", "pyperf"):
        with pytest.raises(BenchError, match="nothing to export"):
            FORMATS[form].files([load_run(folder)])
        return
    files = FORMATS[form].files([load_run(folder)])
    assert files
    assert files == FORMATS[form].files([load_run(folder)])
    if form != "parquet":
        words = b" ".join(files.values()).replace(b",", b" ").replace(b":", b" ").lower().split()
        assert not {b"nan", b"inf", b"infinity", b"none", b"null"} & set(words)


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda path: path.name)
def test_names_are_unique_and_values_are_those_of_the_tables(folder: Path) -> None:
    run = load_run(folder)
    points = {point.name: point for point in points_of(run)}
    assert len(points) == len(points_of(run)) > 0
    for row in arm_rows(run, JOB_METRICS):
        step = row.figure(STEADY_STEP)
        name = f"{row.workload}/{row.arm}/steady-step-time"
        assert (name in points) == (step.value is not None)
        if name in points:
            found = points[name]
            assert (found.value, found.low, found.high) == (step.value, step.low, step.high)
    for row in gain_rows(run):
        stem = {"steady_state": "steady", "end_to_end": "end-to-end"}[row.measure.key]
        subject = f"{row.workload}/{row.candidate}/over/{row.baseline}"
        name = f"{subject}/{stem}-throughput-gain"
        assert (name in points) == row.outcome.ok
        if name in points:
            assert points[name].value == row.throughput_gain.value
            assert points[f"{subject}/{stem}-speedup"].value == pytest.approx(
                1 + points[name].value
            )


def test_a_pair_without_a_valid_gain_exports_its_arms_alone() -> None:
    refused = {
        "workload": "tiny-sst2",
        "baseline": "pytorch",
        "candidate": "onnxruntime",
        "reasons": ["they differ"],
    }
    names = {point.name for point in points_of(make_run(four_pairs(), refusals=[refused]))}
    assert "tiny-sst2/onnxruntime/steady-step-time" in names
    assert not [name for name in names if "/over/" in name]


def test_an_arm_without_a_replicate_that_counts_exports_nothing() -> None:
    jobs = [make_job("pytorch", 0), make_job("onnxruntime", 0, state=State.FALLBACK)]
    assert {point.arm for point in points_of(make_run(jobs))} == {"pytorch"}


def test_missing_values_are_left_out() -> None:
    run = make_run([make_job("pytorch", 0, runtime_s=None)], pairs=[])
    metrics = json_of([run], "bmf", "bmf.json")["tiny-sst2/pytorch"]  # type: ignore[index]
    assert metrics["steady-step-time-seconds"] == {"value": 0.5}  # one replicate has no interval
    assert not [
        name for name in metrics if "end-to-end" in name or "memory" in name or "energy" in name
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_to_export_is_an_error_that_names_the_run(form: str) -> None:
    with pytest.raises(BenchError, match="made-up: nothing to export"):
        FORMATS[form].files([make_run([make_job("pytorch", 0, state=State.CRASHED)])])


@pytest.mark.parametrize("form", ["bmf", "github", "pyperf"])
def test_formats_of_one_value_refuse_a_series_of_two_runs(form: str) -> None:
    runs = [make_run(four_pairs()), make_run(four_pairs(), run="another")]
    with pytest.raises(BenchError, match="is in made-up and in another"):
        FORMATS[form].files(runs)


def test_a_pair_declared_twice_is_one_series() -> None:
    pair = Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")
    once = make_run(four_pairs(), pairs=[pair])
    assert distinct_points([make_run(four_pairs(), pairs=[pair, pair])]) == distinct_points([once])


def test_csv_has_a_unit_in_every_line_and_quotes_what_it_must() -> None:
    content = (
        FORMATS["csv"].files([make_run(four_pairs(), run='<script>"a",\nb')])["values.csv"].decode()
    )
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert {row["run"] for row in rows} == {'<script>"a",\nb'}
    assert all(row["unit"] and row["better"] in ("bigger", "smaller") for row in rows)
    step = next(
        row for row in rows if (row["arm"], row["measure"]) == ("onnxruntime", "steady-step-time")
    )
    assert (float(step["value"]), step["unit"], step["n"]) == (pytest.approx(0.4), "s", "4")


def test_parquet_has_types_units_and_no_row_without_a_result() -> None:
    jobs = [
        make_job("pytorch", 0, telemetry=clock(1500.0)),
        make_job("onnxruntime", 0, state=State.CRASHED),
    ]
    files = FORMATS["parquet"].files([make_run(jobs)])
    arms, gains = (
        pyarrow.parquet.read_table(io.BytesIO(files[f"{name}.parquet"]))
        for name in ("arms", "gains")
    )
    assert arms.column("arm").to_pylist() == ["pytorch"]
    assert gains.num_rows == 0
    full = FORMATS["parquet"].files([load_run(SMOKE)])
    for name, table in (("arms", arms), ("gains", gains)):
        other = pyarrow.parquet.read_table(io.BytesIO(full[f"{name}.parquet"]))
        assert other.schema.equals(table.schema, check_metadata=True)  # whatever is missing
    assert arms.schema.field("steady_step_s_high").metadata[b"unit"] == b"s"
    assert arms.schema.field("torch_peak_allocated_bytes").metadata[b"unit"] == b"bytes"
    assert arms.schema.field("steady_samples_per_s").metadata[b"unit"] == b"samples/s"
    assert gains.schema.field("throughput_gain_low").metadata[b"unit"] == b"fraction"
    assert b"unit" not in gains.schema.field("log_ratio").metadata


def test_parquet_holds_the_rows_of_the_tables() -> None:
    run = load_run(SMOKE)
    gains = pyarrow.parquet.read_table(io.BytesIO(FORMATS["parquet"].files([run])["gains.parquet"]))
    assert gains.to_pylist() == [row.flat() for row in gain_rows(run) if row.outcome.ok]


def test_parquet_knows_the_type_of_every_key() -> None:
    kinds: dict[str, set[str]] = {}
    for run in map(load_run, COMMITTED):
        for row in (*arm_rows(run, JOB_METRICS), *gain_rows(run)):
            for key, value in row.flat().items():
                if value is not None:
                    kinds.setdefault(key, set()).add(type(value).__name__)
    allowed = {
        Kind.TEXT: {"str"},
        Kind.TEXTS: {"list"},
        Kind.INTEGER: {"int"},
        Kind.NUMBER: {"int", "float"},
        Kind.BOOLEAN: {"bool"},
    }
    assert len(kinds) > 50
    for key, seen in kinds.items():
        assert seen <= allowed[describe_key(key).kind], key


def test_otava_orders_runs_by_time_and_splits_off_what_some_lack(tmp_path: Path) -> None:
    late = make_run(
        four_pairs(), run="late", created_at="2001-02-05T00:00:00+00:00", git={"commit": "b"}
    )
    jobs = [job for job in four_pairs() if job.arm.name == "pytorch"]
    without = [
        job.model_copy(update={"timing": job.timing.model_copy(update={"setup_s": None})})
        for job in jobs
    ]
    early = make_run(
        without, run="early", created_at="2001-02-03T00:00:00+00:00", git={"commit": "a"}
    )
    export([late, early], "otava", tmp_path)
    config = yaml.safe_load((tmp_path / "otava.yaml").read_text())
    test = config["tests"]["cpu-Abacus/tiny-sst2/pytorch"]
    rows = list(csv.DictReader((tmp_path / test["file"]).open()))
    assert [(row["time"][:10], row["commit"], row["run"]) for row in rows] == [
        ("2001-02-03", "a", "early"),
        ("2001-02-05", "b", "late"),
    ]
    alone = config["tests"]["cpu-Abacus/tiny-sst2/pytorch/setup-time"]
    assert [row["run"] for row in csv.DictReader((tmp_path / alone["file"]).open())] == ["late"]
    assert config["test_groups"] == {"cpu-Abacus": list(config["tests"])}


def test_otava_never_mixes_devices() -> None:
    runs = [
        make_run([make_job("pytorch", 0, device=device)], pairs=[], run=device)
        for device in ("NVIDIA A100", "NVIDIA H100")
    ]
    config = yaml.safe_load(FORMATS["otava"].files(runs)["otava.yaml"])
    assert list(config["tests"]) == [
        "NVIDIA-A100/tiny-sst2/pytorch",
        "NVIDIA-H100/tiny-sst2/pytorch",
    ]


def test_files_of_workloads_named_like_folders_stay_in_the_folder(tmp_path: Path) -> None:
    run = make_run(
        [make_job("pytorch", 0, workload=".."), make_job("..", 0, backend="pytorch", workload=".")],
        pairs=[],
    )
    paths = export([run], "otava", tmp_path / "out")
    assert len(paths) == 3
    assert all(path.resolve().parent == tmp_path / "out" for path in paths)


def test_where_files_go(tmp_path: Path) -> None:
    run = make_run(four_pairs())
    assert export([run], "bmf", tmp_path / "new" / "mine.json") == [tmp_path / "new" / "mine.json"]
    assert export([run], "bmf", tmp_path) == [tmp_path / "bmf.json"]
    with pytest.raises(BenchError, match="several files"):
        export([run], "github", tmp_path / "bmf.json")
    with pytest.raises(BenchError, match="cannot be written"):
        export([run], "github", tmp_path / "bmf.json" / "folder")


def report(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command_line = [sys.executable, "-m", "report.cli", *map(str, arguments)]
    return subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_command(tmp_path: Path) -> None:
    done = report("export", SMOKE.name, "--format", "github", "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [
        str(tmp_path / f"custom{direction}IsBetter.json") for direction in ("Bigger", "Smaller")
    ]
    printed = report("export", SMOKE.name, "--format", "bmf", "--out", "-")
    assert printed.stdout.encode() == FORMATS["bmf"].files([load_run(SMOKE)])["bmf.json"]
    torn = write_run(tmp_path / "torn", make_run(four_pairs()), tail=b'{"id": "x')
    assert report("export", torn, "--format", "csv", "--out", "-").returncode == 1
    nothing = report("export", "published", "--format", "pyperf", "--out", tmp_path)
    assert nothing.returncode == 2
    assert "nothing to export" in nothing.stderr
    unknown = report("export", SMOKE.name, "--format", "foo", "--out", tmp_path)
    assert unknown.returncode == 2
    assert unknown.stderr.endswith("csv; or install the package that brings it\n")


def test_the_choices_named_for_a_fast_help_are_those_there_are() -> None:
    assert tuple(FORMATS) == command.FORMATS


def test_no_value_is_not_finite() -> None:
    huge = make_run(
        [make_job("pytorch", 0, step_s=5e-324), make_job("onnxruntime", 0, step_s=1e308)]
    )
    assert all(math.isfinite(point.value) for point in points_of(huge))
