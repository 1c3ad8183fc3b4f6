"""A comparison for a terminal and as Markdown for people, and as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from report.analysis.compare import Compared, Comparison, Item
from report.analysis.metrics import DETAIL, ESSENTIAL, NORMAL, Figure
from report.analysis.provenance_diff import Difference
from report.analysis.statistics import Estimate, throughput_gain
from report.tables.columns import Column, decimals, has_open_gain
from report.tables.footnotes import run_headline
from report.tables.render import FORMATS as TABLE_FORMATS
from report.tables.rows import Value, flat
from report.tables.table import Document, Table, make_table
from report.text import OPEN

JSON_VERSION = 1
FEW = 3  # gains that the verdict names
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
    a_published: float | None
    b: Figure
    b_n: int
    b_published: float | None
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


def document_of(found: Comparison) -> Document:
    """The verdict in a line, then tables: gains, times, what changed, what only one run has."""
    gains, times = ([_row(compared, kind) for compared in of] for kind, of in _kinds(found))
    tables: list[Table[Any]] = [Table("verdict", "", (), (), (), (), (verdict_line(found),))]
    if gains:
        tables.append(
            make_table(
                "gains", "Gains, B against A:", _gain_columns(gains), gains, _gain_notes(gains)
            )
        )
    if times:
        tables.append(
            make_table(
                "times", "Times, B against A:", _time_columns(times), times, _time_notes(times)
            )
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
    return Document(tuple(tables), footer)


def markdown(found: Comparison) -> str:
    """The document as Markdown."""
    return TABLE_FORMATS["markdown"](document_of(found))


def terminal(found: Comparison) -> str:
    """The document in the width of the terminal."""
    return TABLE_FORMATS["terminal"](document_of(found))


def verdict_line(found: Comparison) -> str:
    """What the comparison comes to: "0 of 2 gains moved; other driver, same code"."""
    said = [_moved(kind, of) for kind, of in _kinds(found) if of or kind == "gains"]
    others = list(dict.fromkeys(difference.group for difference in found.differences.found))
    unrecorded = {group for group, _ in found.differences.unrecorded}
    code = "code"
    changed = [group for group in others if group != code]
    told = [f"other {_listed(changed)}"] if changed else []
    told.append(
        "other code"
        if code in others
        else "code not recorded in both"
        if code in unrecorded
        else "same code"
    )
    if not others and not unrecorded:
        told = ["nothing else that was recorded changed"]
    return "; ".join([*said, ", ".join(told)])


def _moved(kind: str, of: Sequence[Compared]) -> str:
    judged = [compared for compared in of if compared.moved is not None]
    moved = [compared for compared in judged if compared.moved]
    if not of:
        return f"no {kind} that both runs have"
    what = kind.removesuffix("s") if len(judged) == 1 else kind
    said = f"{len(moved)} of {len(judged)} {what} moved" if judged else ""
    if kind == "gains" and 0 < len(moved) <= FEW:
        named = (
            f"{one.b.what} on {one.b.workload}, {one.b.time}: "
            f"{_percent(throughput_gain(one.change.mean if one.change else 0.0), '+')}"
            for one in moved
        )
        said += f" ({'; '.join(named)})"
    if unknown := len(of) - len(judged):
        what = kind.removesuffix("s") if unknown == 1 else kind
        said += f"{', ' if said else ''}{unknown} {what} cannot be judged"
    return said


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


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


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "markdown": markdown,
    "terminal": terminal,
    "json": json_text,
}


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
        a_published=a.printed,
        b=_transformed(b.estimate, transform),
        b_n=b.estimate.n if b.estimate else 0,
        b_published=b.printed,
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
        Column("What", lambda row: row.key, importance=ESSENTIAL),
        Column("A", lambda row: row.a, importance=ESSENTIAL),
        Column("B", lambda row: row.b, importance=ESSENTIAL),
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


def _gain_columns(rows: Sequence[ComparedRow]) -> list[Column[ComparedRow]]:
    return [
        *_names("Gain of"),
        _fraction_column("A", rows, lambda row: row.a, lambda row: row.a_published),
        _fraction_column("B", rows, lambda row: row.b, lambda row: row.b_published),
        *_change_columns(rows, "up", "down"),
    ]


def _time_columns(rows: Sequence[ComparedRow]) -> list[Column[ComparedRow]]:
    return [
        *_names("Arm"),
        Column("A", lambda row: _time(row, row.a.value), right=True, importance=DETAIL),
        Column("B", lambda row: _time(row, row.b.value), right=True),
        *_change_columns(rows, "longer", "shorter"),
    ]


def _names(what: str) -> list[Column[ComparedRow]]:
    return [
        Column(
            "Workload", lambda row: _of_both(row.workload_a, row.workload), importance=ESSENTIAL
        ),
        Column(what, lambda row: _of_both(row.what_a, row.what), importance=ESSENTIAL),
        Column("Time", lambda row: row.time, importance=ESSENTIAL),
    ]


def _change_columns(rows: Sequence[ComparedRow], more: str, less: str) -> list[Column[ComparedRow]]:
    def state(row: ComparedRow) -> str:
        if row.moved is None:
            return f"unknown: {row.why}"
        if row.moved:
            return f"moved: {more if (row.change.value or 0) > 0 else less}"
        same = row.change.value == row.change.low == row.change.high == 0
        return "the same" if same else "not distinguishable"

    return [
        _fraction_column("Change", rows, lambda row: row.change, sign="+"),
        Column("State", state, importance=ESSENTIAL),
    ]


def _fraction_column(
    title: str,
    rows: Sequence[ComparedRow],
    read: Callable[[ComparedRow], Figure],
    printed: Callable[[ComparedRow], float | None] = lambda row: None,
    *,
    sign: str = "",
) -> Column[ComparedRow]:
    """A fraction with its interval: "+1.99% (+1.02 to +2.99)"."""

    def show(row: ComparedRow) -> str:
        figure = read(row)
        low, high = _percent(figure.low, sign), _percent(figure.high, sign)
        within = f" ({low.removesuffix('%')} to {high.removesuffix('%')})" if low and high else ""
        within = f" ({OPEN})" if has_open_gain(figure) else within
        published = printed(row)
        return f"{_percent(figure.value if published is None else published, sign)}{within}"

    known = any(read(row).high is not None for row in rows)
    return Column(
        f"{title} (95%)" if known else title,
        show,
        right=True,
        # In a narrow terminal the change stays, and what is now stays longer than what was.
        importance={"A": DETAIL, "B": NORMAL}.get(title, ESSENTIAL),
        is_open=lambda row: has_open_gain(read(row)),
    )


def _of_both(a: str, b: str) -> str:
    """One name, or A's and B's where they were matched by what they are."""
    return b if a == b else f"{a} / {b}"


def _percent(value: float | None, sign: str = "") -> str:
    if value is None:
        return ""
    if abs(value) * 100 > MOST_PERCENT:
        return f"{'>' if value > 0 else '<'} {math.copysign(MOST_PERCENT, value):{sign}.0f}%"
    return format(value * 100, f"{sign}z.2f") + "%"


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
    notes = [what]
    printed = [row for row in rows if (row.a_published, row.b_published) != (None, None)]
    if any(row.change.value is not None for row in printed):
        notes.append("published gains are as printed; changes are of those of the published times")
    return [*notes, *_chance(rows)]


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
