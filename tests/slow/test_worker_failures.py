"""Jobs that cannot succeed, for causes a user can meet: each ends in its named state, with a
reason.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import worker_helpers as worker
from folders import SUPPORT

from harness.schema.record import WorkerResult

SDPA = {"attention": "sdpa"}
# torch can export scaled_dot_product_attention from opset 14 on only: with an older one, set by
# ONNX Runtime's own variable, the export of a model with sdpa attention really fails.
OLD_OPSET = {"variables": {"ORTMODULE_ONNX_OPSET_VERSION": "13"}}


def _failure(
    folder: Path, backend: str = "pytorch", how: dict[str, Any] | None = None, **changes: object
) -> tuple[str, str, worker.Ended]:
    ended = worker.run(folder, worker.spec(folder, backend, **changes), **(how or {}))
    assert ended.exit_code == 1
    assert ended.named("result") == ended.named("bye") == []
    assert "Traceback" in ended.failure["traceback"]
    return ended.failure["state"], ended.failure["reason"], ended


def test_a_learning_rate_out_of_hand_diverges(tmp_path: Path) -> None:
    state, reason, ended = _failure(tmp_path, training={"learning_rate": 1e12, "max_steps": 100})
    assert state == "diverged"
    assert "nan" in reason or "inf" in reason
    steps = len(ended.losses)
    assert f"step {steps}" in reason
    assert 1 < steps < 20  # it stopped there
    assert WorkerResult.model_validate(ended.failure["result"]).timing.steps == steps


@pytest.mark.parametrize("backend", ["pytorch", "onnxruntime"])
def test_a_batch_beyond_the_memory_limit(tmp_path: Path, backend: str) -> None:
    state, reason, ended = _failure(
        tmp_path,
        backend,
        memory_limit_gib=2.0,
        training={"batch_size": 1024, "max_seq_length": 256},
        task={"train_samples": 1100},
    )
    assert state == "out_of_memory", reason
    assert ended.named("phase")[-1]["name"] == "train"
    assert ended.failure["result"]["sources"]["train_samples"] == 1100


def test_a_failed_export_is_a_fallback(tmp_path: Path) -> None:
    state, reason, _ = _failure(tmp_path, "onnxruntime", OLD_OPSET, arm=SDPA)
    assert state == "fallback"
    assert "scaled_dot_product_attention" in reason
    assert len(reason) < 600


def test_a_fallback_that_onnx_runtime_hides_is_found_by_the_proof(tmp_path: Path) -> None:
    """The same failed export, but ORTModule is told to go on in PyTorch, as it does by default:
    training works.
    """
    hiding = {**OLD_OPSET, "program": [str(SUPPORT / "hiding_worker.py")]}
    state, reason, ended = _failure(tmp_path, "onnxruntime", hiding, arm=SDPA)
    assert state == "fallback"
    assert "after step 1: a fallback to PyTorch is pending" in reason
    assert len(ended.losses) == 1  # PyTorch did a step, and no more
    proof = ended.failure["result"]["engagement"]
    assert proof["engaged"] is False
    assert proof["yield_ops"] == 0
    assert len(proof["reasons"]) == 3


def test_without_the_old_opset_the_same_job_succeeds(tmp_path: Path) -> None:
    ended = worker.run(
        tmp_path,
        worker.spec(tmp_path, "onnxruntime", arm=SDPA, parity_run=True, training={"max_steps": 3}),
    )
    assert ended.result["engagement"]["engaged"]
    assert ended.result["fingerprint"]["attention"] == "sdpa"


def test_a_graph_without_a_gradient_is_a_fallback(tmp_path: Path) -> None:
    """Exported sdpa attention with dropout lacks the mask that ONNX Runtime's gradient builder asks
    for.
    """
    state, reason, _ = _failure(tmp_path, "onnxruntime", arm=SDPA, training={"dropout": 0.1})
    assert state == "fallback"
    assert "GradientBuilder" in reason


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_on_a_cpu_is_refused(tmp_path: Path, precision: str) -> None:
    state, reason, _ = _failure(tmp_path, training={"precision": precision})
    assert state == "crashed"
    assert f"{precision} needs a GPU" in reason


def test_an_attention_the_model_does_not_have(tmp_path: Path) -> None:
    state, reason, _ = _failure(tmp_path, model={"architecture": "deberta-v2-tiny"}, arm=SDPA)
    assert state == "crashed"
    assert "DebertaV2ForSequenceClassification has no sdpa attention in transformers" in reason
    assert "fix: attention: eager" in reason


def _gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def _training(job: worker.Worker, timeout_s: float = 60) -> int:
    """Wait until the worker trains; its process id."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if any(event["event"] == "progress" for event in job.events):
            return int(job.events[0]["pid"])
        time.sleep(0.05)
    raise AssertionError(f"no progress: {job.events}")


ENDLESS = {"max_steps": 1_000_000}


def test_a_worker_does_not_outlive_its_runners_socket(tmp_path: Path) -> None:
    with worker.start(tmp_path, worker.spec(tmp_path, training=ENDLESS)) as job:
        _training(job)
        job.hang_up()
        assert job.process.wait(5) == 3


def test_a_worker_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """The parent is killed while the runner's socket stays open."""
    parent = (
        sys.executable,
        "-c",
        "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))",
    )
    with worker.start(tmp_path, worker.spec(tmp_path, training=ENDLESS), prefix=parent) as job:
        pid = _training(job)
        assert pid != job.process.pid
        os.kill(job.process.pid, signal.SIGKILL)
        assert _gone(pid, 5)
