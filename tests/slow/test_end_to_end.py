"""The commands a user types, with real training jobs of both backends on this host's CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from folders import ROOT

from harness.results.run_folder import read_info, read_records
from harness.schema.record import JobRecord, State

HARNESS = [sys.executable, "-m", "harness.cli"]
QUICK = [
    "--set",
    "training.max_steps=14",
    "--set",
    "workloads.0.model=roberta-tiny",
    "--device",
    "cpu",
]
QUICK += [
    "--set",
    "measurement.replicates=2",
    "--set",
    "tasks.sst2={source: synthetic, train_samples: 400, eval_samples: 64}",
]
# Other tests run on the same cores at the same time: their disturbance is noted, and no replicate
# is refused for it.
QUICK += ["--set", "measurement.contention=note"]


def run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*HARNESS, *words], cwd=ROOT, capture_output=True, text=True, timeout=500, check=False
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def records_of(results: Path) -> tuple[Path, list[JobRecord]]:
    (folder,) = [p for p in results.iterdir() if p.is_dir()]
    return folder, read_records(folder)[0]


def test_a_suite_runs_and_prints_both_tables(tmp_path: Path) -> None:
    done = run("run", "smoke", *QUICK, "--results", str(tmp_path))
    assert "| roberta-tiny | PyTorch " in done.stdout
    assert "| roberta-tiny | ONNX Runtime " in done.stdout
    assert "Throughput" in done.stdout
    assert "synthetic" in done.stdout
    folder, records = records_of(tmp_path)
    assert [r.state for r in records] == [State.OK] * 6
    parity_runs, records = records[:2], records[2:]
    for parity_run in parity_runs:
        assert (
            parity_run.parity_run,
            parity_run.workload.training.dropout,
            parity_run.timing.steps,
        ) == (True, 0.0, 10)
        assert parity_run.losses is not None
        assert len(parity_run.losses) == 10
    assert parity_runs[0].losses == pytest.approx(parity_runs[1].losses, abs=1e-5)
    assert read_info(folder).refusals == []
    for record in records:
        assert (record.timing.steps, record.timing.steady_steps) == (14, 4)
        assert (folder / str(record.series)).exists()
        assert record.telemetry is not None
        assert record.telemetry.job_cpu_share_mean is not None
        assert record.contention is not None
        assert record.contention.pause_share is not None
        if record.arm.backend == "onnxruntime":
            assert record.engagement is not None
            assert record.engagement.engaged
            assert record.engagement.yield_ops == 1
            assert record.engagement.checked_after_steps == [1, 14]
    for replicate in (0, 1):  # both arms began alike and saw the same batches in the same order
        same = [r.fingerprint for r in records if r.replicate == replicate]
        assert len({f.initial_weights_sha256 for f in same}) == 1
        assert len({f.data_order_sha256 for f in same}) == 1
    assert read_info(folder).status == "complete"


def test_a_killed_run_is_resumed_and_repeats_nothing(tmp_path: Path) -> None:
    command = [*HARNESS, "run", "smoke", *QUICK, "--results", str(tmp_path), "--no-tables"]
    command += ["--set", "measurement.parity=null"]  # four jobs of equal length
    temporary = tempfile.TemporaryDirectory(
        prefix="t", dir="/tmp"
    )  # a short name: a socket's path is in it
    there = {**os.environ, "TMPDIR": temporary.name}
    runner = subprocess.Popen(
        command, cwd=ROOT, env=there, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:  # until one job is on disk and the next trains
        files = list(tmp_path.glob("*/jobs.jsonl"))
        if (
            files
            and files[0].read_text().count("\n") == 1
            and len(list(tmp_path.glob("*/logs/*.log"))) == 2
        ):
            break
        time.sleep(0.2)
    time.sleep(3)
    children = psutil.Process(runner.pid).children(recursive=True)
    assert children
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    _, survivors = psutil.wait_procs(children, timeout=15)
    assert survivors == []
    assert os.listdir(temporary.name) == []  # the job's supervisor has seen to that
    temporary.cleanup()
    folder, before = records_of(tmp_path)
    assert [r.state for r in before] == [State.OK]
    run(*command[len(HARNESS) :])
    folder, after = records_of(tmp_path)
    assert after[0] == before[0]
    assert sorted(r.id for r in after) == sorted({r.id for r in after})
    assert [r.state for r in after] == [State.OK] * 4
    assert read_info(folder).status == "complete"


def test_one_failing_arm_does_not_stop_the_suite(tmp_path: Path) -> None:
    diverging = ["--set", "arms.onnxruntime.training={learning_rate: 1.0e+30}"]
    diverging += [
        "--set",
        "pairs.0.differs=[training.learning_rate]",
        "--set",
        "measurement.replicates=1",
    ]
    done = run("run", "smoke", *QUICK, *diverging, "--results", str(tmp_path), check=False)
    assert done.returncode == 1
    _, records = records_of(tmp_path)
    states = {(r.arm.name, r.parity_run): r.state for r in records}
    assert states[("pytorch", False)] is State.OK
    assert states[("onnxruntime", False)] is State.DIVERGED
    assert "diverged" in done.stdout


@pytest.mark.parametrize("backend", ["pytorch", "onnxruntime"])
def test_one_job_by_hand_saves_a_model_that_loads(tmp_path: Path, backend: str) -> None:
    words = (
        "--model-name-or-path roberta-tiny --task-name sst2 --do-train --do-eval --max-steps 8 "
        "--data synthetic"
    )
    limits = "--max-train-samples 200 --max-eval-samples 40 --max-seq-length 32 --device cpu"
    output = tmp_path / "model"
    done = run(
        "train", *words.split(), *limits.split(), "--backend", backend, "--output-dir", str(output)
    )
    assert "eval_accuracy = " in done.stdout
    metrics = json.loads((output / "metrics.json").read_text())
    assert (metrics["state"], metrics["train_steps"]) == ("ok", 8)
    load = (
        "import sys; from transformers import AutoModelForSequenceClassification as Model, "
        "AutoTokenizer;"
        "f = sys.argv[1]; m = Model.from_pretrained(f); t = AutoTokenizer.from_pretrained(f);"
        "print(m(**t('a fine film', return_tensors='pt')).logits.shape)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", load, str(output)], capture_output=True, text=True, check=False
    )
    assert loaded.stdout.strip() == "torch.Size([1, 2])", loaded.stderr
    again = run("train", *words.split(), "--output-dir", str(output), check=False)
    assert again.returncode == 2
    assert "--overwrite-output-dir" in again.stderr
