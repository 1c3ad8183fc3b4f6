"""Reads the series files of a run: steps and telemetry of its jobs, as Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from report.loading.runs import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

LARGEST = 1e21


@dataclass
class Files:
    """Reads the series of runs for one kind of plot; remembers what could not be read."""

    problems: list[str] = field(default_factory=list)

    def read(
        self, run: Run, series: str | None, columns: Sequence[str]
    ) -> dict[str, Values] | None:
        """Columns of a series as float64; None where the job has no readable one.

        NaN where a value is missing, or beyond LARGEST, which no measurement gives and no axis can
        show.
        """
        import numpy as np
        from pyarrow import ArrowException, parquet

        if series is None:
            return None
        path = run.folder / series
        try:
            table = parquet.read_table(path, columns=list(columns))
            values = {
                name: np.asarray(table[name].to_pandas(), dtype=np.float64) for name in columns
            }
            return {
                name: np.where(np.abs(of) <= LARGEST, of, np.nan) for name, of in values.items()
            }
        except FileNotFoundError:
            self._say(path, "no such file")
        except (OSError, ArrowException) as error:
            self._say(path, f"cannot be read: {_first_line(error)}")
        except KeyError as error:
            self._say(path, f"has no column {error.args[0]}")
        except (ValueError, TypeError):
            self._say(path, "holds something that is no number")
        return None

    def take(self) -> tuple[str, ...]:
        """The problems since the last call."""
        found, self.problems = tuple(self.problems), []
        return found

    def _say(self, path: Path, what: str) -> None:
        if (said := f"{path}: {what}; not drawn") not in self.problems:
            self.problems.append(said)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
