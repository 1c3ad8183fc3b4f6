"""Which variant a host gets, and where set-up keeps what it makes."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from harness.errors import BenchError
from harness.paths import CHECKOUT
from harness.setup import stack

HAS_DRIVER = stack.driver_answers()


@pytest.mark.parametrize(
    ("wanted", "driver", "expected"),
    [
        (None, True, "cuda"),
        (None, False, "cpu"),
        ("", True, "cuda"),
        ("cpu", True, "cpu"),
        ("cuda", False, "cuda"),
    ],
)
def test_driver_chooses_and_stack_overrides(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None, driver: bool, expected: str
) -> None:
    monkeypatch.delenv("STACK", raising=False)
    if wanted is not None:
        monkeypatch.setenv("STACK", wanted)
    assert stack.chosen_variant(driver=driver) == expected


def test_unknown_variant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK", "rocm")
    with pytest.raises(
        BenchError, match=r"STACK: no variant 'rocm'\n  fix: STACK=cpu or STACK=cuda"
    ):
        stack.chosen_variant(driver=False)


@pytest.mark.skipif(HAS_DRIVER, reason="a real NVIDIA driver answers first")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("echo 'GPU 0: NVIDIA A100 (UUID: GPU-0)'", True),
        ("echo 'No devices found'", False),
        ("echo 'NVIDIA-SMI has failed' >&2; exit 9", False),
    ],
)
def test_nvidia_smi_is_asked_where_nvml_is_not_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, expected: bool
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert stack.driver_answers() is expected


@pytest.mark.skipif(HAS_DRIVER, reason="a real NVIDIA driver answers here")
def test_cuda11_libraries_stay_off_the_path_without_a_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(stack, "installed_variant", lambda: "cuda")
    (stack.cuda11_folder() / "nvidia" / "cudnn" / "lib").mkdir(parents=True)
    assert stack.cuda11_library_path() == []
    monkeypatch.setattr(stack, "driver_answers", lambda: True)
    assert stack.cuda11_library_path() == [str(stack.cuda11_folder() / "nvidia" / "cudnn" / "lib")]


def test_other_pins_get_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = stack.cuda11_folder()
    changed = tmp_path / "cuda11-libs.txt"
    changed.write_text(stack.CUDA11_LIBS.read_text() + "# another\n")
    monkeypatch.setattr(stack, "CUDA11_LIBS", changed)
    assert stack.cuda11_folder().parent == before.parent
    assert stack.cuda11_folder() != before


def test_caches_lie_outside_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert stack.cache_root() == tmp_path / "training-backend-bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert stack.cache_root() == Path("/home/somebody/.cache/training-backend-bench")


def test_installed_variant_is_the_installed_wheel() -> None:
    provider = (
        Path(sysconfig.get_path("purelib"))
        / "onnxruntime"
        / "capi"
        / "libonnxruntime_providers_cuda.so"
    )
    assert stack.installed_variant() == ("cuda" if provider.exists() else "cpu")


def test_asking_costs_no_torch() -> None:
    script = (
        "import sys, harness.setup.stack as s; s.cuda11_library_path(); print('torch' in "
        "sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert answer.stdout.strip() == "False", answer.stderr
