"""Tables in one form that every output format starts from: raw rows and what is displayed of them.

A view is one kind of table (report.tables.registry); an output format is one function of a Document
(report.tables.render).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from report.loading.runs import Run
from report.tables.columns import Column
from report.tables.rows import Row


@dataclass(frozen=True)
class Table:
    """`rows` hold raw numbers by the keys of rows.KEYS; `cells[i][j]` displays row i in
    `columns[j]`.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    cells: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """Tables and, under them all, what the runs were. Texts are plain; a format escapes what it
    must.
    """

    tables: tuple[Table, ...]
    footer: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """What one view takes of one run: raw rows and the notes under them.

    `by_name`: arms go by their names, for backends do not tell them apart. `usual`: the view has
    something to say of this run although nobody asked for it. `kind`: which table of the view the
    rows belong to, if it has several.
    """

    run: str
    created_at: str
    rows: Sequence[Row]
    notes: Sequence[str]
    by_name: bool = False
    usual: bool = True
    kind: str = ""


@dataclass(frozen=True)
class View:
    """One kind of table. `asked_only`: it repeats what others hold, so it is made only where it is
    asked for.
    """

    collect: Callable[[Run], Part]
    tables: Callable[[Sequence[Part]], list[Table]]
    asked_only: bool = False


def part_of(
    run: Run,
    rows: Sequence[Row],
    notes: Sequence[str],
    *,
    by_name: bool = False,
    usual: bool = True,
    kind: str = "",
) -> Part:
    """A part of `run`."""
    return Part(run.info.run, run.info.created_at, rows, notes, by_name, usual, kind)


def make_table(
    name: str, title: str, columns: Iterable[Column], rows: Sequence[Row], notes: Iterable[str]
) -> Table:
    """A table of `rows` in `columns`, without the optional columns that have nothing to say."""
    kept = tuple(
        column for column in columns if not column.optional or any(column.show(row) for row in rows)
    )
    cells = tuple(tuple(column.show(row) for column in kept) for row in rows)
    return Table(name, title, kept, tuple(rows), cells, tuple(dict.fromkeys(notes)))
