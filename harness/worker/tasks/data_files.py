"""A user's own file of samples as columns: CSV by pandas, JSON lines by json, Parquet by pyarrow.

What `datasets` makes of the same file, as Hugging Face's example scripts read it, with the place of
every sample, so that an error names the line. Imports no torch: the parent process reads the files
before any job starts.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import BenchError, of_the_system
from harness.planning.hub import LFS_POINTER, expanded
from harness.schema.workload import Task

FORMATS = {".csv": "CSV", ".json": "JSON lines", ".jsonl": "JSON lines", ".parquet": "Parquet"}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"  # what a file that gzip compressed begins with
# What `pandas.read_csv` takes for a missing value by default, and with it the original scripts.
MISSING_WORDS = frozenset(
    {
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    }
)


@dataclass(frozen=True)
class LocatedSamples:
    """Samples as columns of one length; a missing value is None.

    Attributes:
        name: The file, as it was given, or the split of a data set on the hub.
        columns: Values by name of column, in the order of the file.
        unit: What the samples are counted in.
        number: The line on which a sample begins, or its row from 1, by its index from 0.
        typed: Whether values have types of their own; those of CSV are text.
    """

    name: str
    columns: Mapping[str, Sequence[Any]]
    unit: Literal["line", "row"]
    number: Callable[[int], int]
    typed: bool = True

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @property
    def head(self) -> str:
        """The place of what is wrong with the names of the columns."""
        return f"{self.name}:1" if self.unit == "line" and not self.typed else self.name

    def place(self, index: int) -> str:
        """Where a sample stands."""
        number = self.number(index)
        return f"{self.name}:{number}" if self.unit == "line" else f"{self.name}, row {number}"


def files_of(task: Task) -> dict[str, Path]:
    """The files of a task with `source: files`, by split."""
    assert task.train_file is not None
    assert task.validation_file is not None
    return {"train": task.train_file, "validation": task.validation_file}


def digest_of(task: Task) -> str:
    """SHA-256 over both files of a task, in hex digits.

    Raises:
        BenchError: A file is not there or cannot be read.
    """
    digest = hashlib.sha256()
    for file in files_of(task).values():
        try:
            with _checked(file).open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
        except OSError as error:
            raise of_the_system(error) from error
    return digest.hexdigest()


def refuse_changed(task: Task) -> None:
    """Raises BenchError where the files of a task are no longer those that it was planned with."""
    if task.files_sha256 not in (None, digest_of(task)):
        raise BenchError(
            "a file has changed since the run began",
            place=" and ".join(map(str, files_of(task).values())),
            fix="the files as they were; or begin anew, for a run has one data set",
        )


def format_of(file: Path) -> str:
    """CSV, JSON lines or Parquet, by the end of the file's name.

    Raises:
        BenchError: It is none of them.
    """
    found = FORMATS.get(file.suffix.lower())
    if found is None:
        raise BenchError(
            f"the end of the name ({file.suffix or 'it has none'}) tells no format",
            place=str(file),
            fix=f"a file whose name ends with {', '.join(FORMATS)}",
        )
    return found


def read(file: Path) -> LocatedSamples:
    """The samples of a file.

    Raises:
        BenchError: The file is not there, is empty or is not whole; with its line where one is to
            blame.
    """
    kind = format_of(file)
    try:
        path = _checked(file)
        with path.open("rb") as content:
            begin = content.read(len(LFS_POINTER))
        if begin == LFS_POINTER:
            raise BenchError(
                "is a pointer of Git LFS and not the file itself",
                place=str(file),
                fix="`git lfs pull` there, or copy it again",
            )
        if begin.startswith(GZIP):
            raise BenchError(
                "is compressed by gzip", place=str(file), fix="the file as `gunzip` unpacks it"
            )
        if not begin.removeprefix(BYTE_ORDER_MARK).strip():
            raise BenchError("the file is empty", place=str(file), fix="a file with samples")
        reader = {"CSV": _read_csv, "JSON lines": _read_json, "Parquet": _read_parquet}[kind]
        table = reader(file, path)
    except OSError as error:
        raise of_the_system(error) from error
    if not len(table):
        raise BenchError(
            f"there are no samples, only {_columns(table)}",
            place=str(file),
            fix="a file with samples",
        )
    return table


def _columns(table: LocatedSamples) -> str:
    names = ", ".join(map(repr, table.columns))
    return f"the names of the columns: {names}" if names else "empty objects"


def _checked(file: Path) -> Path:
    """The file's path, `~` expanded. Raises BenchError for what is no file."""
    path = expanded(file)
    if not path.exists():
        raise BenchError(
            "no such file", place=str(file), fix="check the path; in a suite it is relative to the "
            "suite's file, in an option to the current folder"
        )  # fmt: skip
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is no regular file"
        raise BenchError(what, place=str(file), fix=f"a file: {', '.join(FORMATS)}")
    return path


