"""GLUE's metrics, by scikit-learn and SciPy, and what a model that ignores its input would reach.

The definitions are those of the GLUE metric of Hugging Face's `evaluate` (metrics/glue/glue.py):
for classes the largest logit is the answer, F1 is that of class 1. What is not defined is NaN,
never 0: the correlations of constant predictions, and all metrics of predictions that are not
finite. Matthews of constant predictions is 0 and F1 without any positive answer is 0: so
scikit-learn defines them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.schema.glue import GLUE, MISMATCHED

CORRELATIONS = {"matthews_correlation", "pearson", "spearmanr"}


def main_metrics(subset: str) -> tuple[str, ...]:
    """The metrics whose mean is the task's score in GLUE; MNLI's are those of both validation
    sets.
    """
    data = GLUE[subset]
    further = data.metrics if MISMATCHED in data.sizes else ()
    return (*data.metrics, *(f"{name}_mm" for name in further))


def glue_metrics(subset: str, prediction: Any) -> dict[str, float]:
    """The task's metrics of a transformers.EvalPrediction: logits of shape (samples, labels), and
    the true labels.
    """
    import numpy as np

    logits = (
        prediction.predictions[0]
        if isinstance(prediction.predictions, tuple)
        else prediction.predictions
    )
    logits, truth = np.asarray(logits, dtype=np.float64), np.asarray(prediction.label_ids)
    if not np.isfinite(logits).all():
        return dict.fromkeys(GLUE[subset].metrics, math.nan)
    if not GLUE[subset].classes:
        return _correlations(logits.reshape(len(truth)), truth.astype(np.float64))
    return _of_classes(GLUE[subset].metrics, truth, logits.argmax(axis=-1))


def _correlations(scores: Any, truth: Any) -> dict[str, float]:
    from scipy.stats import pearsonr, spearmanr

    if len(truth) < 2 or scores.min() == scores.max() or truth.min() == truth.max():
        return {"pearson": math.nan, "spearmanr": math.nan}
    return {
        "pearson": float(pearsonr(scores, truth).statistic),
        "spearmanr": float(spearmanr(scores, truth).statistic),
    }


def _of_classes(names: Sequence[str], truth: Any, answers: Any) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    compute = {
        "accuracy": accuracy_score,
        "f1": lambda truth, answers: f1_score(truth, answers, zero_division=0.0),
        "matthews_correlation": matthews_corrcoef,
    }
    return {name: float(compute[name](truth, answers)) for name in names}


def chance_levels(subset: str, labels: Sequence[float]) -> dict[str, float]:
    """The best that one answer to everything reaches on these labels; of correlations 0, what
    guessing expects.

    Accuracy: the share of the most frequent class. F1: that of class 1 always. Matthews, Pearson
    and Spearman: 0.
    """
    import numpy as np

    truth = np.asarray(labels)
    if set(GLUE[subset].metrics) <= CORRELATIONS:
        return dict.fromkeys(GLUE[subset].metrics, 0.0)
    always = [
        _of_classes(GLUE[subset].metrics, truth, np.full_like(truth, answer))
        for answer in np.unique(truth)
    ]
    return {name: max(reached[name] for reached in always) for name in GLUE[subset].metrics}
