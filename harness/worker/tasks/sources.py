"""Where the raw sentences of a GLUE task come from: the hub, a folder in the hub's Parquet layout, or the corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import BenchError
from harness.settings import Task
from harness.worker.tasks import corpus
from harness.worker.tasks.store import key_of

HUB_DATASET = "nyu-mll/glue"


@dataclass(frozen=True)
class Split:
    """Columns of text (one, or two for sentence pairs) and labels, aligned."""

    texts: tuple[list[str], ...]
    labels: list[Any]


@dataclass(frozen=True)
class Raw:
    """Raw data of a task. `identity` changes whenever the data does; `read(split)` may be slow and is rarely needed."""

    origin: Literal["hub", "folder", "synthetic"]
    identity: str
    read: Callable[[str], Split]


def open_raw(task: Task, columns: tuple[str, ...], validation: str) -> Raw:
    """The task's data: text in `columns`, `label`; `validation` is the hub's name of the validation split.

    Raises BenchError for missing files, columns, or a corpus that does not exist.
    """
    origin = task.source
    if origin == "auto":  # the runner decides; a job started without one takes what needs nobody
        origin = "synthetic"
    names = {"train": "train", "validation": validation}
    if origin == "folder":
        assert task.folder is not None
        return _folder(task.folder / task.data_name, columns, names)
    if origin == "hub":
        return _hub(task, columns, names)
    return _synthetic(task)


def _synthetic(task: Task) -> Raw:
    if task.data_name != "sst2":
        raise BenchError(
            f"there is no built-in corpus like {task.data_name}",
            place=f"tasks.{task.name}.source",
            fix="`subset: sst2`, or `source: hub` or `folder`",
        )
    sizes = {
        "train": min(task.train_samples or corpus.TRAIN_SENTENCES, corpus.TRAIN_SENTENCES),
        "validation": min(task.eval_samples or corpus.EVAL_SENTENCES, corpus.EVAL_SENTENCES),
    }

    def read(split: str) -> Split:
        texts, labels = corpus.generate(split, sizes[split], task.data_seed)
        return Split((texts,), labels)

    return Raw("synthetic", key_of(corpus=corpus.VERSION, seed=task.data_seed, sizes=sizes), read)


def _folder(folder: Path, columns: tuple[str, ...], names: dict[str, str]) -> Raw:
    files = {split: sorted(folder.glob(f"{name}-*.parquet")) for split, name in names.items()}
    for split, found in files.items():
        if not found:
            raise BenchError(
                f"no {names[split]}-*.parquet in {folder}",
                fix="the folder needs the hub's Parquet layout: SUBSET/train-00000-of-00001.parquet, …",
            )
    digest = hashlib.sha256()
    for file in [file for split in sorted(files) for file in files[split]]:
        digest.update(f"{file.name}\n".encode())
        digest.update(file.read_bytes())

    def read(split: str) -> Split:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pa.concat_tables([pq.ParquetFile(file).read() for file in files[split]])
        except (pa.ArrowException, OSError) as error:
            raise BenchError(f"cannot read the Parquet files of {names[split]}: {error}", place=str(folder)) from error
        return _split(table.column_names, lambda name: table.column(name).to_pylist(), columns, str(folder))

    return Raw("folder", digest.hexdigest(), read)


def _hub(task: Task, columns: tuple[str, ...], names: dict[str, str]) -> Raw:
    from datasets import load_dataset

    try:
        data = load_dataset(HUB_DATASET, task.data_name)
        splits = {split: data[name] for split, name in names.items()}
    except Exception as error:  # the hub's client raises dozens of kinds
        raise BenchError(
            f"cannot load {HUB_DATASET} ({task.data_name}) from the hub: {type(error).__name__}: {error}",
            place=f"tasks.{task.name}.source",
            fix="check the network, or use `source: synthetic` or `folder`",
        ) from error

    def read(split: str) -> Split:
        found = splits[split]
        return _split(found.column_names, lambda name: list(found[name]), columns, HUB_DATASET)

    identity = key_of(**{split: found._fingerprint for split, found in splits.items()})
    return Raw("hub", identity, read)


def _split(present: list[str], column: Callable[[str], list[Any]], columns: tuple[str, ...], place: str) -> Split:
    for name in (*columns, "label"):
        if name not in present:
            raise BenchError(f"no column {name!r}; there are: {', '.join(present)}", place=place)
    split = Split(tuple(column(name) for name in columns), column("label"))
    if any(value is None for values in (*split.texts, split.labels) for value in values):
        raise BenchError("a text or label is missing (null)", place=place)
    if any(label < 0 for label in split.labels):
        raise BenchError("a label is negative: this split is not labelled", place=place)
    return split
