"""Samples that are more than text with a label: from the hub, a folder of JSON lines or Parquet, or
a built-in corpus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness.errors import BenchError
from harness.planning.hub import expanded
from harness.schema.workload import Task
from harness.worker.tasks import data_files
from harness.worker.tasks.splits import Origin
from harness.worker.tasks.store import key_of

S = TypeVar("S")
SPLITS = ("train", "validation")
# In a folder, the first of these that is there; {} is a split's name. Parquet as on the hub.
FILES = ("{}.json", "{}.jsonl", "{}-*.parquet")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Samples(Generic[S]):
    """Samples of a task. `identity` changes whenever they do; `read` may be slow.

    `read(split, limit)`: the samples of a split, or the first so many of them.
    """

    origin: Origin
    identity: str
    read: Callable[[str, int | None], list[S]]


def open_samples(
    task: Task,
    *,
    hub: tuple[str, str],
    columns: Sequence[str],
    sample: Callable[[Row, str], S],
    synthetic: Callable[[str, int | None], list[S]],
    identity: str,
    example: str,
) -> Samples[S]:
    """The samples of a task, from where its `source` says.

    Args:
        task: The task; `auto` is the built-in corpus, for the runner decides it.
        hub: Repository and subset on the hub, where the task names no `dataset`.
        columns: What every row must have.
        sample: Makes a sample of a row, and raises BenchError with the place that it is told.
        synthetic: As Samples.read, of the built-in corpus.
        identity: Of the built-in corpus.
        example: A line of a file as it should be.

    Raises:
        BenchError: Files, columns or values are missing or cannot be read.
    """
    if task.source == "folder":
        assert task.folder is not None
        files = split_files(expanded(task.folder), hub[1])
        return Samples("folder", _digest(files), _reader(files, columns, sample, example))
    if task.source == "files":
        data_files.refuse_changed(task)
        read = _reader(_named_files(task), columns, sample, example)
        return Samples("files", data_files.digest_of(task), read)
    if task.source == "hub":
        named = (task.dataset, task.dataset_config) if task.dataset is not None else hub
        return _hub(task.name, named, columns, sample, example)
    return Samples("synthetic", identity, synthetic)


def told_of_files(
    task: Task, columns: Sequence[str], sample: Callable[[Row, str], S], example: str
) -> str:
    """What the files of `source: files` hold, in words; the arguments are those of `open_samples`.

    Raises:
        BenchError: A file or a sample in it cannot be used.
    """
    files = _named_files(task)
    read = _reader(files, columns, sample, example)
    return ", ".join(f"{len(read(split, None))} {split} samples" for split in files)


def read_named(
    task: Task, split: str, columns: Sequence[str], sample: Callable[[Row, str], S], example: str
) -> list[S]:
    """All samples of one of the files of `source: files`; the arguments are those of
    `open_samples`.

    Raises:
        BenchError: The file or a sample in it cannot be used.
    """
    return _reader(_named_files(task), columns, sample, example)(split, None)


def _named_files(task: Task) -> dict[str, list[Path]]:
    return {split: [file] for split, file in data_files.files_of(task).items()}


def _reader(
    files: Mapping[str, Sequence[Path]],
    columns: Sequence[str],
    sample: Callable[[Row, str], S],
    example: str,
) -> Callable[[str, int | None], list[S]]:
    """Samples.read of a split's files, one after the other."""

    def read(split: str, limit: int | None) -> list[S]:
        rows = (row for file in files[split] for row in _rows(file))
        return _samples(list(islice(rows, limit)), columns, sample, str(files[split][0]), example)

    return read


def _samples(
    rows: Sequence[tuple[Row, str]],
    columns: Sequence[str],
    sample: Callable[[Row, str], S],
    where: str,
    example: str,
) -> list[S]:
    for row, place in rows:
        for name in columns:
            if row.get(name) is None:
                there = "" if name in row else f"; there are: {', '.join(map(repr, row))}"
                raise BenchError(
                    f"{name!r} is missing{there}", place=place, fix=f"samples such as {example}"
                )
    if not rows:
        raise BenchError("there are no samples", place=where, fix=f"samples such as {example}")
    return [sample(row, place) for row, place in rows]


def split_files(folder: Path, subset: str) -> dict[str, list[Path]]:
    """The files of each split, in the folder itself or in one of it that has the subset's name.

    Raises:
        BenchError: A split has none.
    """
    found: dict[str, list[Path]] = {}
    for split in SPLITS:
        patterns = [pattern.format(split) for pattern in FILES]
        candidates = [
            sorted(place.glob(pattern))
            for place in (folder, folder / subset)
            for pattern in patterns
        ]
        files = next((each for each in candidates if each), None)
        if files is None:
            raise BenchError(
                f"no file of the split {split!r} is there",
                place=str(folder),
                fix=f"{split}.json with a JSON object on each line, or {split}-*.parquet",
            )
        found[split] = files
    return found


def _digest(files: Mapping[str, Sequence[Path]]) -> str:
    digest = hashlib.sha256()
    for file in [file for split in sorted(files) for file in files[split]]:
        digest.update(f"{file.name}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _rows(file: Path) -> Iterator[tuple[Row, str]]:
    """The rows of a file, each with its place."""
    table = data_files.read(file)
    for index in range(len(table)):
        yield {name: values[index] for name, values in table.columns.items()}, table.place(index)


def _hub(
    name: str,
    hub: tuple[str, str | None],
    columns: Sequence[str],
    sample: Callable[[Row, str], S],
    example: str,
) -> Samples[S]:
    from datasets import load_dataset

    repository, subset = hub
    try:
        data = load_dataset(repository, subset)
        splits = {split: data[split] for split in SPLITS}
    except Exception as error:  # the hub's client raises dozens of kinds
        raise BenchError(
            f"cannot load {repository} ({subset or 'default'}) from the hub: "
            f"{type(error).__name__}: {error}",
            place=f"tasks.{name}.source",
            fix="check the network, or use `source: synthetic` or `folder`",
        ) from error

    def read(split: str, limit: int | None) -> list[S]:
        found = splits[split]
        if limit is not None:  # WMT16 has twenty times as many as are trained on
            found = found.select(range(min(limit, len(found))))
        place = f"{repository} ({subset or 'default'}, {split})"
        rows = [(row, f"{place}, row {number}") for number, row in enumerate(found, 1)]
        return _samples(rows, columns, sample, place, example)

    identity = key_of(**{split: found._fingerprint for split, found in splits.items()})
    return Samples("hub", identity, read)
