"""What is new tonight: the verdict against what was told before. Pure.

A subject is one pair, one measure, one comparable host. An event is told once. Its identity is
(pair, measure, host, kind, since-run): the same whoever works it out again, so a channel that kept
it recognises it.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from harness.schema.verdict import (
    Cause,
    Change,
    Finding,
    FindingState,
    Frozen,
    Series,
    Verdict,
    VerdictCode,
)

STILL = 0.5  # a change is still there where this share of it is left
WORSE = 1.5  # told again when it moved half as far again as when it was told
# A host flips no more when no night said so for so long: between two flips some nights look calm.
CALM = timedelta(days=14)
LEADING = {
    Cause.CANDIDATE_REGRESSED: Series.CANDIDATE,
    Cause.CANDIDATE_IMPROVED: Series.CANDIDATE,
    Cause.BASELINE_REGRESSED: Series.BASELINE,
    Cause.BASELINE_IMPROVED: Series.BASELINE,
    Cause.HOST: Series.CANDIDATE,
}


class EventKind(StrEnum):
    """What there is to tell. The first three are the states of a finding of the same names."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    MISSING = "missing"
    NO_JUDGEMENT = "no judgement"
    STEADY = "steady"
    MOVED = "moved"
    USUAL = "usual level"
    FLIPPING = "flipping"

    @property
    def is_change(self) -> bool:
        """Whether a pair became slower or faster."""
        return self in (EventKind.REGRESSION, EventKind.IMPROVEMENT)

    @property
    def is_absence(self) -> bool:
        """Whether there is no result, of a pair or of the whole night."""
        return self in (EventKind.MISSING, EventKind.NO_JUDGEMENT)

    @property
    def closes(self) -> bool:
        """Whether nothing is left to watch after it. A slowdown that has become the usual level is
        still there.
        """
        return self in (EventKind.STEADY, EventKind.MOVED)


class Told(Frozen):
    """What a channel was last told of a subject, as long as it is not steady."""

    identity: str
    kind: EventKind
    run: str = Field("", description="the night it was told of")
    finding: Finding | None = Field(
        None, description="as told; null where only the channel itself remembers it"
    )
    calm_since: str = Field(
        "",
        description="of a host that flips: since when no night says so, UTC, ISO 8601; empty: the "
        "last one did",
    )


class Event(Frozen):
    """Something to tell once on one channel."""

    identity: str = Field(description="16 hexadecimal digits")
    subject: str = Field(description="16 hexadecimal digits: pair, measure and host")
    kind: EventKind
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
    """What there is to tell of tonight.

    Args:
        verdict: Tonight's.
        told: What the channel was told before, by subject.

    Returns:
        The events that are new for the channel, and what it has been told once they are delivered.
    """
    events, after = [], dict(told)
    whole_night = _whole_night(verdict)
    hosts = _hosts(verdict)
    for host in hosts:
        if before := told.get(subject_of(host)):
            calm_since = "" if host.flips else before.calm_since or verdict.created_at
            after[subject_of(host)] = before.model_copy(update={"calm_since": calm_since})
    for finding in [*verdict.findings, whole_night, *hosts]:
        before = after.get(subject_of(finding))
        kind = _kind(finding, before, verdict.created_at, is_night=finding is whole_night)
        if kind is not None:
            events.append(_event(verdict, finding, kind, before))
    events += _moved(verdict, told)
    for event in events:
        after.pop(event.subject, None)
        if not event.kind.closes:
            run = event.finding.run
            # The history is needed to draw the event, not to remember it.
            of = event.finding
            if event.kind is EventKind.USUAL and event.before and event.before.finding:
                of = event.before.finding  # the level from before the change is what counts on
            kept = of.model_copy(update={"history": [], "different": []})
            after[event.subject] = Told(
                identity=event.identity, kind=event.kind, run=run, finding=kept
            )
    return events, after


def _kind(finding: Finding, told: Told | None, tonight: str, *, is_night: bool) -> EventKind | None:
    """What there is to tell of a finding; None: nothing new."""
    state = finding.state
    if state.is_change or state is FindingState.MISSING:
        kind = EventKind.NO_JUDGEMENT if is_night else EventKind(state.value)
        is_new = told is None or told.kind is not kind or _farther(finding, told)
        return kind if is_new else None
    if _is_host(finding):
        if finding.flips:
            return EventKind.FLIPPING if told is None else None
        return EventKind.STEADY if told is not None and _is_calm(told, tonight) else None
    # A pair that was missing and has any result runs again; what became slower is not steady while
    # it is watched.
    if told is None or not (state is FindingState.STEADY or told.kind.is_absence):
        return None
    slowdown = told.kind in (EventKind.REGRESSION, EventKind.USUAL)
    if slowdown and not _is_accepted(finding, told) and _is_still(finding, told):
        return EventKind.USUAL if told.kind is EventKind.REGRESSION else None
    return EventKind.STEADY


