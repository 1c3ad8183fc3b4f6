"""Tables in one form that every output format starts from: raw rows and what is displayed of them.

A view is one kind of table (report.views); an output format is one function of a Document (report.formats).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import BenchError
from report.columns import Column
from report.load import Run
from report.notes import per_run, run_headline, run_notes
from report.rows import Row


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
    """The tables of `runs` as markdown, csv or json, ending in a newline. `view`: of views.VIEWS; None: the usual."""
    from report.formats import FORMATS

    if form not in FORMATS:
        raise BenchError("no such format", place=form, fix=f"choose one of {', '.join(FORMATS)}")
    return FORMATS[form](build(runs, view))


def build(runs: Sequence[Run], view: str | None = None) -> Document:
    """The tables of `runs`, in the runs' order. No run, or a view that does not exist: BenchError.

    Without `view`: every table that has something to say, but the comparison, which holds what the gains hold.
    """
    from report.views import VIEWS

    if view is not None and view not in VIEWS:
        raise BenchError("no such view", place=view, fix=f"choose one of {', '.join(VIEWS)}")
    if not runs:
        raise BenchError("no run to tabulate", fix="name a run folder")
    chosen = [view] if view else [name for name, (_, usual) in VIEWS.items() if usual(runs)]
    footer = [*map(run_headline, runs), *per_run(runs, run_notes)]
    return Document(tuple(table for name in chosen for table in VIEWS[name][0](runs)), tuple(footer))


def make_table(name: str, title: str, columns: Iterable[Column], rows: Sequence[Row], notes: Iterable[str]) -> Table:
    """A table of `rows` in `columns`, without the optional columns that have nothing to say."""
    kept = tuple(column for column in columns if not column.optional or any(column.show(row) for row in rows))
    cells = tuple(tuple(column.show(row) for column in kept) for row in rows)
    return Table(name, title, kept, tuple(rows), cells, tuple(dict.fromkeys(notes)))
