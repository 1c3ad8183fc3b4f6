"""The backend onnxruntime: whether the CUDA driver compiled kernels for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import worker_helpers as worker

from harness.schema.job import JobSpec
from harness.worker import backends
from harness.worker.backends.onnxruntime import OnnxRuntime, cached_kernels


def backend(folder: Path) -> OnnxRuntime:
    made = backends.get("onnxruntime")(JobSpec.model_validate(worker.spec(folder, "onnxruntime")))
    assert isinstance(made, OnnxRuntime)
    return made


def test_the_drivers_cache_is_where_its_variable_or_the_home_folder_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CUDA_CACHE_PATH", raising=False)
    assert cached_kernels() == frozenset()  # no folder yet
    folder = tmp_path / ".nv" / "ComputeCache"
    kernel = folder / "a" / "b" / "0123"
    kernel.parent.mkdir(parents=True)
    kernel.touch()
    (folder / "index").touch()  # the driver's list of them
    assert cached_kernels() == {kernel}
    monkeypatch.setenv("CUDA_CACHE_PATH", str(tmp_path / "elsewhere"))
    assert cached_kernels() == frozenset()


def test_kernels_were_compiled_if_the_drivers_cache_has_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_CACHE_PATH", str(tmp_path))
    job = backend(tmp_path)
    (tmp_path / "earlier").touch()
    assert not job.compiled()  # nothing is compiled from PTX: on a CPU, or natively on the card
    job.kernels_before = cached_kernels()
    (tmp_path / "earlier").write_bytes(b"read again")
    assert not job.compiled()
    (tmp_path / "new").touch()
    assert job.compiled()
    (tmp_path / "new").unlink()
    (tmp_path / "earlier").unlink()  # the cache has a limit, and the driver drops what is old
    assert not job.compiled()
