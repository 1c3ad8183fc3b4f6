"""Reads results and never runs anything. Of harness it imports schema, errors and files alone; no
torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from report.loading.runs import Run

__all__ = ["frame"]


def frame(runs: Run | Path | str | Iterable[Run | Path | str]) -> pd.DataFrame:
    """A pandas DataFrame of runs, in unrounded values, for notebooks.

    The column `kind` tells the rows apart: `job`, one per recorded job with its own figures, and
    `gain`, one per declared pair and time. Columns are those of `report tables --format csv`; a
    column that a kind does not have is missing in its rows. `attrs["meanings"]` and
    `attrs["units"]` say what each column is and in which unit (docs/usage.md).

    Args:
        runs: Runs, or paths of run folders and of folders of runs; one of them or several.

    Returns:
        The rows of all runs in the order given, jobs before gains in each. What could not be read
        is left out and becomes a warning.

    Raises:
        BenchError: A path is no run and holds none.
    """
    # pandas takes a second to import, and every command imports this package.
    from report.exports.dataframe import frame as make

    return make(runs)