def _is_calm(told: Told, tonight: str) -> bool:
    """Whether a host that was told to flip has not done so for CALM."""
    try:
        since, now = (datetime.fromisoformat(text) for text in (told.calm_since, tonight))
        return now - since >= CALM
    except (ValueError, TypeError):  # no date, or one without its time zone
        return False


def _is_accepted(finding: Finding, told: Told) -> bool:
    """Whether an acknowledgement counts from after the level before the change on."""
    if not finding.accepted_since:
        return False
    try:
        since, before = (
            datetime.fromisoformat(text)
            for text in (finding.accepted_since, told.finding.level_to if told.finding else "")
        )
        return since > before
    except (ValueError, TypeError):  # told by a version that did not date levels
        return True


def _is_still(finding: Finding, told: Told) -> bool:
    """Whether a slowdown that was told is still there. Of one that only the channel remembers
    nobody knows; it is what it was told to be.
    """
    if told.finding is None:
        return told.kind is EventKind.USUAL
    change, rest = leading(told.finding), left_of(finding, told.finding)
    return change is not None and rest is not None and rest / change.change >= STILL


def left_of(finding: Finding, told: Finding) -> float | None:
    """How far the series that was told of is off its level before the change tonight, a fraction;
    None: it is not known.

    A steady night's level is that of the nights it is one of, not its own noisy value.
    """
    before = leading(told)
    if before is None or not before.mean or not before.change:
        return None
    now = next((change for change in finding.changes if change.series == before.series), None)
    if now is not None:
        return (now.mean if finding.state is FindingState.STEADY else now.level) / before.mean - 1
    if not finding.history or not finding.history[-1].baseline_s:
        return None
    newest = finding.history[-1]
    values = {
        Series.BASELINE: newest.baseline_s,
        Series.CANDIDATE: newest.candidate_s,
        Series.RATIO: newest.candidate_s / newest.baseline_s,
    }
    return values[before.series] / before.mean - 1


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


def _event(
    verdict: Verdict,
    finding: Finding,
    kind: EventKind,
    told: Told | None,
    of: Finding | None = None,
) -> Event:
    """`of`: the finding whose subject it is, where that was on another host than tonight's."""
    of = of or finding
    # Told of before, this is a new state from tonight on; else it may have begun in an earlier
    # night.
    since = finding.run if told or kind.closes else finding.since or finding.run
    return Event(
        identity=_digest(*_pair(of), of.host, kind, since),
        subject=subject_of(of),
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
        _pair(finding): finding
        for finding in verdict.findings
        if finding.state is not FindingState.MISSING
    }
    hosts = _hosts(verdict)
    measured |= {_pair(host): host for host in hosts}
    present = {subject_of(finding) for finding in [*verdict.findings, *hosts]}
    present |= {subject_of(_host(one.host, verdict)) for one in verdict.findings}
    events = []
    for subject, one in told.items():
        tonight = measured.get(_pair(one.finding)) if one.finding else None
        if tonight is None or one.finding is None or subject in present:
            continue
        kind = EventKind.STEADY if one.kind is EventKind.MISSING else EventKind.MOVED
        events.append(_event(verdict, tonight, kind, one, of=one.finding))
    return events


def _whole_night(verdict: Verdict) -> Finding:
    """The night as a whole: missing where nothing at all was judged, steady otherwise. A pair that
    is missing or has not enough nights speaks for itself.
    """
    failed = verdict.exit_code is VerdictCode.NO_JUDGEMENT and not verdict.findings
    return Finding(
        workload="",
        baseline="",
        candidate="",
        host="",
        run=verdict.run,
        state=FindingState.MISSING if failed else FindingState.STEADY,
        reason=" ".join(verdict.problems) if failed else "",
    )


def _hosts(verdict: Verdict) -> list[Finding]:
    """Each host that tonight's pairs ran on, as a finding of its own: it flips where a pair of it
    does, which is told once and not of every pair.
    """
    found = []
    for host in dict.fromkeys(one.host for one in verdict.findings if one.host and one.changes):
        flipping = [
            f"{one.workload}, {one.candidate} against {one.baseline}: {one.flips}"
            for one in verdict.findings
            if one.host == host and one.flips
        ]
        found.append(_host(host, verdict, "; ".join(flipping)))
    return found


def _host(host: str, verdict: Verdict, flips: str = "") -> Finding:
    return Finding(
        workload="",
        baseline="",
        candidate="",
        host=host,
        run=verdict.run,
        state=FindingState.WATCH if flips else FindingState.STEADY,
        flips=flips,
    )


def _is_host(finding: Finding) -> bool:
    """Whether it is of a host, not of a pair or the whole night."""
    return not finding.workload and bool(finding.host)


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
