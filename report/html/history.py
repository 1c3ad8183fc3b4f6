"""Several nights of one suite on one host: the verdict on the last one, and all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import BenchError
from harness.schema.verdict import Finding, FindingState, Verdict, VerdictCode
from report.html.links import replicates_id, run_id
from report.loading.runs import Run
from report.regressions.check import Rules, check
from report.regressions.nights import AGAIN, Night, histories, histories_among, nights_among
from report.regressions.text import ORDER
from report.tables.gain_rows import gain_rows
from report.tables.gains import pair_label_of
from report.text import in_one_line, seconds, signed_percent

COLOURS = {  # classes of the states
    FindingState.REGRESSION: "bad",
    FindingState.STEADY: "good",
    FindingState.IMPROVEMENT: "good",
}


WORDS = {FindingState.NOT_ENOUGH_NIGHTS: "with not enough nights"}  # after a number of pairs


@dataclass(frozen=True)
class FindingLine:
    """What became of one pair in the last night. `replicates`: the id of that night's."""

    state: str
    colour: str
    pair: str
    cause: str
    reason: str
    since: str
    since_id: str
    replicates: str


@dataclass(frozen=True)
class NightLine:
    """One night of one pair. Texts; `id`: of the night's panel, `replicates`: of its replicates."""

    run: str
    id: str
    date: str
    commit: str
    pair: str
    baseline: str
    candidate: str
    gain: str
    sort: str
    why: str
    replicates: str


@dataclass(frozen=True)
class SuiteHistory:
    """The nights of a suite on a host, with the verdict on the last one.

    Attributes:
        suite: Its name.
        nights: How many nights there are, without second runs.
        first: The date of the first one, and `last` of the last one.
        tonight: The last night's run.
        runs: Names of all runs in it, second runs included.
        summary: The verdict in a line.
        worst: The class of its worst state.
        findings: The pairs of the last night, the worst first.
        lines: Every night of every pair, the newest first.
        problems: What the check says could not be judged.
    """

    suite: str
    nights: int
    first: str
    last: str
    tonight: Run
    runs: frozenset[str]
    summary: str
    worst: str
    findings: tuple[FindingLine, ...]
    lines: tuple[NightLine, ...]
    problems: tuple[str, ...]
    found: tuple[Finding, ...]


def courses_among(runs: Sequence[Run], rules: Rules) -> list[SuiteHistory]:
    """A course for every history (`are_kin`) with two nights or more, the latest first."""
    groups = histories_among(nights_among(runs))
    courses = [_course(group, runs, rules) for group in groups if len(group) > 1]
    return sorted(courses, key=lambda course: course.last, reverse=True)


def _course(group: Sequence[Run], runs: Sequence[Run], rules: Rules) -> SuiteHistory:
    names = {run.info.run for run in group}
    seconds_run = [
        run for run in runs if run.info.run.removesuffix(AGAIN) in names - {run.info.run}
    ]
    tonight = group[-1]
    try:
        verdict = check([*group, *seconds_run], rules, tonight.info.run)
    except BenchError as error:
        verdict = Verdict(
            run=tonight.info.run,
            created_at=tonight.info.created_at,
            findings=[],
            problems=[str(error)],
            exit_code=VerdictCode.NO_JUDGEMENT,
        )
    found = sorted(verdict.findings, key=lambda finding: ORDER.index(finding.state))
    labels = _labels(group)
    return SuiteHistory(
        suite=tonight.info.suite,
        nights=len(group),
        first=group[0].info.created_at[:10],
        last=tonight.info.created_at[:16].replace("T", " "),
        tonight=tonight,
        runs=frozenset({*names, *(run.info.run for run in seconds_run)}),
        summary=_summary(found),
        worst=COLOURS.get(found[0].state, "telling") if found else "telling",
        findings=tuple(_finding(finding, labels) for finding in found),
        lines=tuple(_lines(group, rules, labels)),
        problems=tuple(map(in_one_line, verdict.problems)),
        found=tuple(found),
    )


