"""A run folder: run.json, jobs.jsonl, series/ and logs/, written so that a kill at any moment loses
no finished job.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from harness.errors import BenchError, is_no_space
from harness.files import append_lines, check_is_file, take_lock, write_atomically
from harness.launcher.outcome import StepSeries
from harness.schema.record import JobRecord, RunInfo
from harness.schema.record_io import NewerLine, UnreadableLine, read_line, written_line
from harness.schema.redaction import redact

LITTLE_ROOM_BYTES = 4 << 20  # of a disk: the next job's log and series would not fit
RESERVE_BYTES = 1 << 20  # room for the records of the jobs in flight and for run.json
LOCK_WAIT_S = 30.0  # for the supervisor of a killed runner to clear away its job


@dataclass
class Damage:
    """Lines of jobs.jsonl, as bytes, that are no records of this schema; whether the last is torn.

    `lines` are damaged; `newer` are whole, written by a newer version, and stay where they are.
    """

    lines: list[bytes] = field(default_factory=list)
    newer: list[bytes] = field(default_factory=list)
    unterminated: bool = False


def read_info(folder: Path) -> RunInfo:
    """run.json of a run folder. Raises BenchError if it is missing or damaged."""
    path = folder / "run.json"
    check_is_file(path)
    try:
        return RunInfo.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BenchError(
            f"cannot read it: {error.strerror}", place=str(path), fix="name a run folder"
        ) from error
    except ValidationError as error:
        detail = error.errors()[0]
        raise BenchError(
            f"damaged: {detail['msg']}", place=str(path), fix="start a new run with --new"
        ) from error


def read_records(folder: Path) -> tuple[list[JobRecord], Damage]:
    """Every readable record of a run, in the order written (the last one of an id counts), and the
    damage.
    """
    lines, unterminated = _lines(folder)
    records: list[JobRecord] = []
    damage = Damage(unterminated=unterminated)
    for line in lines:
        try:
            records.append(read_line(line))
        except NewerLine:
            damage.newer.append(line)
        except UnreadableLine:
            damage.lines.append(line)
    return records, damage


def _lines(folder: Path) -> tuple[list[bytes], bool]:
    """The lines of jobs.jsonl, empty ones left out, and whether the last one lacks its end."""
    check_is_file(folder / "jobs.jsonl")
    try:
        data = (folder / "jobs.jsonl").read_bytes()
    except FileNotFoundError:
        return [], False
    return [line for line in data.split(b"\n") if line.strip()], bool(data) and not data.endswith(
        b"\n"
    )


class RunFolder:
    """One run's folder, locked for as long as it is open. Use as a context manager.

    Opening repairs jobs.jsonl: damaged lines go to jobs.jsonl.rejected, all others stay as they
    were written, also those of a newer schema (`newer`). Whatever is written is redacted; `places`
    are folders whose names stay out, besides those that every process knows, with what stands in
    for each. Raises BenchError if another runner, or a job that it left behind, holds the folder.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.places = {str(path.absolute().parent): "<results>"}
        self.full: OSError | None = None
        self._reserve = path / ".reserve"
        # A killed runner's supervisor keeps the lock until the job is gone: a new job must not run
        # beside it.
        self.lock_fd = take_lock(
            path / ".lock",
            LOCK_WAIT_S,
            "another runner (pid {pid}) is working on this run",
            place=str(path),
            fix="wait for it, or start a separate run with --new",
        )
        try:
            (path / "series").mkdir(exist_ok=True)
            (path / "logs").mkdir(exist_ok=True)
            self.rejected = self._repair()
            self.records, damage = read_records(path)
            self.newer = damage.newer
            self._set_reserve()
        except BaseException:
            os.close(self.lock_fd)
            raise

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1

    def _repair(self) -> int:
        _, damage = read_records(self.path)
        if damage.lines:
            # First the copy, then the rewrite: a kill between the two repeats a line, it loses
            # none.
            append_lines(self.path / "jobs.jsonl.rejected", damage.lines)
        if damage.lines or damage.unterminated:
            kept = [line for line in _lines(self.path)[0] if line not in damage.lines]
            write_atomically(self.path / "jobs.jsonl", b"".join(line + b"\n" for line in kept))
        return len(damage.lines)

    def hide(self, places: Mapping[str, str]) -> None:
        """Keep the names of further folders out of what is written; `places`: with their labels."""
        self.places |= places

    def _set_reserve(self) -> None:
        """Take the room that a full disk must still have for records."""
        with contextlib.suppress(OSError), self._reserve.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)

    def _with_reserve(self, write: Callable[[], None]) -> None:
        """Write, if there is no room once more with the reserve given free. `full` then says so."""
        try:
            write()
        except OSError as error:
            if not is_no_space(error):
                raise
            self.full = error
            self._reserve.unlink(missing_ok=True)
            write()

    def is_full(self) -> bool:
        """Whether something found no room here since this was opened, or hardly any is left."""
        if self.full is None and shutil.disk_usage(self.path).free < LITTLE_ROOM_BYTES:
            self.full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        return self.full is not None

    def write_info(self, info: RunInfo) -> None:
        data = redact(info, self.places).model_dump_json(indent=2).encode() + b"\n"
        self._with_reserve(lambda: write_atomically(self.path / "run.json", data))

    def append(self, *records: JobRecord) -> None:
        """Add records, in one write and on disk before this returns."""
        redacted = [redact(record, self.places) for record in records]
        lines = [*map(written_line, redacted)]
        self._with_reserve(lambda: append_lines(self.path / "jobs.jsonl", lines))
        self.records.extend(redacted)

    def replace(self, records: Iterable[JobRecord], newer: Iterable[bytes] = ()) -> None:
        """Make these, in this order, all the records of the run, before the `newer` lines."""
        self.records, self.newer = [redact(record, self.places) for record in records], list(newer)
        lines = [*map(written_line, self.records), *self.newer]
        write_atomically(self.path / "jobs.jsonl", b"".join(line + b"\n" for line in lines))

    def latest(self) -> dict[str, JobRecord]:
        """The last record of each job id."""
        return {record.id: record for record in self.records}

    def attempt_name(self, job_id: str, attempt: int = 1) -> str:
        """A name that no earlier attempt at this job has used: the id, then id.2, id.3, …

        What earlier attempts left is known by their records, of whatever schema, and by the names
        of their series and logs: any of these may be gone. `attempt`: the schedule's number, which
        the name is never below.
        """
        named = re.compile(
            rf"(?:^|/){re.escape(job_id)}(?:\.(\d+))?\.(?:telemetry\.)?(?:parquet|log)$"
        )
        mine = [record for record in self.records if record.id == job_id]
        files = [file for record in mine for file in (record.series, record.log) if file]
        files += [
            entry.name for kind in ("series", "logs") for entry in (self.path / kind).iterdir()
        ]
        used = [int(found[1] or 1) for file in files if (found := named.search(file))]
        of_newer = sum(f'"{job_id}"'.encode() in line for line in self.newer)
        number = max(attempt, 1 + max([len(mine) + of_newer, *used]))
        return job_id if number == 1 else f"{job_id}.{number}"

    def write_series(self, name: str, series: StepSeries) -> str | None:
        """Per-step values as series/NAME.parquet (step int32, duration_s and loss float64); its
        path within the run.

        None if there are none, or no room for them: then `full` says so.
        """
        if not series.step:
            return None
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(
            {
                "step": pa.array(series.step, pa.int32()),
                "duration_s": pa.array(series.duration_s, pa.float64()),
                "loss": pa.array(series.loss, pa.float64()),
            }
        )
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        try:
            write_atomically(self.path / "series" / f"{name}.parquet", sink.getvalue().to_pybytes())
        except OSError as error:
            if not is_no_space(error):
                raise
            self.full = error  # the reserve is for the record
            return None
        return f"series/{name}.parquet"
