"""`report check`: every pair of one night, as a Verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import BenchError
from harness.schema.verdict import Finding, FindingState, Verdict, VerdictCode
from report.analysis.provenance_diff import differences
from report.loading.runs import Run
from report.regressions.acknowledged import Acknowledgement, latest_for
from report.regressions.inference import dropped_inference, inference_histories, inference_nights_of
from report.regressions.judge import judge
from report.regressions.nights import (
    AGAIN,
    Key,
    MeasureName,
    Night,
    dropped,
    histories,
    key_of,
    nights_among,
    nights_of,
)
from report.regressions.reproduce import reproduce_command
from report.regressions.thresholds import CheckConfig

MOST_DIFFERENCES = 30


@dataclass(frozen=True)
class Rules:
    """What a check goes by."""

    config: CheckConfig = field(default_factory=CheckConfig)
    acknowledged: Sequence[Acknowledgement] = ()
    measure: MeasureName = "steady_state"


@dataclass
class _Check:
    tonight: Run
    rules: Rules
    past: dict[Key, list[Night]]
    again: dict[Key, Night] | None
    problems: list[str]


def check(
    runs: Sequence[Run],
    rules: Rules,
    night: str | None = None,
    again: Run | None = None,
    problems: Sequence[str] = (),
) -> Verdict:
    """Judge every pair of a night by the nights before it.

    So is inference, after the pairs, by engines, arm and batch size, whatever measure the rules ask
    for.

    Args:
        runs: The history, the night among it.
        rules: What the check goes by.
        night: The name of the night's run; None: the newest night.
        again: The night's second run; None: the run among `runs` that is called NIGHT-again, if
            there is one.
        problems: What could not be read of the runs, for the verdict to say first.

    Raises:
        BenchError: There is no such night.
    """
    nights = nights_among(runs)
    place = _place(nights, night)
    tonight, earlier = nights[place], nights[:place]
    if again is None:
        again = next((run for run in runs if run.info.run == tonight.info.run + AGAIN), None)
    comparable = rules.config.comparable
    past = {
        **histories(earlier, rules.measure, comparable),
        **inference_histories(earlier, comparable),
    }

    def nights_in(run: Run) -> list[Night]:
        return [
            *nights_of(run, rules.measure, comparable),
            *inference_nights_of(run, comparable, past),
        ]

    second = None if again is None else {key_of(one.pair): one for one in nights_in(again)}
    checking = _Check(tonight, rules, past, second, list(problems))
    here = nights_in(tonight)
    findings = [_finding(checking, one) for one in here if _asked(checking, one)]
    gone = {
        "this pair": dropped(tonight, earlier),
        "inference of this arm and batch size": dropped_inference(tonight, here, earlier, past),
    }
    for what, pairs in gone.items():
        for pair in pairs:
            nights_before = past[key_of(pair)]
            why = f"{what} is not part of tonight's run"
            findings.append(_missing(nights_before[-1], tonight, why, _last_result(nights_before)))
    if not findings:
        checking.problems.append(f"{tonight.info.run} declares no pair: nothing to judge")
    return Verdict(
        run=tonight.info.run,
        created_at=tonight.info.created_at,
        findings=findings,
        problems=checking.problems,
        exit_code=_exit_code(findings),
    )


def _place(nights: Sequence[Run], name: str | None) -> int:
    if not nights:
        raise BenchError(
            "no night here: no measured run with a date",
            fix="name a folder of runs that `harness run` made",
        )
    if name is None:
        return len(nights) - 1
    for place, run in enumerate(nights):
        if name in (run.info.run, run.folder.name):
            return place
    known = ", ".join(run.info.run for run in nights[-10:])
    raise BenchError(
        "no such night", place=name, fix=f"one of the nights of this history, such as {known}"
    )


def _asked(checking: _Check, tonight: Night) -> bool:
    """Whether the pair has this measure at all: jobs that take turns have no time end to end."""
    return (
        tonight.gain is not None
        or _last_result(checking.past.get(key_of(tonight.pair), [])) is not None
    )


def _last_result(past: Sequence[Night]) -> Night | None:
    return next((one for one in reversed(past) if one.point is not None), None)


def _finding(checking: _Check, tonight: Night) -> Finding:
    rules = checking.rules
    past = checking.past.get(key_of(tonight.pair), [])
    if tonight.left_out:
        checking.problems.append(
            f"{_name(tonight)}: some replicates do not count: {tonight.left_out}"
        )
    if tonight.point is None or tonight.setting is None:
        return _missing(
            tonight,
            checking.tonight,
            tonight.why or "no replicate of both arms",
            _last_result(past),
        )
    alike = [one for one in past if one.point is not None and one.setting == tonight.setting]
    accepted = latest_for(tonight.pair, tonight.created_at, rules.acknowledged)
    kept = [one for one in alike if accepted is None or one.created_at >= accepted.since]
    points = [one.point for one in (*kept, tonight) if one.point is not None]
    others = [one for one in past if one.point is not None and one.setting != tonight.setting]
    said = _of_others(tonight, others, alike)
    accepted_since = accepted.since.isoformat(timespec="seconds") if accepted else ""
    if accepted is not None and len(kept) < len(alike):
        said.append(
            f"{len(alike) - len(kept)} nights before {accepted.since:%Y-%m-%d} are set aside: "
            f"{accepted.reason}"
        )
    if not kept:
        last = alike[-1] if alike else others[-1] if others else None
        reason = "; ".join(["no earlier night to compare with", *said])
        return _described(
            tonight,
            FindingState.NOT_ENOUGH_NIGHTS,
            reason,
            history=points,
            accepted_since=accepted_since,
            different=_in_words(last.run, tonight.run) if last else [],
        )
    second = _second(checking, tonight)
    found = judge(points, rules.config.thresholds, second.point if second else None)
    since = points[len(points) - found.tail].run if found.tail else None
    last_good = kept[len(points) - found.tail - 1] if found.tail else kept[-1]
    steady = found.state is FindingState.STEADY
    return _described(
        tonight,
        found.state,
        "; ".join([found.reason, *said]),
        cause=found.cause,
        since=since,
        last_good=last_good.name,
        changes=found.changes,
        confirmed=found.confirmed,
        level_from=found.level[0].created_at if found.level else "",
        level_to=found.level[1].created_at if found.level else "",
        accepted_since=accepted_since,
        flips=found.flips,
        measure_again=found.alarm and checking.again is None,
        history=points,
        different=[] if steady else _in_words(last_good.run, tonight.run),
    )


def _second(checking: _Check, tonight: Night) -> Night | None:
    """The second run of a pair, if it has a result that can be compared."""
    if checking.again is None or (second := checking.again.get(key_of(tonight.pair))) is None:
        return None
    if second.point is None or second.setting is None:
        checking.problems.append(
            f"{_name(tonight)}: the second run has no result: {second.why or 'no replicate'}"
        )
        return None
    if second.setting != tonight.setting:
        changed = "; ".join(second.setting.against(tonight.setting)) if tonight.setting else ""
        checking.problems.append(f"{_name(tonight)}: the second run is not comparable: {changed}")
        return None
    return second


def _of_others(tonight: Night, others: Sequence[Night], alike: Sequence[Night]) -> list[str]:
    """What to say of nights that are not compared."""
    if not others or tonight.setting is None or others[-1].setting is None:
        return []
    nights = f"{len(others)} earlier night{'s' * (len(others) != 1)}"
    if alike and others[-1].created_at < alike[-1].created_at:
        return [f"{nights} on other hosts or settings are not compared"]
    return [
        f"{nights} not compared, for since then "
        f"{'; '.join(tonight.setting.against(others[-1].setting))}"
    ]


def _missing(shown: Night, tonight: Run, why: str, last: Night | None) -> Finding:
    """A pair without a result; `shown`: the night that declares it, `last`: the last one that had a
    result.
    """
    hosts = (night.setting.label for night in (last, shown) if night and night.setting)
    return _described(
        shown,
        FindingState.MISSING,
        f"no result tonight: {why}",
        run=tonight.info.run,
        host=next(hosts, ""),
        last_good=last.name if last else None,
        gain=None,
        gain_low=None,
        gain_high=None,
        different=_in_words(last.run, tonight) if last else [],
    )


def _described(night: Night, state: FindingState, reason: str, **evidence: Any) -> Finding:
    """The finding of a night's pair. `evidence`: fields of Finding, in place of the night's own."""
    workload, baseline, candidate = key_of(night.pair)
    value, low, high = night.gain.throughput if night.gain else (None, None, None)
    own: dict[str, Any] = {
        "workload": workload,
        "baseline": baseline,
        "candidate": candidate,
        "measure": night.measure,
        "measured_by": ":".join(key_of(night.declared)) if night.declared else "",
        "host": night.setting.label if night.setting else "",
        "state": state,
        "reason": reason,
        "run": night.name,
        "gain": value,
        "gain_low": low,
        "gain_high": high,
        "reproduce": reproduce_command(night.run.info, night.declared or night.pair),
    }
    return Finding(**{**own, **evidence})


def _in_words(earlier: Run, tonight: Run) -> list[str]:
    """What is recorded of both runs and is not the same: "packages: torch: 2.5.1 → 2.6.0"."""
    between = differences(earlier, tonight)
    said = [f"{one.group}: {one.key}: {_value(one.a)} → {_value(one.b)}" for one in between.found]
    said += [
        f"{group}: not recorded in {'it' if run == 'A' else 'tonight'}"
        for group, run in between.unrecorded
    ]
    return (
        said
        if len(said) <= MOST_DIFFERENCES
        else [*said[:MOST_DIFFERENCES], f"{len(said) - MOST_DIFFERENCES} more"]
    )


def _value(value: object) -> str:
    return "none" if value is None else str(value)


def _name(night: Night) -> str:
    workload, baseline, candidate = key_of(night.pair)
    return f"{workload}: {candidate} over {baseline}"


def _exit_code(findings: Sequence[Finding]) -> VerdictCode:
    states = {finding.state for finding in findings}
    if FindingState.REGRESSION in states:
        return VerdictCode.REGRESSION
    judged = any(finding.changes for finding in findings)
    if judged and FindingState.MISSING not in states:
        return VerdictCode.NOTHING_WORSE
    return VerdictCode.NO_JUDGEMENT
