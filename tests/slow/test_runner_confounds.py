"""Real jobs that resolve to something else than their partner: each refused by name before anything
is measured.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from folders import ROOT, SUPPORT

from harness.config import load_suite
from harness.planning.plan import make_plan
from harness.results.run_folder import read_info, read_records
from harness.runner.display import LineDisplay
from harness.runner.runner import RunOptions, run
from harness.schema.record import State

WORKER = (sys.executable, str(SUPPORT / "confounded_worker.py"))
CONFOUNDS = ("other-rate", "other-attention", "other-order", "fused-optimizer")


def test_deliberate_confounds_are_refused_by_name_and_an_honest_pair_is_measured(
    tmp_path: Path,
) -> None:
    pairs = ", ".join(
        f"{{baseline: pytorch, candidate: {arm}}}" for arm in ("onnxruntime", *CONFOUNDS)
    )
    suite = load_suite(
        ROOT / "configs" / "smoke.yaml",
        [
            "workloads.0.model=roberta-tiny",
            "tasks.sst2={source: synthetic, train_samples: 200, eval_samples: 32}",
            "training.max_steps=4",
            "training.evaluate=false",
            "measurement={replicates: 1, parity: {steps: 3}, warmup_steps: 2, threads: 1, "
            "telemetry_interval_ms: 0}",
            "measurement.contention=note",  # other tests run on the same cores
            *(f"arms.{arm}={{backend: pytorch}}" for arm in CONFOUNDS),
            f"pairs=[{pairs}]",
        ],
    )
    plan = make_plan(suite, device="cpu", cache_dir=tmp_path / "cache")
    shown = io.StringIO()
    outcome = run(
        plan, tmp_path / "results", RunOptions(worker_command=WORKER), display=LineDisplay(shown)
    )
    records, _ = read_records(outcome.folder)
    assert {record.state for record in records} == {State.OK}, [record.reason for record in records]
    refusals = {
        refusal.candidate: refusal.reasons for refusal in read_info(outcome.folder).refusals
    }
    assert set(refusals) == set(CONFOUNDS)
    assert refusals["other-rate"] == ["learning_rate is 0.001 in pytorch and 0.01 in other-rate"]
    assert refusals["other-attention"] == [
        "attention is eager in pytorch and sdpa in other-attention"
    ]
    (order,) = refusals["other-order"]
    assert order.startswith("data order differs: ")
    assert order.endswith(" in other-order")
    assert refusals["fused-optimizer"] == [
        "optim is adamw_torch in pytorch and adamw_torch_fused in fused-optimizer",
        "optimizer is AdamW(fused=False) in pytorch and AdamW(fused=True) in fused-optimizer",
    ]
    measured = [record.arm.name for record in records if not record.parity_run]
    assert sorted(measured) == ["onnxruntime", "pytorch"], "the honest pair alone"
    assert (outcome.complete, outcome.exit_code) == (True, 1)
    for reasons in refusals.values():
        assert all(reason in shown.getvalue() for reason in reasons)
