"""`make setup` itself, as real processes in a copy of the checkout with a few small packages for a
stack.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from folders import ROOT

from harness.setup.__main__ import SetupPlan
from harness.setup.steps import clean_environment

# Enough to install the project in editable form, not enough to train: set-up ends at ORT's
# extensions.
SMALL_STACK = ("setuptools", "pyyaml")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What set-up reads, with the pins cut down to SMALL_STACK (torch and ORT stay named, for the
    cache's folder).
    """
    copy = tmp_path / "checkout"
    shutil.copytree(
        ROOT / "harness", copy / "harness", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / "report", copy / "report", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "requirements", copy / "requirements")
    for name in ("pyproject.toml", "README.md", "Makefile"):
        shutil.copy(ROOT / name, copy / name)
    pins = re.split(r"\n(?=\S)", (ROOT / "requirements" / "ort-cpu.txt").read_text())
    kept = [turn for turn in pins if turn.split("==")[0] in SMALL_STACK]
    assert len(kept) == len(SMALL_STACK)
    (copy / "requirements" / "ort-cpu.txt").write_text("# torch\n" + "\n".join(kept) + "\n")
    (copy / "requirements" / "dev.txt").write_text("")
    return copy


def set_up(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "PYTHON": _base_python(),
        "STACK": "cpu",
        "XDG_CACHE_HOME": str(checkout / "xdg"),
        **environment,
    }
    if "UV_CACHE_DIR" not in os.environ:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        settings["UV_CACHE_DIR"] = str(Path(home) / "uv")
    command = ["sh", str(checkout / "harness" / "setup" / "bootstrap.sh")]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, **settings}
    )


def _base_python() -> str:
    return str(Path(sys.base_prefix) / "bin" / "python3.11")


def tools_without_compiler(folder: Path) -> str:
    """A PATH that holds what a bare Debian has, without a C++ compiler."""
    folder.mkdir()
    for tool in ("sh", "dirname", "python3", "uname", "env"):
        found = shutil.which(tool, path="/usr/bin:/bin") or shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    return str(folder)


def test_missing_compiler_is_named_before_anything_is_downloaded(
    checkout: Path, tmp_path: Path
) -> None:
    restore_pins(checkout)
    done = set_up(checkout, PATH=tools_without_compiler(tmp_path / "tools"))
    assert done.returncode == 2
    assert "no C++ compiler `g++`" in done.stderr
    assert "apt-get install g++" in done.stderr
    assert "dnf install gcc-c++" in done.stderr
    assert not (checkout / ".venv").exists()


def restore_pins(checkout: Path) -> None:
    shutil.copy(ROOT / "requirements" / "ort-cpu.txt", checkout / "requirements" / "ort-cpu.txt")


def test_unknown_variant_ends_with_an_error(checkout: Path) -> None:
    done = set_up(checkout, STACK="rocm")
    assert done.returncode == 2
    assert "STACK: no variant 'rocm'" in done.stderr


def test_an_interpreter_that_cannot_carry_the_stack_is_refused(
    checkout: Path, tmp_path: Path
) -> None:
    """One that cannot import ctypes, as a Python that was compiled without libffi."""
    unfit = tmp_path / "python3.11"
    unfit.write_text(
        f"""#!/bin/sh
exec {_base_python()} -c "import sys; sys.modules['ctypes'] = None; exec(sys.argv[-1])" "$@"
"""
    )
    unfit.chmod(0o755)
    done = set_up(checkout, PYTHON=str(unfit))
    assert done.returncode == 2
    assert f"{unfit} cannot carry the stack: ModuleNotFoundError: import of ctypes" in done.stderr
    assert "apt-get install python3.11" in done.stderr
    assert not (checkout / ".venv").exists()


