"""Columns of a displayed table: what a cell says of its row, and what goes into the title because
all rows share it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from report.analysis.metrics import DETAIL, ESSENTIAL, MAJOR, NORMAL, Figure, JobMetric
from report.analysis.outcome import GainStatus, PrecisionTarget
from report.tables.rows import AnyRow, ArmRow, GainRow, InferenceRow, TrainedRow, UtilizationRow
from report.text import OPEN, format_percent, is_open, is_open_gain

R = TypeVar("R", contravariant=True)
Shown = TypeVar("Shown", bound=AnyRow, contravariant=True)
Row = TypeVar("Row")
FiguresRow = ArmRow | UtilizationRow


@dataclass(frozen=True)
class Column(Generic[R]):
    """A displayed column.

    Attributes:
        title: Its header.
        show: What a cell says of its row.
        right: Whether its cells are numbers, aligned to the right.
        optional: Left out where no row has anything to say.
        importance: Where a table is wider than a terminal, columns of DETAIL are left out first,
            then NORMAL and then MAJOR ones, ESSENTIAL ones never.
        sort: The number that rows are sorted by on the page, so that rounding makes no two rows
            equal; None: by the number that is displayed.
        is_open: Whether a cell says that an interval is open (report.text.OPEN), which a note under
            the table then explains; None: no cell has an interval.
    """

    title: str
    show: Callable[[R], str]
    right: bool = False
    optional: bool = False
    importance: int = NORMAL
    sort: Callable[[R], float | None] | None = None
    is_open: Callable[[R], bool] | None = None


@dataclass(frozen=True)
class Fact(Generic[Shown]):
    """What describes a row and rarely varies: a column where it does, else words of the title
    (`phrase`).
    """

    column: Column[Shown]
    phrase: str = "{}"

    def value(self, rows: Sequence[Shown]) -> str | None:
        """What it is in all rows that have a job; None if it varies, empty if no row tells."""
        values = {self.column.show(row) for row in rows if row.replicates != 0}
        return values.pop() if len(values) == 1 else None if values else ""


def text(read: Callable[[R], object]) -> Callable[[R], str]:
    """What `read` says, as it is; empty for None."""

    def show(row: R) -> str:
        value = read(row)
        return "" if value is None else str(value)

    return show


def device(row: AnyRow) -> str:
    """The card without its maker's name, which is the same for all."""
    return ", ".join(name.removeprefix("NVIDIA ") for name in row.device.split(", "))


def pair_attention(row: GainRow) -> str:
    """Of both arms of a pair: `eager`, or `eager over sdpa` (candidate over baseline)."""
    candidate, baseline = row.candidate_attention or "", row.baseline_attention or ""
    return candidate if candidate == baseline or not baseline else f"{candidate} over {baseline}"


MODEL: Column[AnyRow] = Column("Model", lambda row: row.model, importance=ESSENTIAL)
TASK: Fact[AnyRow] = Fact(Column("Task", text(lambda row: row.task), importance=ESSENTIAL))
PRECISION: Fact[AnyRow] = Fact(
    Column("Precision", text(lambda row: row.precision), importance=ESSENTIAL)
)
BATCH: Fact[AnyRow] = Fact(
    Column(
        "Batch",
        text(lambda row: row.batch_size),
        right=True,
        importance=ESSENTIAL,
        sort=lambda row: row.batch_size,
    ),
    "batch {}",
)
ATTENTION: Fact[ArmRow | UtilizationRow | InferenceRow] = Fact(
    Column("Attention", text(lambda row: row.attention)), "{} attention"
)
PAIR_ATTENTION: Fact[GainRow] = Fact(
    Column("Attention", pair_attention, importance=DETAIL), "attention {}"
)
GPU: Fact[AnyRow] = Fact(Column("GPU", device, importance=ESSENTIAL))


