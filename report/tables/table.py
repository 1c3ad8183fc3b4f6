"""Tables in one form that every output format starts from: raw rows and what is displayed of them.

A view is one kind of table (report.tables.registry); an output format is one function of a Document
(report.tables.render).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import BenchError
from report.loading.filters import EVERYTHING, Selection
from report.loading.runs import Run
from report.tables.columns import Column
from report.tables.footnotes import MANY_RUNS, merge_notes
from report.tables.rows import Row

if TYPE_CHECKING:
    from report.tables.digest import Digest, Part

DISPLAYS = frozenset({"markdown", "terminal", "latex"})  # for people: many runs are summed up
SUMMARY = "summary"


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


def render(runs: Sequence[Run], form: str = "markdown", view: str | None = None) -> str:
    """The tables of `runs` in a format of formats.FORMATS, ending in a newline. `view`: of
    views.VIEWS; None: usual.
    """
    return written(build(runs, view, brief=form in DISPLAYS), form)


def written(document: Document, form: str) -> str:
    """A document in a format of formats.FORMATS; BenchError for another."""
    from report.tables.render import FORMATS

    if form not in FORMATS:
        raise BenchError("no such format", place=form, fix=f"choose one of {', '.join(FORMATS)}")
    return FORMATS[form](document)


def build(
    runs: Sequence[Run],
    view: str | None = None,
    *,
    brief: bool = False,
    selection: Selection = EVERYTHING,
    group_by: str | None = None,
) -> Document:
    """The tables of runs, in the order of the runs.

    Args:
        runs: The runs to tabulate.
        view: The only view to make; None: every view that has something to say, except those that
            repeat what others hold.
        brief: Of more than MANY_RUNS runs, make the summary alone.
        selection: What of the runs is shown.
        group_by: A name of filters.GROUPS: a table for each of its values.

    Raises:
        BenchError: There is no run, nothing is selected, or there is no such view.
    """
    from report.tables.digest import digest

    names = views_for(view, len(runs), brief=brief)
    found = [made for run in runs if (made := digest(run, names, selection)) is not None]
    if not found and str(selection):
        raise BenchError(
            "no run has anything of it",
            place=str(selection),
            fix="see what there is without the filter",
        )
    return assemble(found, view, group_by)


def views_for(view: str | None, runs: int, *, brief: bool) -> list[str]:
    """The views that are made of so many runs, as far as they have something to say; see `build`."""
    from report.tables.registry import VIEWS

    if view is not None and view not in VIEWS:
        raise BenchError("no such view", place=view, fix=f"choose one of {', '.join(VIEWS)}")
    if view is None and brief and runs > MANY_RUNS:
        return [SUMMARY]
    return [view] if view else [name for name, made in VIEWS.items() if not made.asked_only]


def assemble(
    digests: Sequence[Digest], view: str | None = None, group_by: str | None = None
) -> Document:
    """The document of digested runs, in their order; `group_by`: of selection.GROUPS, a table for
    each of its values.

    No run: BenchError.
    """
    from report.tables.registry import VIEWS

    if not digests:
        raise BenchError("no run to tabulate", fix="name a run folder")
    tables: list[Table] = []
    for name in VIEWS:
        parts = [digest.parts[name] for digest in digests if name in digest.parts]
        if not parts or (
            view is None and name != SUMMARY and not any(part.usual for part in parts)
        ):
            continue
        for title, of_group in _grouped(parts, group_by):
            tables += [
                replace(table, title=f"{title}: {table.title}" if title else table.title)
                for table in VIEWS[name].tables(of_group)
            ]
    notes = merge_notes([(digest.run, digest.notes) for digest in digests])
    return Document(tuple(tables), (*_headlines(digests), *notes))


def make_table(
    name: str, title: str, columns: Iterable[Column], rows: Sequence[Row], notes: Iterable[str]
) -> Table:
    """A table of `rows` in `columns`, without the optional columns that have nothing to say."""
    kept = tuple(
        column for column in columns if not column.optional or any(column.show(row) for row in rows)
    )
    cells = tuple(tuple(column.show(row) for column in kept) for row in rows)
    return Table(name, title, kept, tuple(rows), cells, tuple(dict.fromkeys(notes)))


def _grouped(parts: Sequence[Part], by: str | None) -> list[tuple[str, list[Part]]]:
    """The parts with the rows of each group; the notes of a run stand under the last group that it
    has rows in.
    """
    if by is None:
        return [("", list(parts))]
    from report.loading.filters import GROUPS, groups_of

    groups: dict[str, list[Part]] = {
        group: [] for group in groups_of([part.rows for part in parts], by)
    }
    for part in parts:
        rows: dict[str, list[Row]] = {}
        for row in part.rows:
            rows.setdefault(GROUPS[by](row), []).append(row)
        last = max(rows, key=[*groups].index, default=None)
        for group, of_group in rows.items():
            groups[group].append(
                replace(part, rows=of_group, notes=part.notes if group == last else [])
            )
    return [(group or f"{by} not known", of_group) for group, of_group in groups.items()]


def _headlines(digests: Sequence[Digest]) -> list[str]:
    """A line for every run; of more than anybody reads one for all of a suite on a machine."""
    if len(digests) <= MANY_RUNS:
        return [digest.headline for digest in digests]
    alike: dict[tuple[str, str], list[Digest]] = {}
    for digest in digests:
        alike.setdefault((digest.machine, digest.suite), []).append(digest)
    said = []
    for (machine, suite), of in alike.items():
        if len(of) == 1:
            said.append(of[0].headline)
            continue
        first, *_, last = sorted(of, key=lambda digest: digest.created_at)
        when = f"{first.created_at[:10]} ({first.run}) to {last.created_at[:10]} ({last.run})"
        said.append(f"{len(of):,} runs {machine}, suite {suite}, {when}")
    return said
