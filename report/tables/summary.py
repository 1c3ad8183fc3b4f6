"""The gains of many runs: one row per pair, measure and device, over all runs that have it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from report.loading.runs import Run
from report.tables.arms import notes_of
from report.tables.columns import (
    BATCH,
    DETAIL,
    ESSENTIAL,
    GPU,
    PRECISION,
    TASK,
    Column,
    as_number,
    interval,
    percent,
    split_facts,
    state,
    text,
)
from report.tables.footnotes import source_notes
from report.tables.gain_rows import gain_rows
from report.tables.gains import CHECKS, pair_labels, time
from report.tables.rows import Row, backends_are_shared
from report.tables.table import Part, Table, make_table, part_of

_SAME = (
    "model",
    "task",
    "precision",
    "batch_size",
    "workload",
    "baseline",
    "candidate",
    "device",
    "measure",
    "source",
)
LEGEND = (
    "median, lowest and highest are over the runs with a valid gain; the interval, the checks and "
    "the state are of"
)


def summary(run: Run) -> Part:
    """Every declared pair by every measure."""
    return part_of(run, gain_rows(run), source_notes(run), by_name=backends_are_shared(run))


def summary_tables(parts: Sequence[Part]) -> list[Table]:
    """One row for what is the same pair in all its runs; the latest run is the last by when it was
    made.
    """
    of_pair: dict[tuple[object, ...], list[tuple[str, Row]]] = {}
    for part in parts:
        for row in part.rows:
            of_pair.setdefault(tuple(row[key] for key in _SAME), []).append((part.created_at, row))
    rows = [_over_runs(sorted(found, key=lambda entry: entry[0])) for found in of_pair.values()]
    facts, shared = split_facts(rows, (TASK, PRECISION, BATCH, GPU))
    columns = [
        Column("Model", text("model"), importance=ESSENTIAL),
        *facts,
        Column("Gain of", pair_labels(parts), importance=ESSENTIAL),
        Column("Time", time, importance=ESSENTIAL),
        Column("Runs", _runs, right=True),
        Column("From", lambda row: str(row["first_run_at"])[:10], importance=DETAIL),
        Column("To", lambda row: str(row["latest_run_at"])[:10]),
        Column(
            "Median throughput", percent("median_throughput_gain"), right=True, importance=ESSENTIAL
        ),
        Column("Lowest", percent("lowest_throughput_gain"), right=True),
        Column("Highest", percent("highest_throughput_gain"), right=True),
        Column("Latest", percent("throughput_gain"), right=True, importance=ESSENTIAL),
        Column("Latest 95%", interval("throughput_gain"), right=True, optional=True),
        *CHECKS,
        Column("State", state, importance=ESSENTIAL),
    ]
    latest = {str(row["run"]) for row in rows}
    whose = f"the latest run, {latest.pop()}" if len(latest) == 1 else "the latest run of each pair"
    legend = [f"{LEGEND} {whose}"]
    title = f"Throughput gains over {len({part.run for part in parts}):,} runs{shared}:"
    return [make_table("summary", title, columns, rows, notes_of(parts, legend if rows else []))]


def _over_runs(found: Sequence[tuple[str, Row]]) -> Row:
    """The latest row, with what came before it. `found`: (created_at, row) in time's order."""
    gains = [gain for _, row in found if (gain := as_number(row["throughput_gain"])) is not None]
    (first, _), (last, latest) = found[0], found[-1]
    return {
        **latest,
        "runs": len(found),
        "runs_with_gain": len(gains),
        "first_run_at": first,
        "latest_run_at": last,
        "median_throughput_gain": statistics.median(gains) if gains else None,
        "lowest_throughput_gain": min(gains, default=None),
        "highest_throughput_gain": max(gains, default=None),
    }


def _runs(row: Row) -> str:
    with_gain, runs = row["runs_with_gain"], row["runs"]
    return str(runs) if with_gain == runs else f"{with_gain} of {runs}"
