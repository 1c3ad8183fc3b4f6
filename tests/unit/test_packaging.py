"""The project as a package: what it depends on, what its wheel holds, which part may import
what.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from folders import ROOT

REQUIREMENTS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STACK_MODULES = {
    "torch",
    "transformers",
    "optimum",
    "onnxruntime",
    "torch_ort",
    "onnx",
    "datasets",
    "accelerate",
    "evaluate",
    "peft",
}
# Children of set-up that run inside the stack, beside harness/worker.
MAY_IMPORT_THE_STACK = {
    "harness/setup/prove.py",
    "harness/setup/prove_latest.py",
    "harness/setup/compile_extension.py",
}


def pins(name: str) -> dict[str, str]:
    text = (REQUIREMENTS / name).read_text()
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ \\]+)", text, re.MULTILINE))


def test_harness_in_is_what_pyproject_depends_on() -> None:
    lines = (REQUIREMENTS / "harness.in").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == PROJECT["dependencies"]


@pytest.mark.parametrize("file", sorted(REQUIREMENTS.iterdir()), ids=lambda file: file.name)
def test_requirements_name_no_host(file: Path) -> None:
    found = re.findall(
        r"://|^\s*--(?:index|extra-index|find-links|trusted-host)|^\S+ @ "
        r".*|[\w-]+\.(?:org|com|net|io)\b",
        file.read_text(),
        re.M,
    )
    assert found == []


@pytest.mark.parametrize("file", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda file: file.name)
def test_every_pin_carries_hashes(file: Path) -> None:
    blocks = re.split(r"\n(?=\S)", file.read_text().strip())
    assert blocks
    for block in blocks:
        assert re.match(r"[a-z0-9_.-]+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", block), (
            block.splitlines()[0]
        )


def test_both_variants_differ_only_in_onnxruntime_and_dev_fits_beside_either() -> None:
    cpu, cuda, dev = pins("ort-cpu.txt"), pins("ort-cuda.txt"), pins("dev.txt")
    assert cpu.keys() ^ cuda.keys() == {
        "onnxruntime-training",
        "onnxruntime-training-cpu",
        "nvidia-cuda-nvcc-cu12",
    }
    for name in cpu.keys() & cuda.keys():
        assert cpu[name] == cuda[name], name
    for name in dev.keys() & cuda.keys():
        assert dev[name] == cuda[name], name
    # Outside the environment on purpose: they share file names with torch's libraries.
    assert not pins("cuda11-libs.txt").keys() & cuda.keys()


def test_latest_has_no_onnx_runtime_and_one_release_of_pytorch() -> None:
    cpu, cuda = pins("latest-cpu.txt"), pins("latest-cuda.txt")
    assert cpu.pop("torch") == cuda.pop("torch") + "+cpu"
    assert {name: cuda[name] for name in cpu} == cpu  # CUDA's libraries and Triton come on top
    assert int(cpu["transformers"].split(".")[0]) >= 5
    assert not [name for name in cuda if "onnx" in name or name == "optimum"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built by the hook that `pip wheel --no-build-isolation` calls, from a copy of the
    sources.
    """
    copy = tmp_path_factory.mktemp("source")
    for name in ("harness", "report"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", PROJECT["readme"]):
        shutil.copy(ROOT / name, copy / name)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-c", build, str(out)], cwd=copy, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (built,) = out.glob("*.whl")
    return built


def test_wheel_asks_for_no_training_stack(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        required = Parser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist") or []
    names = {
        re.split(r"[^A-Za-z0-9_.-]", line)[0].lower() for line in required if "extra ==" not in line
    }
    assert names == {re.split(r"[><=]", line)[0] for line in PROJECT["dependencies"]}
    assert not {name.replace("-", "_") for name in names} & STACK_MODULES


def test_wheel_holds_types_and_set_up_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"harness/py.typed", "report/py.typed", "harness/setup/bootstrap.sh"} <= names
    assert {f"report/html/page.{kind}" for kind in ("html.jinja", "css", "js")} <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "harness",
        "report",
    }


def test_installed_wheel_runs_where_there_is_no_torch(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    blocked = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"for name in {sorted(STACK_MODULES)!r}: sys.modules[name] = None\n"
    )
    for package in ("harness", "report"):
        script = (
            blocked
            + f"import {package}.cli as cli; assert cli.__file__.startswith({str(tmp_path)!r}); "
            "cli.main(['--help'])"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert "usage" in done.stdout.lower()


def test_a_class_name_means_one_thing() -> None:
    """Who reads `Plan` in an error or in a review should not have to ask which one."""
    places: dict[str, list[str]] = {}
    for folder in ("harness", "report"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.parse(path.read_text()).body:
                # Each backend and each kind of task names its own options so.
                if isinstance(node, ast.ClassDef) and node.name != "Options":
                    places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert len(places) > 200
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
