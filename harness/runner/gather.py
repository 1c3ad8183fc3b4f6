"""One run folder out of the run folders of its parts (RUN/parts/NAME), which were made elsewhere or
one by one.

Gathering again replaces what was gathered before, so every part may do it when it ends. A part
belongs whole to the host that it was made on; what began elsewhere and was left lies beside it as
NAME.left-1, … and is told in a note.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import BenchError
from harness.results.run_folder import RunFolder, read_info, read_records
from harness.runner.record_builder import in_run
from harness.schema.job import digest
from harness.schema.record import JobRecord, Pair, RunInfo

PARTS = "parts"
PATIENCE_S = 120.0  # for others that gather at the same time


def part_folder(run: Path, name: str) -> Path:
    """Where a part's own run folder is."""
    return run / PARTS / name


def is_complete(folder: Path) -> bool:
    """Whether a run folder holds a run that has nothing left to do."""
    try:
        return read_info(folder).status == "complete"
    except BenchError:
        return False


def gather(run: Path, names: Sequence[str], whole: RunInfo) -> RunInfo | None:
    """Write RUN/run.json, jobs.jsonl, series/ and logs/ from the parts that have begun, in the
    order of `names`.

    `whole`: what is known of the run before: its name, suite, configuration, pairs. None: no part
    has begun. Raises BenchError if somebody else keeps gathering or a part is damaged.
    """
    found = [name for name in names if (part_folder(run, name) / "run.json").exists()]
    if not found:
        return None
    with _locked(run) as folder:
        infos = {name: read_info(part_folder(run, name)) for name in found}
        records: list[JobRecord] = []
        newer: list[bytes] = []
        for name in found:
            part = part_folder(run, name)
            first = len(records)
            of_part, damage = read_records(part)
            newer += damage.newer
            for record in of_part:
                records.append(in_run(record, whole.run, first))
            for kind in ("series", "logs"):
                for file in (part / kind).iterdir():
                    _link(file, run / kind / file.name)
        info = _joined(run, names, whole, infos)
        folder.replace(records, newer)
        folder.write_info(info)
    return info


def _locked(run: Path) -> RunFolder:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return RunFolder(run)
        except BenchError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _link(source: Path, target: Path) -> None:
    """The same file at a second place; a copy where the file system has no links."""
    with contextlib.suppress(FileNotFoundError):
        target.unlink()
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _joined(run: Path, names: Sequence[str], whole: RunInfo, infos: dict[str, RunInfo]) -> RunInfo:
    parts = list(infos.values())
    first = parts[0]
    complete = len(parts) == len(names) and all(part.status == "complete" for part in parts)
    sources: dict[str, dict[str, Any]] = {}
    for part in parts:
        for key, value in (part.config.get("resolved_sources") or {}).items():
            sources[key] = {**sources.get(key, {}), **value}
    finished = [part.finished_at for part in parts if part.finished_at]
    return whole.replace(
        created_at=min(part.created_at for part in parts),
        finished_at=max(finished) if complete and finished else None,
        status="complete" if complete else "incomplete",
        config={**whole.config, "resolved_sources": sources},
        host=first.host,
        packages=first.packages,
        stacks=first.stacks,
        git=first.git,
        environment=first.environment,
        notes=_notes(run, names, infos),
        stopping=[stopping for part in parts for stopping in part.stopping],
        refusals=[refusal for part in parts for refusal in part.refusals],
        parts=list(names),
    )


def _commit(info: RunInfo) -> str:
    dirty = " dirty" if info.git.get("dirty") else ""
    return f"{str(info.git.get('commit'))[:12]}{dirty}"


def _notes(run: Path, names: Sequence[str], infos: dict[str, RunInfo]) -> list[str]:
    """The parts' own, and in what they differ: each pair was measured on one host, but not all on
    the same.
    """
    notes = list(dict.fromkeys(note for info in infos.values() for note in info.notes))
    for what, value in (
        ("hosts", lambda info: info.host.name_sha256 and info.host.name_sha256[:8]),
        (
            "kinds of host",
            lambda info: "; ".join([info.host.cpu or "", *(gpu["name"] for gpu in info.host.gpus)]),
        ),
        ("packages", lambda info: digest(info.packages)[:8]),
        (
            "commits",
            _commit,
        ),
    ):
        groups: dict[str, list[str]] = {}
        for name, info in infos.items():
            groups.setdefault(str(value(info)), []).append(name)
        if len(groups) > 1:
            said = "; ".join(f"{', '.join(of)}: {which}" for which, of in groups.items())
            notes.append(f"parts were made with different {what}: {said}")
    for name in names:
        left = sorted((run / PARTS).glob(f"{name}.left-*"))
        if left:
            jobs = sum(len(read_records(folder)[0]) for folder in left)
            notes.append(
                f"{name} began {len(left)} time(s) on another host; its {jobs} record(s) from "
                "there are left out"
            )
    return notes


def pairs_of(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Pairs that can be measured apart: those of one workload that share an arm stay together, for
    it runs once.
    """
    groups: list[list[Pair]] = []
    for pair in pairs:
        mine = [pair]
        for group in [g for g in groups if any(_share(pair, other) for other in g)]:
            groups.remove(group)
            mine = [*group, *mine]
        groups.append(mine)
    order = {id(pair): place for place, pair in enumerate(pairs)}
    ordered = [sorted(group, key=lambda pair: order[id(pair)]) for group in groups]
    return sorted(ordered, key=lambda group: order[id(group[0])])


def _share(one: Pair, other: Pair) -> bool:
    arms = {one.baseline, one.candidate} & {other.baseline, other.candidate}
    return one.workload == other.workload and bool(arms)
