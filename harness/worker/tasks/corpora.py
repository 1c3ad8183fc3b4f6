"""The built-in corpora by GLUE task: of the real sets' sizes, with text that is the same on every
host.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.worker.tasks import corpus, corpus_cola, corpus_inference, corpus_pairs

Example = tuple[Any, ...]  # its one or two texts, then the label
LABEL_NOISE = 0.02  # of the labels are wrong on purpose
MISMATCHED = "validation_mm"


@dataclass(frozen=True)
class Corpus:
    """`sizes`: samples by split, as in GLUE; `example(draw)`: one sample; `labels`: 1 of a
    regression.

    Raise `version` when the text changes: cached data would be stale.
    """

    sizes: Mapping[str, int]
    example: Callable[..., Example]
    labels: int = 2
    version: int = 1


def _sizes(train: int, validation: int, **further: int) -> dict[str, int]:
    return {"train": train, "validation": validation, **further}


CORPORA = {
    "cola": Corpus(_sizes(8_551, 1_043), corpus_cola.cola),
    "mrpc": Corpus(_sizes(3_668, 408), corpus_pairs.mrpc),
    "stsb": Corpus(_sizes(5_749, 1_500), corpus_pairs.stsb, labels=1),
    "qqp": Corpus(_sizes(363_846, 40_430), corpus_pairs.qqp),
    "mnli": Corpus(_sizes(392_702, 9_815, validation_mm=9_832), corpus_inference.mnli, labels=3),
    "qnli": Corpus(_sizes(104_743, 5_463), corpus_inference.qnli),
    "rte": Corpus(_sizes(2_490, 277), corpus_inference.rte),
    "wnli": Corpus(_sizes(635, 71), corpus_inference.wnli),
}
SST2 = _sizes(corpus.TRAIN_SENTENCES, corpus.EVAL_SENTENCES)


def sizes(subset: str) -> Mapping[str, int]:
    """Samples of each split of a task: train, validation and, of MNLI, validation_mm."""
    return SST2 if subset == "sst2" else CORPORA[subset].sizes


def generate(
    subset: str, split: str, samples: int, seed: int
) -> tuple[tuple[list[str], ...], list[Any]]:
    """The first `samples` samples of a split: its one or two columns of text, and the labels
    (floats of STS-B).
    """
    if subset == "sst2":
        texts, labels = corpus.generate(split, samples, seed)
        return (texts,), labels
    of = CORPORA[subset]
    draw = random.Random(f"{subset}/{of.version}/{seed}/{split}")
    genre = {"genre": "other"} if split == MISMATCHED else {}
    columns: list[list[Any]] = []
    for _ in range(samples):
        *texts, label = of.example(draw, **genre)
        if of.labels > 1 and draw.random() < LABEL_NOISE:
            label = (label + draw.randrange(1, of.labels)) % of.labels
        columns = columns or [[] for _ in (*texts, label)]
        for column, value in zip(columns, (*texts, label), strict=True):
            column.append(value)
    return tuple(columns[:-1]), columns[-1]
