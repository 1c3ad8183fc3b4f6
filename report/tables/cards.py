"""Card by card what each did while several trained a job together: an uneven one shows here, not in
the means.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.schema.record import GpuTelemetry, JobRecord
from report.analysis import metrics
from report.analysis.metrics import ESSENTIAL, Figure, JobMetric, OfCards
from report.analysis.statistics import mean_of
from report.loading.runs import Run
from report.tables.arm_rows import counted_rows
from report.tables.arms import arm_facts, notes_of, rows_of
from report.tables.columns import (
    GPU,
    MODEL,
    TELLING_STATE,
    Column,
    count_column,
    figure_columns,
    run_column,
    text,
    workload_column,
)
from report.tables.rows import CardRow, extended
from report.tables.table import Table, TablePart, make_table, part_of

LEGEND = (
    "means over the replicates that count (n) of each replicate's steady window; peak memory is of "
    "the "
    "whole job",
)
OF_CARDS = tuple(metric for metric in metrics.GPU if isinstance(metric.read, OfCards))


def cards(run: Run) -> TablePart[CardRow]:
    """The cards of every arm that trained on several."""
    rows = card_rows(run)
    return part_of(run, rows, [], usual=bool(rows))


def card_tables(parts: Sequence[TablePart[CardRow]]) -> list[Table[CardRow]]:
    """The table of `cards`."""
    rows = rows_of(parts)
    facts, shared = arm_facts(rows, GPU)
    columns: list[Column[CardRow]] = [
        *run_column(rows),
        MODEL,
        *facts,
        Column("Card", text(lambda row: row.card), right=True, importance=ESSENTIAL),
        *figure_columns(OF_CARDS),
        count_column(),
        *workload_column(rows),
        TELLING_STATE,
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


def card_rows(run: Run) -> list[CardRow]:
    """One row per arm and card, of arms with several cards."""
    rows: list[CardRow] = []
    for row, counted in counted_rows(run, ()):
        indices = sorted({card.index for job in counted for card in _cards(job)})
        for index in indices if len(indices) > 1 else ():
            of_card = {metric: _mean(metric, index, counted) for metric in OF_CARDS}
            rows.append(extended(row, CardRow, card=index, of_card=of_card))
    return rows


def _cards(job: JobRecord) -> Sequence[GpuTelemetry]:
    return job.telemetry.gpus if job.telemetry else ()


def _mean(metric: JobMetric, index: int, counted: Sequence[JobRecord]) -> Figure:
    """The mean of a metric of one card over the replicates that have it."""
    assert isinstance(metric.read, OfCards)
    found = [
        metric.read.read(card) for job in counted for card in _cards(job) if card.index == index
    ]
    values = [value for value in found if value is not None]
    return Figure.of(mean_of(values) if values else None)
