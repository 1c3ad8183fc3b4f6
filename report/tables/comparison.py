"""A comparison as Markdown for people and as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from report.analysis.compare import Compared, Comparison, Item
from report.analysis.metrics import Figure
from report.analysis.provenance_diff import Difference
from report.analysis.statistics import Estimate, throughput_gain
from report.tables.columns import Column, decimals
from report.tables.footnotes import run_headline
from report.tables.render import FORMATS as TABLE_FORMATS
from report.tables.rows import Value, flat
from report.tables.table import Document, Table, make_table

JSON_VERSION = 1
MAX_SHOWN = 80  # characters of a value in a cell; JSON has all of it
NOT_THERE, NOT_RECORDED = "(none)", "not recorded"
MOST_PERCENT = 1000  # beyond it a figure says no more than that it is beyond


@dataclass(frozen=True, kw_only=True)
class _FlatRow:
    """A row of a comparison."""

    def flat(self) -> dict[str, Value]:
        """The row by the names of its values."""
        return flat(self)


@dataclass(frozen=True, kw_only=True)
class ComparedRow(_FlatRow):
    """A gain or a time in both runs, and its change from A to B.

    Figures are fractions or seconds; `moved` is None where that is unknown, and `why` says why.
    """

    model: str
    workload: str
    what: str
    time: str
    workload_a: str
    what_a: str
    a: Figure
    a_n: int
    b: Figure
    b_n: int
    change: Figure
    moved: bool | None
    why: str


@dataclass(frozen=True, kw_only=True)
class ChangedRow(_FlatRow):
    """What differs between the runs."""

    group: str
    key: str
    a: str
    b: str


@dataclass(frozen=True, kw_only=True)
class AloneRow(_FlatRow):
    """What only one run has."""

    run: str
    workload: str
    what: str
    times: str
    state: str


def markdown(found: Comparison) -> str:
    """Aligned tables: gains, times, what changed, what only one run has."""
    gains, times = ([_row(compared, kind) for compared in of] for kind, of in _kinds(found))
    tables: list[Table[Any]] = []
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
        columns: list[Column[AloneRow]] = [
            Column("Run", lambda row: row.run),
            Column("Workload", lambda row: row.workload),
            Column("What", lambda row: row.what),
            Column("Times", lambda row: row.times),
            Column("State", lambda row: row.state),
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
        **{kind: [_row(compared, kind).flat() for compared in of] for kind, of in _kinds(found)},
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


def _row(compared: Compared, kind: str) -> ComparedRow:
    a, b = compared.a, compared.b
    transform = throughput_gain if kind == "gains" else _exp
    return ComparedRow(
        model=b.model,
        workload=b.workload,
        what=b.what,
        time=b.time,
        workload_a=a.workload,
        what_a=a.what,
        a=_transformed(a.estimate, transform),
        a_n=a.estimate.n if a.estimate else 0,
        b=_transformed(b.estimate, transform),
        b_n=b.estimate.n if b.estimate else 0,
        change=_transformed(compared.change, throughput_gain),
        moved=compared.moved,
        why=compared.why,
    )


def _transformed(estimate: Estimate | None, transform: Callable[[float], float]) -> Figure:
    ends = (estimate.mean, estimate.low, estimate.high) if estimate else (None, None, None)
    return Figure.of(*(None if value is None else transform(value) for value in ends))


def _named(item: Item) -> dict[str, str]:
    return {"workload": item.workload, "what": item.what, "time": item.time, "state": item.state}


def _changed(found: Comparison, notes: Sequence[str]) -> Table[ChangedRow]:
    columns: list[Column[ChangedRow]] = [
        Column("Of", lambda row: row.group),
        Column("What", lambda row: row.key),
        Column("A", lambda row: row.a),
        Column("B", lambda row: row.b),
    ]
    unrecorded: dict[str, list[str]] = {}
    for group, run in found.differences.unrecorded:
        unrecorded.setdefault(run, []).append(group)
    lacking = [f"not recorded in {run}: {', '.join(groups)}" for run, groups in unrecorded.items()]
    rows = [_shown(difference) for difference in found.differences.found]
    title = "What changed:" if rows else "What changed: nothing that was recorded in both"
    return make_table("differences", title, columns, rows, [*notes, *lacking])


def _alone(found: Comparison) -> list[AloneRow]:
    """What only one run has, the times of a pair or arm in one row."""
    times: dict[tuple[str, str, str, str], list[str]] = {}
    for run, items in (("A", found.only_a), ("B", found.only_b)):
        for item in items:
            times.setdefault((run, item.workload, item.what, item.state), []).append(item.time)
    return [
        AloneRow(run=run, workload=workload, what=what, times=", ".join(of), state=state)
        for (run, workload, what, state), of in times.items()
    ]


def _gain_columns() -> list[Column[ComparedRow]]:
    return [
        *_names("Gain of"),
        Column("A", lambda row: _percent(row.a.value), right=True),
        Column("A 95%", lambda row: _interval(row.a), right=True, optional=True),
        Column("B", lambda row: _percent(row.b.value), right=True),
        Column("B 95%", lambda row: _interval(row.b), right=True, optional=True),
        *_change_columns("up", "down"),
    ]


def _time_columns() -> list[Column[ComparedRow]]:
    return [
        *_names("Arm"),
        Column("A", lambda row: _time(row, row.a.value), right=True),
        Column("B", lambda row: _time(row, row.b.value), right=True),
        *_change_columns("longer", "shorter"),
    ]


def _names(what: str) -> list[Column[ComparedRow]]:
    return [
        Column("Workload", lambda row: _of_both(row.workload_a, row.workload)),
        Column(what, lambda row: _of_both(row.what_a, row.what)),
        Column("Time", lambda row: row.time),
    ]


def _change_columns(more: str, less: str) -> list[Column[ComparedRow]]:
    def moved(row: ComparedRow) -> str:
        if row.moved is None:
            return f"unknown: {row.why}"
        return f"yes, {more if (row.change.value or 0) > 0 else less}" if row.moved else "no"

    return [
        Column("Change", lambda row: _percent(row.change.value, "+"), right=True),
        Column("Change 95%", lambda row: _interval(row.change, "+"), right=True, optional=True),
        Column("Moved", moved),
    ]


def _of_both(a: str, b: str) -> str:
    """One name, or A's and B's where they were matched by what they are."""
    return b if a == b else f"{a} / {b}"


def _percent(value: float | None, sign: str = "") -> str:
    if value is None:
        return ""
    if abs(value) * 100 > MOST_PERCENT:
        return f"{'>' if value > 0 else '<'} {math.copysign(MOST_PERCENT, value):{sign}.0f}%"
    return format(value * 100, f"{sign}z.2f") + "%"


def _interval(figure: Figure, sign: str = "") -> str:
    low, high = _percent(figure.low, sign), _percent(figure.high, sign)
    return f"{low} to {high}" if low and high else ""


def _time(row: ComparedRow, seconds: float | None) -> str:
    """In seconds, a steady step in milliseconds."""
    if seconds is None:
        return ""
    value, unit = (seconds * 1e3, "ms") if row.time == "steady step" else (seconds, "s")
    return f"{value:.{decimals(value)}f} {unit}"


def _gain_notes(rows: Sequence[ComparedRow]) -> list[str]:
    what = (
        "gains are of throughput; the change is of the speed-up, T baseline / T candidate, from A "
        "to B"
    )
    return [what, *_chance(rows)]


def _time_notes(rows: Sequence[ComparedRow]) -> list[str]:
    return ["times are geometric means over the replicates that count", *_chance(rows)]


def _chance(rows: Sequence[ComparedRow]) -> list[str]:
    """What moved means, and how often that comes by chance alone."""
    judged = sum(row.moved is not None for row in rows)
    if not judged:
        return []
    said = (
        "moved: the joint 95% interval of the change (Welch, on the replicates' logarithms) "
        "excludes "
        "0"
    )
    chance = (
        f"; of {judged} such intervals {0.05 * judged:.1f} do so by chance alone"
        if judged > 1
        else ""
    )
    return [said + chance]


def _shown(difference: Difference) -> ChangedRow:
    a, b = (
        " ".join(str(value).split())
        if value is not None
        else NOT_RECORDED
        if run in difference.unrecorded
        else NOT_THERE
        for run, value in (("A", difference.a), ("B", difference.b))
    )
    same = 0
    if max(len(a), len(b)) > MAX_SHOWN:
        same = next(
            (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
        )
    begin = max(0, same - MAX_SHOWN // 4)  # some of what is the same leads to what is not
    return ChangedRow(
        group=difference.group,
        key=difference.key,
        a=_cut(a, begin),
        b=_cut(b, begin),
    )


def _cut(value: str, begin: int) -> str:
    begin = min(begin, max(0, len(value) - 1))
    shown = value[begin : begin + MAX_SHOWN]
    return ("…" if begin else "") + shown + ("…" if begin + MAX_SHOWN < len(value) else "")


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
