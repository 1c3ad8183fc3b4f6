"""The parity gate over real jobs: an honest ONNX Runtime arm passes, one with a broken loss scale
shows no gain.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from folders import ROOT, SUPPORT

from harness.config import load_suite
from harness.planning.plan import make_plan
from harness.results.run_folder import read_records
from harness.runner.display import LineDisplay
from harness.runner.runner import RunOptions, run
from harness.schema.record import State
from report.loading.runs import load_run
from report.tables.render import render

WORKER = (sys.executable, str(SUPPORT / "broken_scale_worker.py"))


def test_a_broken_loss_scale_fails_parity_and_shows_no_gain(tmp_path: Path) -> None:
    suite = load_suite(
        ROOT / "configs" / "smoke.yaml",
        [
            "workloads.0.model=roberta-tiny",
            "tasks.sst2={source: synthetic, train_samples: 200, eval_samples: 32}",
            "training.max_steps=6",
            "training.evaluate=false",
            "measurement={replicates: 1, parity: {steps: 3}, warmup_steps: 2, threads: 1, "
            "telemetry_interval_ms: 0}",
            "measurement.contention=note",  # other tests run on the same cores
            "arms.onnxruntime-broken={backend: onnxruntime}",
            "pairs=[{baseline: pytorch, candidate: onnxruntime}, {baseline: pytorch, candidate: "
            "onnxruntime-broken}]",
        ],
    )
    plan = make_plan(suite, device="cpu", cache_dir=tmp_path / "cache")
    outcome = run(
        plan,
        tmp_path / "results",
        RunOptions(worker_command=WORKER),
        display=LineDisplay(io.StringIO()),
    )
    records, _ = read_records(outcome.folder)
    assert {record.state for record in records} == {State.OK}, [record.reason for record in records]
    parity_runs = {record.arm.name: record.losses for record in records if record.parity_run}
    honest, healthy, broken = (
        parity_runs[arm] for arm in ("pytorch", "onnxruntime", "onnxruntime-broken")
    )
    assert honest is not None
    assert broken is not None
    assert healthy == pytest.approx(honest, abs=1e-4)
    assert broken[0] == pytest.approx(honest[0] / 2, abs=1e-4)

    rows = json.loads(render([load_run(outcome.folder)], "json", "gains"))["tables"]["gains"]
    by_candidate = {row["candidate"]: row for row in rows if row["measure"] == "steady_state"}
    assert by_candidate["onnxruntime"]["throughput_gain"] is not None
    assert by_candidate["onnxruntime-broken"]["throughput_gain"] is None
    assert "loss" in by_candidate["onnxruntime-broken"]["state"]
