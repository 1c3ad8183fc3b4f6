"""Views with a row per arm: runtimes, steady state, what the machine did.

Runtimes: Model | Backend | Runtime(s) | Train samples(/s), as Optimum publishes them, then
interval, n and state. What all rows share stands in the title; what varies has a column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from harness.schema.compiled import began_again
from harness.schema.record import JobRecord
from report.analysis import metrics
from report.analysis.metrics import DETAIL, ESSENTIAL, NORMAL, Figure
from report.analysis.replicates import arms_of, is_result, only_interleaved
from report.analysis.utilization import is_measured, is_on_gpu
from report.loading.runs import Run
from report.tables import utilization
from report.tables.arm_rows import arm_rows, counted_rows, figure_means
from report.tables.columns import (
    ATTENTION,
    BATCH,
    GPU,
    MODEL,
    PRECISION,
    STATE,
    TASK,
    TELLING_STATE,
    Column,
    Fact,
    backends_are_shared,
    count_column,
    figure_column,
    figure_columns,
    interval_columns,
    run_column,
    split_facts,
    workload_column,
)
from report.tables.footnotes import (
    cache_notes,
    disturbance_notes,
    merge_notes,
    runtime_notes,
    several_groups_notes,
    source_notes,
    telemetry_notes,
)
from report.tables.rows import ArmRow, TrainedRow, UtilizationRow
from report.tables.table import Table, TablePart, make_table, part_of

R = TypeVar("R")
T = TypeVar("T", bound=ArmRow | UtilizationRow)
ARM: Column[TrainedRow] = Column("Arm", lambda row: row.arm, importance=ESSENTIAL)
BACKEND: Column[TrainedRow] = Column("Backend", lambda row: row.backend, importance=ESSENTIAL)


def runtimes(run: Run) -> TablePart[ArmRow]:
    """End to end, every arm of every workload; jobs that took turns on the device have no such
    time.
    """
    turns = only_interleaved(run)
    figures = (*metrics.END_TO_END, metrics.GPU_UTILIZATION)
    needs = (metrics.RUNTIME, metrics.TRAIN_SAMPLES_PER_S)
    return part_of(
        run,
        [] if turns else arm_rows(run, figures, needs),
        runtime_notes(run),
        usual=not turns,
    )


def runtime_tables(parts: Sequence[TablePart[ArmRow]]) -> list[Table[ArmRow]]:
    """The table of `runtimes`."""
    rows = rows_of(parts)
    facts, shared = split_facts(rows, (TASK, PRECISION, BATCH, ATTENTION))
    shown = [metric for metric in metrics.END_TO_END if metric.header]
    utilized = figure_column(metrics.GPU_UTILIZATION, "GPU util(%)")
    columns: list[Column[ArmRow]] = [
        *run_column(rows),
        MODEL,
        BACKEND,
        *map(figure_column, shown),
        *interval_columns(shown),
        replace(utilized, optional=True, importance=NORMAL),
        count_column(optional=True),
        *([ARM] if backends_are_shared(rows) else []),
        *facts,
        *workload_column(rows),
        STATE,
    ]
    return [
        make_table(
            "runtimes",
            f"Training time by model and backend{shared}:",
            columns,
            rows,
            notes_of(parts),
        )
    ]


def steady(run: Run) -> TablePart[ArmRow]:
    """Set-up and steady state of every measured arm; publications have neither."""
    needs = (metrics.STEADY_STEP, metrics.STEADY_SAMPLES_PER_S)
    found = [
        (row, _cold_setup(run, row, counted))
        for row, counted in counted_rows(run, metrics.STEADY_STATE, needs)
        if row.source == "measured"
    ]
    rows = [row for row, _ in found]
    if any(cold.value is not None for _, cold in found):
        rows = [
            replace(row, figures={metrics.COLD_SETUP: cold, **row.figures}) for row, cold in found
        ]
    usual = any(metrics.STEADY_STEP.read(job) is not None for job in run.jobs)
    notes = [
        *source_notes(run),
        *several_groups_notes(run),
        *disturbance_notes(run),
        *telemetry_notes(run),
        *cache_notes(run),
    ]
    return part_of(run, rows, notes, usual=usual)


def _cold_setup(run: Run, row: ArmRow, counted: Sequence[JobRecord]) -> Figure:
    """The set-up in which the arm compiled: of the results that do not count because of it, and
    of jobs that began again after it.
    """
    numbers = {job.replicate for job in counted}
    cold = [
        job
        for number, job in arms_of(run).replicates[row.workload, row.arm].items()
        if numbers and is_result(job) and (number not in numbers or began_again(job))
    ]
    return figure_means((metrics.COLD_SETUP,), cold)[metrics.COLD_SETUP]


def steady_tables(parts: Sequence[TablePart[ArmRow]]) -> list[Table[ArmRow]]:
    """The table of `steady`."""
    rows = rows_of(parts)
    facts, shared = arm_facts(rows)
    cold = any(row.figure(metrics.COLD_SETUP).value is not None for row in rows)
    setup, *others = figure_columns(metrics.STEADY_STATE)
    columns: list[Column[ArmRow]] = [
        *run_column(rows),
        MODEL,
        *facts,
        figure_column(metrics.COLD_SETUP),
        replace(setup, title=metrics.WARM_SETUP.header) if cold else setup,
        *others,
        count_column(),
        *workload_column(rows),
        TELLING_STATE,
    ]
    return [
        make_table("steady", f"Set-up and steady state{shared}:", columns, rows, notes_of(parts))
    ]


def machine_use(run: Run) -> TablePart[ArmRow | UtilizationRow]:
    """What the cards did in the steady state, and of runs on CPU what the processors did;
    publications have neither.
    """
    usual = any(job.telemetry and job.telemetry.gpus for job in run.jobs)
    if not is_measured(run):
        return part_of(run, [], [], usual=usual, kind="published")
    notes = utilization.gpu_notes(run)
    if is_on_gpu(run):
        return part_of(run, utilization.gpu_rows(run), notes, usual=usual, kind="gpu")
    return part_of(run, utilization.host_rows(run), notes, usual=usual, kind="host")


def machine_use_tables(
    parts: Sequence[TablePart[ArmRow | UtilizationRow]],
) -> list[Table[ArmRow | UtilizationRow]]:
    """The tables of `machine_use`, one of runs on GPUs and one of runs on CPU."""
    on_gpu = [part for part in parts if part.kind == "gpu"]
    on_cpu = [part for part in parts if part.kind == "host"]
    return [
        *(_gpu_tables(on_gpu) if on_gpu or not on_cpu else []),
        *(_host_tables(on_cpu) if on_cpu else []),
    ]


def _gpu_tables(
    parts: Sequence[TablePart[ArmRow | UtilizationRow]],
) -> list[Table[ArmRow | UtilizationRow]]:
    rows = rows_of(parts)
    facts, shared = arm_facts(rows, GPU)
    columns: list[Column[ArmRow | UtilizationRow]] = [
        *run_column(rows),
        MODEL,
        *facts,
        *figure_columns(metrics.GPU),
        Column("Kernels", _kernels, optional=True, importance=DETAIL),
        count_column(),
        *workload_column(rows),
        TELLING_STATE,
    ]
    notes = notes_of(parts, utilization.LEGEND if rows else ())
    return [make_table("gpu", f"GPU use in the steady state{shared}:", columns, rows, notes)]


def _kernels(row: ArmRow | UtilizationRow) -> str:
    return (row.kernels or "") if isinstance(row, UtilizationRow) else ""


def _host_tables(
    parts: Sequence[TablePart[ArmRow | UtilizationRow]],
) -> list[Table[ArmRow | UtilizationRow]]:
    rows = rows_of(parts)
    facts, shared = arm_facts(rows)
    columns: list[Column[ArmRow | UtilizationRow]] = [
        *run_column(rows),
        MODEL,
        *facts,
        *figure_columns(metrics.HOST),
        count_column(),
        *workload_column(rows),
        TELLING_STATE,
    ]
    notes = notes_of(parts, utilization.HOST_LEGEND)
    return [make_table("host", f"CPU use in the steady state{shared}:", columns, rows, notes)]


def rows_of(parts: Sequence[TablePart[R]]) -> list[R]:
    """The rows of all runs."""
    return [row for part in parts for row in part.rows]


def notes_of(parts: Sequence[TablePart[R]], legend: Sequence[str] = ()) -> list[str]:
    """The notes of all runs, with their names where they are not those of all."""
    return merge_notes([(part.run, part.notes) for part in parts], legend)


def arm_facts(
    rows: Sequence[T], *more: Fact[ArmRow | UtilizationRow]
) -> tuple[list[Column[T]], str]:
    """The columns that name an arm, and the title's words; the attention only where backends name
    the arms.
    """
    by_name = backends_are_shared(rows)
    columns, shared = split_facts(
        rows, (TASK, PRECISION, BATCH, *(() if by_name else (ATTENTION,)), *more)
    )
    return [ARM if by_name else BACKEND, *columns], shared
