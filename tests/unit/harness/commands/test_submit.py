"""What a node of a cluster runs for one element: the function that `harness run` calls."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from harness.commands import run as run_command_module
from harness.commands.options import SuiteRequest
from harness.commands.submit import PartRun
from harness.errors import BenchError
from harness.runner.runner import RunOutcome

REQUEST = SuiteRequest(
    suite="/suites/a.yaml",
    overrides=("training.seed=1",),
    pairs=("all",),
    stacks=("ort=/python",),
    device="cpu",
    results=Path("results"),
)


def test_a_part_is_a_run_of_its_pairs_below_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[SuiteRequest, dict[str, Any]]] = []

    def run_suite(request: SuiteRequest, **options: Any) -> RunOutcome:
        asked.append((request, options))
        return RunOutcome(Path("folder"), interrupted=True)

    monkeypatch.setattr(run_command_module, "run_suite", run_suite)
    part = pickle.loads(pickle.dumps(PartRun(REQUEST, allow_shared_gpu=True)))
    assert part(("w:a:b",), Path("/run/parts"), "001-w") == 130
    ((request, options),) = asked
    assert (request.pairs, request.results) == (("w:a:b",), Path("/run/parts"))
    assert (request.suite, request.overrides) == (REQUEST.suite, REQUEST.overrides)
    assert (request.stacks, request.device) == (REQUEST.stacks, "cpu")
    assert options == {"run_name": "001-w", "allow_shared_gpu": True}


def test_an_error_of_a_part_is_told_as_a_command_line_tells_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run_suite(request: SuiteRequest, **options: Any) -> RunOutcome:
        raise BenchError("no such arm", place="--pairs w:a:b", fix="another")

    monkeypatch.setattr(run_command_module, "run_suite", run_suite)
    assert PartRun(REQUEST, allow_shared_gpu=False)(("w:a:b",), Path("p"), "001-w") == 2
    assert "harness: --pairs w:a:b: no such arm" in capfd.readouterr().err
