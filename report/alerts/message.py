"""An event in words and numbers: what every channel says, as plain text without any format's
markup.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.schema.verdict import Cause, Change, Finding, Series
from report.alerts.escape import lines, one_line
from report.alerts.events import CALM, STILL, Event, EventKind, leading, left_of
from report.alerts.plot import PlottedCourse, bars, course_of
from report.text import OPEN_NOTE, is_open_gain, signed_percent

MOST_NAME, MOST_TITLE, MOST_CHANGED = 60, 220, 25
SERIES = {
    Series.BASELINE: "baseline time",
    Series.CANDIDATE: "candidate time",
    Series.RATIO: "candidate / baseline",
}
HEADINGS = {
    EventKind.STEADY: "Steady again",
    EventKind.MISSING: "Stopped running",
    EventKind.MOVED: "No longer comparable",
    EventKind.FLIPPING: "This host flips between two levels",
}


class Level(StrEnum):
    """How loud a message is, in the words of GitHub's annotations."""

    ERROR = "error"
    NOTICE = "notice"


LOUD = (EventKind.REGRESSION, EventKind.MISSING, EventKind.NO_JUDGEMENT)


@dataclass(frozen=True)
class Number:
    """One series: its level before and now, formatted, with units."""

    series: str
    before: str
    now: str
    change: str
    nights: str


@dataclass(frozen=True)
class Message:
    """What is told. Texts are one line each, `reproduce` as many as the command has."""

    event: Event
    level: Level
    title: str
    summary: str
    cause: str
    judged: str
    numbers: tuple[Number, ...]
    changed: tuple[str, ...]
    changed_since: str
    reproduce: str
    course: PlottedCourse | None
    bars: tuple[tuple[str, str], ...]

    @property
    def identity(self) -> str:
        """That of the event."""
        return self.event.identity

    @property
    def finding(self) -> Finding:
        """That of the event."""
        return self.event.finding


def compose(event: Event) -> Message:
    """The message of an event."""
    finding = event.finding
    course = course_of(finding, event.since if finding.since is None else finding.since)
    changed = [one_line(text, 300) for text in finding.different]
    more = len(changed) - MOST_CHANGED
    drawn = zip((finding.candidate, finding.baseline), bars(course) if course else (), strict=False)
    return Message(
        event=event,
        level=Level.ERROR if event.kind in LOUD else Level.NOTICE,
        title=_title(event),
        summary=one_line(_summary(event), 2000),
        cause=_cause(event),
        # Its figures are in the summary already, what else it says (nights set aside, other hosts)
        # is not.
        judged=_reason(finding) if event.kind.is_change else "",
        numbers=tuple(_number(change, finding) for change in finding.changes),
        changed=tuple([*changed[:MOST_CHANGED], f"{more} more"] if more > 0 else changed),
        changed_since=one_line(finding.last_good or "", 120),
        reproduce=lines(finding.reproduce, 2000),
        course=course,
        bars=tuple((one_line(name, 24), text) for name, text in drawn),
    )


def pair_name(finding: Finding) -> str:
    """Workload and arms, on one line."""
    # The name of inference ends in its batch size, which must not be cut off.
    workload = one_line(finding.workload, MOST_NAME * (2 if finding.measure == "inference" else 1))
    candidate, baseline = (
        one_line(finding.candidate, MOST_NAME),
        one_line(finding.baseline, MOST_NAME),
    )
    if finding.workload:
        return f"{workload}, {candidate} against {baseline}"
    return one_line(finding.host, 2 * MOST_NAME) or "the whole night"


def _title(event: Event) -> str:
    finding = event.finding
    heading = HEADINGS.get(event.kind, event.kind.capitalize())
    if event.kind is EventKind.USUAL:
        heading = _usual(event)
    if event.kind is EventKind.STEADY and event.before and event.before.kind.is_absence:
        heading = "Runs again"
    if event.before and event.before.kind is event.kind:
        heading = "Went on: " + heading.lower()
    if event.kind is EventKind.IMPROVEMENT and _undone(event):
        heading = "Recovered"
    change = leading(finding) if event.kind.is_change else None
    moved = f": {SERIES[change.series]} {signed_percent(change.change)}" if change else ""
    return one_line(f"{heading}: {pair_name(finding)}{moved}", MOST_TITLE)


