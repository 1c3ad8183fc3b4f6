"""LaTeX: one `table` float per table, with booktabs' rules, ready to \\input; needs
\\usepackage{booktabs}.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from report.tables.table import Document, Table

_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
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
        parts += [_float(table), *_notes(table.notes)]
    if document.footer:
        parts += ["What was run:", *_notes(document.footer)]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Plain text as LaTeX, in one line. Letters that pdflatex may lack are left as they are: UTF-8
    is its default.
    """
    one_line = "".join(
        sign for sign in " ".join(text.split()) if not unicodedata.category(sign).startswith("C")
    )
    return (
        one_line.replace("--", "-\0-").translate(_SPECIAL).replace("\0", "{}")
    )  # -- would become a dash


def _float(table: Table[Any]) -> str:
    columns = "".join("r" if column.right else "l" for column in table.columns)
    rows = [" & ".join(map(escape, cells)) + r" \\" for cells in table.cells]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{escape(table.title.removesuffix(':'))}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(escape(column.title) for column in table.columns) + r" \\",
            r"\midrule",
            *(rows or [rf"\multicolumn{{{len(table.columns)}}}{{l}}{{(nothing recorded)}} \\"]),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _notes(notes: tuple[str, ...]) -> list[str]:
    if not notes:
        return []
    items = [rf"\item {escape(note)}" for note in notes]
    return ["\n".join([r"\begin{itemize}", *items, r"\end{itemize}"])]
