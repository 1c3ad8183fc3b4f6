"""The data sets of GLUE (Wang et al. 2019), and what planning and jobs must know of each.

A further data set of this form is a name in `GlueTask` and an entry of `GLUE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

GlueTask = Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
GLUE_TASKS: tuple[GlueTask, ...] = get_args(GlueTask)
HUB_DATASET = "nyu-mll/glue"
TRAIN, VALIDATION, MISMATCHED = "train", "validation", "validation_mm"
# What a split is called on the hub where its name differs.
_MATCHED = {VALIDATION: "validation_matched", MISMATCHED: "validation_mismatched"}


@dataclass(frozen=True)
class GlueData:
    """One data set.

    Attributes:
        texts: Columns of text on the hub: one, or two of pairs of sentences.
        sizes: Samples of each split that has labels, as counted in the hub's nyu-mll/glue.
        metrics: Metrics of the benchmark (https://gluebenchmark.com/tasks).
        classes: Names of the classes on the hub, by label; none: a score from 0 to 5.
        hub_splits: What the hub calls a split whose name differs.
    """

    texts: tuple[str, ...]
    sizes: Mapping[str, int]
    metrics: tuple[str, ...] = ("accuracy",)
    classes: tuple[str, ...] = ("entailment", "not_entailment")
    hub_splits: Mapping[str, str] | None = None

    @property
    def labels(self) -> int:
        """Number of classes, 1 of a regression."""
        return len(self.classes) or 1

    @property
    def splits(self) -> dict[str, str]:
        """What the hub calls each split, by the name that it has here."""
        return {split: (self.hub_splits or {}).get(split, split) for split in self.sizes}


def _sizes(train: int, validation: int) -> dict[str, int]:
    return {TRAIN: train, VALIDATION: validation}


GLUE: Mapping[str, GlueData] = {
    "cola": GlueData(
        ("sentence",),
        _sizes(8_551, 1_043),
        ("matthews_correlation",),
        ("unacceptable", "acceptable"),
    ),
    "sst2": GlueData(("sentence",), _sizes(67_349, 872), classes=("negative", "positive")),
    "mrpc": GlueData(
        ("sentence1", "sentence2"),
        _sizes(3_668, 408),
        ("accuracy", "f1"),
        ("not_equivalent", "equivalent"),
    ),
    "stsb": GlueData(
        ("sentence1", "sentence2"), _sizes(5_749, 1_500), ("pearson", "spearmanr"), ()
    ),
    "qqp": GlueData(
        ("question1", "question2"),
        _sizes(363_846, 40_430),
        ("accuracy", "f1"),
        ("not_duplicate", "duplicate"),
    ),
    "mnli": GlueData(
        ("premise", "hypothesis"),
        {**_sizes(392_702, 9_815), MISMATCHED: 9_832},
        classes=("entailment", "neutral", "contradiction"),
        hub_splits=_MATCHED,
    ),
    "qnli": GlueData(("question", "sentence"), _sizes(104_743, 5_463)),
    "rte": GlueData(("sentence1", "sentence2"), _sizes(2_490, 277)),
    "wnli": GlueData(
        ("sentence1", "sentence2"), _sizes(635, 71), classes=("not_entailment", "entailment")
    ),
}
