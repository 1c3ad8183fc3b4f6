"""Tables for a terminal: in its width, by leaving out what matters least and wrapping the rest."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import unicodedata
from dataclasses import dataclass
from typing import Any

from report.analysis.metrics import ESSENTIAL, MAJOR
from report.tables.columns import Column
from report.tables.table import Document, RunBlock, Table, blocks

WITHOUT_A_TERMINAL = 120  # columns
SHORT = 16  # cells: text that fits in so many is not wrapped, longer text not in fewer
TIGHT = 10  # cells that longer text may be wrapped in before a column of MAJOR is left out
_BETWEEN = 2  # cells between columns
_BEFORE_BRACKET = r" (?=\()"
_HEADING = "\ue000"  # for private use: no name that is shown has it by itself


def terminal(document: Document, width: int | None = None) -> str:
    """The tables in `width` cells, by default the terminal's (COLUMNS overrides); bold titles where
    it is one.

    Columns that are least important (metrics.DETAIL, then NORMAL, then MAJOR) are left out
    from the right until the rest can stand side by side; a line under the table names them. Before
    one of MAJOR is left out, long texts are wrapped in fewer cells. Where even those that are left
    cannot stand side by side, each row is an entry of a list.
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
    return _fitting(_Grid.of(table), width)[0]


@dataclass(frozen=True)
class _Grid:
    """A table as it is displayed: `places[i]` is the index in the table of column i."""

    columns: tuple[Column[Any], ...]
    blocks: list[RunBlock]
    places: range

    @classmethod
    def of(cls, table: Table[Any]) -> _Grid:
        columns, of_runs = blocks(table)
        return cls(columns, of_runs, range(len(table.columns))[-len(columns) :])

    def texts(self, place: int) -> list[str]:
        """The cells of the column that has this index in the table."""
        index = self.places.index(place)
        return [plain(cells[index]) for block in self.blocks for cells in block.cells]

    def column(self, place: int) -> Column[Any]:
        """The column that has this index in the table."""
        return self.columns[self.places.index(place)]


def _fitting(grid: _Grid, width: int) -> tuple[list[int], int]:
    """The columns that are shown, and in how many cells their texts may be wrapped."""
    shown = [*grid.places]
    droppable = sorted(
        (place for place in shown if grid.column(place).importance < ESSENTIAL),
        key=lambda place: (grid.column(place).importance, -place),
    )
    for place in droppable:
        if _needed(grid, shown) <= width:
            return shown, SHORT
        if grid.column(place).importance >= MAJOR and _needed(grid, shown, TIGHT) <= width:
            return shown, TIGHT
        shown.remove(place)
    return shown, SHORT if _needed(grid, shown) <= width else TIGHT


def _needed(grid: _Grid, shown: list[int], short: int = SHORT) -> int:
    return sum(_least_width(grid, place, short) + _BETWEEN for place in shown) - _BETWEEN


def _widths(grid: _Grid, shown: list[int], width: int, short: int) -> dict[int, int]:
    """The widths of the columns shown, what is left over given to those that would wrap most; empty
    where they cannot stand side by side.
    """
    from rich.cells import cell_len

    left = width - _needed(grid, shown, short)
    if left < 0:
        return {}
    widths = {place: _least_width(grid, place, short) for place in shown}
    wanted = {
        place: max(map(cell_len, (plain(grid.column(place).title), *grid.texts(place))))
        for place in shown
    }
    while left > 0 and any(wanted[place] > widths[place] for place in shown):
        widths[max(shown, key=lambda place: wanted[place] - widths[place])] += 1
        left -= 1
    return widths


def _print_rows(console: object, table: Table[Any], width: int) -> list[int]:
    """Print the rows; returns the indices of the columns left out.

    Columns that cannot stand side by side without cutting words are written as a list instead,
    which has all columns.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    assert isinstance(console, Console)
    grid = _Grid.of(table)
    shown, short = _fitting(grid, width)
    widths = _widths(grid, shown, width, short)
    if not widths:
        _print_list(console, grid)
        return []
    drawn = RichTable(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, _BETWEEN - 1, 0, 0), show_edge=False
    )
    for place in shown:
        column = grid.column(place)
        drawn.add_column(
            Text(plain(column.title)),
            justify="right" if column.right else "left",
            overflow="fold",
            width=widths[place],
        )

    def lines(place: int, text: str) -> str:
        return "\n".join(wrapped(text, widths[place], number=grid.column(place).right))

    headings: list[str] = []
    for block in grid.blocks:
        if block.heading:
            headings.append(plain(block.heading))
            drawn.add_row(Text(_HEADING))  # its line is replaced, for it is wider than any column
        for cells in block.cells:
            texts = {place: plain(cell) for place, cell in zip(grid.places, cells, strict=True)}
            drawn.add_row(*(Text(lines(p, texts[p])) for p in shown))
    with console.capture() as capture:
        console.print(drawn)
    left = iter(headings)
    for line in capture.get().splitlines():
        if line.strip() == _HEADING and (heading := next(left, None)) is not None:
            console.print(Text(heading, style="bold", overflow="fold"))
        else:
            console.file.write(f"{line}\n")
    left_out = {*range(len(table.columns))} - {*shown}
    return sorted(left_out & {*grid.places})


def _print_list(console: object, grid: _Grid) -> None:
    from rich.console import Console
    from rich.text import Text

    assert isinstance(console, Console)
    for block in grid.blocks:
        if block.heading:
            console.print(Text(plain(block.heading), style="bold", overflow="fold"))
        for cells in block.cells:
            said = [
                f"{column.title} {cell}"
                for column, cell in zip(grid.columns, cells, strict=True)
                if cell
            ]
            _bullet(console, "; ".join(said))


def wrapped(text: str, width: int, *, number: bool = False) -> list[str]:
    """A text in lines of `width` cells at most: between words, and in a word longer than a line
    after a hyphen, stroke or underscore. A number is in one piece but for its interval in brackets.
    """
    from rich.cells import cell_len

    lines = [""]
    for word in re.split(_BEFORE_BRACKET, text) if number else text.split():
        if lines[-1] and cell_len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        elif number or cell_len(word) <= width:
            lines.append(word)
        else:
            for place, part in enumerate(_parts(word)):
                if place and cell_len(lines[-1] + part) <= width:
                    lines[-1] += part
                else:
                    lines.append(part)
    return lines[1:] or [""]


def _parts(word: str) -> list[str]:
    return re.findall(r"[^-/_]*[-/_]|[^-/_]+", word)


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


def _least_width(grid: _Grid, place: int, short: int) -> int:
    """The cells that a column needs at least: all of numbers and short texts, of others the longest
    part that a word may be broken into.
    """
    from rich.cells import cell_len

    column, texts = grid.column(place), grid.texts(place)
    whole = max(map(cell_len, texts), default=0)
    if column.right:  # a number is read in one piece, or two
        pieces = (cell_len(piece) for text in texts for piece in re.split(_BEFORE_BRACKET, text))
        whole = max(pieces, default=0)
    elif whole > SHORT:
        parts = (cell_len(part) for text in texts for word in text.split() for part in _parts(word))
        whole = max(short, *parts)
    return max(whole, *map(cell_len, plain(column.title).split()))  # a title may be wrapped


def _bullet(console: object, note: str) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table as Grid
    from rich.text import Text

    assert isinstance(console, Console)
    grid = Grid.grid(padding=(0, 1, 0, 0))
    grid.add_row(Text("-"), Text(plain(note), overflow="fold"))
    console.print(Padding(grid, 0, expand=False))
