"""What the plots' modules share: a drawing, and the jobs it is of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.schema.record import JobRecord
from report.analysis.replicates import arms_of, counting, is_result
from report.loading.runs import Run
from report.loading.series import Files

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


def by_workload(run: Run, *, speed: bool = True) -> dict[str, dict[str, list[JobRecord]]]:
    """The replicates that count by workload and arm, in the tables' order, arms without one
    included.

    `speed`: whether the plot is of how fast they were, for which those in which an arm compiled
    anew do not count beside others.
    """
    groups: dict[str, dict[str, list[JobRecord]]] = {}
    for (workload, arm), replicates in arms_of(run).replicates.items():
        jobs = replicates.values()
        results = counting(jobs) if speed else [job for job in jobs if is_result(job)]
        counted = [job for job in results if job.source == "measured"]
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
