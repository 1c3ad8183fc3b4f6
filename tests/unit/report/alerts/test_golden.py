"""Whole messages, as Markdown: what an issue or a job summary shows for every kind of event and
cause.

The files are in expected_md/. `UPDATE_GOLDEN=1` writes them anew (tests/support/golden.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alerts_support import finding, point, verdict
from golden import assert_golden

from harness.schema.verdict import (
    Cause,
    Change,
    Finding,
    FindingState,
    Point,
    Series,
    Verdict,
    VerdictCode,
)
from report.alerts.events import EventKind, Told, new_events
from report.alerts.message import compose
from report.alerts.render_markdown import message_markdown, overview_markdown

FOLDER = Path(__file__).parent / "expected_md"
NIGHT_OF_ALL_STATES = verdict(
    *(finding(workload=f"model-{state.replace(' ', '-')}", state=state) for state in FindingState),
    problems=["nightly-007: jobs.jsonl, line 3: not JSON"],
)


# Every cause but the one of the other cases, and what the times of baseline and candidate became.
CHANGES = (
    (Cause.CANDIDATE_IMPROVED, FindingState.IMPROVEMENT, 1.0, 0.95),
    (Cause.BASELINE_REGRESSED, FindingState.REGRESSION, 1.05, 1.0),
    (Cause.BASELINE_IMPROVED, FindingState.IMPROVEMENT, 0.95, 1.0),
    (Cause.HOST, FindingState.REGRESSION, 1.05, 1.05),
    (Cause.UNCLEAR, FindingState.REGRESSION, 0.98, 1.02),
)


def changed(cause: Cause, state: FindingState, baseline: float, candidate: float) -> Finding:
    """A pair whose times are so many times as long for the last two nights."""
    factors = {
        Series.BASELINE: baseline,
        Series.CANDIDATE: candidate,
        Series.RATIO: candidate / baseline,
    }
    usual = finding(state="steady", factor=1.0)
    tail = [
        Point(
            run=one.run,
            created_at=one.created_at,
            baseline_s=one.baseline_s * baseline,
            candidate_s=one.candidate_s * candidate,
        )
        for one in usual.history[-2:]
    ]
    changes = [
        Change(
            series=change.series,
            level=change.mean * factors[change.series],
            mean=change.mean,
            change=factors[change.series] - 1,
            score=60 * (factors[change.series] - 1),
            tail=2,
            nights=28,
        )
        for change in finding().changes
    ]
    return finding(state=state, cause=cause, changes=changes, history=[*usual.history[:-2], *tail])


def back_after(nights: int) -> Finding:
    """A pair that is as fast again tonight as before so many slow nights."""
    slow = finding(29 + nights, "regression", nights=nights)
    changes = [
        change.model_copy(
            update={
                "mean": change.level,
                "level": change.mean,
                "change": change.mean / change.level - 1,
                "score": -change.score,
                "tail": 1,
                "nights": nights,
            }
        )
        for change in slow.changes
    ]
    return finding(
        30 + nights,
        "improvement",
        1.0,
        cause=Cause.CANDIDATE_IMPROVED,
        changes=changes,
        history=[*slow.history, point(30 + nights)],
        since=f"nightly-{30 + nights:03}",
        last_good=slow.run,
    )


def told_of(judged: Verdict) -> dict[str, Told]:
    """What a channel remembers after it was told of a verdict."""
    return new_events(judged, {})[1]


def cases() -> Iterator[tuple[str, Verdict, dict[str, Told]]]:
    """Name, tonight's verdict, and what was told in the nights before."""
    slower = told_of(verdict(finding()))
    gone = verdict(finding(state="missing", reason="no result tonight: out of memory"))
    failed = verdict(problems=["run nightly-030 was killed by SIGKILL"], exit_code=2)
    steady = verdict(finding(31, "steady", 1.0, 0), night=31)
    elsewhere = finding(31, "not enough nights", 1.0, 0, host="NVIDIA H100 80GB HBM3, driver 580")
    yield "regression", verdict(finding()), {}
    yield "regression-not-confirmed", verdict(finding(confirmed=None)), {}
    yield "regression-went-on", verdict(finding(33, factor=1.2, nights=4), night=33), slower
    yield "improvement", verdict(finding(state="improvement", factor=0.95)), {}
    yield "missing", gone, {}
    yield "runs-again", steady, told_of(gone)
    yield "steady-where-it-was", steady, slower
    dated = told_of(verdict(finding(level_to="2025-06-28T02:00:00Z")))
    absorbed = finding(45, "steady", 1.05, 16)
    accepted = finding(45, "steady", 1.05, 16, accepted_since="2025-07-01T00:00:00+00:00")
    faster = told_of(verdict(finding(state="improvement", factor=0.95)))
    flips = finding(31, "watch", 1.0, flips="candidate's time flips between 28 ms and 29.5 ms")
    yield "usual-level", verdict(absorbed, night=45), dated
    yield "steady-accepted", verdict(accepted, night=45), slower
    yield "steady-faster", verdict(finding(45, "steady", 0.95, 16), night=45), faster
    yield "flipping", verdict(flips, night=31), {}
    flipped = told_of(verdict(flips, night=31))
    _, calm = new_events(verdict(finding(32, "watch", 1.0), night=32), flipped)
    yield "flips-no-more", verdict(finding(46, "watch", 1.0), night=46), calm
    yield "recovered", verdict(back_after(16), night=46), slower
    yield "moved", verdict(elsewhere, night=31), slower
    yield "no-judgement", failed, {}
    for cause, state, baseline, candidate in CHANGES:
        name = cause.replace(" ", "-")
        yield name, verdict(changed(cause, state, baseline, candidate)), {}


CASES = {name: (judged, told) for name, judged, told in cases()}


@pytest.mark.parametrize("name", CASES)
def test_a_message_is_as_expected(name: str) -> None:
    (event,), _ = new_events(*CASES[name])
    assert_golden(message_markdown(compose(event)), FOLDER / f"{name}.md")


def test_the_overview_of_a_night_is_as_expected() -> None:
    assert_golden(overview_markdown(NIGHT_OF_ALL_STATES), FOLDER / "overview.md")


def test_the_overview_of_a_night_without_a_judgement_is_as_expected() -> None:
    judged, _ = CASES["no-judgement"]
    assert judged.exit_code is VerdictCode.NO_JUDGEMENT
    assert_golden(overview_markdown(judged), FOLDER / "overview-no-judgement.md")


def test_every_kind_of_event_and_every_cause_has_a_case_and_every_file_belongs_to_one() -> None:
    causes = {judged.findings[0].cause for judged, _ in CASES.values() if judged.findings}
    assert causes == set(Cause)
    kinds = {new_events(judged, told)[0][0].kind for judged, told in CASES.values()}
    assert kinds == set(EventKind)
    names = {*CASES, "overview", "overview-no-judgement"}
    assert {file.stem for file in FOLDER.iterdir()} == names
