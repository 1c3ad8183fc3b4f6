"""Output formats: each one function from a Document to text.

A new format is a function and a line of FORMATS.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import tabulate

from harness.errors import BenchError
from report.loading.runs import Run
from report.tables.latex import latex
from report.tables.registry import build
from report.tables.rows import Value, describe_key
from report.tables.table import Document, Table, blocks, notes_once, raw
from report.tables.terminal import terminal

# Of every table that tabulate writes: two more spaces per header make wide tables wider.
tabulate.MIN_PADDING = 0
JSON_VERSION = 1
DISPLAYS = frozenset({"markdown", "terminal", "latex"})  # for people: many runs are summed up


def render(runs: Sequence[Run], form: str = "markdown", view: str | None = None) -> str:
    """The tables of `runs` in a format of FORMATS, ending in a newline; `view` as of `build`."""
    return written(build(runs, view, brief=form in DISPLAYS), form)


def written(document: Document, form: str) -> str:
    """A document in a format of FORMATS; BenchError for another."""
    if form not in FORMATS:
        raise BenchError("no such format", place=form, fix=f"choose one of {', '.join(FORMATS)}")
    return FORMATS[form](notes_once(document) if form in DISPLAYS else document)


def markdown(document: Document) -> str:
    """Aligned pipe tables for GitHub, notes as lists under them; whatever a name holds, it stays
    text in its cell.
    """
    parts = []
    for table in document.tables:
        if table.title:
            parts.append(_escaped(table.title))
        if table.sentences:
            parts += _paragraph_or_bullets(table.sentences)
        elif table.rows:
            parts.append(_pipe_table(table))
        else:
            parts.append("(nothing recorded)")
        parts += _bullets(table.notes)
    if document.footer:
        parts += ["What was run:", *_bullets(document.footer)]
    return "\n\n".join(parts) + "\n"


def _pipe_table(table: Table[Any]) -> str:
    columns, of_runs = blocks(table)
    lines: list[list[str]] = []
    for block in of_runs:
        if block.heading:
            lines.append([f"**{_escaped(block.heading)}**", *[""] * (len(columns) - 1)])
        lines += [[_escaped(cell) for cell in cells] for cells in block.cells]
    return tabulate.tabulate(
        lines,
        headers=[_escaped(column.title) for column in columns],
        # as `github`, but it keeps the alignment of numbers whatever tabulate's version
        tablefmt="pipe",
        colalign=["right" if column.right else "left" for column in columns],
        disable_numparse=True,
    )


def csv_text(document: Document) -> str:
    """Raw numbers, one line per row of every table; the column `table` says of which, the others
    are described by rows.describe_key.
    """
    tables = [(table.name, raw(table)) for table in document.tables]
    keys = list(dict.fromkeys(key for _, rows in tables for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", *keys])
    for name, rows in tables:
        for row in rows:
            writer.writerow([name, *(_plain(row.get(key)) for key in keys)])
    return text.getvalue()


def json_text(document: Document) -> str:
    """`tables`: name -> rows of raw numbers; `keys`: what each key means; `notes`: what a reader
    must know.
    """
    tables: dict[str, list[dict[str, Value]]] = {}
    for table in document.tables:  # grouped tables share a name
        tables.setdefault(table.name, []).extend(raw(table))
    keys = dict.fromkeys(key for rows in tables.values() for row in rows for key in row)
    content = {
        "version": JSON_VERSION,
        "tables": tables,
        "notes": list(
            dict.fromkeys(
                [*(note for table in document.tables for note in table.notes), *document.footer]
            )
        ),
        "keys": {key: describe_key(key).meaning for key in keys},
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Document], str]] = {
    "markdown": markdown,
    "terminal": terminal,
    "latex": latex,
    "csv": csv_text,
    "json": json_text,
}


def _paragraph_or_bullets(sentences: tuple[str, ...]) -> list[str]:
    return [_escaped(sentences[0])] if len(sentences) == 1 else _bullets(sentences)


def _bullets(notes: tuple[str, ...]) -> list[str]:
    return ["\n".join(f"- {_escaped(note)}" for note in notes)] if notes else []


def _escaped(text: str) -> str:
    """Plain text as Markdown: one line, and nothing in it opens a cell, a tag, a link, code or
    emphasis.
    """
    one_line = " ".join(text.split())
    return re.sub(r"[\\|`*\[\]]", r"\\\g<0>", one_line).replace("&", "&amp;").replace("<", "&lt;")


def _plain(value: Value) -> str | int | float | None:
    return "; ".join(value) if isinstance(value, list) else value
