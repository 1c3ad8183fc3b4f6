"""Views with a row per pair and measure: the gains, side by side with other runs', and in full.

Gains: Model | Latency | Throughput, as Optimum publishes them, then the interval, what is held
against it, n and state.
"""

from __future__ import annotations

from collections.abc import Sequence

from report.analysis.gains import MEASURES
from report.loading.runs import Run
from report.tables import full
from report.tables.arms import notes_of, rows_of
from report.tables.columns import (
    BATCH,
    DETAIL,
    ESSENTIAL,
    GPU,
    PAIR_ATTENTION,
    PRECISION,
    TASK,
    Column,
    Show,
    as_number,
    count,
    device,
    interval,
    percent,
    run_column,
    split_facts,
    state,
    state_if_telling,
    text,
    workload_column,
)
from report.tables.gain_footnotes import gain_notes, geometric_notes
from report.tables.gain_rows import gain_rows
from report.tables.rows import Row, backends_are_shared
from report.tables.table import Part, Table, make_table, part_of

MEASURE_LABELS = {measure.key: measure.label for measure in MEASURES}


def gains(run: Run) -> Part:
    """Every declared pair by every measure."""
    return part_of(run, gain_rows(run), gain_notes(run), by_name=backends_are_shared(run))


def gain_tables(parts: Sequence[Part]) -> list[Table]:
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
    columns = [
        *run_column(rows),
        Column("Model", text("model"), importance=ESSENTIAL),
        *facts,
        *workload_column(rows),
        *([Column("Gain of", arms, importance=ESSENTIAL)] if len(labels) > 1 else []),
        *(
            [Column("Time", time, importance=ESSENTIAL)]
            if len({row["measure"] for row in rows}) > 1
            else []
        ),
        Column("Latency", percent("latency_gain"), right=True),
        Column("Throughput", percent("throughput_gain"), right=True, importance=ESSENTIAL),
        Column("Throughput 95%", interval("throughput_gain"), right=True, optional=True),
        _AS_PUBLISHED,
        *CHECKS,
        Column("n", count, right=True, optional=True),
        Column("State", state, importance=ESSENTIAL),
    ]
    title = f"Gain of {labels[0]}{shared}:" if len(labels) == 1 else f"Gains by pair{shared}:"
    return [
        make_table("gains", title, columns, rows, [*notes_of(parts), *geometric_notes(rows, arms)])
    ]


def comparison_tables(parts: Sequence[Part]) -> list[Table]:
    """Gains of several runs model by model, so that what was published stands beside what was
    measured.
    """
    unsorted = rows_of(parts)
    models = {row["model"]: place for place, row in reversed([*enumerate(unsorted)])}
    rows = sorted(
        unsorted, key=lambda row: (models[row["model"]], as_number(row["batch_size"]) or 0.0)
    )
    arms = pair_labels(parts)
    facts, shared = split_facts(rows, (TASK, PRECISION, PAIR_ATTENTION))
    told = {
        tuple(show(row) for show in (text("model"), text("batch_size"), arms, device, time))
        for row in rows
    }
    columns = [
        *(run_column(rows) if len(told) < len(rows) else []),
        Column("Model", text("model"), importance=ESSENTIAL),
        Column("Batch", text("batch_size"), right=True, optional=True),
        Column("Gain of", arms, importance=ESSENTIAL),
        Column(
            "GPU",
            lambda row: device(row) + (" (published)" if row["source"] == "published" else ""),
        ),
        Column("Time", time, importance=ESSENTIAL),
        Column("Latency", _as_printed("latency_gain"), right=True),
        Column("Throughput", _as_printed("throughput_gain"), right=True, importance=ESSENTIAL),
        Column("Throughput 95%", interval("throughput_gain"), right=True, optional=True),
        *CHECKS,
        Column("n", count, right=True, optional=True),
        *facts,
        Column("State", state_if_telling, optional=True, importance=ESSENTIAL),
    ]
    return [
        make_table("comparison", f"Gains side by side{shared}:", columns, rows, notes_of(parts))
    ]


def full_gains(run: Run) -> Part:
    """Every declared pair by every measure, with the times of both arms and what the machine
    did.
    """
    by_name = backends_are_shared(run)
    return part_of(
        run, full.full_rows(run), [*gain_notes(run), *full.machine_notes(run)], by_name=by_name
    )


def full_tables(parts: Sequence[Part]) -> list[Table]:
    """The table of `full_gains`: all that is known of a gain in one row."""
    rows = rows_of(parts)
    arms = pair_labels(parts)
    facts, shared = split_facts(rows, (TASK, PRECISION, BATCH, PAIR_ATTENTION, GPU))
    columns = [
        *run_column(rows),
        Column("Model", text("model"), importance=ESSENTIAL),
        *facts,
        *workload_column(rows),
        Column("Gain of", arms, importance=ESSENTIAL),
        Column("Time", time, importance=ESSENTIAL),
        *full.TIMES,
        Column("Latency", percent("latency_gain"), right=True),
        Column("Throughput", percent("throughput_gain"), right=True, importance=ESSENTIAL),
        Column("Throughput 95%", interval("throughput_gain"), right=True, optional=True),
        Column("n", count, right=True, optional=True),
        _AS_PUBLISHED,
        *CHECKS,
        *full.MACHINE,
        Column("State", state, importance=ESSENTIAL),
    ]
    notes = [*notes_of(parts, full.LEGEND), *geometric_notes(rows, arms)]
    return [make_table("full", f"Gains in full{shared}:", columns, rows, notes)]


CHECKS = (  # what a reader holds against a gain, in every table of gains
    Column("A/A", text("noise_floor"), right=True, optional=True, importance=DETAIL),
    Column("Break-even", text("break_even"), right=True, optional=True, importance=DETAIL),
    Column("Parity", text("parity"), optional=True),
)
_AS_PUBLISHED = Column(
    "As published",
    percent("published_latency_gain", "published_throughput_gain"),
    right=True,
    optional=True,
)


def time(row: Row) -> str:
    """Which time a gain is of, in words."""
    return MEASURE_LABELS[str(row["measure"])]


def _as_printed(key: str) -> Show:
    """A gain as published where it was; the one made from published times knows them only as
    rounded.
    """
    return lambda row: percent(f"published_{key}")(row) or percent(key)(row)


def pair_labels(parts: Sequence[Part]) -> Show:
    """How a pair of any of the runs is called: `ONNX Runtime over PyTorch`, or by its arms'
    names.
    """
    by_name = {part.run for part in parts if part.by_name}

    def label(row: Row) -> str:
        end = "" if row["run"] in by_name else "_backend"
        return (
            f"{row[f'candidate{end}']} over {row[f'baseline{end}']}{' (A/A)' if row['a_a'] else ''}"
        )

    return label
