"""The view that a reader wants first: one narrow row per pair, its gain by both times, and what
qualifies the gain.

It says what the views of gains say, of fewer things: the times that a gain was computed from, the
break-even step and the versions stand in those.
"""

from __future__ import annotations

from collections.abc import Sequence

from report.analysis.gains import END_TO_END, STEADY_STATE
from report.loading.runs import Run
from report.tables.arms import notes_of, rows_of
from report.tables.columns import (
    ESSENTIAL,
    PAIR_ATTENTION,
    PRECISION,
    TASK,
    Column,
    Show,
    as_number,
    count,
    device,
    interval,
    pair_attention,
    percent,
    split_facts,
    state_if_telling,
    text,
    workload_column,
)
from report.tables.footnotes import source_notes
from report.tables.gain_rows import gain_rows
from report.tables.gains import MEASURE_LABELS, pair_labels
from report.tables.rows import Row, backends_are_shared
from report.tables.table import Part, Table, make_table, part_of

STEADY = "steady_throughput_gain"
_ENDS = ("", "_low", "_high")
_PAIR = ("workload", "baseline", "candidate", "device")
_LEGEND = (
    "gain: training samples per second of the candidate over those of the baseline, less 1; in "
    "brackets the 95% interval"
)
_ONE_REPLICATE = "one replicate gives no interval"


def answer(run: Run) -> Part:
    """One row per declared pair: that of the end-to-end gain, with the steady-state gain in it."""
    of_pair: dict[tuple[object, ...], dict[str, Row]] = {}
    for row in gain_rows(run):
        of_pair.setdefault(tuple(row[key] for key in _PAIR), {})[str(row["measure"])] = row
    rows = [_merged(measures) for measures in of_pair.values()]
    return part_of(
        run, rows, [*source_notes(run), *_reasons(of_pair)], by_name=backends_are_shared(run)
    )


def answer_tables(parts: Sequence[Part]) -> list[Table]:
    """The table of `answer`: Model | Batch | GPU | against what | gains | Parity | Replicates."""
    rows = rows_of(parts)
    arms = pair_labels(parts)
    labels = [arms(row).partition(" over ") for row in rows]
    candidates = {candidate for candidate, _, _ in labels}
    facts, shared = split_facts(rows, (TASK, PRECISION))
    if len({pair_attention(row) for row in rows} - {""}) > 1:
        facts.append(PAIR_ATTENTION.column)
    against = (
        Column(f"{candidates.pop()} against", lambda row: arms(row).partition(" over ")[2])
        if len(candidates) == 1
        else Column("Gain of", arms, importance=ESSENTIAL)
    )
    columns = [
        Column("Model", text("model"), importance=ESSENTIAL),
        Column("Batch", text("batch_size"), right=True, optional=True),
        *facts,
        *workload_column(rows),
        Column(
            "GPU",
            lambda row: device(row) + (" (published)" if row["source"] == "published" else ""),
        ),
        against,
        Column("Gain, end to end", _gain("throughput_gain"), optional=True, importance=ESSENTIAL),
        Column("Gain, steady state", _gain(STEADY), optional=True, importance=ESSENTIAL),
        Column("Parity", text("parity"), optional=True),
        Column("Replicates", count, right=True, optional=True),
    ]
    legend = [_LEGEND] if rows else []
    if any(_lacks_interval(row) for row in rows):
        legend.append(_ONE_REPLICATE)
    title = f"How much faster training is{shared}:"
    return [make_table("answer", title, columns, rows, notes_of(parts, legend))]


def _merged(measures: dict[str, Row]) -> Row:
    """The rows of one pair as one. Where only the steady state was measured, there is no gain end
    to end.
    """
    steady = measures.get(STEADY_STATE.key, {})
    row = measures.get(END_TO_END.key) or next(iter(measures.values()))
    merged: Row = {**row, "measure": END_TO_END.key}
    for end in _ENDS:
        if END_TO_END.key not in measures:
            merged[f"throughput_gain{end}"] = merged[f"latency_gain{end}"] = None
        merged[f"{STEADY}{end}"] = steady.get(f"throughput_gain{end}")
    return merged


def _gain(key: str) -> Show:
    """A gain with its interval, as printed where it was published; "none" where there is none."""

    def show(row: Row) -> str:
        published = percent("published_throughput_gain")(row) if key == "throughput_gain" else ""
        if said := published or percent(key)(row):
            within = interval(key)(row).replace("%", "")
            return f"{said} ({within})" if within else said
        return "" if row["source"] == "published" or row["state"] == "ok" else "none"

    return show


def _lacks_interval(row: Row) -> bool:
    known = [key for key in ("throughput_gain", STEADY) if as_number(row[key]) is not None]
    return row["n"] == 1 and any(row[f"{key}_high"] is None for key in known)


def _reasons(of_pair: dict[tuple[object, ...], dict[str, Row]]) -> list[str]:
    """Why a pair has no gain, or what its gain leaves out; once where it holds of all measures."""
    said = []
    for (workload, baseline, candidate, _), measures in of_pair.items():
        pair = f"{candidate} over {baseline} on {workload}"
        telling = {
            MEASURE_LABELS[key]: told.removeprefix("ok; ")
            for key, row in measures.items()
            if (told := state_if_telling(row))
        }
        if len(telling) == len(measures) and len({*telling.values()}) == 1:
            said.append(f"{pair}: {next(iter(telling.values()))}")
        else:
            said += [f"{pair}, {measure}: {told}" for measure, told in telling.items()]
    return said
