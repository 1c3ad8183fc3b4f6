"""ONNX Runtime's `fused_ops` is compiled where it can be, and set-up goes on where it cannot."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from harness.setup import extensions, stack
from harness.setup.extensions import Extensions
from harness.setup.steps import Steps


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Extensions:
    """The extensions of a cuda stack whose cache is empty, with ONNX Runtime's own sources."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    sources = stack.extensions_folder()
    assert sources is not None
    made = Extensions(Path(sys.executable), tmp_path / "site", "cuda", tmp_path / "build")
    shutil.copytree(sources, made.target, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return made


def test_without_nvcc_it_is_said_and_nothing_is_put_in_place(
    monkeypatch: pytest.MonkeyPatch, found: Extensions
) -> None:
    monkeypatch.setattr(extensions, "nvcc", lambda: None)
    assert found.provide_fused_ops(Steps(1)) == "no nvcc for fused_ops: no adamw_ort_fused"
    assert not list(found.target.glob("*.so"))


def test_a_compiler_that_fails_is_told_and_is_no_error(
    monkeypatch: pytest.MonkeyPatch, found: Extensions, tmp_path: Path
) -> None:
    """A real build, with an nvcc that is none."""
    home = tmp_path / "cuda"
    (home / "bin").mkdir(parents=True)
    nvcc = home / "bin" / "nvcc"
    nvcc.write_text("#!/bin/sh\necho 'no CUDA compiler, release 3.0' >&2\nexit 1\n")
    nvcc.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(home))
    assert stack.nvcc() == str(nvcc)
    said = found.provide_fused_ops(Steps(1))
    assert said.startswith("fused_ops does not compile (")
    assert said.endswith("): no adamw_ort_fused")
    assert not list(found.target.glob("*.so"))


def test_what_is_in_the_cache_is_put_in_place(found: Extensions) -> None:
    found.cache.mkdir(parents=True)
    (found.cache / "fused_ops.so").write_bytes(b"compiled")
    assert found.provide_fused_ops(Steps(1)) == "fused_ops for adamw_ort_fused"
    assert (found.target / "fused_ops.so").read_bytes() == b"compiled"
