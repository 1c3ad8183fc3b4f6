"""LaTeX: one `table` float per table, with booktabs' rules, ready to \\input; needs
\\usepackage{booktabs}.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from tabulate import LATEX_ESCAPE_RULES, tabulate

from report.tables.table import Document, Table, blocks

# What tabulate escapes, and what it leaves that would not be printed as it stands.
_BY_TABULATE = str.maketrans(LATEX_ESCAPE_RULES)
_BESIDES = str.maketrans(
    {
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "'": r"\textquotesingle{}",
        "`": r"\textasciigrave{}",
        "[": "{[}",  # at the head of a row it would be an option of the \\ before it
        "]": "{]}",
        "±": r"\ensuremath{\pm}",
        "∞": r"\ensuremath{\infty}",
        "×": r"\ensuremath{\times}",
        "−": r"\ensuremath{-}",
        "…": r"\ldots{}",
        "–": "--",
    }
)


def latex(document: Document) -> str:
    """Tables with their title as caption and their notes as a list; whatever a name holds, it stays
    text.
    """
    parts = [r"% needs \usepackage[T1]{fontenc}, \usepackage{textcomp} and \usepackage{booktabs}"]
    for table in document.tables:
        if table.sentences:
            parts += [*([escape(table.title)] if table.title else []), *_notes(table.sentences)]
        else:
            parts.append(_float(table))
        parts += _notes(table.notes)
    if document.footer:
        parts += ["What was run:", *_notes(document.footer)]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Plain text as LaTeX, in one line. Letters that pdflatex may lack are left as they are: UTF-8
    is its default.
    """
    return _escape_besides(_one_line(text).translate(_BY_TABULATE))


def _one_line(text: str) -> str:
    words = " ".join(text.split())
    return "".join(sign for sign in words if not unicodedata.category(sign).startswith("C"))


def _escape_besides(text: str) -> str:
    """What tabulate has escaped already, with the signs that it leaves; -- would become a dash."""
    return re.sub("-(?=-)", "-{}", text).translate(_BESIDES)


def _float(table: Table[Any]) -> str:
    columns, of_runs = blocks(table)
    nothing = [""] * (len(columns) - 1)
    lines: list[list[str]] = []
    for block in of_runs:
        lines += [[_one_line(block.heading), *nothing]] if block.heading else []
        lines += [[_one_line(cell) for cell in cells] for cells in block.cells]
    tabular = tabulate(
        lines or [["(nothing recorded)", *nothing]],
        [_one_line(column.title) for column in columns],
        "latex_booktabs",
        colalign=["right" if column.right else "left" for column in columns],
        disable_numparse=True,
    )
    caption = escape(table.title.removesuffix(":"))
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{caption}}}",
            _escape_besides(tabular),
            r"\end{table}",
        ]
    )


def _notes(notes: tuple[str, ...]) -> list[str]:
    if not notes:
        return []
    items = [rf"\item {escape(note)}" for note in notes]
    return ["\n".join([r"\begin{itemize}", *items, r"\end{itemize}"])]
