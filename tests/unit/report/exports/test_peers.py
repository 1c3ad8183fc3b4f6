"""Exports as their readers take them: pyperf itself, Bencher's schema, the action's fields, Otava
if it is there.
"""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import statistics
import subprocess
from pathlib import Path

import jsonschema
import pyperf
import pytest
import yaml
from export_schemas import ACTION_SCHEMA, BMF_SCHEMA
from folders import ROOT
from report_factory import four_pairs, make_job, make_run

from report.analysis.replicates import arms_of
from report.exports.registry import FORMATS, export
from report.loading.runs import load_run

COMMITTED = [load_run(path.parent) for path in sorted((ROOT / "results").glob("*/run.json"))]
MEASURED = [run for run in COMMITTED if run.info.run != "published"]


@pytest.mark.parametrize("run", MEASURED, ids=lambda run: run.info.run)
def test_pyperf_loads_names_values_and_units(run, tmp_path: Path) -> None:
    (path,) = export([run], "pyperf", tmp_path)
    suite = pyperf.BenchmarkSuite.load(str(path))
    expected = {}
    for (workload, arm), replicates in arms_of(run).replicates.items():
        # Jobs in turns that compiled what the later replicates loaded are of another kind, unless
        # they began again.
        cold = [
            number
            for number, job in replicates.items()
            if number == 0
            and job.group
            and job.arm.options.get("compile_cache")
            and not (job.turns and job.turns.compiling_setup_s)
        ]
        jobs = [
            job for number, job in replicates.items() if job.state == "ok" and number not in cold
        ]
        expected[f"{workload}/{arm}/steady-step-time"] = [job.timing.steady_step_s for job in jobs]
        expected[f"{workload}/{arm}/setup-time"] = [job.timing.setup_s for job in jobs]
        if not any(job.group for job in jobs):
            expected[f"{workload}/{arm}/end-to-end-time"] = [
                job.timing.train_runtime_s for job in jobs
            ]
        for job in jobs:
            for point in job.inference.points if job.inference else []:
                for engine in ("torch", "onnxruntime"):
                    of = f"{workload}/{arm}/inference/batch-{point.batch_size}"
                    name = f"{of}/{engine}/inference-latency"
                    expected.setdefault(name, []).append(getattr(point, engine).mean_s)
    found = {bench.get_name(): list(bench.get_values()) for bench in suite}
    assert found == {name: values for name, values in expected.items() if values}
    assert {bench.get_unit() for bench in suite} == {"second"}
    for bench in suite:
        assert bench.get_nrun() == len(bench.get_values())  # a replicate is a run
        assert bench.get_dates() is not None
        assert bench.get_metadata()["cpu_model_name"] == run.info.host.cpu


def test_pyperf_compares_two_exports(tmp_path: Path) -> None:
    for name, step_s in (("before", 0.5), ("after", 0.25)):
        jobs = [make_job("pytorch", k, step_s=step_s * (1 + k / 1000)) for k in range(4)]
        export([make_run(jobs, pairs=[], run=name)], "pyperf", tmp_path / f"{name}.json")
    both = [
        pyperf.BenchmarkSuite.load(str(tmp_path / f"{name}.json")) for name in ("before", "after")
    ]
    means = [suite.get_benchmark("tiny-sst2/pytorch/steady-step-time").mean() for suite in both]
    assert means[0] == pytest.approx(2 * means[1])


@pytest.mark.parametrize("run", COMMITTED, ids=lambda run: run.info.run)
def test_bencher_schema_validates(run) -> None:
    content = json.loads(FORMATS["bmf"].files([run])["bmf.json"])
    jsonschema.validate(content, BMF_SCHEMA)
    metrics = [metric for measures in content.values() for metric in measures.values()]
    assert all(metric.get("lower_value", metric["value"]) <= metric["value"] for metric in metrics)
    assert all(metric["value"] <= metric.get("upper_value", metric["value"]) for metric in metrics)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"a": {"b": {"value": None}}}, BMF_SCHEMA)


