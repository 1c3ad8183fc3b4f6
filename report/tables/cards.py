"""Card by card what each did while several trained a job together: an uneven one shows here, not in
the means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.schema.record import GpuTelemetry, JobRecord
from report.analysis.launches import OK, arms_of, verdict
from report.loading.runs import Run
from report.tables.arms import arm_facts, notes_of, rows_of
from report.tables.columns import (
    DETAIL,
    ESSENTIAL,
    GPU,
    Column,
    count,
    number,
    run_column,
    state_if_telling,
    text,
    workload_column,
)
from report.tables.rows import Figure, Row, arm_rows, figure_means
from report.tables.table import Part, Table, make_table, part_of

LEGEND = (
    "means over the launches that count (n) of each launch's steady window; peak memory is of the "
    "whole job",
)


def cards(run: Run) -> Part:
    """The cards of every arm that trained on several."""
    rows = card_rows(run)
    return part_of(run, rows, [], usual=bool(rows))


def card_tables(parts: Sequence[Part]) -> list[Table]:
    """The table of `cards`."""
    rows = rows_of(parts)
    facts, shared = arm_facts(rows, GPU)
    columns = [
        *run_column(rows),
        Column("Model", text("model"), importance=ESSENTIAL),
        *facts,
        Column("Card", text("card"), right=True, importance=ESSENTIAL),
        Column(
            "Util(%)", number("gpu_utilization_percent", digits=1), right=True, importance=ESSENTIAL
        ),
        Column(
            "p10(%)", number("gpu_utilization_p10_percent", digits=1), right=True, importance=DETAIL
        ),
        Column(
            "NVML GiB", number("gpu_memory_peak_bytes", 2**-30, 2), right=True, importance=ESSENTIAL
        ),
        Column("Power(W)", number("power_w", digits=0), right=True),
        Column("SM(MHz)", number("sm_clock_mhz", digits=0), right=True, importance=DETAIL),
        Column("n", count, right=True),
        *workload_column(rows),
        Column("State", state_if_telling, optional=True, importance=ESSENTIAL),
    ]
    return [
        make_table(
            "cards",
            f"Each GPU in the steady state{shared}:",
            columns,
            rows,
            notes_of(parts, LEGEND),
        )
    ]


def card_rows(run: Run) -> list[Row]:
    """One row per arm and card, of arms with several cards. Keys: rows.KEYS."""
    rows: list[Row] = []
    launches = arms_of(run).launches
    for row in arm_rows(run, ()):
        counted = [
            job
            for job in launches[str(row["workload"]), str(row["arm"])].values()
            if verdict(job) == OK
        ]
        indices = sorted({gpu.index for job in counted for gpu in _gpus(job)})
        for index in indices if len(indices) > 1 else ():
            rows.append(row | {"card": index} | figure_means(_figures(index), counted))
    return rows


def _gpus(job: JobRecord) -> Sequence[GpuTelemetry]:
    return job.telemetry.gpus if job.telemetry else ()


def _figures(index: int) -> tuple[Figure, ...]:
    def of_card(field: str) -> Callable[[JobRecord], float | None]:
        def read(job: JobRecord) -> float | None:
            values = [getattr(gpu, field) for gpu in _gpus(job) if gpu.index == index]
            return values[0] if values else None

        return read

    return (
        Figure("gpu_utilization_percent", of_card("utilization_mean")),
        Figure("gpu_utilization_p10_percent", of_card("utilization_p10")),
        Figure("gpu_memory_peak_bytes", of_card("memory_peak_bytes")),
        Figure("power_w", of_card("power_mean_w")),
        Figure("sm_clock_mhz", of_card("sm_clock_median_mhz")),
    )
