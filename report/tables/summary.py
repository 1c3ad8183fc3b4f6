"""The gains of many runs: one row per pair, measure and device, over all runs that have it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from report.analysis.metrics import DETAIL, ESSENTIAL
from report.loading.runs import Run
from report.tables.arm_rows import backends_are_shared
from report.tables.arms import notes_of
from report.tables.columns import (
    BATCH,
    GPU,
    MODEL,
    PRECISION,
    STATE,
    TASK,
    Column,
    fraction_column,
    percent,
    split_facts,
)
from report.tables.footnotes import source_notes
from report.tables.gain_rows import gain_rows
from report.tables.gains import CHECKS, TIME, pair_labels
from report.tables.rows import GainRow, SummaryRow, extended
from report.tables.table import Table, TablePart, make_table, part_of

LEGEND = (
    "median, lowest and highest are over the runs with a valid gain; the interval, the checks and "
    "the state are of"
)


def summary(run: Run) -> TablePart[GainRow]:
    """Every declared pair by every measure."""
    return part_of(run, gain_rows(run), source_notes(run), by_name=backends_are_shared(run))


def summary_tables(parts: Sequence[TablePart[GainRow]]) -> list[Table[SummaryRow]]:
    """One row for what is the same pair in all its runs; the latest run is the last by when it was
    made.
    """
    of_pair: dict[tuple[object, ...], list[tuple[str, GainRow]]] = {}
    for part in parts:
        for row in part.rows:
            of_pair.setdefault(_pair(row), []).append((part.created_at, row))
    rows = [_over_runs(sorted(found, key=lambda entry: entry[0])) for found in of_pair.values()]
    facts, shared = split_facts(rows, (TASK, PRECISION, BATCH, GPU))
    columns: list[Column[SummaryRow]] = [
        MODEL,
        *facts,
        Column("Gain of", pair_labels(parts), importance=ESSENTIAL),
        TIME,
        Column("Runs", _runs, right=True),
        Column("From", lambda row: row.first_run_at[:10], importance=DETAIL),
        Column("To", lambda row: row.latest_run_at[:10]),
        Column(
            "Median throughput",
            lambda row: percent(row.median_throughput_gain),
            right=True,
            importance=ESSENTIAL,
        ),
        Column("Lowest", lambda row: percent(row.lowest_throughput_gain), right=True),
        Column("Highest", lambda row: percent(row.highest_throughput_gain), right=True),
        fraction_column(
            "Latest",
            rows,
            lambda row: row.throughput_gain,
            lambda row: row.published_throughput_gain,
        ),
        *CHECKS,
        STATE,
    ]
    latest = {row.run for row in rows}
    whose = f"the latest run, {latest.pop()}" if len(latest) == 1 else "the latest run of each pair"
    legend = [f"{LEGEND} {whose}"]
    title = f"Throughput gains over {len({part.run for part in parts}):,} runs{shared}:"
    return [make_table("summary", title, columns, rows, notes_of(parts, legend if rows else []))]


def _pair(row: GainRow) -> tuple[object, ...]:
    """What must be the same for two rows to be of one pair."""
    of = (row.model, row.task, row.precision, row.batch_size, row.workload)
    return (*of, row.baseline, row.candidate, row.device, row.measure.key, row.source)


def _over_runs(found: Sequence[tuple[str, GainRow]]) -> SummaryRow:
    """The latest row, with what came before it. `found`: (created_at, row) in time's order."""
    gains = [gain for _, row in found if (gain := row.throughput_gain.value) is not None]
    (first, _), (last, latest) = found[0], found[-1]
    return extended(
        latest,
        SummaryRow,
        runs=len(found),
        runs_with_gain=len(gains),
        first_run_at=first,
        latest_run_at=last,
        median_throughput_gain=statistics.median(gains) if gains else None,
        lowest_throughput_gain=min(gains, default=None),
        highest_throughput_gain=max(gains, default=None),
    )


def _runs(row: SummaryRow) -> str:
    with_gain, runs = row.runs_with_gain, row.runs
    return str(runs) if with_gain == runs else f"{with_gain} of {runs}"
