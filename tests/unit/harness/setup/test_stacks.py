"""Stacks: how an interpreter is found, and what it must have."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT
from runner_support import ended, make_job

from harness.config import Suite, load_suite
from harness.errors import BenchError
from harness.planning.comparability import excused_by_stack, undeclared
from harness.planning.plan import make_plan
from harness.schema.record import Fingerprint
from harness.setup import stacks
from harness.setup.stack import REQUIREMENTS
from harness.setup.stacks import NEEDED, OF_SOME_TASKS, check_packages, interpreters
from harness.worker import compat

SMOKE = ROOT / "configs" / "today-smoke.yaml"
LATEST = ROOT / ".venv-latest" / "bin" / "python"


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_STACK_LATEST", raising=False)


@pytest.fixture
def suite() -> Suite:
    return load_suite(SMOKE)


def program(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def test_the_suites_interpreter_is_relative_to_the_checkout(suite: Suite) -> None:
    found = interpreters(suite, must_exist=False)
    assert found == {"ort": sys.executable, "latest": str(LATEST)}


def test_option_goes_before_variable_and_variable_before_suite(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_variable, of_option = program(tmp_path, "one"), program(tmp_path, "other")
    monkeypatch.setenv("BENCH_STACK_LATEST", str(of_variable))
    assert interpreters(suite)["latest"] == str(of_variable)
    assert interpreters(suite, [f"latest={of_option}"])["latest"] == str(of_option)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert interpreters(suite, ["latest=other"])["latest"] == str(of_option)


def test_a_stack_that_no_arm_uses_is_not_asked_for() -> None:
    assert interpreters(load_suite(ROOT / "configs" / "smoke.yaml")) == {"ort": sys.executable}


def test_errors_name_the_place_and_the_fix(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "CHECKOUT", Path("/nowhere"))
    with pytest.raises(BenchError) as caught:
        interpreters(suite)
    assert caught.value.place == "stacks.latest.python"
    assert "make setup-latest" in caught.value.fix
    with pytest.raises(BenchError) as caught:
        interpreters(suite, ["latest=no-such-python"])
    assert caught.value.place == "--stack latest"
    for option in ("latest", "=x", "latest="):
        with pytest.raises(BenchError, match="NAME=PATH"):
            interpreters(suite, [option])
    with pytest.raises(BenchError, match="no arm of today-smoke runs in a stack 'newest'"):
        interpreters(suite, ["newest=/usr/bin/python3"], must_exist=False)


def test_an_arm_in_an_undeclared_stack_is_refused_where_it_was_written() -> None:
    overrides = ["arms.onnxruntime.stack=latest", "pairs.0.differs=[stack]"]
    with pytest.raises(BenchError) as caught:
        load_suite(ROOT / "configs" / "smoke.yaml", overrides)
    assert "arms.onnxruntime.stack: no stack is called 'latest'" in str(caught.value)
    assert "allowed: ort" in str(caught.value)


def test_missing_packages_are_named_with_what_to_do() -> None:
    packages = dict.fromkeys(NEEDED, "1") | {"pip": "1"}
    check_packages("latest", "/usr/bin/python3", packages)
    del packages["pydantic"], packages["datasets"]
    with pytest.raises(BenchError) as caught:
        check_packages("latest", "/usr/bin/python3", packages)
    assert caught.value.message == "the interpreter of stack latest has no datasets, pydantic"
    assert "make setup-latest BASE=/usr/bin/python3" in caught.value.fix


def test_a_bare_interpreter_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    base = Path(sys._base_executable)  # type: ignore[attr-defined]
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "run",
        str(SMOKE),
        "--device",
        "cpu",
        "--results",
        str(tmp_path),
    ]
    done = subprocess.run(
        [*command, "--stack", f"latest={base}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"{base}: the interpreter of stack latest has no " in done.stderr
    assert "torch" in done.stderr
    assert f"make setup-latest BASE={base}" in done.stderr
    assert not list(tmp_path.iterdir())


def test_where_an_interpreter_lies_does_not_decide_what_a_run_is(suite: Suite) -> None:
    plans = [
        make_plan(
            suite,
            device="cpu",
            cache_dir=Path("cache"),
            stacks={"ort": sys.executable, "latest": path},
        )
        for path in ("/opt/one/bin/python", "/opt/other/bin/python")
    ]
    assert plans[0].stacks != plans[1].stacks
    assert plans[0].config_sha256 == plans[1].config_sha256
    assert [job.id for job in plans[0].jobs] == [job.id for job in plans[1].jobs]
    assert "/opt/one" not in str(plans[0].config)


@dataclasses.dataclass
class Arguments4:
    warmup_ratio: float = 0.0
    warmup_steps: int = 0
    group_by_length: bool = False
    lr_scheduler_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    half_precision_backend: str = "auto"

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass
class Arguments5:
    warmup_steps: float = 0
    train_sampling_strategy: str = "random"
    lr_scheduler_kwargs: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@pytest.mark.parametrize("ratio", [0.0, 0.1])
def test_arguments_of_both_versions_resolve_alike(ratio: float) -> None:
    four, five = (
        compat.training_arguments(kind, {"warmup_ratio": ratio})
        for kind in (Arguments4, Arguments5)
    )
    assert five.warmup_steps == ratio
    resolved = compat.plain_arguments(four)
    assert resolved["warmup_ratio"] == ratio
    assert resolved == {name: compat.plain_arguments(five)[name] for name in resolved}
    five.train_sampling_strategy = "group_by_length"
    assert compat.plain_arguments(five)["group_by_length"] is True


def test_a_number_of_warm_up_steps_is_the_same_in_both_versions() -> None:
    given = {"warmup_ratio": 0.0, "warmup_steps": 7}
    four, five = (compat.training_arguments(kind, given) for kind in (Arguments4, Arguments5))
    assert (four.warmup_steps, five.warmup_steps) == (7, 7)
    resolved = compat.plain_arguments(four)
    assert (resolved["warmup_ratio"], resolved["warmup_steps"]) == (0.0, 7)
    assert resolved == {name: compat.plain_arguments(five)[name] for name in resolved}


def test_what_only_the_stack_excuses_is_said() -> None:
    def job(position: int, **arguments: Any) -> Any:
        return ended(
            make_job(position),
            fingerprint=Fingerprint(training_arguments={"optim": "sgd", **arguments}),
        )

    old, new = job(0, adam_epsilon=1e-8), job(1, adam_epsilon=1e-6)
    assert undeclared(old, new, ["stack"]) == []
    assert excused_by_stack(old, new, ["stack"]) == [
        "adam_epsilon is 1e-08 in pytorch and 1e-06 in onnxruntime"
    ]
    assert excused_by_stack(old, old, ["stack"]) == []


def test_the_pins_hold_what_workers_and_some_tasks_need() -> None:
    named = (REQUIREMENTS / "latest.in").read_text().split()
    assert {*NEEDED, *OF_SOME_TASKS} - {"torch"} <= set(named)
