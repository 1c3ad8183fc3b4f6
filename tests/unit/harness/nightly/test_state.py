"""The verdict that a night hands to `report alert`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from folders import DATA

from harness.nightly.state import NightState, Stage, StageDone, read_verdict, write_final
from harness.schema.verdict import VerdictCode

WHEN = datetime(2026, 11, 23, 2, tzinfo=UTC)
NOTE = "the second run was stopped: the night's budget was used up"


def night(**stages: StageDone) -> NightState:
    return NightState(
        night="n1",
        suite="s",
        config_sha256="",
        started_at=WHEN,
        deadline_at=WHEN,
        stages={Stage(name): done for name, done in stages.items()},
    )


def test_what_the_stages_say_is_added_to_what_was_judged(tmp_path: Path) -> None:
    judged = read_verdict(DATA / "verdict.json")
    assert judged is not None
    final = write_final(tmp_path / "final.json", judged, night(again=StageDone(note=NOTE)))
    assert final.problems == [*judged.problems, NOTE]
    assert final.exit_code is VerdictCode.REGRESSION
    assert final.findings == judged.findings
    assert read_verdict(tmp_path / "final.json") == final


def test_where_a_runner_died_there_is_no_judgement(tmp_path: Path) -> None:
    judged = read_verdict(DATA / "verdict.json")
    final = write_final(tmp_path / "final.json", judged, night(bench=StageDone(died=True)))
    assert final.exit_code is VerdictCode.NO_JUDGEMENT


def test_without_a_verdict_the_night_itself_is_told(tmp_path: Path) -> None:
    final = write_final(tmp_path / "final.json", None, night(bench=StageDone(note=NOTE)))
    assert (final.run, final.created_at) == ("n1", "2026-11-23T02:00:00+00:00")
    assert (final.findings, final.problems) == ([], [NOTE])
    assert final.exit_code is VerdictCode.NO_JUDGEMENT


@pytest.mark.parametrize("content", [None, "", "{}", '{"run": "n1", "findings": 7}', "[]"])
def test_what_is_no_verdict_is_none(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "check.json"
    if content is not None:
        file.write_text(content)
    assert read_verdict(file) is None


def test_a_state_is_read_again_as_it_was_written() -> None:
    one = night(bench=StageDone(exit_code=0, output="n1"), check=StageDone(note=NOTE))
    written = one.model_dump_json()
    assert '"bench":{"exit_code":0' in written
    assert NightState.model_validate_json(written) == one
