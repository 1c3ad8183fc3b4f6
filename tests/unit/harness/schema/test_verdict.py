"""The verdict between `report check`, `harness nightly` and `report alert`."""

from __future__ import annotations

import json

import pytest
from folders import DATA
from pydantic import ValidationError

from harness.schema.verdict import Cause, FindingState, Series, Verdict, VerdictCode

RECORDED = (DATA / "verdict.json").read_text(encoding="utf-8")


def test_a_verdict_of_an_earlier_version_is_read_and_what_it_says_is_written_as_it_was() -> None:
    """The file was written when states were plain texts, and before levels had dates."""
    verdict = Verdict.model_validate_json(RECORDED)
    assert verdict.exit_code is VerdictCode.REGRESSION
    (finding,) = verdict.findings
    assert finding.state is FindingState.REGRESSION
    assert finding.cause is Cause.CANDIDATE_REGRESSED
    assert [change.series for change in finding.changes] == list(Series)
    assert finding.history[0].spread is None
    written = verdict.model_dump(mode="json")
    for name in ("level_from", "level_to", "accepted_since", "flips"):
        assert written["findings"][0].pop(name) == ""
    for point in written["findings"][0]["history"]:
        assert (point.pop("replicates"), point.pop("spread")) == (1, None)
    assert json.dumps(written, indent=2, ensure_ascii=False) + "\n" == RECORDED


@pytest.mark.parametrize(
    ("key", "value"), [("state", "slower"), ("cause", "the weather"), ("severity", 1)]
)
def test_a_state_that_does_not_exist_is_refused(key: str, value: object) -> None:
    content = json.loads(RECORDED)
    content["findings"][0][key] = value
    with pytest.raises(ValidationError, match=key):
        Verdict.model_validate(content)


def test_pairs_are_measured_again_once_and_by_their_own_name_or_that_of_their_jobs() -> None:
    content = json.loads(RECORDED)
    (finding,) = content["findings"]
    alarm = {**finding, "measure_again": True}
    inference = {**alarm, "workload": "a/b/inference/batch-1", "measured_by": "a:b:c"}
    content["findings"] = [finding, alarm, alarm, inference]
    assert Verdict.model_validate(content).pairs_to_measure_again == [
        "bert-tiny-sst2:pytorch:onnxruntime",
        "a:b:c",
    ]


@pytest.mark.parametrize("state", FindingState)
def test_only_a_regression_and_an_improvement_are_changes(state: FindingState) -> None:
    assert state.is_change == (state.value in ("regression", "improvement"))
