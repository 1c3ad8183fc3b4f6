"""Filtering and grouping by model, task, backend, GPU and run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Protocol

from harness.schema.record import JobRecord, Pair, Refusal, Stopping
from report.labels import BACKEND_LABELS
from report.loading.runs import Run

Patterns = tuple[str, ...]
_BACKENDS = {label: backend for backend, label in BACKEND_LABELS.items()}


class SelectableRow(Protocol):
    """What filters and groups ask of a row of a table."""

    @property
    def run(self) -> str:
        """The name of its run."""

    @property
    def model(self) -> str:
        """The label of its model."""

    @property
    def task(self) -> str | None:
        """The label of its task."""

    @property
    def device(self) -> str:
        """`cpu`, or its GPU's name."""

    @property
    def backend_shown(self) -> str:
        """The label of its backend; of a gain the candidate's."""

    @property
    def own_arm(self) -> tuple[str, str] | None:
        """The name and the backend's label of its arm; None if it is of a pair."""


GROUPS: dict[str, Callable[[SelectableRow], str]] = {
    "model": lambda row: row.model,
    "task": lambda row: row.task or "",
    "backend": lambda row: row.backend_shown,
    "gpu": lambda row: row.device,
    "run": lambda row: row.run,
}
"""What `--group-by` can name, and the group of a row; a gain is its candidate's."""


@dataclass(frozen=True)
class Selection:
    """Shell patterns, any case; of several of one kind one must fit, of every kind that is given.

    A backend goes by its id, its label or the name of an arm: a pair is selected if one of its arms
    is, other tables have the selected arms only. A GPU goes by its name with or without its
    maker's; `cpu` is one, too.
    """

    model: Patterns = ()
    task: Patterns = ()
    backend: Patterns = ()
    gpu: Patterns = ()
    run: Patterns = ()

    def of(self, run: Run, expected: Collection[tuple[str, str]]) -> Run | None:
        """What is selected of a run: jobs, pairs and all that is said of them.

        Args:
            run: The run.
            expected: Workload and arm of all that the run has, or should have, replicates of.

        Returns:
            The run with what is selected; None if that is nothing.
        """
        if self == EVERYTHING:
            return run
        if not _fits(self.run, run.info.run):
            return None
        backends = {job.arm.name: job.arm.backend for job in run.jobs}
        ran = {job.workload.name for job in run.jobs}
        kept = {job.workload.name for job in run.jobs if self._fits_job(job)}
        if (
            not self.task and not self.gpu
        ):  # all that is known of a workload that nobody ran is its name
            kept |= {name for name, _ in expected if name not in ran and _fits(self.model, name)}

        def fits_arm(arm: str) -> bool:
            backend = backends.get(arm, arm)
            return _fits(self.backend, arm, backend, BACKEND_LABELS.get(backend, backend))

        def fits_pair(workload: str, *sides: str) -> bool:
            return workload in kept and any(map(fits_arm, sides))

        pairs = [
            pair
            for pair in run.info.pairs
            if fits_pair(pair.workload, pair.baseline, pair.candidate)
        ]
        needed = {(pair.workload, arm) for pair in pairs for arm in (pair.baseline, pair.candidate)}
        jobs = [
            job
            for job in run.jobs
            if self._fits_job(job)
            and (fits_arm(job.arm.name) or (job.workload.name, job.arm.name) in needed)
        ]
        if not jobs and not pairs:
            return None
        of_pairs = {_key(pair) for pair in pairs}
        info = run.info.replace(
            pairs=pairs,
            stopping=[said for said in run.info.stopping if _key(said) in of_pairs],
            refusals=[said for said in run.info.refusals if _key(said) in of_pairs],
            published_gains=[
                printed
                for printed in run.info.published_gains
                if tuple(printed.get(key) for key in ("workload", "baseline", "candidate"))
                in of_pairs
            ],
        )
        return replace(run, info=info, jobs=jobs)

    def shows(self, row: SelectableRow) -> bool:
        """Whether a row of a selected run is: one of an arm needs its backend, a gain came with its
        pair.
        """
        if not self.backend or row.own_arm is None:
            return True
        arm, label = row.own_arm
        return _fits(self.backend, arm, label, _BACKENDS.get(label, label))

    def _fits_job(self, job: JobRecord) -> bool:
        return (
            _fits(self.model, job.workload.model.name)
            and _fits(self.task, job.workload.task.name)
            and _fits(self.gpu, job.device, job.device.removeprefix("NVIDIA "))
        )

    def __str__(self) -> str:
        """As options of the command line."""
        kinds = ("model", "task", "backend", "gpu", "run")
        return " ".join(f"--{kind} {pattern}" for kind in kinds for pattern in getattr(self, kind))


EVERYTHING = Selection()


def groups_of(rows: Iterable[Sequence[SelectableRow]], by: str) -> list[str]:
    """The groups that rows fall into, in the order in which they come."""
    return list(dict.fromkeys(GROUPS[by](row) for of_run in rows for row in of_run))


def _fits(patterns: Patterns, *names: str) -> bool:
    folded = [name.casefold() for name in names]
    return not patterns or any(
        fnmatchcase(name, pattern.casefold()) for pattern in patterns for name in folded
    )


def _key(said: Pair | Stopping | Refusal) -> tuple[str, str, str]:
    return said.workload, said.baseline, said.candidate
