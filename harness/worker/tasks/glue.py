"""The nine GLUE tasks: raw text → tokens, cached on disk by content and shared by all arms and
jobs; metrics.
"""

from __future__ import annotations

from typing import Any

from harness.planning.hub import expanded
from harness.schema.glue import GLUE, HUB_DATASET, MISMATCHED
from harness.schema.job import JobSpec
from harness.schema.workload import Task
from harness.worker.model import tokenizer
from harness.worker.tasks.base import TaskData, TaskKind
from harness.worker.tasks.metrics import chance_levels, glue_metrics, main_metrics
from harness.worker.tasks.sources import Raw, Split, open_raw, parquet_files
from harness.worker.tasks.splits import load_splits

VERSION = 1  # part of the cache key
BATCH = 1000


class Glue(TaskKind):
    """Sentences or pairs of sentences with a class, or a score."""

    name = "glue"
    sources = ("hub", "folder", "synthetic")

    @classmethod
    def hub_dataset(cls, task: Task) -> tuple[str, str]:
        return HUB_DATASET, task.data_name

    @classmethod
    def look_at_folder(cls, task: Task) -> None:
        assert task.folder is not None
        parquet_files(expanded(task.folder) / task.data_name, GLUE[task.data_name].splits)

    def load(self) -> TaskData:
        return load(self.spec)

    def model_config(self, data: TaskData) -> dict[str, Any]:
        classes = GLUE[self.task.data_name].classes
        if not classes:
            return {**super().model_config(data), "problem_type": "regression"}
        names = {
            "id2label": dict(enumerate(classes)),
            "label2id": {name: i for i, name in enumerate(classes)},
        }
        return {**super().model_config(data), **names}


def load(spec: JobSpec) -> TaskData:
    """Data of a job, from the cache where it is. Raises BenchError for unusable sources."""
    task, training = spec.workload.task, spec.workload.training
    subset = task.data_name
    columns = GLUE[subset]
    raw = open_raw(
        task, columns.texts, columns.splits, range(columns.labels) if columns.classes else None
    )
    tokens, tokenizer_key = tokenizer.load(spec, raw.identity, lambda: _training_texts(raw))
    special = tokens.num_special_tokens_to_add(pair=len(columns.texts) > 1)
    length = tokenizer.length_of(spec, tokens, special)
    limits = {
        split: task.train_samples if split == "train" else task.eval_samples
        for split in columns.splits
    }

    def encode(split: str) -> Any:
        return encode_texts(
            raw.read(split),
            tokens,
            length,
            training.pad_to_max_length,
            limits[split],
            columns.labels,
        )

    splits, sources = load_splits(
        spec,
        tuple(columns.splits),
        encode,
        data=raw.origin,
        version=VERSION,
        raw=raw.identity,
        tokenizer=tokenizer_key,
        length=length,
        pad=training.pad_to_max_length,
        limits=limits,
        subset=subset,
    )
    further = {"mm": splits[MISMATCHED]} if MISMATCHED in splits else {}
    chance = chance_levels(subset, splits["validation"]["labels"])
    for ending, found in further.items():
        chance |= {
            f"{name}_{ending}": level
            for name, level in chance_levels(subset, found["labels"]).items()
        }
    return TaskData(
        train=splits["train"],
        validation=splits["validation"],
        further=further,
        tokenizer=tokens,
        labels=columns.labels,
        sources=sources,
        metrics=lambda prediction: glue_metrics(subset, prediction),
        main_metrics=main_metrics(subset),
        chance=chance,
    )


def _training_texts(raw: Raw) -> list[str]:
    return [text for texts in raw.read("train").texts for text in texts]


def encode_texts(
    split: Split, tokens: Any, length: int, pad: bool, limit: int | None, labels: int
) -> Any:
    """A datasets.Dataset of the first `limit` samples of a split: their tokens, and `labels`.

    Args:
        split: Texts and labels; labels of classes are indices.
        tokens: The tokenizer.
        length: Tokens that a sample is cut to.
        pad: Whether every sample is padded to `length`.
        limit: None: all samples.
        labels: Number of classes, 1 of a regression.
    """
    from datasets import Dataset, concatenate_datasets

    count = min(limit or len(split.labels), len(split.labels))
    parts = []
    for begin in range(
        0, count, BATCH
    ):  # in batches: Python lists of a whole large task would take many GB
        end = min(begin + BATCH, count)
        encoded = tokens(
            *[texts[begin:end] for texts in split.texts],
            padding="max_length" if pad else False,
            truncation=True,
            max_length=length,
        )
        values = [float(x) if labels == 1 else int(x) for x in split.labels[begin:end]]
        parts.append(Dataset.from_dict({**encoded, "labels": values}))
    return concatenate_datasets(parts)
