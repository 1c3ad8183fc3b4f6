"""Each pair over the runs of a folder: a night per run, with its times, or why it has none."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from harness.schema.record import JobRecord, Pair
from harness.schema.terms import suite_now
from harness.schema.verdict import FindingMeasure, Point
from report.analysis.gains import END_TO_END, STEADY_STATE, Gain, gains_of, matched
from report.analysis.inference import EngineComparison
from report.analysis.replicates import arms_of
from report.analysis.statistics import usable
from report.loading.aa_runs import same_host
from report.loading.runs import Run
from report.regressions.comparable import Setting, setting_of
from report.regressions.thresholds import Comparable

Key = tuple[str, str, str]  # workload, baseline, candidate
MeasureName = Literal["steady_state", "end_to_end"]
MEASURES = {"steady_state": STEADY_STATE, "end_to_end": END_TO_END}
AGAIN = "-again"  # the end of the name of a night's second run


@dataclass(frozen=True)
class Night:
    """One run of one pair. `point` is None where it has no result, and then `why` says why.

    `left_out`: which replicates do not count, and why, where others do. `setting` is None only
    where no replicate of both arms is there to tell it. `declared`: the pair of the run whose jobs
    measured it, where that is another (report.regressions.inference).
    """

    run: Run
    pair: Pair
    created_at: datetime
    point: Point | None
    setting: Setting | None
    gain: Gain | EngineComparison | None
    measure: FindingMeasure
    why: str = ""
    left_out: str = ""
    declared: Pair | None = None

    @property
    def name(self) -> str:
        """Of the run."""
        return self.run.info.run


def key_of(pair: Pair) -> Key:
    """What a pair is known by over nights."""
    return pair.workload, pair.baseline, pair.candidate


def time_of(run: Run) -> datetime | None:
    """When a run was made (UTC), or None: a publication, or not a time."""
    try:
        when = datetime.fromisoformat(run.info.created_at)
    except ValueError:
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def date_of(run: Run) -> datetime:
    """When a night was made (UTC). ValueError: a run that `nights_among` leaves out."""
    when = time_of(run)
    if when is None:
        raise ValueError(f"{run.info.run} has no date")
    return when


def nights_among(runs: Iterable[Run]) -> list[Run]:
    """The runs that are nights, oldest first: measured, with a date, and no second run
    (NIGHT-again).
    """
    dated = [
        (when, run.info.run, run)
        for run in runs
        if (when := time_of(run)) is not None
        and not run.info.run.endswith(AGAIN)
        and not (run.jobs and all(job.source == "published" for job in run.jobs))
    ]
    return [run for *_, run in sorted(dated, key=lambda entry: entry[:2])]


def nights_of(run: Run, measure: MeasureName, rules: Comparable) -> list[Night]:
    """Every pair that `run` declares, as a night. `run` must have a date (`nights_among`)."""
    when = date_of(run)
    gains = {key_of(gain.pair): gain for gain in gains_of(run) if gain.measure is MEASURES[measure]}
    return [
        _night(run, pair, when, gains.get(key_of(pair)), measure, rules) for pair in run.info.pairs
    ]


def histories(
    runs: Sequence[Run], measure: MeasureName, rules: Comparable
) -> dict[Key, list[Night]]:
    """All nights of each pair, oldest first, whatever host they were on. `runs` as `nights_among`
    orders them.
    """
    found: dict[Key, list[Night]] = {}
    for run in runs:
        for night in nights_of(run, measure, rules):
            found.setdefault(key_of(night.pair), []).append(night)
    return found


def dropped(tonight: Run, earlier: Sequence[Run]) -> list[Pair]:
    """Pairs that the last night of tonight's suite on tonight's host had and tonight's run does not
    declare.
    """
    kin = last_kin(tonight, earlier)
    declared = {key_of(pair) for pair in tonight.info.pairs}
    return [pair for pair in kin.info.pairs if key_of(pair) not in declared] if kin else []


def last_kin(tonight: Run, earlier: Sequence[Run]) -> Run | None:
    """The last of the nights before of tonight's suite on tonight's host. `earlier`: oldest
    first.
    """
    return next((run for run in reversed(earlier) if are_kin(run, tonight)), None)


def are_kin(run: Run, other: Run) -> bool:
    """Whether both are of one suite, on one host."""
    suites = [suite_now(each.info.suite) for each in (run, other)]
    return suites[0] == suites[1] and same_host(run.info.host, other.info.host)


def _night(
    run: Run, pair: Pair, when: datetime, gain: Gain | None, measure: MeasureName, rules: Comparable
) -> Night:
    baseline, candidate = arms_of(run).of_pair(pair)
    read = MEASURES[measure].time
    both = matched(baseline, candidate, read)
    some = both[0] if both else _any_of(list(baseline.values()), list(candidate.values()))
    setting = setting_of(run, some, rules, whole_jobs=measure == "end_to_end") if some else None
    why = (
        f"not measured {MEASURES[measure].label}"
        if gain is None
        else ""
        if gain.outcome.ok
        else str(gain.outcome)
    )
    point = None
    if both and not why:
        point = point_of(run, [(read(one) or 0.0, read(other) or 0.0) for one, other in both])
    left_out = gain.left_out if gain and point else ""
    return Night(run, pair, when, point, setting, gain, measure, why, left_out)


def point_of(run: Run, seconds: Sequence[tuple[float, float]]) -> Point:
    """The night's point: the means over replicates of what (baseline, candidate) took, and how far
    the replicates are apart.
    """
    baseline_s, candidate_s = (math.fsum(arm) / len(seconds) for arm in zip(*seconds, strict=True))
    return Point(
        run=run.info.run,
        created_at=run.info.created_at,
        commit=str(run.info.git.get("commit") or ""),
        baseline_s=baseline_s,
        candidate_s=candidate_s,
        replicates=len(seconds),
        spread=_spread(seconds),
    )


def _spread(seconds: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    if len(seconds) < 2 or not all(usable(time) for both in seconds for time in both):
        return None
    logs = [(math.log(one), math.log(other)) for one, other in seconds]
    return (
        statistics.stdev(one for one, _ in logs),
        statistics.stdev(other for _, other in logs),
        statistics.stdev(other - one for one, other in logs),
    )


def _any_of(
    one: Sequence[JobRecord], other: Sequence[JobRecord]
) -> tuple[JobRecord, JobRecord] | None:
    return (one[0], other[0]) if one and other else None
