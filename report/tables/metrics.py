"""What was learned: the metrics of every arm after training, mean over its replicates, beside the
level of chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.schema.record import JobRecord
from report.analysis.metrics import DETAIL, ESSENTIAL, finite
from report.analysis.outcome import no_result
from report.analysis.parity import score_name
from report.analysis.replicates import arms_of, is_result
from report.analysis.statistics import mean_interval
from report.loading.runs import Run
from report.tables.arm_rows import arm_rows, with_interval
from report.tables.arms import ARM, BACKEND
from report.tables.columns import (
    MODEL,
    PRECISION,
    TASK,
    TELLING_STATE,
    Column,
    backends_are_shared,
    count_column,
    run_column,
    split_facts,
    workload_column,
)
from report.tables.footnotes import merge_notes, source_notes
from report.tables.rows import ArmRow, MetricRow, extended
from report.tables.table import Table, TablePart, make_table, part_of
from report.text import four_decimals

LEGEND = (
    "metrics of the validation set after training, mean over the replicates that count, each from "
    "a "
    "seed of its own; "
    "chance: what a model reaches that ignores its input (accuracy: the most frequent class; F1: "
    "class 1 always, of "
    "entities none; correlations: 0; perplexity: every token by its frequency)",
)
MSE = (
    "mse: mean squared error, lower is better; its chance: the mean of the labels for every sample"
)


def metrics(run: Run) -> TablePart[MetricRow]:
    """Every metric of every arm; of runs that did not evaluate nothing. Jobs that took turns stop
    anywhere.
    """
    rows = metric_rows(run)
    errors = [MSE] if any(row.metric == "mse" for row in rows) else []
    notes = [*source_notes(run), *_scores(run), *errors] if rows else []
    usual = bool(rows) and any(
        job.main_metrics for job in run.jobs
    )  # earlier records: only where it is asked for
    return part_of(run, rows, notes, usual=usual, by_name=_by_name(run))


def metric_tables(parts: Sequence[TablePart[MetricRow]]) -> list[Table[MetricRow]]:
    """The table of `metrics`."""
    rows = [row for part in parts for row in part.rows]
    by_name = any(part.by_name for part in parts)
    facts, shared = split_facts(rows, (TASK, PRECISION))
    columns: list[Column[MetricRow]] = [
        *run_column(rows),
        MODEL,
        *facts,
        *workload_column(rows),
        Column("Metric", lambda row: row.metric, importance=ESSENTIAL),
        ARM if by_name else BACKEND,
        Column(
            "Value",
            lambda row: _decimal(row.metric_value.value),
            right=True,
            importance=ESSENTIAL,
        ),
        Column(
            "Value ±95%",
            lambda row: _decimal(row.metric_value.half_width),
            right=True,
            optional=True,
            importance=DETAIL,
        ),
        Column("Chance", lambda row: _decimal(row.chance), right=True, optional=True),
        count_column(),
        TELLING_STATE,
    ]
    notes = merge_notes([(part.run, part.notes) for part in parts], LEGEND if rows else ())
    return [make_table("metrics", f"Metrics after training{shared}:", columns, rows, notes)]


def metric_rows(run: Run) -> list[MetricRow]:
    """One row per metric and arm of every workload that was evaluated, a workload's arms side by
    side.
    """
    replicates = arms_of(run).replicates
    rows: list[MetricRow] = []
    arms: dict[str, list[ArmRow]] = {}
    for row in arm_rows(run, (), speed=False):
        arms.setdefault(row.workload, []).append(row)
    for workload, of_workload in arms.items():
        counted = {
            row.arm: [job for job in replicates[workload, row.arm].values() if _counts(job)]
            for row in of_workload
        }
        names = dict.fromkeys(
            name for jobs in counted.values() for job in jobs for name in job.metrics
        )
        rows += [
            _row(name, counted[row.arm], row)
            for name in names
            if not name.startswith("loss")
            for row in of_workload
        ]
    return rows


def _counts(job: JobRecord) -> bool:
    return is_result(job) and not job.group


def _row(name: str, jobs: Sequence[JobRecord], row: ArmRow) -> MetricRow:
    """The mean of a metric over an arm's replicates; none if it is not a number in one of them,
    which `outcome` says.
    """
    values = [job.metrics[name] for job in jobs if name in job.metrics]
    undefined = sum(not math.isfinite(value) for value in values)
    told = {job.chance[name] for job in jobs if name in job.chance}
    outcome = row.outcome
    if undefined:
        outcome = no_result(f"{name} is not defined in {undefined} of {len(values)} replicates")
    elif not values and outcome.ok:
        outcome = no_result("not evaluated")
    return extended(
        row,
        MetricRow,
        metric=name,
        metric_value=with_interval(mean_interval(values) if values and not undefined else None),
        chance=finite(told.pop()) if len(told) == 1 else None,
        outcome=outcome,
    )


def _decimal(value: float | None) -> str:
    return "" if value is None else four_decimals(value)


def _by_name(run: Run) -> bool:
    return backends_are_shared(arm_rows(run, ()))


def _scores(run: Run) -> list[str]:
    """What the score of a task is where it has more than one metric: that is what parity
    compares.
    """
    tasks: dict[tuple[str, ...], dict[str, None]] = {}
    for job in run.jobs:
        if len(job.main_metrics) > 1:
            tasks.setdefault(tuple(job.main_metrics), {})[job.workload.task.name] = None
    return [f"score of {', '.join(names)}: {score_name(of)}" for of, names in tasks.items()]
