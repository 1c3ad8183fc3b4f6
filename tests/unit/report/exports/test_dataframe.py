"""`report.frame`: the rows of jobs and gains of committed runs, with types, units and meanings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from folders import ROOT

import report
from report.analysis.metrics import JOB_METRICS
from report.loading.runs import load_run
from report.tables.gain_rows import gain_rows

SMOKE = ROOT / "results" / "smoke-20261123-012757"
INTERLEAVED = ROOT / "results" / "glue-sst2-blocks-20261123-084909"


def test_a_job_is_a_row_with_its_own_figures() -> None:
    run = load_run(SMOKE)
    frame = report.frame(run)
    jobs = frame[frame.kind == "job"]
    assert len(jobs) == len(run.jobs)
    for metric in JOB_METRICS:
        expected = [metric.read(job) for job in run.jobs]
        assert jobs[metric.key].dtype == "float64"
        found = [None if pd.isna(value) else value for value in jobs[metric.key]]
        assert found == expected, metric.key
    assert list(jobs.replicate) == [job.replicate + 1 for job in run.jobs]
    assert list(jobs.parity_run) == [job.parity_run for job in run.jobs]
    assert jobs.counts.sum() == sum(not job.parity_run for job in run.jobs)
    assert set(jobs.state) == {"ok"}


def test_a_gain_is_a_row_as_in_the_tables() -> None:
    run = load_run(SMOKE)
    frame = report.frame([run])
    gains = frame[frame.kind == "gain"]
    rows = [row.flat() for row in gain_rows(run)]
    assert len(gains) == len(rows) > 0
    assert list(gains.throughput_gain) == [row["throughput_gain"] for row in rows]
    assert list(gains.throughput_gain_low) == [row["throughput_gain_low"] for row in rows]
    assert list(gains.measure) == [row["measure"] for row in rows]
    assert gains.runtime_s.isna().all()


def test_columns_have_units_and_meanings() -> None:
    frame = report.frame(INTERLEAVED)
    assert set(frame.attrs["units"]) == set(frame.columns) - {"kind"}
    assert all(frame.attrs["meanings"].values())
    units = {metric.key: metric.unit.symbol for metric in JOB_METRICS}
    assert {key: frame.attrs["units"][key] for key in units} == units
    counted = frame[(frame.kind == "job") & frame.counts.fillna(False)]
    assert len(counted) > 0
    assert counted.sm_clock_mhz.notna().all()


def test_runs_come_as_paths_in_one_frame_and_damage_is_a_warning(tmp_path: Path) -> None:
    frame = report.frame([SMOKE, str(INTERLEAVED)])
    assert list(dict.fromkeys(frame.run)) == [SMOKE.name, INTERLEAVED.name]
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "run.json").write_bytes((SMOKE / "run.json").read_bytes())
    lines = (SMOKE / "jobs.jsonl").read_bytes().splitlines(keepends=True)
    (torn / "jobs.jsonl").write_bytes(lines[0] + lines[1][:100])
    with pytest.warns(UserWarning, match="torn"):
        left = report.frame(torn)
    assert (left.kind == "job").sum() == 1


def test_the_package_is_imported_without_pandas() -> None:
    code = "import sys, report; sys.exit('pandas' in sys.modules or not callable(report.frame))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