def _summary(event: Event) -> str:
    finding, change = event.finding, leading(event.finding)
    sentences = []
    if event.kind.is_change and change:
        nights = f"{change.tail} night{'s' if change.tail > 1 else ''}"
        sentences.append(
            f"The {SERIES[change.series]} is {_value(change, change.level)}, "
            f"{signed_percent(change.change)} against "
            f"{_value(change, change.mean)} in the {change.nights} nights before. It has been so "
            f"for {nights}"
            f"{f', since run {finding.since}' if finding.since else ''}."
        )
        if undone := _undone(event):
            sentences.append(undone)
    elif event.kind is EventKind.MISSING:
        last = f" It last had one in run {finding.last_good}." if finding.last_good else ""
        sentences.append(f"Run {finding.run} has no result of this pair.{last}")
    elif event.kind is EventKind.NO_JUDGEMENT:
        sentences.append(f"Run {finding.run} could not be judged.")
    elif event.kind is EventKind.MOVED:
        sentences.append(_moved(event))
    elif event.kind is EventKind.USUAL:
        sentences.append(_still(event))
    elif event.kind is EventKind.FLIPPING:
        sentences.append(
            f"{finding.flips}. A change between these levels is not told of any pair; one beyond "
            "them is. Look for what else runs on the host, its clocks and its temperature."
        )
    else:
        sentences.append(_recovered(event))
    if finding.gain is not None and event.kind is not EventKind.MISSING:
        sentences.append(_gain(finding))
    if event.kind.is_change:
        sentences.append(_confirmed(finding))
    elif finding.reason:
        sentences.append(_reason(finding))
    return " ".join(sentences)


def _reason(finding: Finding) -> str:
    """The detector's own sentence, as one."""
    reason = one_line(finding.reason, 1000).rstrip(". ")
    return f"{reason[:1].upper()}{reason[1:]}." if reason else ""


def _gain(finding: Finding) -> str:
    interval = ""
    if is_open_gain(finding.gain, finding.gain_low, finding.gain_high):
        interval = f" (95% interval {OPEN_NOTE})"
    elif finding.gain_low is not None and finding.gain_high is not None:
        interval = (
            f" (95% interval {signed_percent(finding.gain_low)} to "
            f"{signed_percent(finding.gain_high)})"
        )
    return (
        f"Throughput gain of the candidate tonight: "
        f"{signed_percent(finding.gain or 0.0)}{interval}."
    )


def _confirmed(finding: Finding) -> str:
    if finding.confirmed:
        return "Measured a second time the same night, it was still so."
    return "It was not measured a second time."


def _recovered(event: Event) -> str:
    """What `steady` means: back where it was, or used to the new level. The levels say which."""
    before = event.before
    if before and before.kind is EventKind.FLIPPING:
        return f"No pair has flipped between two levels for {CALM.days} days."
    if before and before.kind.is_absence:
        return f"Run {event.finding.run} has results again."
    told = leading(before.finding) if before and before.finding else None
    rest = left_of(event.finding, before.finding) if before and before.finding else None
    if told is None or rest is None:
        return f"Run {event.finding.run} is steady."
    name = SERIES[told.series]
    if rest / told.change >= STILL and told.change < 0:
        return (
            f"It is steady at the new level: the {name} is {signed_percent(rest)} against the "
            "level before the change."
        )
    if rest / told.change >= STILL:
        because = (
            "An acknowledgement has set the nights before aside."
            if event.finding.accepted_since
            else "The nights since then have become what it is compared with."
        )
        return (
            f"It is steady, yet not where it was: the {name} is {signed_percent(rest)} against the "
            f"level before the change. {because}"
        )
    return (
        f"The {name} is back: {signed_percent(rest)} against the level before the change, which "
        f"had been told as {signed_percent(told.change)}."
    )


