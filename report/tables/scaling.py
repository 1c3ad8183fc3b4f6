"""How training scales: the same model, task, settings and arm by more processes, the batch of each
process the same.

That is weak scaling: the global batch grows with the processes. Speed-up is the throughput (samples
per second of all ranks in the steady state) over that of the fewest processes the run has of the
same work; efficiency is the speed-up over the ratio of processes, 1 if nothing is lost. Launches by
different numbers of processes are independent: they run in workloads of their own, one after the
other, and nothing makes launch k of one and launch k of the other alike. So the interval is
Welch's, of the difference of mean ln(throughput), transformed through exp.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from harness.schema.record import JobRecord
from report.analysis.launches import OK, Launches, arms_of, verdict
from report.analysis.statistics import Estimate, usable, welch_interval
from report.loading.runs import Run
from report.tables.columns import (
    ATTENTION,
    BATCH,
    ESSENTIAL,
    GPU,
    PRECISION,
    TASK,
    Column,
    backends_are_shared,
    count,
    interval,
    number,
    percent,
    run_column,
    split_facts,
    state,
    text,
)
from report.tables.footnotes import merge_notes, source_notes
from report.tables.rows import STEADY_STATE, Figure, Row, arm_rows, finite
from report.tables.table import Part, Table, make_table, part_of

FIGURES = (
    *(figure for figure in STEADY_STATE if figure.key == "steady_samples_per_s"),
    Figure(
        "joules_per_sample", lambda job: job.telemetry.joules_per_sample if job.telemetry else None
    ),
)
LEGEND = (
    "samples/s are of all processes, each step as long as on its slowest rank; the batch of each "
    "process is the same "
    "(weak scaling)",
    "efficiency: the speed-up over the ratio of processes; 95% intervals are Welch's, of the "
    "difference of mean "
    "ln(samples/s): launches by different numbers of processes are independent",
)


def scaling(run: Run) -> Part:
    """Every arm that trained the same by different numbers of processes."""
    rows = scaling_rows(run)
    return part_of(run, rows, source_notes(run) if rows else [], usual=bool(rows))


def scaling_tables(parts: Sequence[Part]) -> list[Table]:
    """The table of `scaling`."""
    rows = [row for part in parts for row in part.rows]
    by_name = backends_are_shared(
        [{**row, "workload": f"{row['workload']}/{row['processes']}"} for row in rows]
    )
    facts, shared = split_facts(
        rows, (TASK, PRECISION, BATCH, *(() if by_name else (ATTENTION,)), GPU)
    )
    columns = [
        *run_column(rows),
        Column("Model", text("model"), importance=ESSENTIAL),
        Column("Arm", text("arm"), importance=ESSENTIAL)
        if by_name
        else Column("Backend", text("backend")),
        *facts,
        Column("Processes", text("processes"), right=True, importance=ESSENTIAL),
        *(
            [Column("Nodes", text("nodes"), right=True)]
            if any(row["nodes"] != 1 for row in rows)
            else []
        ),
        Column("Samples(/s)", number("steady_samples_per_s"), right=True, importance=ESSENTIAL),
        Column("Speed-up", number("speed_up", digits=3), right=True),
        Column("Efficiency", percent("scaling_efficiency"), right=True, importance=ESSENTIAL),
        Column("Efficiency 95%", interval("scaling_efficiency"), right=True, optional=True),
        Column("J/sample", number("joules_per_sample"), right=True, optional=True),
        Column("n", count, right=True),
        Column("State", state, importance=ESSENTIAL),
    ]
    notes = merge_notes([(part.run, part.notes) for part in parts], LEGEND if rows else ())
    return [make_table("scaling", f"Scaling over processes{shared}:", columns, rows, notes)]


def scaling_rows(run: Run) -> list[Row]:
    """One row per arm and number of processes, where there are several. Keys: rows.KEYS."""
    launches = arms_of(run).launches
    works = {key: _work(next(iter(jobs.values()))) for key, jobs in launches.items() if jobs}
    rows: list[Row] = []
    for row in arm_rows(run, FIGURES, needs=("steady_samples_per_s",)):
        key = str(row["workload"]), str(row["arm"])
        alike = [other for other, work in works.items() if work == works.get(key)]
        sizes = {other: _processes(launches[other]) for other in alike}
        if len(set(sizes.values())) > 1:
            fewest = min(alike, key=lambda other: sizes[other])
            rows.append(row | _scaled(launches[fewest], launches[key]))
    order = {
        arm: place
        for place, arm in enumerate(dict.fromkeys((row["model"], row["arm"]) for row in rows))
    }
    return sorted(
        rows, key=lambda row: (order[row["model"], row["arm"]], str(row["task"]), row["processes"])
    )


def _work(job: JobRecord) -> str:
    """What was trained with what, but for the number of processes."""
    workload = job.workload
    parts = (workload.model, workload.task, workload.training, job.arm)
    return json.dumps([part.model_dump(mode="json") for part in parts], sort_keys=True)


def _processes(launches: Launches) -> int:
    return next(iter(launches.values())).workload.launch.world_size


def _scaled(fewest: Launches, launches: Launches) -> Row:
    launch = next(iter(launches.values())).workload.launch
    ratio = launch.world_size / _processes(fewest)
    row: Row = {"processes": launch.world_size, "nodes": launch.nodes}
    speed_up: Estimate | None = Estimate(1, 0.0)
    if launches is not fewest:
        ones, others = _log_rates(launches), _log_rates(fewest)
        speed_up = welch_interval(ones, others) if ones and others else None
    elif not _log_rates(fewest):
        speed_up = None
    for key, factor in (("speed_up", 1.0), ("scaling_efficiency", 1 / ratio)):
        ends = (
            (None, None, None) if speed_up is None else (speed_up.mean, speed_up.low, speed_up.high)
        )
        for suffix, end in zip(("", "_low", "_high"), ends, strict=True):
            row[key + suffix] = None if end is None else finite(math.exp(end) * factor)
    return row


def _log_rates(launches: Launches) -> list[float]:
    counted = [job for job in launches.values() if verdict(job) == OK]
    return [math.log(rate) for job in counted if usable(rate := job.timing.steady_samples_per_s)]