def split_facts(
    rows: Sequence[Shown], facts: Sequence[Fact[Shown]]
) -> tuple[list[Column[Shown]], str]:
    """The columns of the facts that vary, and the others in brackets for the title: " (sst2, fp16,
    batch 8)".
    """
    values = [(fact, fact.value(rows)) for fact in facts]
    shared = ", ".join(fact.phrase.format(value) for fact, value in values if value)
    return [
        fact.column for fact, value in values if value is None
    ], f" ({shared})" if shared else ""


RUN: Column[AnyRow] = Column("Run", lambda row: row.run, importance=ESSENTIAL)


def run_column(rows: Sequence[AnyRow]) -> list[Column[AnyRow]]:
    """The column of the run, where rows are of several."""
    return [RUN] if len({row.run for row in rows}) > 1 else []


def workload_column(rows: Sequence[AnyRow]) -> list[Column[AnyRow]]:
    """Only where model, task, precision and batch size do not tell two workloads of a run apart."""
    told: dict[tuple[object, ...], set[str]] = {}
    for row in rows:
        seen = (row.run, row.model, row.task, row.precision, row.batch_size)
        told.setdefault(seen, set()).add(row.workload)
    alike = any(len(names) > 1 for names in told.values())
    return [Column("Workload", lambda row: row.workload, importance=ESSENTIAL)] if alike else []


def backends_are_shared(rows: Sequence[TrainedRow]) -> bool:
    """Whether two arms of one workload have the same backend, so that its label does not tell them
    apart.
    """
    return len({(row.run, row.workload, row.backend) for row in rows}) < len(rows)


def decimals(value: float) -> int:
    """Decimals that show four significant digits, one at least and 15 at most: 3523.7, 752.3,
    57.30, 0.1234.
    """
    return min(max(1, 3 - math.floor(math.log10(abs(value)))), 15) if value else 1


def format_number(value: float | None, factor: float = 1.0, digits: int | None = None) -> str:
    """`value · factor` with `digits` decimals, by default as many as `decimals` says; empty for
    None.
    """
    if value is None:
        return ""
    return f"{value * factor:.{decimals(value * factor) if digits is None else digits}f}"


def figure_column(metric: JobMetric, title: str = "") -> Column[FiguresRow]:
    """The column of a metric's value, by the metric's declaration; a published value as printed."""

    def show(row: FiguresRow) -> str:
        value = row.figure(metric).value
        if value is not None and row.source == "published":
            return repr(value * metric.factor)  # the digits that were printed, no more
        return format_number(value, metric.factor, metric.digits)

    return Column(
        title or metric.header,
        show,
        right=True,
        optional=metric.optional,
        importance=metric.importance,
        sort=lambda row: row.figure(metric).value,
    )


def figure_columns(metrics: Sequence[JobMetric]) -> list[Column[FiguresRow]]:
    """The columns of the metrics that tables show, each followed by that of its interval."""
    return [
        column
        for metric in metrics
        if metric.header
        for column in (figure_column(metric), *interval_columns([metric]))
    ]


def interval_columns(metrics: Sequence[JobMetric]) -> list[Column[FiguresRow]]:
    """The columns of the intervals of the metrics that tables show with one."""
    return [_interval_column(metric) for metric in metrics if metric.interval_header]


def _interval_column(metric: JobMetric) -> Column[FiguresRow]:
    def opened(row: FiguresRow) -> bool:
        figure = row.figure(metric)
        return is_open(figure.value, figure.low, figure.high)

    def show(row: FiguresRow) -> str:
        figure = row.figure(metric)
        if opened(row):
            return OPEN
        if figure.value is None or figure.low is None or figure.high is None:
            return ""
        digits = decimals(figure.value * metric.factor)
        ends = (format_number(end, metric.factor, digits) for end in (figure.low, figure.high))
        return " to ".join(ends)

    return Column(
        metric.interval_header,
        show,
        right=True,
        optional=True,
        importance=MAJOR,
        sort=lambda row: row.figure(metric).low,
        is_open=opened,
    )


def number_column(
    title: str,
    read: Callable[[R], float | None],
    factor: float = 1.0,
    digits: int | None = None,
    *,
    importance: int = NORMAL,
) -> Column[R]:
    """The column of a number that is no declared metric's."""
    return Column(
        title,
        lambda row: format_number(read(row), factor, digits),
        right=True,
        importance=importance,
        sort=read,
    )


