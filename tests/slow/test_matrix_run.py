"""A real support matrix: two models with both backends, one of which cannot be trained."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from folders import ROOT


def test_two_models_one_of_which_cannot(tmp_path: Path) -> None:
    """T5 needs most of all that train; DeBERTa's graph holds on to the batch size. The one's
    failure stops nothing.
    """
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "run",
        "matrix",
        "--device",
        "cpu",
        "--results",
        str(tmp_path),
    ]
    for model in ("deberta-tiny", "t5-tiny"):
        command += ["--pairs", f"{model}-sst2:pytorch:onnxruntime"]
    command += [
        "--set",
        "tasks.sst2={source: synthetic, train_samples: 200, eval_samples: 72}",
    ]  # 64 and 8
    command += ["--set", "training.max_steps=12", "--set", "measurement.warmup_steps=5"]
    command += ["--set", "measurement.parity=null", "--view", "matrix"]
    command += ["--set", "measurement.contention=note"]  # other tests run on the same cores
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "| t5-tiny " in done.stdout
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    report = [
        sys.executable,
        "-m",
        "report.cli",
        "tables",
        str(folder),
        "--view",
        "matrix",
        "--format",
        "json",
    ]
    told = subprocess.run(report, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows = {(r["model"], r["arm"]): r for r in json.loads(told)["tables"]["matrix"]}
    said = {key: (r["trains"], r["proven"], r["parity"]) for key, r in rows.items()}
    assert said == {
        ("t5-tiny", "pytorch"): ("yes", None, None),
        ("t5-tiny", "onnxruntime"): ("yes", "yes", None),
        ("deberta-tiny", "pytorch"): ("yes", None, None),
        ("deberta-tiny", "onnxruntime"): ("no", "yes", None),
    }
    assert rows["t5-tiny", "onnxruntime"]["throughput_gain"] is not None
    assert (
        "Got invalid dimensions for input: input_ids"
        in rows["deberta-tiny", "onnxruntime"]["error"]
    )
