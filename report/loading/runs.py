"""Reads runs from disk. Damaged lines are named and set aside, never repaired: the report writes no
results.
"""

from __future__ import annotations

import difflib
import gc
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.errors import BenchError
from harness.files import check_is_file
from harness.schema.record import SCHEMA_VERSION, JobRecord, RunInfo
from harness.schema.record_io import UnreadableLine, first_error, read_line, too_new
from report.loading.aa_runs import Neighbours

# Names of runs in an error: those like the one that was given, and those that there are.
MOST_CLOSE, MOST_LISTED = 3, 20
RUN_FILE, JOBS_FILE = "run.json", "jobs.jsonl"

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Run:
    """One run folder. `problems` has one sentence for everything that could not be read, with its
    file and line.

    `beside`: folders of other runs in which an A/A run of the same host may be found
    (report.analysis.noise_floor).
    """

    folder: Path
    info: RunInfo
    jobs: list[JobRecord]
    problems: list[str] = field(default_factory=list)
    beside: tuple[Path, ...] = ()
    remembered: dict[Callable[..., Any], Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )


def once_per_run(answer: Callable[[Run], _Answer]) -> Callable[[Run], _Answer]:
    """`answer(run)`, worked out once for each run: every view asks for the same replicates and
    gains again.
    """

    @wraps(answer)
    def remembering(run: Run) -> _Answer:
        if answer not in run.remembered:
            run.remembered[answer] = answer(run)
        found: _Answer = run.remembered[answer]
        return found

    return remembering


@contextmanager
def collector_paused() -> Iterator[None]:
    """Without Python's cycle collector: records hold no cycles, and it would walk over all of them
    again and again.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def load_run(folder: Path | str) -> Run:
    """Read the run in `folder`.

    Args:
        folder: The run's folder.

    Returns:
        The run; `problems` names every job line that is damaged.

    Raises:
        BenchError: There is no run.json, or it is no RunInfo, or the jobs cannot be read.
    """
    folder = Path(folder)
    info, problems = _read_info(folder)
    path = folder / JOBS_FILE
    check_is_file(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""  # a run that was killed before its first job ended has none
    except OSError as error:
        raise BenchError(
            f"cannot be read: {error.strerror}", place=str(path), fix="check its permissions"
        ) from None
    jobs: list[JobRecord] = []
    for number, line in enumerate(io.BytesIO(content), start=1):
        if line.isspace():
            continue
        notes: list[str] = []
        try:
            jobs.append(read_line(line, notes=notes))
        except UnreadableLine as why:
            torn = (
                ""
                if line.endswith(b"\n")
                else " (last line, torn: the writer was stopped in the middle)"
            )
            problems.append(f"{path}:{number}: {why}{torn}; set aside")
        problems += [f"{path}:{number}: {note}" for note in dict.fromkeys(notes)]
    return Run(folder, info, jobs, problems)


def load_runs(
    paths: Iterable[Path | str], beside: Iterable[Path] | None = None
) -> tuple[list[Run], list[str]]:
    """Every run in `paths`, each a run folder or a folder of runs (then by name), once; and all
    problems found.

    A folder named by the caller must be readable (BenchError); one that was only found beside
    others is a problem. `beside`: folders that may hold an A/A run of a run's host; None: all in
    the same folder as the run.
    """
    found = find_folders(paths)
    neighbours = neighbours_of(found, beside)
    runs: list[Run] = []
    problems: list[str] = []
    with collector_paused():
        for folder in found:
            try:
                runs.append(place_run(load_run(folder.path), neighbours))
            except BenchError as error:
                problems.append(set_aside(folder, error))
    return runs, [problem for run in runs for problem in run.problems] + problems


@dataclass(frozen=True)
class Folder:
    """A run's folder; `named`: by the caller, not only found in a folder that was."""

    path: Path
    named: bool


