"""The published tables, extended, in one form that every output format starts from: raw rows and what is displayed.

Runtimes: Model | Backend | Runtime(s) | Train samples(/s), gains: Model | Latency | Throughput, as Optimum publishes
them, then steady state, intervals, n and state. An output format is one function of a Document (report.formats).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.errors import BenchError
from report.gains import MEASURES
from report.load import Run
from report.notes import gain_notes, run_notes, runtime_notes
from report.rows import Row, Value, gain_rows, runtime_rows

VIEWS = ("runtimes", "gains")


@dataclass(frozen=True)
class Column:
    """A displayed column: what a cell says of its row. `optional`: left out where no row has anything to say."""

    title: str
    show: Callable[[Row], str]
    right: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Table:
    """`rows` hold raw numbers by the keys of rows.KEYS; `cells[i][j]` displays row i in `columns[j]`."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    cells: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """Tables and, under them all, what the runs were. Texts are plain; a format escapes what it must."""

    tables: tuple[Table, ...]
    footer: tuple[str, ...]


def render(runs: Sequence[Run], form: str = "markdown", view: str | None = None) -> str:
    """The tables of `runs` as markdown, csv or json, ending in a newline. `view`: one table of VIEWS; None: all."""
    from report.formats import FORMATS

    if form not in FORMATS:
        raise BenchError("no such format", place=form, fix=f"choose one of {', '.join(FORMATS)}")
    return FORMATS[form](build(runs, view))


def build(runs: Sequence[Run], view: str | None = None) -> Document:
    """The tables of `runs`, in the runs' order. No run, or a view that does not exist: BenchError."""
    if view is not None and view not in VIEWS:
        raise BenchError("no such view", place=view, fix=f"choose one of {', '.join(VIEWS)}")
    if not runs:
        raise BenchError("no run to tabulate", fix="name a run folder")
    makers = {"runtimes": _runtimes, "gains": _gains}
    tables = [makers[name](runs) for name in VIEWS if view in (None, name)]
    footer = _notes(runs, run_notes)
    if len(runs) == 1:
        footer[0] = f"run {runs[0].info.run}, {footer[0]}"
    return Document(tuple(tables), tuple(footer))


def _runtimes(runs: Sequence[Run]) -> Table:
    rows = [row for run in runs for row in runtime_rows(run)]
    return _table(
        "runtimes",
        "Training time by model and backend:",
        [
            *_run_column(rows),
            Column("Model", _text("model")),
            Column("Backend", _text("backend")),
            Column("Runtime(s)", _number("runtime_s"), right=True),
            Column("Train samples(/s)", _number("train_samples_per_s"), right=True),
            Column("Runtime ±95%", _half_width("runtime_s"), right=True, optional=True),
            Column("Set-up(s)", _number("setup_s"), right=True, optional=True),
            Column("Steady step(ms)", _number("steady_step_s", 1e3), right=True, optional=True),
            Column("Step ±95%", _half_width("steady_step_s", 1e3), right=True, optional=True),
            Column("Steady samples(/s)", _number("steady_samples_per_s"), right=True, optional=True),
            Column("n", _count, right=True, optional=True),
            Column("Task", _text("task")),
            Column("Precision", _text("precision")),
            *([Column("Arm", _text("arm"))] if _backends_are_shared(rows) else []),
            *([Column("Attention", _text("attention"))] if len({row["attention"] for row in rows}) > 1 else []),
            *_workload_column(rows),
            Column("State", _state),
        ],
        rows,
        _notes(runs, runtime_notes),
    )


