"""The backend onnxruntime: whether the CUDA driver compiled kernels for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import worker_helpers as worker

from harness.schema.job import JobSpec
from harness.worker import backends
from harness.worker.backends.onnxruntime import OnnxRuntime, cached_kernel_bytes


def backend(folder: Path) -> OnnxRuntime:
    made = backends.get("onnxruntime")(JobSpec.model_validate(worker.spec(folder, "onnxruntime")))
    assert isinstance(made, OnnxRuntime)
    return made


def test_the_drivers_cache_is_where_its_variable_or_the_home_folder_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CUDA_CACHE_PATH", raising=False)
    assert cached_kernel_bytes() == 0  # no folder yet
    kernels = tmp_path / ".nv" / "ComputeCache" / "a" / "b"
    kernels.mkdir(parents=True)
    (kernels / "kernel").write_bytes(b"x" * 70)
    (kernels.parent / "index").write_bytes(b"x" * 30)
    assert cached_kernel_bytes() == 100
    monkeypatch.setenv("CUDA_CACHE_PATH", str(kernels))
    assert cached_kernel_bytes() == 70


def test_kernels_were_compiled_if_the_drivers_cache_grew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_CACHE_PATH", str(tmp_path))
    job = backend(tmp_path)
    (tmp_path / "earlier").write_bytes(b"x")
    assert not job.compiled()  # nothing is compiled from PTX: on a CPU, or natively on the card
    job.kernels_before = cached_kernel_bytes()
    assert not job.compiled()
    (tmp_path / "kernel").write_bytes(b"x")
    assert job.compiled()
