"""Tables in one form that every output format starts from: rows and what is displayed of them.

A view is one kind of table (report.tables.registry); an output format is one function of a Document
(report.tables.render).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from report.loading.runs import Run
from report.tables.columns import RUN, Column
from report.tables.rows import Value
from report.text import OPEN_NOTE

R = TypeVar("R")


class Flat(Protocol):
    """A row that has a raw form."""

    def flat(self) -> dict[str, Value]:
        """The row by the names of its values."""
        ...


@dataclass(frozen=True)
class Table(Generic[R]):
    """A table.

    Attributes:
        name: Its name in CSV and JSON.
        title: The line over it.
        columns: The columns that are displayed.
        rows: The rows, in unrounded values.
        cells: `cells[i][j]` displays row i in `columns[j]`.
        notes: The sentences under it.
        sentences: What is displayed in place of columns and cells, where rows are told in words.
    """

    name: str
    title: str
    columns: tuple[Column[R], ...]
    rows: tuple[R, ...]
    cells: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunBlock:
    """Rows that stand together in a display.

    Attributes:
        heading: The run that they are of; empty where all rows of the table are of one.
        cells: As of Table, without the column of the run where there is a heading.
    """

    heading: str
    cells: tuple[tuple[str, ...], ...]


def blocks(table: Table[R]) -> tuple[tuple[Column[R], ...], list[RunBlock]]:
    """The columns and rows as they are displayed: a run's name once above its rows, not in each of
    them. Where rows of runs alternate, or each run has one row, the column stays.
    """
    runs = [cells[0] for cells in table.cells] if table.columns[:1] == (RUN,) else []
    pairs = zip(runs, table.cells, strict=False)  # without runs: none
    found = [(run, [*of_run]) for run, of_run in itertools.groupby(pairs, lambda pair: pair[0])]
    if not found or len(found) > len(set(runs)) or len(found) == len(runs):
        return table.columns, [RunBlock("", table.cells)]
    return table.columns[1:], [
        RunBlock(run, tuple(cells[1:] for _, cells in of_run)) for run, of_run in found
    ]


def raw(table: Table[Any]) -> list[dict[str, Value]]:
    """The rows of a table in their raw form, by the names that report.tables.rows describes."""
    rows: Sequence[Flat] = table.rows
    return [row.flat() for row in rows]


@dataclass(frozen=True)
class Document:
    """Tables and, under them all, what the runs were. Texts are plain; a format escapes what it
    must.
    """

    tables: tuple[Table[Any], ...]
    footer: tuple[str, ...]


def notes_once(document: Document) -> Document:
    """The document without the notes that stand under an earlier table of it."""
    said: set[str] = set()
    tables = []
    for table in document.tables:
        tables.append(replace(table, notes=tuple(note for note in table.notes if note not in said)))
        said.update(table.notes)
    return replace(document, tables=tuple(tables))


@dataclass(frozen=True)
class TablePart(Generic[R]):
    """What one view takes of one run: rows and the notes under them.

    `by_name`: arms go by their names, for backends do not tell them apart. `usual`: the view has
    something to say of this run although nobody asked for it. `kind`: which table of the view the
    rows belong to, if it has several.
    """

    run: str
    created_at: str
    rows: Sequence[R]
    notes: Sequence[str]
    by_name: bool = False
    usual: bool = True
    kind: str = ""


@dataclass(frozen=True)
class View(Generic[R]):
    """One kind of table. `asked_only`: it repeats what others hold, so it is made only where it is
    asked for. `footer`: what was run stands under it, where it does not say so itself.
    """

    collect: Callable[[Run], TablePart[R]]
    tables: Callable[[Sequence[TablePart[R]]], Sequence[Table[R]]]
    asked_only: bool = False
    footer: bool = True


def part_of(
    run: Run,
    rows: Sequence[R],
    notes: Sequence[str],
    *,
    by_name: bool = False,
    usual: bool = True,
    kind: str = "",
) -> TablePart[R]:
    """A part of `run`."""
    return TablePart(run.info.run, run.info.created_at, rows, notes, by_name, usual, kind)


def make_table(
    name: str,
    title: str,
    columns: Iterable[Column[R]],
    rows: Sequence[R],
    notes: Iterable[str],
) -> Table[R]:
    """A table of `rows` in `columns`, without the optional columns that have nothing to say; a note
    explains intervals that are open.
    """
    kept = tuple(
        column for column in columns if not column.optional or any(column.show(row) for row in rows)
    )
    cells = tuple(tuple(column.show(row) for column in kept) for row in rows)
    of_open = [column.is_open for column in kept if column.is_open is not None]
    explained = [OPEN_NOTE] if any(opened(row) for opened in of_open for row in rows) else []
    return Table(name, title, kept, tuple(rows), cells, tuple(dict.fromkeys([*notes, *explained])))
