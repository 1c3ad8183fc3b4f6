"""Text classification, or regression, on data of the user's own: files, or any data set on the hub.

The rules are those of Hugging Face's run_glue.py for data that is not GLUE's: columns, order of
the classes, tokens and metrics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from harness.errors import BenchError
from harness.schema.workload import Task
from harness.worker.model import tokenizer
from harness.worker.tasks.base import TaskData, TaskKind
from harness.worker.tasks.data_files import (
    LocatedSamples,
    digest_of,
    files_of,
    format_of,
    read,
    refuse_changed,
)
from harness.worker.tasks.glue import encode_texts
from harness.worker.tasks.labelled import Columns, Labelled, labelled
from harness.worker.tasks.splits import load_splits
from harness.worker.tasks.store import key_of

VERSION = 1  # part of the cache key


class TextClassification(TaskKind):
    """Texts or pairs of texts with a class, or a number."""

    name = "text-classification"
    Options = Columns
    sources = ("files", "hub")
    takes_dataset = True

    @classmethod
    def hub_dataset(cls, task: Task) -> tuple[str, str] | None:
        if task.dataset is None:
            return None
        return task.dataset, task.dataset_config or "default"

    @classmethod
    def look_at_files(cls, task: Task) -> str:
        files = files_of(task)
        options = Columns.model_validate(task.options)
        return _look(files["train"], files["validation"], options, digest_of(task))

    def load(self) -> TaskData:
        training, task = self.spec.workload.training, self.task
        self.found = found = self._read()
        identity = key_of(
            kind=self.name,
            version=VERSION,
            files=task.files_sha256,
            texts={name: split.texts for name, split in found.splits.items()}
            if task.source == "hub"
            else None,
            labels=found.splits["train"].labels if task.source == "hub" else None,
            columns=[*found.texts, found.label],
        )
        tokens, tokenizer_key = tokenizer.load(
            self.spec,
            identity,
            lambda: [text for texts in found.splits["train"].texts for text in texts],
        )
        special = tokens.num_special_tokens_to_add(pair=len(found.texts) > 1)
        length = tokenizer.length_of(self.spec, tokens, special)
        limits = {"train": task.train_samples, "validation": task.eval_samples}
        labels = 1 if found.classes is None else len(found.classes)

        def encode(split: str) -> Any:
            return encode_texts(
                found.splits[split],
                tokens,
                length,
                training.pad_to_max_length,
                limits[split],
                labels,
            )

        splits, sources = load_splits(
            self.spec,
            ("train", "validation"),
            encode,
            data="files" if task.source == "files" else "hub",
            raw=identity,
            tokenizer=tokenizer_key,
            length=length,
            pad=training.pad_to_max_length,
            limits=limits,
        )
        return TaskData(
            train=splits["train"],
            validation=splits["validation"],
            tokenizer=tokens,
            labels=labels,
            sources=sources,
            metrics=mean_squared_error if labels == 1 else accuracy,
            main_metrics=("mse",) if labels == 1 else ("accuracy",),
            chance=_chance(splits["validation"]["labels"], labels),
        )

    def _read(self) -> Labelled:
        options = cast(Columns, self.options)
        if self.task.source == "hub":
            return labelled(_hub_tables(self.task), options)
        refuse_changed(self.task)
        return labelled({name: read(file) for name, file in files_of(self.task).items()}, options)

    def model_config(self, data: TaskData) -> dict[str, Any]:
        """With the names of the classes, which are the labels of the data."""
        classes = self.found.classes
        if classes is None:
            return super().model_config(data)
        names = [str(name) for name in classes]
        return {
            **super().model_config(data),
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
        }

    def collator(self, data: TaskData) -> Callable[[Any], Any]:
        """As in the original script, which pads batches of fp16 to a multiple of 8 tokens."""
        if self.spec.workload.training.pad_to_max_length:
            return super().collator(data)
        from transformers import DataCollatorWithPadding

        collator: Callable[[Any], Any] = DataCollatorWithPadding(
            data.tokenizer, pad_to_multiple_of=self.pad_to_multiple_of
        )
        return collator


@lru_cache(maxsize=16)
def _look(train: Path, validation: Path, options: Columns, digest: str) -> str:
    """What files with this digest hold; a command asks more than once."""
    if format_of(train) != format_of(validation):
        raise BenchError(
            f"is {format_of(validation)}, and {train} is {format_of(train)}",
            place=str(validation),
            fix="both files in one format",
        )
    return labelled({"train": read(train), "validation": read(validation)}, options).told


def _hub_tables(task: Task) -> Mapping[str, LocatedSamples]:
    """The splits of a data set on the hub."""
    from datasets import load_dataset

    assert task.dataset is not None
    name = task.dataset + (f" ({task.dataset_config})" if task.dataset_config else "")
    try:
        data = load_dataset(task.dataset, task.dataset_config)
    except Exception as error:  # the hub's client raises dozens of kinds
        reason = " ".join(str(error).split())[:300]
        raise BenchError(
            f"cannot load {name} from the hub: {type(error).__name__}: {reason}",
            place=f"tasks.{task.name}.dataset",
            fix="check the name, its configuration and the network; or take files of your own",
        ) from error
    tables = {}
    for split in ("train", "validation"):
        if split not in data:
            raise BenchError(
                f"{name} has no split {split!r}; there are: {', '.join(map(str, data))}",
                place=f"tasks.{task.name}.dataset",
                fix="a data set that has it, or its samples as files of your own",
            )
        columns = {column: list(data[split][column]) for column in data[split].column_names}
        tables[split] = LocatedSamples(f"{name} {split}", columns, "row", lambda index: index + 1)
        if not len(tables[split]):
            raise BenchError(
                f"{name} has no samples in {split!r}",
                place=f"tasks.{task.name}.dataset",
                fix="another data set or configuration, or its samples as files of your own",
            )
    return tables


def _finite(prediction: Any) -> tuple[Any, Any, bool]:
    """Logits and labels of a transformers.EvalPrediction as arrays, and whether all logits are
    finite.
    """
    import numpy as np

    logits = (
        prediction.predictions[0]
        if isinstance(prediction.predictions, tuple)
        else prediction.predictions
    )
    logits = np.asarray(logits, dtype=np.float64)
    return logits, np.asarray(prediction.label_ids), bool(np.isfinite(logits).all())


def accuracy(prediction: Any) -> dict[str, float]:
    """The share of samples whose largest logit is that of their class; NaN where a logit is not
    finite.

    Args:
        prediction: A transformers.EvalPrediction: logits of shape (samples, classes), and classes.
    """
    logits, truth, finite = _finite(prediction)
    return {"accuracy": float((logits.argmax(axis=-1) == truth).mean()) if finite else math.nan}


def mean_squared_error(prediction: Any) -> dict[str, float]:
    """The mean squared error; NaN where a prediction is not finite.

    Args:
        prediction: A transformers.EvalPrediction: predictions of shape (samples, 1), and numbers.
    """
    found, truth, finite = _finite(prediction)
    errors = found.reshape(len(truth)) - truth
    return {"mse": float((errors**2).mean()) if finite else math.nan}


def _chance(labels: Any, classes: int) -> dict[str, float]:
    """The best that one answer to everything reaches: the most frequent class, or the mean."""
    import numpy as np

    truth = np.asarray(labels)
    if classes == 1:
        return {"mse": float(truth.var())}
    return {"accuracy": float(np.unique(truth, return_counts=True)[1].max() / len(truth))}
