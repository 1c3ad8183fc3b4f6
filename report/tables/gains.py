"""Views with a row per pair and measure: the gains, side by side with other runs', and in full.

Gains: Model | Latency | Throughput, as Optimum publishes them, then the interval, what is held
against it, n and state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from report.analysis.metrics import DETAIL, ESSENTIAL, LATENCY_GAIN, NORMAL, THROUGHPUT_GAIN
from report.loading.runs import Run
from report.tables import full
from report.tables.arm_rows import backends_are_shared
from report.tables.arms import notes_of, rows_of
from report.tables.columns import (
    BATCH,
    GPU,
    MODEL,
    PAIR_ATTENTION,
    PRECISION,
    STATE,
    TASK,
    TELLING_STATE,
    Column,
    count_column,
    device,
    fraction_column,
    percent,
    run_column,
    split_facts,
    text,
    workload_column,
)
from report.tables.gain_footnotes import gain_notes, geometric_notes
from report.tables.gain_rows import gain_rows
from report.tables.rows import FullRow, GainRow
from report.tables.table import Table, TablePart, make_table, part_of

R = TypeVar("R")


def gains(run: Run) -> TablePart[GainRow]:
    """Every declared pair by every measure."""
    return part_of(run, gain_rows(run), gain_notes(run), by_name=backends_are_shared(run))


def gain_tables(parts: Sequence[TablePart[GainRow]]) -> list[Table[GainRow]]:
    """The table of `gains`."""
    rows = rows_of(parts)
    arms = pair_labels(parts)
    labels = sorted({arms(row) for row in rows})
    # Several arms of one backend go by name, the notes say how they differ, and the table is wide
    # enough.
    by_name = any(part.by_name for part in parts)
    facts, shared = split_facts(
        rows, (TASK, PRECISION, BATCH, *(() if by_name else (PAIR_ATTENTION,)))
    )
    columns: list[Column[GainRow]] = [
        *run_column(rows),
        MODEL,
        *facts,
        *workload_column(rows),
        *([Column("Gain of", arms, importance=ESSENTIAL)] if len(labels) > 1 else []),
        *([TIME] if len({row.measure for row in rows}) > 1 else []),
        *gain_columns(rows),
        count_column(optional=True),
        *CHECKS,
        STATE,
    ]
    title = f"Gain of {labels[0]}{shared}:" if len(labels) == 1 else f"Gains by pair{shared}:"
    return [
        make_table("gains", title, columns, rows, [*notes_of(parts), *geometric_notes(rows, arms)])
    ]


def comparison_tables(parts: Sequence[TablePart[GainRow]]) -> list[Table[GainRow]]:
    """Gains of several runs model by model, so that what was published stands beside what was
    measured.
    """
    unsorted = rows_of(parts)
    models = {row.model: place for place, row in reversed([*enumerate(unsorted)])}
    rows = sorted(unsorted, key=lambda row: (models[row.model], row.batch_size or 0))
    arms = pair_labels(parts)
    facts, shared = split_facts(rows, (TASK, PRECISION, PAIR_ATTENTION))
    told = {(row.model, row.batch_size, arms(row), device(row), row.measure.label) for row in rows}
    columns: list[Column[GainRow]] = [
        *(run_column(rows) if len(told) < len(rows) else []),
        MODEL,
        OPTIONAL_BATCH,
        Column("Gain of", arms, importance=ESSENTIAL),
        Column("GPU", device_or_published),
        TIME,
        *gain_columns(rows),
        count_column(optional=True),
        *CHECKS,
        *facts,
        TELLING_STATE,
    ]
    return [
        make_table("comparison", f"Gains side by side{shared}:", columns, rows, notes_of(parts))
    ]


def full_gains(run: Run) -> TablePart[FullRow]:
    """Every declared pair by every measure, with the times of both arms and what the machine
    did.
    """
    by_name = backends_are_shared(run)
    return part_of(
        run, full.full_rows(run), [*gain_notes(run), *full.machine_notes(run)], by_name=by_name
    )


def full_tables(parts: Sequence[TablePart[FullRow]]) -> list[Table[FullRow]]:
    """The table of `full_gains`: all that is known of a gain in one row."""
    rows = rows_of(parts)
    arms = pair_labels(parts)
    facts, shared = split_facts(rows, (TASK, PRECISION, BATCH, PAIR_ATTENTION, GPU))
    columns: list[Column[FullRow]] = [
        *run_column(rows),
        MODEL,
        *facts,
        *workload_column(rows),
        Column("Gain of", arms, importance=ESSENTIAL),
        TIME,
        *full.TIMES,
        *gain_columns(rows, latency=True),
        count_column(optional=True),
        *CHECKS,
        *full.MACHINE,
        STATE,
    ]
    notes = [*notes_of(parts, full.LEGEND), *geometric_notes(rows, arms)]
    return [make_table("full", f"Gains in full{shared}:", columns, rows, notes)]


TIME: Column[GainRow] = Column("Time", lambda row: row.measure.label, importance=ESSENTIAL)
OPTIONAL_BATCH = replace(BATCH.column, optional=True, importance=NORMAL)
CHECKS: tuple[Column[GainRow], ...] = (  # held against a gain, in every table of gains
    Column(
        "A/A",
        lambda row: row.noise_floor,
        right=True,
        optional=True,
        importance=DETAIL,
        sort=lambda row: row.noise_floor_throughput_gain_high,
    ),
    Column(
        "Break-even",
        lambda row: row.break_even,
        right=True,
        optional=True,
        importance=DETAIL,
        sort=lambda row: row.break_even_step,
    ),
    Column("Parity", text(lambda row: row.parity), optional=True),
)


def gain_columns(rows: Sequence[GainRow], *, latency: bool = False) -> list[Column[GainRow]]:
    """The throughput gain with its interval; the latency gain before it where it was published, or
    `latency` asks for it. What was published stands as printed.
    """
    throughput: Column[GainRow] = fraction_column(
        THROUGHPUT_GAIN.header,
        rows,
        lambda row: row.throughput_gain,
        lambda row: row.published_throughput_gain,
    )
    if not latency and all(row.published_latency_gain is None for row in rows):
        return [throughput]
    shown: Column[GainRow] = Column(
        LATENCY_GAIN.header,
        lambda row: (
            percent(row.published_latency_gain)
            or (percent(row.latency_gain.value) if latency else "")
        ),
        right=True,
        sort=lambda row: row.latency_gain.value,
    )
    return [shown, throughput]


def device_or_published(row: GainRow) -> str:
    """The card, and whether somebody else published the gain."""
    return device(row) + (" (published)" if row.source == "published" else "")


@dataclass(frozen=True)
class PairLabel:
    """How a pair is called, as a function of its row.

    Attributes:
        by_name: Runs in which backends do not tell arms apart, so that arms go by their names.
    """

    by_name: frozenset[str]

    def arms(self, row: GainRow) -> tuple[str, str]:
        """The candidate and the baseline."""
        if row.run in self.by_name:
            return row.candidate, row.baseline
        return row.candidate_backend, row.baseline_backend

    def baseline(self, row: GainRow) -> str:
        """What stands after "over" in the pair's label."""
        return self.arms(row)[1] + (" (A/A)" if row.a_a else "")

    def __call__(self, row: GainRow) -> str:
        """`ONNX Runtime over PyTorch`, or the arms by their names."""
        return f"{self.arms(row)[0]} over {self.baseline(row)}"


def pair_label_of(runs: Sequence[Run]) -> PairLabel:
    """How a pair of any of the runs is called, where no table of gains was made of them."""
    return PairLabel(frozenset(run.info.run for run in runs if backends_are_shared(run)))


def pair_labels(parts: Sequence[TablePart[R]]) -> PairLabel:
    """How a pair of any of the runs is called."""
    return PairLabel(frozenset(part.run for part in parts if part.by_name))