def _read_csv(file: Path, path: Path) -> LocatedSamples:
    import pandas as pd

    _check_utf8(file, path.read_bytes())
    try:
        frame = pd.read_csv(
            path, header=None, dtype=str, na_filter=False, keep_default_na=False, encoding="utf-8"
        )
    except pd.errors.EmptyDataError:
        raise BenchError("the file is empty", place=str(file), fix="a file with samples") from None
    except pd.errors.ParserError as error:
        raise _csv_error(file, path, error) from error
    names = [str(name).strip() or f"Unnamed: {at}" for at, name in enumerate(frame.iloc[0])]
    _check_names(names, f"{file}:1", "the column")
    if len(names) == 1 and (other := next((c for c in ";\t|" if c in names[0]), None)):
        raise BenchError(
            f"all columns are one, {names[0]!r}",
            place=f"{file}:1",
            fix=f"commas between the fields, not {other!r}",
        )
    # With `na_filter=False` pandas gives a field that a short line does not have as empty text.
    rows = frame.iloc[1:]
    columns = {
        name: [value if value != "" else None for value in rows[at]]
        for at, name in enumerate(names)
    }
    starts: list[int] = []

    def number(index: int) -> int:
        if not starts:
            starts.extend(line for line, _ in _csv_records(path))
        # Where the two readers count other records, pandas' own number is told.
        return starts[index + 1] if len(starts) == len(frame) else index + 2

    return LocatedSamples(str(file), columns, "line", number, typed=False)


def _csv_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The line on which each record begins, and its fields; pandas does not tell the lines."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        with path.open(newline="", encoding="utf-8-sig") as content:
            reader, line = csv.reader(content), 1
            for fields in reader:
                if len(fields) > 1 or "".join(fields).strip():  # pandas skips empty lines
                    yield line, fields
                line = reader.line_num + 1
    finally:
        csv.field_size_limit(before)


def _csv_error(file: Path, path: Path, error: Exception) -> BenchError:
    """What pandas could not read, with its line."""
    records = list(_csv_records(path))
    if "EOF inside string" in str(error):
        line, _ = records[-1]
        return BenchError(
            "a quote that begins in this record is never closed",
            place=f"{file}:{line}",
            fix='close it; a quote inside of a quoted field is written twice ("")',
        )
    width = len(records[0][1])
    for line, fields in records:
        if len(fields) > width:
            return BenchError(
                f"the record has {len(fields)} fields, and the first line names {width} columns",
                place=f"{file}:{line}",
                fix='quotes around a field that holds a comma ("…")',
            )
    reason = " ".join(str(error).split())[:200]
    return BenchError(f"cannot be read as CSV: {reason}", place=str(file), fix="a whole CSV file")


def _check_utf8(file: Path, content: bytes) -> None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BenchError(
            f"the byte {content[error.start]:#04x} is not UTF-8",
            place=f"{file}:{line}",
            fix="the file in UTF-8, for example by `iconv -f LATIN1 -t UTF-8`",
        ) from None


def _check_names(names: Sequence[str], place: str, what: str) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise BenchError(
                f"{what} {name!r} is there {times} times",
                place=place,
                fix="another name for each, or one of them alone",
            )


class _TwiceError(ValueError):
    """A key that an object of JSON has more than once."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        raise _TwiceError(next(name for name, times in counted.items() if times > 1))
    return found


def _read_json(file: Path, path: Path) -> LocatedSamples:
    content = path.read_bytes().removeprefix(BYTE_ORDER_MARK)
    _check_utf8(file, content)
    text = content.decode("utf-8")
    if text.lstrip().startswith("["):  # an array, which the original scripts take as well
        rows = _json(text, str(file), 0)
        numbers = list(range(1, len(rows) + 1))
        table = LocatedSamples(str(file), {}, "row", lambda index: numbers[index])
    else:
        # Not splitlines(): a string of JSON may hold other ends of lines than these.
        lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        rows = [_json(line, str(file), number) for number, line in lines]
        numbers = [number for number, _ in lines]
        table = LocatedSamples(str(file), {}, "line", lambda index: numbers[index])
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise BenchError(
                f"is {_kind(row)}, and no object",
                place=table.place(index),
                fix='one JSON object on each line, such as {"sentence": "…", "label": 1}',
            )
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return LocatedSamples(table.name, columns, table.unit, table.number)


def _json(text: str, name: str, line: int) -> Any:
    """A value of JSON. `line`: where it stands, 0 if it is the whole file."""
    fix = 'one JSON object on each line, such as {"sentence": "…", "label": 1}'
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        place = f"{name}:{line or error.lineno}"
        raise BenchError(
            f"is not JSON: {error.msg} (column {error.colno})", place=place, fix=fix
        ) from None
    except _TwiceError as error:
        raise BenchError(
            f"the key {str(error)!r} is there twice",
            place=f"{name}:{line}" if line else name,
            fix="another name for each, or one of them alone",
        ) from None
    except RecursionError:
        raise BenchError(
            "is nested too deeply", place=f"{name}:{line}" if line else name, fix=fix
        ) from None


def _kind(value: Any) -> str:
    """What a value of JSON is called."""
    names = {list: "a list", str: "text", bool: "true or false", int: "a number"}
    return {**names, float: "a number", dict: "an object"}.get(type(value), "null")


def _read_parquet(file: Path, path: Path) -> LocatedSamples:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
        _check_names(table.column_names, str(file), "the column")
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BenchError(
            f"cannot be read as Parquet: {reason}", place=str(file), fix="a whole Parquet file"
        ) from error
    return LocatedSamples(str(file), columns, "row", lambda index: index + 1)