@pytest.mark.parametrize("run", COMMITTED, ids=lambda run: run.info.run)
def test_the_action_takes_both_directions(run) -> None:
    files = FORMATS["github"].files([run])
    assert set(files) == {"customBiggerIsBetter.json", "customSmallerIsBetter.json"}
    names: list[str] = []
    for file, content in files.items():
        entries = json.loads(content)
        jsonschema.validate(entries, ACTION_SCHEMA)
        names += [entry["name"] for entry in entries]
        bigger = {"samples/s", "times"}
        assert all((entry["unit"] in bigger) == ("Bigger" in file) for entry in entries)
    assert len(names) == len(set(names))
    assert not [
        name for name in names if re.search(r"[`|<>\s]", name)
    ]  # they go into a Markdown table


def test_the_range_of_a_time_is_one_the_action_can_convert() -> None:
    jobs = [make_job("pytorch", k, step_s=0.5 + k / 100) for k in range(4)]
    entries = json.loads(
        FORMATS["github"].files([make_run(jobs, pairs=[])])["customSmallerIsBetter.json"]
    )
    step = next(entry for entry in entries if entry["name"].endswith("steady-step-time"))
    # src/extractRangeInfo.ts: /(?<prefix>(\+-|±)\s*)(?<value>\d.*)/, and Number(value) must be one
    half = re.search(r"(\+-|±)\s*(?P<value>\d.*)", step["range"])
    assert half is not None
    steps = [0.5 + k / 100 for k in range(4)]
    mean = statistics.fmean(steps)
    relative = 3.182446 * statistics.stdev(steps) / 2 / mean
    assert float(half["value"]) == pytest.approx(mean * math.sinh(relative), rel=1e-5)


def nights(folder: Path, step_s: list[float]) -> str:
    """Exports one run a night to Otava; the name of the test of its arm."""
    runs = [
        make_run(
            four_pairs(200 * seconds * (1 + night % 3 / 1000), 100.0),
            run=f"night-{night:02}",
            created_at=f"2024-01-{night + 1:02}T00:00:00+00:00",
            git={"commit": f"{night:040x}"},
        )
        for night, seconds in enumerate(step_s)
    ]
    export(runs, "otava", folder)
    return "cpu-Abacus/tiny-sst2/pytorch"


def test_every_cell_that_otava_reads_is_a_number(tmp_path: Path) -> None:
    export(MEASURED, "otava", tmp_path)
    config = yaml.safe_load((tmp_path / "otava.yaml").read_text())
    columns = [
        f"{test}: {metric}" for test, of in config["tests"].items() for metric in of["metrics"]
    ]
    assert len({column.split(": ")[1] for column in columns}) == len(
        columns
    )  # `otava validate` asks for it
    for test in config["tests"].values():
        rows = list(csv.DictReader((tmp_path / test["file"]).open()))
        assert rows
        for row in rows:
            assert {"time", "commit", "run"} <= set(row)
            assert all(float(row[metric["column"]]) > 0 for metric in test["metrics"].values())
            assert all(metric["direction"] in (1, -1) for metric in test["metrics"].values())


@pytest.mark.skipif(
    shutil.which("otava") is None, reason="otava is not on PATH (pip install apache-otava)"
)
def test_otava_finds_the_step_in_the_series(tmp_path: Path) -> None:
    test = nights(tmp_path, [0.5] * 10 + [0.55] * 10)

    def otava(*arguments: str) -> str:
        command = ["otava", *arguments, "--config-file", "otava.yaml"]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
        ).stdout

    assert set(yaml.safe_load((tmp_path / "otava.yaml").read_text())["tests"]) <= set(
        otava("list-tests").split()
    )
    found = json.loads(otava("analyze", test, "--since", "2023-12-01", "--output", "json"))
    changes = {
        change["metric"].rsplit("/")[-1]: float(change["forward_change_percent"])
        for point in found[test]
        for change in point["changes"]
    }
    assert changes["steady-step-time-seconds"] == pytest.approx(10, abs=0.5)
