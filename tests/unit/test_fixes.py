"""Every error of what reads data, and of `harness train`, says what to do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from folders import ROOT

READERS = sorted(
    [
        *(ROOT / "harness" / "worker" / "tasks").glob("*.py"),
        *(ROOT / "harness" / "worker" / "model").glob("*.py"),
        ROOT / "harness" / "planning" / "hub.py",
        *(ROOT / "harness" / "runner" / f"{name}.py" for name in ("fitting", "hub_or_builtin")),
        ROOT / "harness" / "runner" / "single_job.py",
    ]
)


def _errors(file: Path) -> list[ast.Call]:
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return [call for call in calls if getattr(call.func, "id", "") == "BenchError"]


@pytest.mark.parametrize("file", READERS, ids=lambda file: file.stem)
def test_every_error_has_a_place_and_a_fix(file: Path) -> None:
    for call in _errors(file):
        given = {word.arg: word.value for word in call.keywords}
        where = f"{file.name}:{call.lineno}"
        for part in ("place", "fix"):
            assert part in given, f"{where} has no {part}"
            assert not (isinstance(given[part], ast.Constant) and not given[part].value), where


def test_the_readers_are_looked_at() -> None:
    assert sum(len(_errors(file)) for file in READERS) > 60