def percent(*fractions: float | None) -> str:
    """Fractions as "2.99%" or "2.99% / 3.08%"; empty if one is missing."""
    known = [value for value in fractions if value is not None]
    return " / ".join(map(format_percent, known)) if len(known) == len(fractions) else ""


def has_open_gain(gain: Figure) -> bool:
    """Whether the interval of a throughput gain is open (report.text.is_open_gain)."""
    return is_open_gain(gain.value, gain.low, gain.high)


def has_open_ratio(ratio: Figure) -> bool:
    """Whether the interval of a ratio is open (report.text.is_open)."""
    return is_open(ratio.value, ratio.low, ratio.high)


def with_ends(
    figure: Figure,
    printed: float | None = None,
    opened: Callable[[Figure], bool] = has_open_gain,
) -> str:
    """A fraction with its interval: "1.99% (1.02 to 2.99)", "1.99% (open)"; empty without a value.

    `printed`: the value as it was published, which stands in the place of one that is computed from
    published times. `opened`: whether the interval is open, by default of a throughput gain.
    """
    said = percent(figure.value if printed is None else printed)
    if said and opened(figure):
        return f"{said} ({OPEN})"
    if not said or figure.low is None or figure.high is None:
        return said
    low, high = (format_percent(end).removesuffix("%") for end in (figure.low, figure.high))
    return f"{said} ({low} to {high})"


def fraction_column(
    title: str,
    rows: Sequence[Row],
    read: Callable[[Row], Figure],
    printed: Callable[[Row], float | None] = lambda row: None,
    opened: Callable[[Figure], bool] = has_open_gain,
) -> Column[Row]:
    """The column of a fraction with its interval, as percentages; the title says so where any of
    `rows` has an interval. `printed`, `opened`: as of `with_ends`.
    """
    return Column(
        f"{title} (95%)" if any(read(row).high is not None for row in rows) else title,
        lambda row: with_ends(read(row), printed(row), opened),
        right=True,
        importance=ESSENTIAL,
        sort=lambda row: read(row).value,
        is_open=lambda row: opened(read(row)),
    )


def count(row: AnyRow) -> str:
    """How many replicates count, and of how many if that is not all."""
    if row.n is None:
        return ""  # not published
    return str(row.n) if row.n == row.replicates else f"{row.n} of {row.replicates}"


def count_column(title: str = "n", *, optional: bool = False) -> Column[AnyRow]:
    """The column of the replicates that count."""
    return Column(
        title, count, right=True, optional=optional, importance=MAJOR, sort=lambda row: row.n
    )


def qualifications(row: AnyRow) -> list[str]:
    """What qualifies a result that there is: a target that was not reached, replicates that do not
    count, cards that nobody saw.
    """
    said = []
    if isinstance(row, GainRow) and row.precision_target is PrecisionTarget.NOT_REACHED:
        said.append(PrecisionTarget.NOT_REACHED.value)
    if row.left_out:
        said.append(f"left out: {row.left_out}")
    if isinstance(row, GainRow) and row.unobserved:
        said.append(f"throttling and sharing unknown: {row.unobserved}")
    return said


def state(row: AnyRow) -> str:
    """Whether there is a result, and what qualifies it; or why there is none."""
    if not row.outcome.ok:
        return row.outcome.shown
    if row.source == "published":
        return "published"
    return "; ".join([GainStatus.OK.value, *qualifications(row)])


def state_if_telling(row: AnyRow) -> str:
    """The state where it is more than that all went well: for tables that stand beside one that has
    every state.
    """
    if row.outcome.ok and (row.source == "published" or not qualifications(row)):
        return ""
    return state(row)


STATE: Column[AnyRow] = Column("State", state, importance=ESSENTIAL)
TELLING_STATE: Column[AnyRow] = Column(
    "State", state_if_telling, optional=True, importance=ESSENTIAL
)
