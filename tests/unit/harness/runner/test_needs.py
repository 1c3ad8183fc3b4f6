"""Jobs that need what a host or a stack does not have are refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import worker_helpers as worker

from harness.runner.needs import unmet
from harness.schema.job import JobSpec
from harness.setup import stack


def _job(backend: str = "pytorch", **changes: Any) -> JobSpec:
    return JobSpec.model_validate(worker.spec(Path("cache"), backend, **changes))


def _messages(job: JobSpec, packages: tuple[str, ...] = ("peft",)) -> list[str]:
    return [need.message for need in unmet([job, job], packages)]


def test_usual_jobs_need_nothing() -> None:
    assert unmet([_job(), _job("onnxruntime", training={"optim": "adamw_torch_fused"})], ()) == []


def test_the_fused_adam_of_onnx_runtime_is_its_own_and_runs_on_gpus() -> None:
    ort = {"optim": "adamw_ort_fused"}
    assert _messages(_job(training=ort)) == [
        "pytorch does not know the optimizer adamw_ort_fused, which is ONNX Runtime's"
    ]
    assert _messages(_job("onnxruntime", training=ort)) == ["adamw_ort_fused runs on GPUs alone"]


@pytest.mark.parametrize("compiler", [True, False])
def test_without_its_extension_the_compiler_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: bool
) -> None:
    """The extension is not there on hosts that have no nvcc; one that has is another host."""
    monkeypatch.setattr(stack, "extensions_folder", lambda: tmp_path)
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    if compiler:
        (tmp_path / "nvcc").write_text("#!/bin/sh\n")
        (tmp_path / "nvcc").chmod(0o755)
    job = _job("onnxruntime", training={"optim": "adamw_ort_fused"}, device="cuda")
    (need,) = unmet([job], ())
    assert need.message.startswith("adamw_ort_fused cannot run: ONNX Runtime's fused_ops is not")
    assert ("no nvcc" in need.message) is (stack.nvcc() is None)
    assert "make setup" in need.fix
    (tmp_path / "fused_ops.so").touch()
    assert unmet([job], ()) == []


def test_lora_needs_peft_in_the_stack_of_the_arm() -> None:
    adapted = {"lora_rank": 8}
    assert _messages(_job(training=adapted)) == []
    (need,) = unmet([_job(training=adapted)], ("torch",))
    assert (need.message, need.fix) == (
        "lora_rank needs the package peft in the stack ort",
        "make setup",
    )
    latest = _job(training=adapted, arm={"stack": "latest"})
    assert _messages(latest) == ["lora_rank needs the package peft in the stack latest"]
    assert _messages(latest, ("latest/peft",)) == []


def test_translations_are_scored_by_a_package_in_the_stack_of_the_arm() -> None:
    task: dict[str, Any] = {"name": "wmt", "kind": "translation", "source": "synthetic"}
    job = _job(task=task)
    (need,) = unmet([job], ("torch", "latest/sacrebleu"))
    assert (need.message, need.fix, need.setting) == (
        "translation (wmt) needs the package sacrebleu in the stack ort",
        "make setup; or `options: {predict_with_generate: false}`",
        "options",
    )
    assert unmet([job], ("sacrebleu",)) == []
    (need,) = unmet([_job(task=task, arm={"stack": "latest"})], ("sacrebleu",))
    assert "in the stack latest" in need.message
    assert need.fix.startswith("make setup-latest")
    silent = {**task, "options": {"predict_with_generate": False}}
    assert unmet([_job(task=silent)], ()) == []
