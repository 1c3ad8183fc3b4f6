"""The view that a reader wants first: one narrow row per pair, its gain by both times, and what
qualifies the gain.

It says what the views of gains say, of fewer things: the times that a gain was computed from, the
break-even step and the versions stand in those.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from report.analysis.gains import END_TO_END, STEADY_STATE, Measure
from report.analysis.metrics import ESSENTIAL, NO_FIGURE, Figure
from report.loading.runs import Run
from report.tables.arm_rows import backends_are_shared
from report.tables.arms import notes_of, rows_of
from report.tables.columns import (
    MODEL,
    PAIR_ATTENTION,
    PRECISION,
    TASK,
    Column,
    count_column,
    has_open_gain,
    pair_attention,
    qualifications,
    run_column,
    split_facts,
    state_if_telling,
    with_ends,
    workload_column,
)
from report.tables.footnotes import WITHIN_ONE, several_groups_notes, source_notes
from report.tables.gain_rows import gain_rows
from report.tables.gains import OPTIONAL_BATCH, device_or_published, pair_labels
from report.tables.padding_footnotes import padding_notes
from report.tables.rows import AnswerRow, GainRow, extended
from report.tables.table import Table, TablePart, make_table, part_of

_LEGEND = (
    "gain: training samples per second of the candidate over those of the baseline, less 1; in "
    "brackets the 95% interval"
)
_ONE_REPLICATE = "one replicate of whole trainings gives no interval"
_NO_PARITY = "parity not checked: the suite asked for no parity runs"


Measured = dict[Measure, GainRow]  # the rows of a pair by what they are of


def answer(run: Run) -> TablePart[AnswerRow]:
    """One row per declared pair: that of the end-to-end gain, with the steady-state gain in it."""
    of_pair: dict[tuple[str, str, str, str], Measured] = {}
    for row in gain_rows(run):
        pair = (row.workload, row.baseline, row.candidate, row.device)
        of_pair.setdefault(pair, {})[row.measure] = row
    rows = [_merged(measures) for measures in of_pair.values()]
    return part_of(
        run,
        rows,
        [
            *source_notes(run),
            *several_groups_notes(run),
            *padding_notes(run),
            *_reasons(of_pair.values()),
        ],
        by_name=backends_are_shared(run),
    )


def answer_tables(parts: Sequence[TablePart[AnswerRow]]) -> list[Table[AnswerRow]]:
    """The table of `answer`: Model | Batch | GPU | against what | gains | Parity | Replicates."""
    rows = rows_of(parts)
    label = pair_labels(parts)
    candidates = {label.arms(row)[0] for row in rows}
    facts, shared = split_facts(rows, (TASK, PRECISION))
    if len({pair_attention(row) for row in rows} - {""}) > 1:
        facts.append(PAIR_ATTENTION.column)
    against: Column[GainRow] = (
        Column(f"{candidates.pop()} against", label.baseline)
        if len(candidates) == 1
        else Column("Gain of", label, importance=ESSENTIAL)
    )
    apart: list[Column[AnswerRow]] = [
        MODEL,
        OPTIONAL_BATCH,
        *facts,
        *workload_column(rows),
        Column("GPU", device_or_published),
        against,
    ]
    columns: list[Column[AnswerRow]] = [
        *_run_column(apart, rows),
        *apart,
        Column(
            "Gain, end to end",
            _end_to_end,
            optional=True,
            importance=ESSENTIAL,
            is_open=lambda row: has_open_gain(row.throughput_gain),
        ),
        Column(
            "Gain, steady state",
            _steady,
            optional=True,
            importance=ESSENTIAL,
            is_open=lambda row: has_open_gain(row.steady_throughput_gain),
        ),
        Column("Parity", _parity, optional=True),
        count_column("Replicates", optional=True),
    ]
    legend = [_LEGEND] if rows else []
    if any(_lacks_interval(row) for row in rows):
        legend.append(_ONE_REPLICATE)
    if any(_has_interval_of_one(row) for row in rows):
        legend.append(WITHIN_ONE)
    if any(row.parity is None and _is_compared(row) for row in rows):
        legend.append(_NO_PARITY)
    title = f"How much faster training is{shared}:"
    return [make_table("answer", title, columns, rows, notes_of(parts, legend))]


def _run_column(
    apart: Sequence[Column[AnswerRow]], rows: Sequence[AnswerRow]
) -> Sequence[Column[AnswerRow]]:
    """The column of the run, only where rows of several runs look the same in `apart`."""
    runs: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        runs.setdefault(tuple(column.show(row) for column in apart), set()).add(row.run)
    return run_column(rows) if any(len(names) > 1 for names in runs.values()) else []


def _merged(measures: Measured) -> AnswerRow:
    """The rows of one pair as one. Where only the steady state was measured, there is no gain end
    to end.
    """
    steady, end_to_end = measures.get(STEADY_STATE), measures.get(END_TO_END)
    row = end_to_end or next(iter(measures.values()))
    return extended(
        row,
        AnswerRow,
        measure=END_TO_END,
        latency_gain=end_to_end.latency_gain if end_to_end else NO_FIGURE,
        throughput_gain=end_to_end.throughput_gain if end_to_end else NO_FIGURE,
        steady_throughput_gain=steady.throughput_gain if steady else NO_FIGURE,
    )


def _end_to_end(row: AnswerRow) -> str:
    return _gain(row, row.throughput_gain, row.published_throughput_gain)


def _steady(row: AnswerRow) -> str:
    return _gain(row, row.steady_throughput_gain)


def _gain(row: AnswerRow, gain: Figure, published: float | None = None) -> str:
    """A gain with its interval, as printed where it was published; "none" where there is none."""
    if said := with_ends(gain, published):
        return said
    return "" if row.source == "published" or row.outcome.ok else "none"


def _lacks_interval(row: AnswerRow) -> bool:
    known = [
        gain for gain in (row.throughput_gain, row.steady_throughput_gain) if gain.value is not None
    ]
    return row.n == 1 and any(gain.high is None for gain in known)


def _has_interval_of_one(row: AnswerRow) -> bool:
    return row.n == 1 and row.steady_throughput_gain.high is not None


def _is_compared(row: AnswerRow) -> bool:
    """Whether the row is a measured gain, so that parity is a question at all."""
    return row.source != "published" and row.outcome.ok


def _parity(row: AnswerRow) -> str:
    if row.parity is None:
        return "not checked" if _is_compared(row) else ""
    return str(row.parity)


def _reasons(pairs: Iterable[Measured]) -> list[str]:
    """Why a pair has no gain, or what its gain leaves out; once where it holds of all measures."""
    said = []
    for measures in pairs:
        row = next(iter(measures.values()))
        pair = f"{row.candidate} over {row.baseline} on {row.workload}"
        telling = {measure: told for measure, row in measures.items() if (told := _telling(row))}
        if len(telling) == len(measures) and len({*telling.values()}) == 1:
            said.append(f"{pair}: {next(iter(telling.values()))}")
        else:
            said += [f"{pair}, {measure.label}: {told}" for measure, told in telling.items()]
    return said


def _telling(row: GainRow) -> str:
    """What is to be said of a gain, but that it is ok."""
    if row.outcome.ok and row.source != "published":
        return "; ".join(qualifications(row))
    return state_if_telling(row)
