"""What tables need of a run once its records are read: years of runs are digested one by one, and
fit in memory.

A view (report.tables.registry) takes its part of every run (`collect`) and makes tables of the
parts of all runs (`tables`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from report.loading.filters import EVERYTHING, Selection
from report.loading.runs import Run
from report.tables.footnotes import machine, run_headline, run_notes
from report.tables.rows import Row

if TYPE_CHECKING:
    from report.tables.table import Table


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


@dataclass(frozen=True)
class Digest:
    """A run as its tables need it; `parts` by the names of their views."""

    run: str
    created_at: str
    suite: str
    machine: str
    headline: str
    notes: Sequence[str]
    parts: dict[str, Part]


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


def digest(run: Run, views: Collection[str], selection: Selection = EVERYTHING) -> Digest | None:
    """What the tables of `views` need of what is selected of a run; None if that is nothing."""
    from report.tables.registry import VIEWS

    selected = selection.of(run)
    if selected is None:
        return None
    parts = {name: VIEWS[name].collect(selected) for name in VIEWS if name in views}
    return Digest(
        run.info.run,
        run.info.created_at,
        run.info.suite,
        machine(selected),
        run_headline(selected),
        run_notes(selected),
        {
            name: replace(part, rows=[*filter(selection.shows, part.rows)])
            for name, part in parts.items()
        },
    )
