"""What the plots' modules share: a drawing, the jobs it is of, and the series files of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.schema.record import JobRecord
from report.analysis.launches import OK, arms_of, verdict
from report.loading.runs import Run

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Values = NDArray[np.float64]


@dataclass(frozen=True)
class Drawing:
    """A figure with what is said of it; without a figure it is left out, and `caption` says why.

    `of`: what it is of, as parts of its name. `problems`: a sentence for every file that should
    have been there.
    """

    of: tuple[str, ...]
    title: str
    caption: str
    alt: str = ""
    figure: Figure | None = None
    problems: tuple[str, ...] = ()


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


def by_workload(run: Run) -> dict[str, dict[str, list[JobRecord]]]:
    """The launches that count by workload and arm, in the tables' order, arms without one included."""
    groups: dict[str, dict[str, list[JobRecord]]] = {}
    for (workload, arm), launches in arms_of(run).launches.items():
        counted = [
            job for job in launches.values() if verdict(job) == OK and job.source == "measured"
        ]
        groups.setdefault(workload, {})[arm] = counted
    return groups


def left_out(
    run: Run, workload: str, title: str, what: str, jobs: Iterable[JobRecord], files: Files
) -> Drawing:
    """A drawing that there is nothing for: `what` is missing, because files are, or because nobody
    recorded it.
    """
    problems = files.take()
    named = [job for job in jobs if job.source == "measured"]
    why = "no job of it counts" if not named else "none was recorded"
    if problems:
        why = (
            "a series file is missing or damaged"
            if len(problems) == 1
            else "series files are missing or damaged"
        )
    return Drawing(
        (run.info.run, workload), title, f"Left out: no {what}; {why}.", problems=problems
    )


def missing(arms: Mapping[str, Sequence[JobRecord]], drawn: Iterable[str | None]) -> str:
    """ " 2 of 8 jobs have no series." if so, as part of a caption."""
    jobs = [job for of_arm in arms.values() for job in of_arm]
    there = set(drawn)
    without = sum(job.series not in there for job in jobs)
    return f" Not drawn: {without} of {len(jobs)} jobs, whose series is missing." if without else ""


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
