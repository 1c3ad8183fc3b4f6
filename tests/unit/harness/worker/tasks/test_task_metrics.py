"""GLUE's metrics against reference values on fixed predictions.

Two references: the definitions written out (confusion matrices, covariances, ranks with ties
averaged), and transformers.glue_compute_metrics. The metric script of `evaluate` itself has to be
fetched from the hub, so it is not run here; it calls the same functions of scikit-learn and SciPy
as the latter.
"""

from __future__ import annotations

import math
import random
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.schema.glue import GLUE, GLUE_TASKS
from harness.worker.tasks.metrics import chance_levels, glue_metrics, main_metrics

CLASSES = {"stsb": 1, "mnli": 3}


def _fixed(subset: str, samples: int = 501) -> tuple[Any, Any]:
    """Logits and labels that are the same everywhere: about two of three answers right, scores with
    many ties.
    """
    draw, classes = random.Random(f"fixed/{subset}"), CLASSES.get(subset, 2)
    if classes == 1:
        truth = [draw.randrange(26) / 5 for _ in range(samples)]
        return np.array(
            [[round(x + draw.gauss(0, 1.5), 1)] for x in truth], dtype=np.float32
        ), np.array(truth)
    labels = [
        int(draw.random() < 0.7) if classes == 2 else draw.randrange(3) for _ in range(samples)
    ]
    logits = [
        [draw.gauss(0, 1) + (1.0 if k == label else 0.0) for k in range(classes)]
        for label in labels
    ]
    return np.array(logits, dtype=np.float32), np.array(labels)


def _prediction(logits: Any, truth: Any) -> SimpleNamespace:
    return SimpleNamespace(predictions=logits, label_ids=truth)


def _ranks(values: list[float]) -> list[float]:
    """1-based; equal values share the mean of their places."""
    places: dict[float, list[int]] = {}
    for place, value in enumerate(sorted(values), start=1):
        places.setdefault(value, []).append(place)
    return [sum(places[value]) / len(places[value]) for value in values]


def _pearson(x: list[float], y: list[float]) -> float:
    a, b = math.fsum(x) / len(x), math.fsum(y) / len(y)
    covariance = math.fsum((p - a) * (q - b) for p, q in zip(x, y, strict=True))
    return covariance / math.sqrt(
        math.fsum((p - a) ** 2 for p in x) * math.fsum((q - b) ** 2 for q in y)
    )


def _by_definition(subset: str, logits: Any, truth: Any) -> dict[str, float]:
    if subset == "stsb":
        x, y = [float(row[0]) for row in logits], [float(value) for value in truth]
        return {"pearson": _pearson(x, y), "spearmanr": _pearson(_ranks(x), _ranks(y))}
    answers = [max(range(len(row)), key=lambda k: row[k]) for row in logits.tolist()]
    pairs = list(zip(truth.tolist(), answers, strict=True))
    tp, fp, fn, tn = (pairs.count(pair) for pair in ((1, 1), (0, 1), (1, 0), (0, 0)))
    found = {"accuracy": sum(label == answer for label, answer in pairs) / len(pairs)}
    if "f1" in GLUE[subset].metrics:
        precision, recall = tp / (tp + fp), tp / (tp + fn)
        found["f1"] = 2 * precision * recall / (precision + recall)
    if subset == "cola":
        found = {
            "matthews_correlation": (tp * tn - fp * fn)
            / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        }
    return found


@pytest.mark.parametrize("subset", GLUE_TASKS)
def test_metrics_equal_their_definitions(subset: str) -> None:
    logits, truth = _fixed(subset)
    found = glue_metrics(subset, _prediction(logits, truth))
    assert found == pytest.approx(_by_definition(subset, logits, truth), abs=1e-9)
    assert all(
        0.2 < value < 0.95 for value in found.values()
    )  # fixed predictions that tell good from bad formulas


@pytest.mark.parametrize("subset", GLUE_TASKS)
def test_metrics_equal_those_of_transformers(subset: str) -> None:
    from transformers import glue_compute_metrics

    names = {"acc": "accuracy", "mcc": "matthews_correlation", "mnli/acc": "accuracy"}
    logits, truth = _fixed(subset)
    answers = logits[:, 0] if subset == "stsb" else logits.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will be removed one day
        found = glue_compute_metrics(
            {"sst2": "sst-2", "stsb": "sts-b"}.get(subset, subset), answers, truth
        )
    reference = {names.get(name, name): value for name, value in found.items()}
    ours = glue_metrics(subset, _prediction(logits, truth))
    assert set(ours) == set(reference) - {"acc_and_f1", "corr"}
    for name, value in ours.items():
        assert value == pytest.approx(float(reference[name]), abs=1e-6)


