"""Columns of a displayed table: what a cell says of its row, and what goes into the title because
all rows share it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from report.tables.rows import Row, Value
from report.text import format_percent

Show = Callable[[Row], str]
DETAIL, ESSENTIAL = 0, 2  # importance of a column


@dataclass(frozen=True)
class Column:
    """A displayed column: what a cell says of its row. `optional`: left out where no row has
    anything to say.

    `importance`: where a table is wider than a terminal, columns of DETAIL are left out first,
    ESSENTIAL ones never.
    """

    title: str
    show: Show
    right: bool = False
    optional: bool = False
    importance: int = 1


@dataclass(frozen=True)
class Fact:
    """What describes a row and rarely varies: a column where it does, else words of the title
    (`phrase`).
    """

    column: Column
    phrase: str = "{}"

    def value(self, rows: Sequence[Row]) -> str | None:
        """What it is in all rows that have a job; None if it varies, empty if no row tells."""
        values = {self.column.show(row) for row in rows if row["launches"] != 0}
        return values.pop() if len(values) == 1 else None if values else ""


def text(key: str) -> Show:
    return lambda row: "" if row[key] is None else str(row[key])


def device(row: Row) -> str:
    """The card without its maker's name, which is the same for all."""
    return ", ".join(name.removeprefix("NVIDIA ") for name in str(row["device"]).split(", "))


def pair_attention(row: Row) -> str:
    """Of both arms of a pair: `eager`, or `eager over sdpa` (candidate over baseline)."""
    candidate, baseline = text("candidate_attention")(row), text("baseline_attention")(row)
    return candidate if candidate == baseline or not baseline else f"{candidate} over {baseline}"


TASK = Fact(Column("Task", text("task"), importance=ESSENTIAL))
PRECISION = Fact(Column("Precision", text("precision"), importance=ESSENTIAL))
BATCH = Fact(Column("Batch", text("batch_size"), right=True, importance=ESSENTIAL), "batch {}")
ATTENTION = Fact(Column("Attention", text("attention")), "{} attention")
PAIR_ATTENTION = Fact(Column("Attention", pair_attention, importance=DETAIL), "attention {}")
GPU = Fact(Column("GPU", device, importance=ESSENTIAL))


def split_facts(rows: Sequence[Row], facts: Sequence[Fact]) -> tuple[list[Column], str]:
    """The columns of the facts that vary, and the others in brackets for the title: " (sst2, fp16,
    batch 8)".
    """
    values = [(fact, fact.value(rows)) for fact in facts]
    shared = ", ".join(fact.phrase.format(value) for fact, value in values if value)
    return [
        fact.column for fact, value in values if value is None
    ], f" ({shared})" if shared else ""


def run_column(rows: Sequence[Row]) -> list[Column]:
    return (
        [Column("Run", text("run"), importance=ESSENTIAL)]
        if len({row["run"] for row in rows}) > 1
        else []
    )


def workload_column(rows: Sequence[Row]) -> list[Column]:
    """Only where model, task, precision and batch size do not tell two workloads of a run apart."""
    told: dict[tuple[Value, ...], set[Value]] = {}
    for row in rows:
        seen = (row["run"], row["model"], row["task"], row["precision"], row["batch_size"])
        told.setdefault(seen, set()).add(row["workload"])
    alike = any(len(names) > 1 for names in told.values())
    return [Column("Workload", text("workload"), importance=ESSENTIAL)] if alike else []


def backends_are_shared(rows: Sequence[Row]) -> bool:
    """Whether two arms of one workload have the same backend, so that its label does not tell them
    apart.
    """
    return len({(row["run"], row["workload"], row["backend"]) for row in rows}) < len(rows)


def as_number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def decimals(value: float) -> int:
    """Decimals that show four significant digits, one at least and 15 at most: 3523.7, 752.3,
    57.30, 0.1234.
    """
    return min(max(1, 3 - math.floor(math.log10(abs(value)))), 15) if value else 1


def number(key: str, factor: float = 1.0, digits: int | None = None) -> Show:
    """`value · factor` with `digits` decimals, by default as many as `decimals` says; a published
    one as printed.
    """

    def show(row: Row) -> str:
        value = as_number(row[key])
        if value is None:
            return ""
        if row["source"] == "published":
            return repr(value * factor)  # the digits that were printed, no more
        return f"{value * factor:.{decimals(value * factor) if digits is None else digits}f}"

    return show


def half_width(key: str, factor: float = 1.0) -> Show:
    def show(row: Row) -> str:
        value, high = as_number(row[key]), as_number(row[f"{key}_high"])
        if value is None or high is None:
            return ""
        return f"{(high - value) * factor:.{decimals(value * factor)}f}"

    return show


def percent(*keys: str) -> Show:
    """The fractions `keys` as "2.99%" or "2.99% / 3.08%"; empty if one is missing."""

    def show(row: Row) -> str:
        values = [as_number(row[key]) for key in keys]
        return (
            ""
            if None in values
            else " / ".join(format_percent(value) for value in values if value is not None)
        )

    return show


def interval(key: str) -> Show:
    def show(row: Row) -> str:
        low, high = as_number(row[f"{key}_low"]), as_number(row[f"{key}_high"])
        return (
            ""
            if low is None or high is None
            else f"{format_percent(low)} to {format_percent(high)}"
        )

    return show


def count(row: Row) -> str:
    """How many launches count, and of how many if that is not all."""
    n, launches = row["n"], row["launches"]
    if n is None:
        return ""  # not published
    return str(n) if n == launches else f"{n} of {launches}"


# There are results, and why they make no gain.
JUDGED = ("refused: ", "failed parity: ", "ambiguous: ", "engines disagree: ")


def state(row: Row) -> str:
    said = str(row["state"])
    if said != "ok":
        return said if said.startswith(JUDGED) else f"no result: {said}"
    if row["source"] == "published":
        return "published"
    unmet = row.get("precision_target") == "precision not reached"
    left_out = f"left out: {row['left_out']}" if row["left_out"] else ""
    unseen = f"throttling and sharing unknown: {row['unobserved']}" if row.get("unobserved") else ""
    return "; ".join(
        filter(None, ["ok", "precision not reached" if unmet else "", left_out, unseen])
    )


def state_if_telling(row: Row) -> str:
    """The state where it is more than that all went well: for tables that stand beside one that has
    every state.
    """
    said = state(row)
    return "" if said in ("ok", "published") else said
