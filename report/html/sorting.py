"""What a column is sorted by: the raw number behind a cell, so that rounding makes no two rows
equal.
"""

from __future__ import annotations

import math
import re
from typing import TypeVar

from report.tables.columns import Column

R = TypeVar("R")
_NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def sort_key(column: Column[R], row: R, cell: str) -> str:
    """The number that `cell` of `row` is sorted by, as text; empty where there is none: such rows
    go last.

    Only columns of numbers have keys; others are sorted by the text that they display. Without a
    raw number (`Column.sort`) it is the first number that the cell displays.
    """
    if not cell:
        return ""
    raw = column.sort(row) if column.sort else None
    if raw is not None and math.isfinite(raw):
        return repr(float(raw))
    shown = _NUMBER.search(cell)
    return shown[0].replace("−", "-") if shown else ""
