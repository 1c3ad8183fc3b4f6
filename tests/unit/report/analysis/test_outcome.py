"""Statuses are enums: they cover what records hold, and their texts are those of the exports."""

from __future__ import annotations

from typing import get_args

import pytest
from report_factory import make_job

from harness.schema.record import State, Stopping
from report.analysis.outcome import HAS_RESULT, GainStatus, Outcome, PrecisionTarget, no_result
from report.analysis.replicates import JobStatus, verdict


@pytest.mark.parametrize("state", State)
def test_every_state_of_a_job_has_a_status(state: State) -> None:
    status = verdict(make_job(state=state))
    assert status is JobStatus[state.name]
    assert status.value == state.value.replace("_", " ")


def test_a_target_is_read_from_what_records_hold() -> None:
    held = get_args(Stopping.model_fields["state"].annotation)
    assert {PrecisionTarget(text) for text in held} == set(PrecisionTarget)


@pytest.mark.parametrize(
    ("outcome", "ok", "exported", "shown"),
    [
        (HAS_RESULT, True, "ok", "ok"),
        (
            no_result("onnxruntime: crashed in 1 of 2 replicates"),
            False,
            "onnxruntime: crashed in 1 of 2 replicates",
            "no result: onnxruntime: crashed in 1 of 2 replicates",
        ),
        (
            Outcome(GainStatus.REFUSED, "attention differs"),
            False,
            "refused: attention differs",
            "refused: attention differs",
        ),
        (
            Outcome(GainStatus.ENGINES_DISAGREE, "not compared in replicate 1"),
            False,
            "engines disagree: not compared in replicate 1",
            "engines disagree: not compared in replicate 1",
        ),
    ],
)
def test_an_outcome_has_a_text_for_files_and_one_for_tables(
    outcome: Outcome, ok: bool, exported: str, shown: str
) -> None:
    assert (outcome.ok, str(outcome), outcome.shown) == (ok, exported, shown)


def test_a_reason_that_begins_like_a_status_changes_nothing() -> None:
    arm = no_result("refused: no job recorded")  # an arm may have any name
    assert arm.status is GainStatus.NO_RESULT
    assert arm.shown == "no result: refused: no job recorded"
