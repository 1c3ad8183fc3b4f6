"""A comparison as Markdown for people and as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from report.analysis.compare import Compared, Comparison, Item
from report.analysis.provenance_diff import Difference
from report.analysis.statistics import Estimate, throughput_gain
from report.tables.columns import Column, as_number, decimals, text
from report.tables.footnotes import run_headline
from report.tables.render import FORMATS as TABLE_FORMATS
from report.tables.rows import Row, finite
from report.tables.table import Document, Table, make_table

JSON_VERSION = 1
MAX_SHOWN = 80  # characters of a value in a cell; JSON has all of it
NOT_THERE = "(none)"


def markdown(found: Comparison) -> str:
    """Aligned tables: gains, times, what changed, what only one run has."""
    gains, times = ([_row(compared, kind) for compared in of] for kind, of in _kinds(found))
    tables = []
    if gains:
        tables.append(
            make_table("gains", "Gains, B against A:", _gain_columns(), gains, _gain_notes(gains))
        )
    if times:
        tables.append(
            make_table("times", "Times, B against A:", _time_columns(), times, _time_notes(times))
        )
    tables.append(
        _changed(found, [f"no {kind} that both runs have" for kind, of in _kinds(found) if not of])
    )
    if alone := _alone(found):
        columns = [
            Column(title, text(title.lower()))
            for title in ("Run", "Workload", "What", "Times", "State")
        ]
        tables.append(make_table("only", "Only in one of them:", columns, alone, []))
    footer = (f"A: {run_headline(found.a)}", f"B: {run_headline(found.b)}")
    return TABLE_FORMATS["markdown"](Document(tuple(tables), footer))


def json_text(found: Comparison) -> str:
    """Raw numbers: gains as fractions, times in seconds, changes as fractions of the speed-up or of
    the time.
    """
    content: dict[str, Any] = {
        "version": JSON_VERSION,
        "a": found.a.info.run,
        "b": found.b.info.run,
        **{kind: [_row(compared, kind) for compared in of] for kind, of in _kinds(found)},
        "differences": [
            {"group": one.group, "key": one.key, "a": one.a, "b": one.b}
            for one in found.differences.found
        ],
        "not_recorded": [
            {"group": group, "run": run.lower()} for group, run in found.differences.unrecorded
        ],
        "only_in_a": [_named(item) for item in found.only_a],
        "only_in_b": [_named(item) for item in found.only_b],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"


FORMATS: dict[str, Callable[[Comparison], str]] = {"markdown": markdown, "json": json_text}


def _kinds(found: Comparison) -> tuple[tuple[str, tuple[Compared, ...]], ...]:
    return ("gains", found.gains), ("times", found.times)


def _row(compared: Compared, kind: str) -> Row:
    a, b = compared.a, compared.b
    transform = throughput_gain if kind == "gains" else _exp
    row: Row = {"model": b.model, "workload": b.workload, "what": b.what, "time": b.time}
    row |= {"workload_a": a.workload, "what_a": a.what}
    for run, item in (("a", a), ("b", b)):
        row |= {
            **_transformed(run, item.estimate, transform),
            f"{run}_n": item.estimate.n if item.estimate else 0,
        }
    row |= _transformed("change", compared.change, throughput_gain)
    return {**row, "moved": compared.moved, "why": compared.why}


def _transformed(key: str, estimate: Estimate | None, transform: Callable[[float], float]) -> Row:
    ends = (estimate.mean, estimate.low, estimate.high) if estimate else (None, None, None)
    return {
        f"{key}{end}": None if value is None else finite(transform(value))
        for end, value in zip(("", "_low", "_high"), ends, strict=True)
    }


def _named(item: Item) -> Row:
    return {"workload": item.workload, "what": item.what, "time": item.time, "state": item.state}


def _changed(found: Comparison, notes: Sequence[str]) -> Table:
    columns = [
        Column("Of", text("group")),
        Column("What", text("key")),
        Column("A", text("a")),
        Column("B", text("b")),
    ]
    unrecorded: dict[str, list[str]] = {}
    for group, run in found.differences.unrecorded:
        unrecorded.setdefault(run, []).append(group)
    lacking = [f"not recorded in {run}: {', '.join(groups)}" for run, groups in unrecorded.items()]
    rows = [_shown(difference) for difference in found.differences.found]
    title = "What changed:" if rows else "What changed: nothing that was recorded in both"
    return make_table("differences", title, columns, rows, [*notes, *lacking])


def _alone(found: Comparison) -> list[Row]:
    """What only one run has, the times of a pair or arm in one row."""
    times: dict[tuple[str, str, str, str], list[str]] = {}
    for run, items in (("A", found.only_a), ("B", found.only_b)):
        for item in items:
            times.setdefault((run, item.workload, item.what, item.state), []).append(item.time)
    return [
        {"run": run, "workload": workload, "what": what, "times": ", ".join(of), "state": state}
        for (run, workload, what, state), of in times.items()
    ]


def _gain_columns() -> list[Column]:
    return [
        *_names("Gain of"),
        Column("A", _percent("a"), right=True),
        Column("A 95%", _interval("a"), right=True, optional=True),
        Column("B", _percent("b"), right=True),
        Column("B 95%", _interval("b"), right=True, optional=True),
        *_change_columns("up", "down"),
    ]


def _time_columns() -> list[Column]:
    return [
        *_names("Arm"),
        Column("A", _time("a"), right=True),
        Column("B", _time("b"), right=True),
        *_change_columns("longer", "shorter"),
    ]


def _names(what: str) -> list[Column]:
    return [
        Column("Workload", _of_both("workload")),
        Column(what, _of_both("what")),
        Column("Time", text("time")),
    ]


def _change_columns(more: str, less: str) -> list[Column]:
    def moved(row: Row) -> str:
        if row["moved"] is None:
            return f"unknown: {row['why']}"
        return (
            f"yes, {more if (as_number(row['change']) or 0) > 0 else less}"
            if row["moved"]
            else "no"
        )

    return [
        Column("Change", _percent("change", "+"), right=True),
        Column("Change 95%", _interval("change", "+"), right=True, optional=True),
        Column("Moved", moved),
    ]


def _of_both(key: str) -> Callable[[Row], str]:
    """One name, or A's and B's where they were matched by what they are."""
    return (
        lambda row: str(row[key])
        if row[key] == row[f"{key}_a"]
        else f"{row[f'{key}_a']} / {row[key]}"
    )


def _percent(key: str, sign: str = "") -> Callable[[Row], str]:
    def show(row: Row) -> str:
        value = as_number(row[key])
        return "" if value is None else format(value * 100, f"{sign}z.2f") + "%"

    return show


def _interval(key: str, sign: str = "") -> Callable[[Row], str]:
    def show(row: Row) -> str:
        low, high = _percent(f"{key}_low", sign)(row), _percent(f"{key}_high", sign)(row)
        return f"{low} to {high}" if low and high else ""

    return show


def _time(key: str) -> Callable[[Row], str]:
    """In seconds, a steady step in milliseconds."""

    def show(row: Row) -> str:
        seconds = as_number(row[key])
        if seconds is None:
            return ""
        value, unit = (seconds * 1e3, "ms") if row["time"] == "steady step" else (seconds, "s")
        return f"{value:.{decimals(value)}f} {unit}"

    return show


def _gain_notes(rows: Sequence[Row]) -> list[str]:
    what = (
        "gains are of throughput; the change is of the speed-up, T baseline / T candidate, from A "
        "to B"
    )
    return [what, *_chance(rows)]


def _time_notes(rows: Sequence[Row]) -> list[str]:
    return ["times are geometric means over the launches that count", *_chance(rows)]


def _chance(rows: Sequence[Row]) -> list[str]:
    """What moved means, and how often that comes by chance alone."""
    judged = sum(row["moved"] is not None for row in rows)
    if not judged:
        return []
    said = (
        "moved: the joint 95% interval of the change (Welch, on the launches' logarithms) excludes "
        "0"
    )
    chance = (
        f"; of {judged} such intervals {0.05 * judged:.1f} do so by chance alone"
        if judged > 1
        else ""
    )
    return [said + chance]


def _shown(difference: Difference) -> Row:
    a, b = (
        NOT_THERE if value is None else " ".join(str(value).split())
        for value in (difference.a, difference.b)
    )
    same = 0
    if max(len(a), len(b)) > MAX_SHOWN:
        same = next(
            (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
        )
    begin = max(0, same - MAX_SHOWN // 4)  # some of what is the same leads to what is not
    return {
        "group": difference.group,
        "key": difference.key,
        "a": _cut(a, begin),
        "b": _cut(b, begin),
    }


def _cut(value: str, begin: int) -> str:
    begin = min(begin, max(0, len(value) - 1))
    shown = value[begin : begin + MAX_SHOWN]
    return ("…" if begin else "") + shown + ("…" if begin + MAX_SHOWN < len(value) else "")


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