def find_folders(paths: Iterable[Path | str]) -> list[Folder]:
    """The run folders in `paths`, as `load_runs` says; BenchError for a folder without any."""
    folders: dict[Path, Folder] = {}
    for path in map(Path, paths):
        if _is_run(path) or not path.is_dir():
            folders.setdefault(path.resolve(), Folder(path, named=True))
            continue
        found = [child for child in sorted(path.iterdir()) if _is_run(child)]
        if not found:
            raise BenchError(
                "holds no run",
                place=str(path),
                fix=f"name a folder with a {RUN_FILE}, or one above such",
            )
        for child in found:
            folders.setdefault(child.resolve(), Folder(child, named=False))
    return list(folders.values())


def set_aside(folder: Folder, error: BenchError) -> str:
    """The problem to tell where a run that was only found cannot be read; one that was named raises
    `error`.
    """
    if folder.named:
        raise error
    return f"{error.place}: {error.message}; this run is set aside"


def neighbours_of(
    folders: Iterable[Folder], beside: Iterable[Path] | None = None
) -> dict[Path | None, Neighbours]:
    """The A/A runs around every folder, by the folder they are in; under None those of `beside`, if
    it is given.
    """
    if beside is not None:
        return {None: Neighbours(sorted({folder.resolve() for folder in beside}), RUN_FILE)}
    parents = {folder.path.resolve().parent for folder in folders}
    return {parent: Neighbours(_runs_in(parent), RUN_FILE) for parent in sorted(parents)}


def place_run(run: Run, neighbours: dict[Path | None, Neighbours]) -> Run:
    """`run` with the A/A runs of its host beside it."""
    folder = run.folder.resolve()
    around = neighbours[None] if None in neighbours else neighbours[folder.parent]
    return replace(run, beside=around.of(folder, run.info.host))


def find_run(name: str, results: Path) -> Path:
    """The folder of a run given as a folder or by its name under `results`; BenchError lists the
    closest names, and the newest runs first.
    """
    for candidate in (Path(name), results / name):
        if candidate.is_dir():
            return candidate
    known = _newest_first(_runs_in(results))
    close = [run for run in known if name and name in run]
    close = close or difflib.get_close_matches(name, known, n=MOST_CLOSE)
    meant = f"did you mean {' or '.join(close[:MOST_CLOSE])}? Or " if close else ""
    more = ", …" if len(known) > MOST_LISTED else ""
    listed = ", ".join(known[:MOST_LISTED]) + more if known else "none"
    raise BenchError(
        "no such run",
        place=name,
        fix=f"{meant}name a folder, or a run under {results} (newest first): {listed}",
    )


def _newest_first(folders: Iterable[Path]) -> list[str]:
    """The names of runs by when they were made; those that do not say it come last."""

    def made(folder: Path) -> str:
        try:
            return str(json.loads((folder / RUN_FILE).read_bytes())["created_at"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    return [folder.name for folder in sorted(folders, key=made, reverse=True)]


def _runs_in(folder: Path) -> tuple[Path, ...]:
    try:
        return tuple(child for child in sorted(folder.iterdir()) if _is_run(child))
    except OSError:
        return ()  # a run can be read by its own path where what stands beside it cannot be listed


def _is_run(folder: Path) -> bool:
    return (folder / RUN_FILE).is_file() or (folder / JOBS_FILE).is_file()


def _read_info(folder: Path) -> tuple[RunInfo, list[str]]:
    path = folder / RUN_FILE
    notes: list[str] = []
    check_is_file(path)
    try:
        info = RunInfo.model_validate_json(path.read_bytes(), context=notes)
    except FileNotFoundError:
        raise BenchError(
            f"no {RUN_FILE} here: not a run",
            place=str(folder),
            fix="name a folder that `harness run` made",
        ) from None
    except ValidationError as error:
        raise BenchError(
            first_error(error), place=str(path), fix="restore the file, or remove the run"
        ) from None
    except OSError as error:
        raise BenchError(
            f"cannot be read: {error.strerror}", place=str(path), fix="name a run's folder"
        ) from None
    newer = info.schema_version > SCHEMA_VERSION
    notes += [f"{too_new(info.schema_version)}; read as far as it is known"] if newer else []
    return info, [f"{path}: {note}" for note in notes]
