"""Tables for a terminal: in its width, by leaving out what matters least and wrapping the rest."""

from __future__ import annotations

import io
import os
import shutil
import sys
import unicodedata
from typing import Any

from report.analysis.metrics import ESSENTIAL
from report.tables.table import Document, Table

WITHOUT_A_TERMINAL = 120  # columns
SHORT = 16  # cells: text that fits in so many is not wrapped
LONG = 28  # cells: words are broken only where they are longer
_BETWEEN = 2  # cells between columns


def terminal(document: Document, width: int | None = None) -> str:
    """The tables in `width` cells, by default the terminal's (COLUMNS overrides); bold titles where
    it is one.

    Columns that are least important (columns.DETAIL, then all that are not ESSENTIAL) are left out
    from the right until the rest can stand side by side; a line under the table names them.
    """
    from rich.console import Console
    from rich.text import Text

    width = width or shutil.get_terminal_size((WITHOUT_A_TERMINAL, 24)).columns
    styled = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=styled,
        color_system="standard" if styled else None,
        highlight=False,
    )
    for number, table in enumerate(document.tables):
        if number:
            console.print()
        if table.title:
            console.print(Text(plain(table.title), style="bold"))
        if table.sentences:
            _print_sentences(console, table.sentences, alone=len(document.tables) == 1)
        elif table.rows:
            left_out = _print_rows(console, table, width)
            if left_out:
                names = ", ".join(table.columns[index].title for index in left_out)
                _bullet(
                    console,
                    f"too wide for {width} columns, left out: {names} (--format markdown has all)",
                )
        else:
            console.print("(nothing recorded)")
        for note in table.notes:
            _bullet(console, note)
    if document.footer:
        console.print()
        console.print(Text("What was run:", style="bold"))
        for note in document.footer:
            _bullet(console, note)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def plain(text: str) -> str:
    """One line without control characters, which could move the cursor or recolour the terminal."""
    return "".join(
        "�" if unicodedata.category(sign) == "Cc" else sign for sign in " ".join(text.split())
    )


def fitting(table: Table[Any], width: int) -> list[int]:
    """The indices of the columns that are shown in `width` cells, wrapped if need be; those of
    ESSENTIAL always.
    """
    shown = list(range(len(table.columns)))
    droppable = sorted(
        (index for index in shown if table.columns[index].importance < ESSENTIAL),
        key=lambda index: (table.columns[index].importance, -index),
    )
    for index in droppable:
        if _needed(table, shown) <= width:
            break
        shown.remove(index)
    return shown


def _needed(table: Table[Any], shown: list[int]) -> int:
    return sum(_least_width(table, index) + _BETWEEN for index in shown)


def _widths(table: Table[Any], shown: list[int], width: int) -> dict[int, int]:
    """The widths of the columns shown, what is left over given to those that would wrap most.

    Empty where they cannot fit: words and numbers have to be broken then, which rich does.
    """
    from rich.cells import cell_len

    left = width - _needed(table, shown)
    if left < 0:
        return {}
    widths = {index: _least_width(table, index) for index in shown}
    wanted = {
        index: max(
            cell_len(plain(text))
            for text in (table.columns[index].title, *(row[index] for row in table.cells))
        )
        for index in shown
    }
    while left > 0 and any(wanted[index] > widths[index] for index in shown):
        widths[max(shown, key=lambda index: wanted[index] - widths[index])] += 1
        left -= 1
    return widths


def _print_rows(console: object, table: Table[Any], width: int) -> list[int]:
    """Print the rows; returns the columns left out."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    assert isinstance(console, Console)
    shown = fitting(table, width)
    widths = _widths(table, shown, width)
    grid = Grid(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, _BETWEEN - 1, 0, 0), show_edge=False
    )
    for index in shown:
        column = table.columns[index]
        grid.add_column(
            Text(plain(column.title)),
            justify="right" if column.right else "left",
            overflow="fold",
            width=widths.get(index),
        )
    for cells in table.cells:
        grid.add_row(*(Text(plain(cells[index])) for index in shown))
    console.print(grid)
    return [index for index in range(len(table.columns)) if index not in shown]


def _print_sentences(console: object, sentences: tuple[str, ...], *, alone: bool) -> None:
    """One sentence by itself stays one line, which is copied whole: the terminal breaks it."""
    from rich.console import Console
    from rich.text import Text

    assert isinstance(console, Console)
    if len(sentences) == 1:
        console.print(Text(plain(sentences[0])), soft_wrap=alone)
        return
    for sentence in sentences:
        _bullet(console, sentence)


def _wraps(table: Table[Any], index: int) -> bool:
    """Whether a column may be wrapped: text may, a number is read in one piece."""
    return not table.columns[index].right


def _least_width(table: Table[Any], index: int) -> int:
    """The cells that a column needs at least: all of numbers and short texts, the longest word of
    others.
    """
    from rich.cells import cell_len

    texts = [plain(cells[index]) for cells in table.cells]
    whole = max(map(cell_len, texts), default=0)
    if _wraps(table, index) and whole > SHORT:
        words = (cell_len(word) for text in texts for word in text.split())
        whole = max(SHORT, min(LONG, max(words)))
    return max(
        whole, *map(cell_len, plain(table.columns[index].title).split())
    )  # a title may be wrapped


def _bullet(console: object, note: str) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table as Grid
    from rich.text import Text

    assert isinstance(console, Console)
    grid = Grid.grid(padding=(0, 1, 0, 0))
    grid.add_row(Text("-"), Text(plain(note), overflow="fold"))
    console.print(Padding(grid, 0, expand=False))
