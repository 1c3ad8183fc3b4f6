"""How training scales: the same model, task, settings and arm by more processes, the batch of each
process the same.

That is weak scaling: the global batch grows with the processes. Speed-up is the throughput (samples
per second of all ranks in the steady state) over that of the fewest processes the run has of the
same work; efficiency is the speed-up over the ratio of processes, 1 if nothing is lost. Replicates
by different numbers of processes are independent: they run in workloads of their own, one after the
other, and nothing makes replicate k of one and replicate k of the other alike. So the interval is
Welch's, of the difference of mean ln(throughput), transformed through exp.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

from harness.schema.record import JobRecord
from report.analysis.metrics import (
    ENERGY_PER_SAMPLE,
    ESSENTIAL,
    NO_FIGURE,
    STEADY_SAMPLES_PER_S,
    Figure,
)
from report.analysis.replicates import Replicates, arms_of, counting
from report.analysis.statistics import Estimate, usable, welch_interval
from report.loading.runs import Run
from report.tables.arm_rows import arm_rows
from report.tables.columns import (
    ATTENTION,
    BATCH,
    GPU,
    MODEL,
    PRECISION,
    STATE,
    TASK,
    Column,
    count_column,
    figure_column,
    format_number,
    fraction_column,
    has_open_ratio,
    run_column,
    split_facts,
    text,
)
from report.tables.footnotes import merge_notes, source_notes
from report.tables.rows import ScalingRow, extended
from report.tables.table import Table, TablePart, make_table, part_of

LEGEND = (
    "samples/s are of all processes, each step as long as on its slowest rank; the batch of each "
    "process is the same "
    "(weak scaling)",
    "efficiency: the speed-up over the ratio of processes; 95% intervals are Welch's, of the "
    "difference of mean "
    "ln(samples/s): replicates by different numbers of processes are independent",
)
_NODES: Column[ScalingRow] = Column("Nodes", text(lambda row: row.nodes), right=True)


def scaling(run: Run) -> TablePart[ScalingRow]:
    """Every arm that trained the same by different numbers of processes."""
    rows = scaling_rows(run)
    return part_of(run, rows, source_notes(run) if rows else [], usual=bool(rows))


def scaling_tables(parts: Sequence[TablePart[ScalingRow]]) -> list[Table[ScalingRow]]:
    """The table of `scaling`."""
    rows = [row for part in parts for row in part.rows]
    seen = {(row.run, row.workload, row.processes, row.backend) for row in rows}
    by_name = len(seen) < len(rows)  # backends do not tell the arms of a workload apart
    facts, shared = split_facts(
        rows, (TASK, PRECISION, BATCH, *(() if by_name else (ATTENTION,)), GPU)
    )
    throughput = figure_column(STEADY_SAMPLES_PER_S, "Samples(/s)")
    columns: list[Column[ScalingRow]] = [
        *run_column(rows),
        MODEL,
        Column("Arm", lambda row: row.arm, importance=ESSENTIAL)
        if by_name
        else Column("Backend", lambda row: row.backend),
        *facts,
        Column("Processes", text(lambda row: row.processes), right=True, importance=ESSENTIAL),
        *([_NODES] if any(row.nodes != 1 for row in rows) else []),
        replace(throughput, importance=ESSENTIAL),
        Column("Speed-up", lambda row: format_number(row.speed_up.value, digits=3), right=True),
        fraction_column(
            "Efficiency", rows, lambda row: row.scaling_efficiency, opened=has_open_ratio
        ),
        replace(figure_column(ENERGY_PER_SAMPLE), optional=True),
        count_column(),
        STATE,
    ]
    notes = merge_notes([(part.run, part.notes) for part in parts], LEGEND if rows else ())
    return [make_table("scaling", f"Scaling over processes{shared}:", columns, rows, notes)]


def scaling_rows(run: Run) -> list[ScalingRow]:
    """One row per arm and number of processes, where there are several."""
    replicates = arms_of(run).replicates
    works = {key: _work(next(iter(jobs.values()))) for key, jobs in replicates.items() if jobs}
    rows: list[ScalingRow] = []
    figures = (STEADY_SAMPLES_PER_S, ENERGY_PER_SAMPLE)
    for row in arm_rows(run, figures, needs=(STEADY_SAMPLES_PER_S,)):
        key = row.workload, row.arm
        alike = [other for other, work in works.items() if work == works.get(key)]
        sizes = {other: _processes(replicates[other]) for other in alike}
        if len(set(sizes.values())) > 1:
            fewest = replicates[min(alike, key=lambda other: sizes[other])]
            launch = next(iter(replicates[key].values())).workload.launch
            speed_up = _speed_up(fewest, replicates[key])
            rows.append(
                extended(
                    row,
                    ScalingRow,
                    processes=launch.world_size,
                    nodes=launch.nodes,
                    speed_up=_transformed(speed_up, 1.0),
                    scaling_efficiency=_transformed(
                        speed_up, 1 / (launch.world_size / _processes(fewest))
                    ),
                )
            )
    order = {arm: place for place, arm in enumerate(dict.fromkeys((r.model, r.arm) for r in rows))}
    return sorted(rows, key=lambda row: (order[row.model, row.arm], str(row.task), row.processes))


def _work(job: JobRecord) -> str:
    """What was trained with what, but for the number of processes."""
    workload = job.workload
    parts = (workload.model, workload.task, workload.training, job.arm)
    return json.dumps([part.model_dump(mode="json") for part in parts], sort_keys=True)


def _processes(replicates: Replicates) -> int:
    return next(iter(replicates.values())).workload.launch.world_size


def _speed_up(fewest: Replicates, replicates: Replicates) -> Estimate | None:
    """The difference of mean ln(throughput) to that of the fewest processes; None where one of them
    has no throughput.
    """
    ones, others = _log_rates(replicates), _log_rates(fewest)
    if not ones or not others:
        return None
    return Estimate(1, 0.0) if replicates is fewest else welch_interval(ones, others)


def _transformed(speed_up: Estimate | None, factor: float) -> Figure:
    if speed_up is None:
        return NO_FIGURE
    ends = (speed_up.mean, speed_up.low, speed_up.high)
    return Figure.of(*(None if end is None else math.exp(end) * factor for end in ends))


def _log_rates(replicates: Replicates) -> list[float]:
    counted = counting(replicates.values())
    return [math.log(rate) for job in counted if usable(rate := STEADY_SAMPLES_PER_S.read(job))]
