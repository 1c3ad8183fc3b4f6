"""The nine GLUE tasks: raw text → tokens, cached on disk by content and shared by all arms and jobs; metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.record import Sources
from harness.settings import JobSpec, Task
from harness.worker import models, tokenizer
from harness.worker.tasks.base import TaskData, TaskKind
from harness.worker.tasks.sources import HUB_DATASET, Raw, Split, open_raw
from harness.worker.tasks.splits import load_splits

VERSION = 1  # part of the cache key
BATCH = 1000


@dataclass(frozen=True)
class Columns:
    """Text columns as the hub names them, number of labels (1: regression), and the validation split's name."""

    texts: tuple[str, ...]
    labels: int = 2
    validation: str = "validation"


COLUMNS = {
    "cola": Columns(("sentence",)),
    "sst2": Columns(("sentence",)),
    "mrpc": Columns(("sentence1", "sentence2")),
    "stsb": Columns(("sentence1", "sentence2"), labels=1),
    "qqp": Columns(("question1", "question2")),
    "mnli": Columns(("premise", "hypothesis"), labels=3, validation="validation_matched"),
    "qnli": Columns(("question", "sentence")),
    "rte": Columns(("sentence1", "sentence2")),
    "wnli": Columns(("sentence1", "sentence2")),
}


class Glue(TaskKind):
    """Sentences or pairs of sentences with a class, or a score."""

    name = "glue"
    sources = ("hub", "folder", "synthetic")

    @classmethod
    def hub_dataset(cls, task: Task) -> tuple[str, str]:
        return HUB_DATASET, task.data_name

    def load(self) -> TaskData:
        return load(self.spec)


def load(spec: JobSpec) -> TaskData:
    """Data of a job, from the cache where it is. Raises BenchError for unusable sources."""
    task, training = spec.workload.task, spec.workload.training
    columns = COLUMNS[task.data_name]
    raw = open_raw(task, columns.texts, columns.validation)
    tokens, tokenizer_key = tokenizer.load(spec, raw.identity, lambda: _training_texts(raw))
    length = min(training.max_seq_length, tokens.model_max_length)
    limits = {"train": task.train_samples, "validation": task.eval_samples}

    def encode(split: str) -> Any:
        return _encode(raw.read(split), tokens, length, training.pad_to_max_length, limits[split], columns.labels)

    splits, data_sha256 = load_splits(
        spec,
        ("train", "validation"),
        encode,
        version=VERSION,
        raw=raw.identity,
        tokenizer=tokenizer_key,
        length=length,
        pad=training.pad_to_max_length,
        limits=limits,
        subset=task.data_name,
    )
    return TaskData(
        train=splits["train"],
        validation=splits["validation"],
        tokenizer=tokens,
        labels=columns.labels,
        sources=Sources(
            data=raw.origin,
            weights=models.source(spec.workload.model),
            train_samples=len(splits["train"]),
            eval_samples=len(splits["validation"]),
            data_sha256=data_sha256,
        ),
        metrics=lambda prediction: metrics(task.data_name, prediction),
    )


def _training_texts(raw: Raw) -> list[str]:
    return [text for texts in raw.read("train").texts for text in texts]


def _encode(split: Split, tokens: Any, length: int, pad: bool, limit: int | None, labels: int) -> Any:
    from datasets import Dataset, concatenate_datasets

    count = min(limit or len(split.labels), len(split.labels))
    parts = []
    for begin in range(0, count, BATCH):  # in batches: Python lists of a whole large task would take many GB
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


def metrics(subset: str, prediction: Any) -> dict[str, float]:
    """GLUE's metrics of a transformers.EvalPrediction: logits of shape (samples, labels) and true labels."""
    import numpy as np

    logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
    logits, truth = np.asarray(logits, dtype=np.float64), np.asarray(prediction.label_ids)
    if subset == "stsb":
        from scipy.stats import pearsonr, spearmanr

        scores = logits.reshape(len(truth))
        return {
            "pearson": float(pearsonr(scores, truth).statistic),
            "spearmanr": float(spearmanr(scores, truth).statistic),
        }
    from sklearn.metrics import f1_score, matthews_corrcoef

    guess = logits.argmax(axis=-1)
    if subset == "cola":
        return {"matthews_correlation": float(matthews_corrcoef(truth, guess))}
    found = {"accuracy": float((guess == truth).mean())}
    if subset in ("mrpc", "qqp"):
        found["f1"] = float(f1_score(truth, guess))
    return found
