"""What stands at the end of a run: the answer in words, the runtimes and the gains."""

from __future__ import annotations

import pytest
from folders import ROOT

from harness.commands.options import AT_THE_END, print_answer
from report.tables.registry import VIEWS


def test_a_run_ends_with_the_answer_in_words_and_the_published_form(
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = ROOT / "results" / "smoke-20261123-012757"
    print_answer(folder)
    said = capfd.readouterr().out
    assert said.startswith("steady state: 1 faster, 1 not distinguishable; end to end: 2 slower")
    places = [said.index(text) for text in ("Training time by model and", "\nGain of ONNX")]
    assert places == sorted(places)
    assert "Set-up and steady state" not in said, "the rest is asked for"
    last = said.rstrip().splitlines()[-1]
    assert (
        last == f"all tables: report tables {folder}; one page: report page {folder} -o page.html"
    )


def test_jobs_in_turns_end_with_predicted_runtimes(capfd: pytest.CaptureFixture[str]) -> None:
    print_answer(ROOT / "results" / "glue-sst2-full-20261129-233635")
    said = capfd.readouterr().out
    assert said.startswith("ONNX Runtime trains roberta-large on sst2 (")
    assert "Training time of all epochs, predicted" in said
    assert "Training time by model" not in said


def test_a_view_that_is_asked_for_stands_alone(capfd: pytest.CaptureFixture[str]) -> None:
    print_answer(ROOT / "results" / "smoke-20261123-012757", ["steady"])
    said = capfd.readouterr().out
    assert said.startswith("Set-up and steady state")
    assert "Gain of ONNX" not in said


def test_the_views_at_the_end_are_views() -> None:
    assert {*AT_THE_END} <= {*VIEWS}
