"""Tables of any number of runs: each is read, digested and dropped, in as many processes as there
are cores.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from harness.errors import BenchError
from report.loading.aa_runs import Neighbours
from report.loading.filters import EVERYTHING, Selection
from report.loading.lean import read_all_lean, read_lean
from report.loading.runs import (
    JOBS_FILE,
    Folder,
    collector_paused,
    find_folders,
    load_run,
    neighbours_of,
    place_run,
    set_aside,
)
from report.tables.digest import Digest, digest
from report.tables.table import Document, assemble

PARALLEL_FROM = (
    8_000_000  # bytes of records: fewer are read in less time than processes take to start
)
MOST_PROCESSES = 8
RUNS_AT_ONCE = (
    8  # a process's next task; the last ones to end should not end much later than the others
)

_Digested = tuple[Digest | None, list[str]]


def document_of(
    paths: Sequence[Path],
    views: Callable[[int], Collection[str]],
    view: str | None = None,
    selection: Selection = EVERYTHING,
    group_by: str | None = None,
) -> tuple[Document, list[str]]:
    """The tables of the runs in `paths` (as load.load_runs takes them), and all problems found.

    `views`: which ones, given the number of runs (tables.views_for). Nothing selected: BenchError.
    """
    folders = find_folders(paths)
    work = partial(
        _digested, neighbours=neighbours_of(folders), views=views(len(folders)), selection=selection
    )
    with collector_paused():
        done = list(_mapped(work, folders))
    digests = [found for found, _ in done if found is not None]
    problems = [problem for _, of_run in done for problem in of_run]
    if not digests and str(selection):
        raise BenchError(
            "no run has anything of it",
            place=str(selection),
            fix="see what there is without the filter",
        )
    return assemble(digests, view, group_by), problems


def _mapped(work: Callable[[Folder], _Digested], folders: Sequence[Folder]) -> Iterator[_Digested]:
    processes = min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, MOST_PROCESSES
    )
    if processes < 2 or len(folders) < 2 or sum(map(_size, folders)) < PARALLEL_FROM:
        yield from map(work, folders)
        return
    # fork, for what was imported so far need not be imported again; nothing that starts threads was
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(work, folders, chunksize=RUNS_AT_ONCE)


def _digested(
    folder: Folder,
    neighbours: dict[Path | None, Neighbours],
    views: Collection[str],
    selection: Selection,
) -> _Digested:
    """The digest of the run in `folder`, None if nothing of it is selected or readable, and its
    problems.
    """
    try:
        run = place_run(load_run(folder.path, read_lean, read_all_lean), neighbours)
    except BenchError as error:
        return None, [set_aside(folder, error)]
    return digest(run, views, selection), run.problems


def _size(folder: Folder) -> int:
    try:
        return (folder.path / JOBS_FILE).stat().st_size
    except OSError:
        return 0