def _gains(runs: Sequence[Run]) -> Table:
    rows = [row for run in runs for row in gain_rows(run)]
    labels = {
        (row["run"], row["workload"], row["arm"]): str(row["arm"] if _backends_are_shared(own) else row["backend"])
        for run in runs
        for own in [runtime_rows(run)]
        for row in own
    }

    def pair(row: Row) -> str:
        candidate, baseline = (labels[row["run"], row["workload"], row[arm]] for arm in ("candidate", "baseline"))
        return f"{candidate} over {baseline}"

    pairs = sorted({pair(row) for row in rows})
    several_measures = len({row["measure"] for row in rows}) > 1
    measures = {measure.key: measure.label for measure in MEASURES}
    return _table(
        "gains",
        f"Gain of {pairs[0]}:" if len(pairs) == 1 else "Gains by pair:",
        [
            *_run_column(rows),
            Column("Model", _text("model")),
            *([Column("Gain of", pair)] if len(pairs) > 1 else []),
            *([Column("Time", lambda row: measures[str(row["measure"])])] if several_measures else []),
            Column("Latency", _percent("latency_gain"), right=True),
            Column("Throughput", _percent("throughput_gain"), right=True),
            Column("Latency 95%", _interval("latency_gain"), right=True, optional=True),
            Column("Throughput 95%", _interval("throughput_gain"), right=True, optional=True),
            Column("Published latency", _percent("published_latency_gain"), right=True, optional=True),
            Column("Published throughput", _percent("published_throughput_gain"), right=True, optional=True),
            Column("n", _count, right=True, optional=True),
            Column("Task", _text("task")),
            Column("Precision", _text("precision")),
            *_workload_column(rows),
            Column("State", _state),
        ],
        rows,
        _notes(runs, gain_notes),
    )


def _table(name: str, title: str, columns: Iterable[Column], rows: Sequence[Row], notes: Iterable[str]) -> Table:
    kept = tuple(column for column in columns if not column.optional or any(column.show(row) for row in rows))
    cells = tuple(tuple(column.show(row) for column in kept) for row in rows)
    return Table(name, title, kept, tuple(rows), cells, tuple(notes))


def _notes(runs: Sequence[Run], about: Callable[[Run], list[str]]) -> list[str]:
    """The notes of every run, naming it where there are several."""
    return [f"{run.info.run}: {note}" if len(runs) > 1 else note for run in runs for note in about(run)]


def _run_column(rows: Sequence[Row]) -> list[Column]:
    return [Column("Run", _text("run"))] if len({row["run"] for row in rows}) > 1 else []


def _workload_column(rows: Sequence[Row]) -> list[Column]:
    """Only where model, task and precision do not tell two workloads of a run apart."""
    told: dict[tuple[Value, ...], set[Value]] = {}
    for row in rows:
        told.setdefault((row["run"], row["model"], row["task"], row["precision"]), set()).add(row["workload"])
    return [Column("Workload", _text("workload"))] if any(len(names) > 1 for names in told.values()) else []


def _backends_are_shared(rows: Sequence[Row]) -> bool:
    """Whether two arms of one workload have the same backend, so that its label does not tell them apart."""
    return len({(row["run"], row["workload"], row["backend"]) for row in rows}) < len(rows)


def _text(key: str) -> Callable[[Row], str]:
    return lambda row: "" if row[key] is None else str(row[key])


def _as_number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def decimals(value: float) -> int:
    """Decimals that show four significant digits, one at least: 3523.7, 752.3, 57.30, 0.1234."""
    return max(1, 3 - math.floor(math.log10(abs(value)))) if value else 1


def _number(key: str, factor: float = 1.0) -> Callable[[Row], str]:
    def show(row: Row) -> str:
        value = _as_number(row[key])
        if value is None:
            return ""
        if row["source"] == "published":
            return repr(value * factor)  # the digits that were printed, no more
        return f"{value * factor:.{decimals(value * factor)}f}"

    return show


def _half_width(key: str, factor: float = 1.0) -> Callable[[Row], str]:
    def show(row: Row) -> str:
        value, high = _as_number(row[key]), _as_number(row[f"{key}_high"])
        if value is None or high is None:
            return ""
        return f"{(high - value) * factor:.{decimals(value * factor)}f}"

    return show


def percent(fraction: float) -> str:
    """0.0299 as "2.99%"; never "-0.00%"."""
    return f"{fraction * 100:z.2f}%"


def _percent(key: str) -> Callable[[Row], str]:
    def show(row: Row) -> str:
        value = _as_number(row[key])
        return "" if value is None else percent(value)

    return show


def _interval(key: str) -> Callable[[Row], str]:
    def show(row: Row) -> str:
        low, high = _as_number(row[f"{key}_low"]), _as_number(row[f"{key}_high"])
        return "" if low is None or high is None else f"{percent(low)} to {percent(high)}"

    return show


def _count(row: Row) -> str:
    n, launches = row["n"], row["launches"]
    if n is None:
        return ""  # not published
    return str(n) if n == launches else f"{n} of {launches}"


def _state(row: Row) -> str:
    if row["state"] != "ok":
        return f"no result: {row['state']}"
    if row["source"] == "published":
        return "published"
    return f"ok; left out: {row['left_out']}" if row["left_out"] else "ok"
