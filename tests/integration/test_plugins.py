"""What installed packages bring: found by entry points, and told clearly where it cannot be
used.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from folders import ROOT

from harness.errors import BenchError
from harness.schema.registry import Registry
from harness.schema.workload import NoOptions
from harness.worker import backends, tasks
from harness.worker.backends.base import Backend
from harness.worker.backends.pytorch import PyTorch
from report.exports import registry as exporters

GROUP = "training_backend_bench.backends"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def _install(site: Path, package: str, entry: str, code: str = "", group: str = GROUP) -> None:
    """What an installer leaves behind: a module, and metadata with one entry point."""
    metadata = site / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
    (site / f"{package}.py").write_text(code)


def _registry() -> Registry:
    return Registry(GROUP, "backend", backends.BACKENDS, Backend, in_stacks=True)


TOY = "from harness.worker.backends.pytorch import PyTorch\nclass Toy(PyTorch):\n    name = 'toy'\n"


def test_a_package_adds_a_name(site: Path) -> None:
    _install(site, "toy_one", "toy = toy_one:Toy", TOY)
    registry = _registry()
    assert registry.names() == [*backends.BACKENDS, "toy"]
    assert issubclass(registry.load("toy"), PyTorch)
    assert registry.load("toy").Options is NoOptions
    assert registry.load("pytorch") is PyTorch


def test_unknown_names_are_told_with_the_installed_ones(site: Path) -> None:
    _install(site, "toy_two", "toy = toy_two:Toy", TOY)
    with pytest.raises(BenchError, match="no backend is called 'tyo'") as caught:
        _registry().load("tyo")
    assert "onnxruntime" in caught.value.fix
    assert "toy" in caught.value.fix
    assert "environment of its stack" in caught.value.fix


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "import nowhere_to_be_found",
            "cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        ("raise RuntimeError('no licence')", "cannot be imported: RuntimeError: no licence"),
        ("", "cannot be imported: AttributeError"),
        ("Toy = 3", "is not a subclass of harness.worker.backends.base.Backend"),
        ("class Toy: ...", "is not a subclass of harness.worker.backends.base.Backend"),
    ],
)
def test_an_unusable_package_is_named_once_and_only_when_asked_for(
    site: Path, code: str, said: str, request: pytest.FixtureRequest
) -> None:
    package = f"broken_{abs(hash(code))}"
    _install(site, package, f"toy = {package}:Toy", code)
    registry = _registry()
    assert registry.load("pytorch") is PyTorch
    with pytest.raises(BenchError) as caught:
        registry.load("toy")
    assert f"backend 'toy' of the package {package} 1.0 {said}" in caught.value.message
    assert caught.value.place == f"entry point toy = {package}:Toy in {GROUP}"
    assert caught.value.fix


def test_the_name_of_a_built_in_backend_is_taken(site: Path) -> None:
    _install(site, "usurper", "pytorch = usurper:Toy", TOY)
    registry = _registry()
    with pytest.raises(
        BenchError, match="'pytorch' of the package usurper 1.0 has the name of a built-in one"
    ):
        registry.load("onnxruntime")


def test_two_packages_of_one_name_are_both_told(site: Path) -> None:
    _install(site, "first_toy", "toy = first_toy:Toy", TOY)
    _install(site, "other_toy", "toy = other_toy:Toy", TOY)
    with pytest.raises(BenchError) as caught:
        _registry().names()
    assert "first_toy 1.0" in caught.value.message
    assert "other_toy 1.0" in caught.value.message


def test_every_registry_takes_entry_points() -> None:
    groups = {
        registry.group for registry in (backends.REGISTRY, tasks.REGISTRY, exporters.REGISTRY)
    }
    assert groups == {
        f"training_backend_bench.{what}" for what in ("backends", "tasks", "exporters")
    }


def _harness(site: Path, suite: str) -> subprocess.CompletedProcess[str]:
    (site / "suite.yaml").write_text(suite)
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(site)!r}]; from harness.cli "
        "import main; "
        "sys.exit(main(['plan', 'suite.yaml', '--device', 'cpu']))"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=site, capture_output=True, text=True, check=False
    )


SUITE = """suite: s
models: {m: {architecture: roberta-tiny, weights: random}}
tasks: {t: {source: synthetic}}
workloads: [{model: m, task: t}]
arms:
  pytorch: {backend: pytorch}
  toy:
    backend: toy
pairs: [{baseline: pytorch, candidate: toy}]
"""


def test_a_suite_may_name_it_and_its_errors_have_the_line(site: Path) -> None:
    done = _harness(site, SUITE)
    assert done.returncode == 2
    assert "suite.yaml:8: arms.toy.backend: no backend is called 'toy'" in done.stderr
    _install(site, "toy_three", "toy = toy_three:Toy", TOY)
    done = _harness(site, SUITE)
    assert done.returncode == 0, done.stderr
    (site / "toy_three.py").write_text("import nowhere_to_be_found")
    done = _harness(site, SUITE)
    assert done.returncode == 2
    assert (
        "suite.yaml:8: arms.toy.backend: backend 'toy' of the package toy_three 1.0 cannot be "
        "imported" in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_an_export_format_of_a_package_is_an_instance(site: Path) -> None:
    registry = Registry(
        "training_backend_bench.exporters", "export format", {}, exporters.Format, instance=True
    )
    code = "from report.exports.registry import Format\nNONE = Format(lambda runs: {})\n"
    _install(site, "export_toy", "none = export_toy:NONE", code, registry.group)
    _install(
        site, "export_wrong", "wrong = export_wrong:f", "def f(runs): return {}", registry.group
    )
    assert registry.load("none").files([]) == {}
    with pytest.raises(BenchError, match="is not an instance of report.exports.registry.Format"):
        registry.load("wrong")