def _labels(group: Sequence[Run]) -> dict[tuple[str, str, str], str]:
    """How tables call each pair."""
    label = pair_label_of(group)
    return {
        (row.workload, row.baseline, row.candidate): f"{row.workload}: {label(row)}"
        for run in group
        for row in gain_rows(run)
    }


def _summary(found: Sequence[Finding]) -> str:
    counted = Counter(finding.state for finding in found)
    return (
        ", ".join(
            f"{counted[state]} {WORDS.get(state, state)}" for state in ORDER if counted[state]
        )
        or "no pair to judge"
    )


def _name(
    workload: str, baseline: str, candidate: str, labels: dict[tuple[str, str, str], str]
) -> str:
    key = (workload, baseline, candidate)
    return labels.get(key, f"{workload}: {candidate} over {baseline}")


def _finding(finding: Finding, labels: dict[tuple[str, str, str], str]) -> FindingLine:
    since = finding.since or ""
    return FindingLine(
        state=finding.state,
        colour=COLOURS.get(finding.state, "telling"),
        pair=_name(finding.workload, finding.baseline, finding.candidate, labels),
        cause=finding.cause,
        reason=in_one_line("; ".join(filter(None, [finding.reason, finding.flips]))),
        since=since,
        since_id=run_id(since) if since else "",
        replicates=replicates_id(
            finding.run, finding.workload, finding.candidate, finding.baseline
        ),
    )


def _lines(
    group: Sequence[Run], rules: Rules, labels: dict[tuple[str, str, str], str]
) -> list[NightLine]:
    of_pairs = histories(group, rules.measure, rules.config.comparable)
    return [
        _night(night, labels.get(key, " over ".join(key)))
        for key, nights in of_pairs.items()
        for night in reversed(nights)
    ]


def _night(night: Night, pair: str) -> NightLine:
    point = night.point
    gain = None if point is None else point.baseline_s / point.candidate_s - 1
    return NightLine(
        run=night.name,
        id=run_id(night.name),
        date=night.run.info.created_at[:16].replace("T", " "),
        commit=str(night.run.info.git.get("commit") or ""),
        pair=pair,
        baseline="" if point is None else seconds(point.baseline_s),
        candidate="" if point is None else seconds(point.candidate_s),
        gain="" if gain is None else signed_percent(gain),
        sort="" if gain is None else repr(gain),
        why=in_one_line(night.why),
        replicates=replicates_id(
            night.name, night.pair.workload, night.pair.candidate, night.pair.baseline
        ),
    )


def slower_since(courses: Sequence[SuiteHistory], elsewhere: bool) -> list[str]:
    """Whether anything became slower, in sentences."""
    if not courses:
        there = "; its history has a page of its own" if elsewhere else ""
        return [f"Not known from one run: nothing earlier of this suite is here{there}."]
    said = []
    for course in courses:
        whose = f"{course.suite}: " if len(courses) > 1 else ""
        slower = [each for each in course.findings if each.state == FindingState.REGRESSION]
        missing = [each for each in course.findings if each.state == FindingState.MISSING]
        for each in slower:
            since = f" since {each.since}" if each.since else ""
            said.append(f"{whose}Yes: {each.pair}, {each.cause}{since}.")
        if missing:
            pairs = (
                "1 pair, which has" if len(missing) == 1 else f"{len(missing)} pairs, which have"
            )
            said.append(f"{whose}Not known of {pairs} no result in the last night.")
        if not slower and not missing:
            few = all(each.state == FindingState.NOT_ENOUGH_NIGHTS for each in course.findings)
            said.append(
                f"{whose}Not known yet: {course.nights} nights are too few to tell."
                if few
                else f"{whose}No: {course.summary}, against the {course.nights - 1} nights since "
                f"{course.first}."
            )
    return said