def finished(plan: SetupPlan) -> SetupPlan:
    """Make what a finished set-up leaves behind, as far as `done` looks."""
    plan.python.parent.mkdir(parents=True)
    plan.python.touch()
    plan.extensions.target.mkdir(parents=True)
    for name in plan.extensions.names:
        (plan.extensions.target / f"{name}.so").touch()
    plan.stamp.write_text(plan.key())
    return plan


def test_stamp_says_whether_anything_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = finished(SetupPlan("cpu", False, tmp_path / ".venv"))
    assert plan.done()
    assert not SetupPlan("cpu", True, plan.venv).done(), "a driver has appeared"
    assert not SetupPlan("cuda", False, plan.venv).done(), "another variant"
    monkeypatch.setattr(sys, "version", "3.11.99")
    assert not plan.done(), "another interpreter"
    monkeypatch.undo()
    (plan.extensions.target / "aten_op_executor.so").unlink()
    assert not plan.done(), "an extension is gone"


def test_changed_pins_ask_for_set_up(checkout: Path) -> None:
    def key() -> str:
        script = (
            "from harness.setup.__main__ import SetupPlan; print(SetupPlan('cpu', False).key())"
        )
        done = subprocess.run(
            [_base_python(), "-c", script], cwd=checkout, capture_output=True, text=True, check=True
        )
        return done.stdout

    before = key()
    assert key() == before
    with (checkout / "requirements" / "dev.txt").open("a") as file:
        file.write("# changed\n")
    assert key() != before


def test_half_done_environment_is_made_anew_with_bytecode(checkout: Path) -> None:
    """Left by a set-up killed while it wrote packages: nothing in it can be trusted."""
    pins = checkout / "requirements" / "ort-cpu.txt"
    cache = checkout / "xdg" / "training-backend-bench" / "extensions" / "torch0-ort0-cp311-cpu"
    cache.mkdir(parents=True)
    for name in ("aten_op_executor", "torch_interop_utils"):
        (cache / f"{name}.so").touch()
    # The names stand where set-up looks for versions; --require-hashes never sees them, for they
    # are under a marker.
    marker = "sys_platform == 'never' --hash=sha256:" + "0" * 64
    pins.write_text(
        pins.read_text() + f"torch==0 ; {marker}\nonnxruntime-training-cpu==0 ; {marker}\n"
    )
    venv = checkout / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(_base_python())
    (venv / "setup-half-done").touch()
    (venv / "torn").touch()

    done = set_up(checkout, PYTHONDONTWRITEBYTECODE="1")
    if re.search("Failed to fetch|error sending request|dns error", done.stderr):
        pytest.skip("no package index here, and uv's cache does not hold the two packages")
    site = venv / "lib" / "python3.11" / "site-packages"
    _, packages = done.stdout.split("] packages of the cpu stack\n")
    assert packages.startswith("      3 packages, "), done.stdout + done.stderr
    assert not (venv / "torn").exists()
    assert not (venv / "setup-half-done").exists()
    assert list((site / "yaml" / "__pycache__").glob("*.pyc")), (
        "bytecode is written whatever the caller's environment says"
    )
    # Without ONNX Runtime the extensions have no place: set-up fails there, and leaves no stamp
    # behind.
    assert done.returncode == 2
    assert "ONNX Runtime is not where it should be" in done.stderr
    assert not (venv / "setup-stamp").exists()
    where = [str(venv / "bin" / "python"), "-c", "import harness; print(harness.__file__)"]
    answer = subprocess.run(where, capture_output=True, text=True, cwd="/", env=clean_environment())
    assert answer.stdout.strip() == str(checkout / "harness" / "__init__.py"), answer.stderr


def test_installed_packages_carry_bytecode() -> None:
    """Importing transformers takes 20 s without, 8 s with it."""
    site = Path(sysconfig.get_path("purelib"))
    compiled = {
        file.name.split(".")[0]
        for file in (site / "transformers" / "__pycache__").glob("*.cpython-311*.pyc")
    }
    sources = {file.stem for file in (site / "transformers").glob("*.py")}
    assert sources
    assert sources <= compiled