def test_metrics_by_hand() -> None:
    """Answers 0 1 0 1 to 0 1 1 1: accuracy 3/4, F1 2·1·(2/3)/(1 + 2/3) = 0.8, Matthews 2/√(2·3·1·2)
    = 1/√3.
    """
    fixed = _prediction(
        np.array([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 1, 1, 1])
    )
    assert glue_metrics("mrpc", fixed) == pytest.approx({"accuracy": 0.75, "f1": 0.8}, abs=1e-12)
    assert glue_metrics("cola", fixed) == pytest.approx(
        {"matthews_correlation": 1 / math.sqrt(3)}, abs=1e-12
    )
    # 1 2 4 against 1 2 3: covariance 3, variances 14/3 and 2: 3/√(28/3); the order is the same.
    scores = _prediction(
        np.array([[1.0], [2.0], [4.0]]), np.array([1.0, 2.0, 3.0], dtype=np.float32)
    )
    assert glue_metrics("stsb", scores) == pytest.approx(
        {"pearson": 3 / math.sqrt(28 / 3), "spearmanr": 1.0}
    )


def test_what_constant_predictions_are_worth() -> None:
    """Matthews and F1 are 0 by scikit-learn's definition; a correlation of a constant is no number,
    so it is none.
    """
    truth = np.array([0, 1, 1, 1])
    always = {
        answer: _prediction(np.array([[1.0 - answer, float(answer)]] * 4), truth)
        for answer in (0, 1)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert glue_metrics("cola", always[1]) == {"matthews_correlation": 0.0}
        assert glue_metrics("mrpc", always[0]) == {"accuracy": 0.25, "f1": 0.0}
        assert glue_metrics("qqp", always[1]) == pytest.approx({"accuracy": 0.75, "f1": 6 / 7})
        constant = _prediction(np.full((4, 1), 2.5), np.array([0.0, 1.0, 2.0, 3.0]))
        single = _prediction(np.array([[1.0]]), np.array([2.0]))
        for prediction in (constant, single):
            found = glue_metrics("stsb", prediction)
            assert set(found) == {"pearson", "spearmanr"}
            assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize("subset", GLUE_TASKS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_predictions_that_are_not_finite_have_no_metrics(subset: str, value: float) -> None:
    logits, truth = _fixed(subset, 20)
    logits[3, 0] = value
    found = glue_metrics(subset, _prediction(logits, truth))
    assert tuple(found) == GLUE[subset].metrics
    assert all(math.isnan(each) for each in found.values())


def test_the_first_of_several_outputs_are_the_logits() -> None:
    logits, truth = _fixed("sst2")
    assert glue_metrics("sst2", _prediction((logits, logits * 0), truth)) == glue_metrics(
        "sst2", _prediction(logits, truth)
    )


def test_chance_is_what_the_best_constant_answer_reaches() -> None:
    labels = [0] * 3 + [1] * 7
    assert chance_levels("sst2", labels) == {"accuracy": 0.7}
    assert chance_levels("mrpc", labels) == pytest.approx({"accuracy": 0.7, "f1": 2 * 0.7 / 1.7})
    assert chance_levels("qqp", [0] * 7 + [1] * 3) == pytest.approx(
        {"accuracy": 0.7, "f1": 2 * 0.3 / 1.3}
    )
    assert chance_levels("mnli", [0, 1, 2, 2]) == {"accuracy": 0.5}
    assert chance_levels("cola", labels) == {"matthews_correlation": 0.0}
    assert chance_levels("stsb", [0.0, 2.5]) == {"pearson": 0.0, "spearmanr": 0.0}


def test_every_task_states_its_score() -> None:
    """The mean of these: as on GLUE's leaderboard, where MNLI counts with both of its sets."""
    assert {subset: main_metrics(subset) for subset in GLUE_TASKS} == {
        "cola": ("matthews_correlation",),
        "sst2": ("accuracy",),
        "mrpc": ("accuracy", "f1"),
        "stsb": ("pearson", "spearmanr"),
        "qqp": ("accuracy", "f1"),
        "mnli": ("accuracy", "accuracy_mm"),
        "qnli": ("accuracy",),
        "rte": ("accuracy",),
        "wnli": ("accuracy",),
    }