def _undone(event: Event) -> str:
    """Of a change that brings a pair back from one that was told: that it does; else empty."""
    before = event.before
    if before is None or before.finding is None or before.kind is event.kind:
        return ""
    told, rest = leading(before.finding), left_of(event.finding, before.finding)
    if told is None or rest is None or abs(rest / told.change) >= STILL:
        return ""
    return (
        f"This undoes the {before.finding.state.value} of run "
        f"{before.finding.since or before.run}, told as "
        f"{signed_percent(told.change)}: the {SERIES[told.series]} is {signed_percent(rest)} "
        "against the level before that."
    )


def _usual(event: Event) -> str:
    """ "Now the usual level: still +23.0% over 2026-01-28"."""
    told = event.before.finding if event.before else None
    rest = left_of(event.finding, told) if told else None
    if told is None or rest is None:
        return "Now the usual level"
    over = told.level_to[:10] or told.last_good or "before"
    return f"Now the usual level: still {signed_percent(rest)} over {one_line(over, MOST_NAME)}"


def _still(event: Event) -> str:
    """A slowdown that the nights have absorbed."""
    told = event.before.finding if event.before else None
    change = leading(told) if told else None
    if told is None or change is None:
        return f"Run {event.finding.run} is steady, and as slow as it was told."
    since = f" since run {told.since}" if told.since else ""
    rest = left_of(event.finding, told) or change.change
    return (
        f"The {SERIES[change.series]} has stayed slow{since}: "
        f"{_value(change, change.mean * (1 + rest))}, {signed_percent(rest)} against "
        f"{_value(change, change.mean)} before. Tonight is compared with the slow nights, so no "
        "further alarm comes of it. This alert stays open until the level is back or an "
        "acknowledgement accepts it."
    )


def _moved(event: Event) -> str:
    before = event.before.finding.host if event.before and event.before.finding else ""
    return (
        f"What was told of host {one_line(before, 120)} can no longer be checked: tonight "
        "it ran on "
        f"{one_line(event.finding.host, 120)}, which is not comparable. It is judged there once "
        "it has enough nights."
    )


def _cause(event: Event) -> str:
    """Which arm moved, in a sentence; empty where nothing did."""
    if not event.kind.is_change:
        return ""
    finding = event.finding
    candidate, baseline = (
        one_line(finding.candidate, MOST_NAME),
        one_line(finding.baseline, MOST_NAME),
    )
    slower, faster = "got slower while", "got faster while"
    return {
        Cause.CANDIDATE_REGRESSED: (
            f"The candidate regressed: {candidate} {slower} {baseline} kept its time."
        ),
        Cause.CANDIDATE_IMPROVED: (
            f"The candidate improved: {candidate} {faster} {baseline} kept its time."
        ),
        Cause.BASELINE_REGRESSED: (
            f"The baseline regressed: {baseline} {slower} {candidate} kept its time."
        ),
        Cause.BASELINE_IMPROVED: (
            f"The baseline improved: {baseline} {faster} {candidate} kept its time; the candidate "
            "itself is as fast as before."
        ),
        Cause.HOST: "The host or its driver: both arms moved alike and their ratio did not.",
        Cause.UNCLEAR: "Unclear: the three series fit none of the known patterns.",
        Cause.NONE: "",
    }[finding.cause]


def _number(change: Change, finding: Finding) -> Number:
    nights = f"{change.tail} after {change.nights}"
    return Number(
        SERIES[change.series],
        _value(change, change.mean),
        _value(change, change.level),
        signed_percent(change.change),
        nights,
    )


def _value(change: Change, value: float) -> str:
    if change.series is Series.RATIO:
        return f"{value:.4f}"
    shown, unit = (value * 1e3, "ms") if value < 1 else (value, "s")
    return f"{f'{shown:#.4g}'.rstrip('.')} {unit}"
