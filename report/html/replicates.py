"""The replicates that each gain comes from: both arms' times, the gain of each, and the commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from report.analysis.gains import END_TO_END, STEADY_STATE, Measure, ReplicateGain, replicate_gains
from report.analysis.metrics import RUNTIME, STEADY_STEP
from report.analysis.replicates import arms_of, names_of
from report.analysis.statistics import throughput_gain
from report.html.links import jobs_id, replicates_id
from report.loading.runs import Run
from report.tables.columns import format_number
from report.tables.gain_rows import gain_rows
from report.tables.gains import PairLabel, pair_label_of
from report.tables.rows import GainRow
from report.text import signed_percent

MAX_REPLICATES = 2000  # rows, some 500 bytes each
_METRICS = {STEADY_STATE: STEADY_STEP, END_TO_END: RUNTIME}


@dataclass(frozen=True)
class Timed:
    """The times of both arms in one replicate by one measure, and the gain. As text."""

    baseline: str
    candidate: str
    gain: str
    sort: str


@dataclass(frozen=True)
class ReplicateLine:
    """One replicate of one pair. `of`: the id that the pair's numbers link to; `id`: the same where
    the replicate is the pair's first. `replicate`: its number in the record, by which they are
    sorted; `name`: what it is called. `times`: by the key of the measure. `jobs`: ids of the jobs
    of baseline and candidate.
    """

    id: str
    of: str
    run: str
    workload: str
    pair: str
    replicate: int
    name: str
    times: Mapping[str, Timed]
    commit: str
    jobs: tuple[str, str]
    facets: dict[str, str]


def replicate_list(runs: Sequence[Run]) -> tuple[list[ReplicateLine], str]:
    """The replicates of all pairs that were measured, and what was left out of very many."""
    label = pair_label_of(runs)
    lines = [line for run in runs for line in _of_run(run, label)]
    if len(lines) <= MAX_REPLICATES:
        return lines, ""
    return (
        lines[:MAX_REPLICATES],
        f"{len(lines):,} replicates: the first {MAX_REPLICATES:,} are listed",
    )


def _of_run(run: Run, label: PairLabel) -> list[ReplicateLine]:
    if all(job.source == "published" for job in run.jobs):
        return []
    rows: dict[tuple[str, str, str], GainRow] = {}
    for row in gain_rows(run):
        rows.setdefault((row.workload, row.baseline, row.candidate), row)
    arms, names = arms_of(run), names_of(run)
    lines = []
    for pair in run.info.pairs:
        first = rows.get((pair.workload, pair.baseline, pair.candidate))
        if first is None or first.source == "published":
            continue
        of_pair = arms.of_pair(pair)
        found: dict[int, dict[str, Timed]] = {}
        for measure in _METRICS:
            for each in replicate_gains(measure, *of_pair):
                found.setdefault(each.replicate, {})[measure.key] = _timed(measure, each)
        target = replicates_id(run.info.run, pair.workload, pair.candidate, pair.baseline)
        for place, (number, times) in enumerate(sorted(found.items())):
            lines.append(
                ReplicateLine(
                    id="" if place else target,
                    of=target,
                    run=run.info.run,
                    workload=pair.workload,
                    pair=label(first),
                    replicate=number,
                    name=names[pair.workload].short(number),
                    times=times,
                    commit=str(run.info.git.get("commit") or ""),
                    jobs=(
                        jobs_id(run.info.run, pair.workload, pair.baseline),
                        jobs_id(run.info.run, pair.workload, pair.candidate),
                    ),
                    facets={"run": run.info.run, "model": first.model},
                )
            )
    return lines


def _timed(measure: Measure, each: ReplicateGain) -> Timed:
    metric = _METRICS[measure]
    gain = throughput_gain(each.log_ratio)
    return Timed(
        format_number(measure.time(each.baseline), metric.factor),
        format_number(measure.time(each.candidate), metric.factor),
        signed_percent(gain),
        repr(gain),
    )
