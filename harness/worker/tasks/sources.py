"""Where the raw sentences of a GLUE task come from: the hub, a folder in the hub's Parquet layout,
or this project's own generator (`synthetic`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import BenchError
from harness.planning.hub import LFS_POINTER, expanded
from harness.schema.glue import GLUE, HUB_DATASET
from harness.schema.workload import Task
from harness.worker.tasks import synthetic
from harness.worker.tasks.store import key_of


@dataclass(frozen=True)
class Split:
    """Columns of text (one, or two for sentence pairs) and labels, aligned."""

    texts: tuple[list[str], ...]
    labels: list[Any]


@dataclass(frozen=True)
class Raw:
    """Raw data of a task. `identity` changes whenever the data does; `read(split)` may be slow and
    is rarely needed.
    """

    origin: Literal["hub", "folder", "synthetic"]
    identity: str
    read: Callable[[str], Split]


def open_raw(
    task: Task, columns: tuple[str, ...], names: Mapping[str, str], labels: range | None
) -> Raw:
    """The task's data: text in `columns`, and `label`. `names`: how the hub calls each split.

    `labels`: those there are; None: numbers from 0 to 5. Raises BenchError for files, columns or
    labels that are missing or cannot be.
    """
    origin = task.source
    if origin == "auto":  # the runner decides; a job started without one takes what needs nobody
        origin = "synthetic"
    if origin == "folder":
        assert task.folder is not None
        return _folder(expanded(task.folder) / task.data_name, columns, names, labels)
    if origin == "hub":
        return _hub(task, columns, names, labels)
    return _synthetic(task, names)


def _synthetic(task: Task, names: Mapping[str, str]) -> Raw:
    subset = task.data_name
    limits = {
        split: task.train_samples if split == "train" else task.eval_samples for split in names
    }
    sizes = {split: min(limits[split] or size, size) for split, size in GLUE[subset].sizes.items()}

    def read(split: str) -> Split:
        return Split(*synthetic.generate(subset, split, sizes[split], task.data_seed))

    identity = key_of(corpus=synthetic.version(subset), seed=task.data_seed, sizes=sizes)
    return Raw("synthetic", identity, read)


def parquet_files(folder: Path, names: Mapping[str, str]) -> dict[str, list[Path]]:
    """The files of each split in a folder. `names`: how the hub calls each split.

    Raises:
        BenchError: A split has none.
    """
    files = {split: sorted(folder.glob(f"{name}-*.parquet")) for split, name in names.items()}
    for split, found in files.items():
        if not found:
            raise BenchError(
                f"no {names[split]}-*.parquet in {folder}",
                place=str(folder),
                fix=f"the hub's Parquet layout: {folder.name}/{names[split]}-00000-of-00001.parquet"
                " in the folder that is named",
            )
    return files


def _folder(
    folder: Path, columns: tuple[str, ...], names: Mapping[str, str], labels: range | None
) -> Raw:
    files = parquet_files(folder, names)
    digest = hashlib.sha256()
    for file in [file for split in sorted(files) for file in files[split]]:
        content = file.read_bytes()
        if content.startswith(LFS_POINTER):
            raise BenchError(
                f"{file.name} is a pointer of Git LFS and not the file itself",
                place=str(folder),
                fix="`git lfs pull` there, or copy it again",
            )
        digest.update(f"{file.name}\n".encode())
        digest.update(content)

    def read(split: str) -> Split:
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = []
        for file in files[split]:
            try:
                tables.append(pq.ParquetFile(file).read())
            except (pa.ArrowException, OSError) as error:
                reason = " ".join(str(error).split())[:200]
                raise BenchError(
                    f"{file.name} cannot be read: {reason}",
                    place=str(folder),
                    fix="a whole Parquet file",
                ) from error
        place = f"{folder} ({names[split]})"
        try:
            table = pa.concat_tables(tables)
            return _split(
                table.column_names,
                lambda name: table.column(name).to_pylist(),
                columns,
                labels,
                place,
            )
        except pa.ArrowException as error:
            raise BenchError(
                f"the Parquet files do not have the same columns: {error}",
                place=place,
                fix="files of one data set",
            ) from error
        except UnicodeDecodeError as error:
            raise BenchError(
                f"a text is not UTF-8: {error}", place=place, fix="text in UTF-8"
            ) from error

    return Raw("folder", digest.hexdigest(), read)


def _hub(
    task: Task, columns: tuple[str, ...], names: Mapping[str, str], labels: range | None
) -> Raw:
    from datasets import load_dataset

    try:
        data = load_dataset(HUB_DATASET, task.data_name)
        splits = {split: data[name] for split, name in names.items()}
    except Exception as error:  # the hub's client raises dozens of kinds
        raise BenchError(
            f"cannot load {HUB_DATASET} ({task.data_name}) from the hub: "
            f"{type(error).__name__}: {error}",
            place=f"tasks.{task.name}.source",
            fix="check the network, or use `source: synthetic` or `folder`",
        ) from error

    def read(split: str) -> Split:
        found = splits[split]
        place = f"{HUB_DATASET} ({task.data_name}, {names[split]})"
        return _split(found.column_names, lambda name: list(found[name]), columns, labels, place)

    identity = key_of(**{split: found._fingerprint for split, found in splits.items()})
    return Raw("hub", identity, read)


def _split(
    present: list[str],
    column: Callable[[str], list[Any]],
    columns: tuple[str, ...],
    labels: range | None,
    place: str,
) -> Split:
    for name in (*columns, "label"):
        if name not in present:
            raise BenchError(
                f"no column {name!r}; there are: {', '.join(present)}",
                place=place,
                fix=f"the columns {', '.join((*columns, 'label'))}, as on the hub; data with other "
                "columns is of the kind text-classification, which reads your own files",
            )
    split = Split(tuple(column(name) for name in columns), column("label"))
    if not split.labels:
        raise BenchError("there are no samples", place=place, fix="files with samples")
    for name, values in zip((*columns, "label"), (*split.texts, split.labels), strict=True):
        if None in values:
            raise BenchError(
                f"a text or label is missing (null) in {name!r}",
                place=f"{place}, row {values.index(None) + 1}",
                fix="a value there, or remove the sample",
            )
    if any(label == -1 for label in split.labels):
        raise BenchError(
            "a label is -1: this split is not labelled",
            place=place,
            fix="GLUE keeps the labels of its test sets to itself: take the training and "
            "validation sets",
        )
    for name, values in zip(columns, split.texts, strict=True):
        odd = next((value for value in values if not isinstance(value, str)), None)
        if odd is not None:
            raise BenchError(
                f"the column {name!r} holds no text: {type(odd).__name__} {str(odd)[:40]!r}",
                place=place,
                fix=f"a column {name!r} of strings",
            )
    wrong = next((label for label in split.labels if not _can_be(label, labels)), None)
    if wrong is not None:
        allowed = (
            "a number from 0 to 5" if labels is None else f"one of {', '.join(map(str, labels))}"
        )
        raise BenchError(
            f"a label is {wrong!r}, not {allowed}",
            place=f"{place}, row {split.labels.index(wrong) + 1}",
            fix="correct it or remove the sample; data with other labels is of the kind "
            "text-classification, which reads your own files",
        )
    return split


def _can_be(label: Any, labels: range | None) -> bool:
    return isinstance(label, int | float) and (
        0 <= label <= 5 if labels is None else label in labels
    )
