"""What is new tonight: the verdict against what was told before. Pure.

A subject is one pair, one measure, one comparable host. An event is told once. Its identity is
(pair, measure, host, kind, since-run): the same whoever works it out again, so a channel that kept
it recognises it.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Literal

from pydantic import Field

from report.regressions.model import Change, Finding, Frozen, Verdict

Kind = Literal["regression", "improvement", "missing", "no judgement", "steady", "moved"]
CLOSING = ("steady", "moved")
WORSE = 1.5  # told again when it moved half as far again as when it was told
LEADING = {
    "candidate regressed": "candidate_s",
    "candidate improved": "candidate_s",
    "baseline regressed": "baseline_s",
    "baseline improved": "baseline_s",
    "host or driver": "candidate_s",
}


class Told(Frozen):
    """What a channel was last told of a subject, as long as it is not steady."""

    identity: str
    kind: Kind
    run: str = Field("", description="the night it was told of")
    finding: Finding | None = Field(
        None, description="as told; null where only the channel itself remembers it"
    )


class Event(Frozen):
    """Something to tell once on one channel."""

    identity: str = Field(description="16 hexadecimal digits")
    subject: str = Field(description="16 hexadecimal digits: pair, measure and host")
    kind: Kind
    before: Told | None = Field(None, description="what had been told of the subject")
    since: str = Field(description="the run since which it is so")
    created_at: str = Field(description="of tonight's verdict, UTC, ISO 8601")
    finding: Finding


def subject_of(finding: Finding) -> str:
    """The subject's key."""
    return _digest(*_pair(finding), finding.host)


def leading(finding: Finding) -> Change | None:
    """The series that says what happened: the cause's, or else the one with the largest score."""
    named = [change for change in finding.changes if change.series == LEADING.get(finding.cause)]
    candidates = named or finding.changes
    return max(candidates, key=lambda change: abs(change.score)) if candidates else None


def new_events(verdict: Verdict, told: dict[str, Told]) -> tuple[list[Event], dict[str, Told]]:
    """The events of tonight for a channel that was told `told` (by subject), and what it has been
    told after them.
    """
    events, after = [], dict(told)
    for finding in [*verdict.findings, _no_judgement(verdict)]:
        subject = subject_of(finding)
        kind = _kind(finding, told.get(subject))
        if kind is not None:
            events.append(_event(verdict, finding, kind, told.get(subject)))
    events += _moved(verdict, told)
    for event in events:
        after.pop(event.subject, None)
        if event.kind not in CLOSING:
            run = event.finding.run
            # The history is needed to draw the event, not to remember it.
            kept = event.finding.model_copy(update={"history": [], "different": []})
            after[event.subject] = Told(
                identity=event.identity, kind=event.kind, run=run, finding=kept
            )
    return events, after


def _kind(finding: Finding, told: Told | None) -> Kind | None:
    """What there is to tell of a finding; None: nothing new."""
    state = finding.state
    if state in ("regression", "improvement", "missing"):
        kind: Kind = "no judgement" if not finding.workload else state  # type: ignore[assignment]
        return kind if told is None or told.kind != kind or _farther(finding, told) else None
    if told is None:
        return None
    # A pair that was missing and has any result runs again; what became slower is not steady while
    # it is watched.
    runs_again = told.kind in ("missing", "no judgement")
    return "steady" if state == "steady" or runs_again else None


def _farther(finding: Finding, told: Told) -> bool:
    """Whether a change that was told has gone on, against the level from before it."""
    before = leading(told.finding) if told.finding else None
    if before is None:
        return False
    now = next((change for change in finding.changes if change.series == before.series), None)
    return (
        now is not None and (now.level / before.mean - 1) / before.change >= WORSE
        if before.change
        else False
    )


def _event(verdict: Verdict, finding: Finding, kind: Kind, told: Told | None) -> Event:
    # Told of before, this is a new state from tonight on; else it may have begun in an earlier
    # night.
    since = finding.run if told or kind in CLOSING else finding.since or finding.run
    return Event(
        identity=_digest(*_pair(finding), finding.host, kind, since),
        subject=subject_of(finding),
        kind=kind,
        before=told,
        since=since,
        created_at=verdict.created_at,
        finding=finding,
    )


def _moved(verdict: Verdict, told: dict[str, Told]) -> list[Event]:
    """Open alerts of pairs that tonight ran on another host only (new driver, GPU or stack):
    nothing will close them.

    One state file belongs to one machine, so two comparable hosts never take turns in it.
    """
    measured = {
        _pair(finding): finding for finding in verdict.findings if finding.state != "missing"
    }
    present = {subject_of(finding) for finding in verdict.findings}
    events = []
    for subject, one in told.items():
        tonight = measured.get(_pair(one.finding)) if one.finding else None
        if tonight is None or one.finding is None or subject in present:
            continue
        kind: Kind = "steady" if one.kind == "missing" else "moved"
        event = _event(verdict, tonight, kind, one)
        identity = _digest(*_pair(one.finding), one.finding.host, kind, event.since)
        events.append(event.model_copy(update={"subject": subject, "identity": identity}))
    return events


def _no_judgement(verdict: Verdict) -> Finding:
    """The night as a whole: missing where nothing at all was judged, steady otherwise. A pair that
    is missing or has not enough nights speaks for itself.
    """
    failed = verdict.exit_code == 2 and not verdict.findings
    return Finding(
        workload="",
        baseline="",
        candidate="",
        host="",
        run=verdict.run,
        state="missing" if failed else "steady",
        reason=" ".join(verdict.problems) if failed else "",
    )


def is_older(verdict: Verdict, newest: str) -> bool:
    """Whether a verdict is of a night before `newest` (UTC, ISO 8601, or empty)."""
    try:
        return datetime.fromisoformat(verdict.created_at) < datetime.fromisoformat(newest)
    except (ValueError, TypeError):  # no date, or one without its time zone: in doubt it is news
        return False


def _pair(finding: Finding) -> tuple[str, str, str, str]:
    return finding.workload, finding.baseline, finding.candidate, finding.measure


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
