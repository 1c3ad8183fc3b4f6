"""Jobs of GLUE tasks that differ from classification with one validation set: STS-B and MNLI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import worker_helpers as worker

MINI = {
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "intermediate_size": 128,
    "initializer_range": 0.15,
}


FAST = {
    "batch_size": 32,
    "max_seq_length": 40,
    "learning_rate": 3e-3,
    "warmup_ratio": 0.1,
    "dropout": 0.0,
}


def _job(folder: Path, backend: str, subset: str, steps: int) -> dict[str, Any]:
    job = worker.spec(
        folder,
        backend,
        model={"config": MINI},
        task={"name": subset, "subset": subset, "train_samples": 2400, "eval_samples": 300},
        training={**FAST, "max_steps": steps, "eval_batch_size": 100},
    )
    return worker.run(folder / backend, job).result


def test_a_regression_trains_under_both_arms_alike(tmp_path: Path) -> None:
    """STS-B: mean squared error on float labels, correlations better than chance, the same model in
    the end.
    """
    pytorch, onnxruntime = (
        _job(tmp_path, backend, "stsb", 80) for backend in ("pytorch", "onnxruntime")
    )
    assert onnxruntime["engagement"]["engaged"]
    assert pytorch["first_loss"] == pytest.approx(onnxruntime["first_loss"], abs=1e-4)
    assert pytorch["last_loss"] < pytorch["first_loss"] / 2
    for result in (pytorch, onnxruntime):
        assert result["main_metrics"] == ["pearson", "spearmanr"]
        assert result["chance"] == {"pearson": 0.0, "spearmanr": 0.0}
        assert result["metrics"]["pearson"] > 0.5
        assert result["metrics"]["spearmanr"] > 0.5
    assert onnxruntime["metrics"]["pearson"] == pytest.approx(
        pytorch["metrics"]["pearson"], abs=1e-3
    )


def test_mnli_is_evaluated_on_both_validation_sets(tmp_path: Path) -> None:
    result = _job(tmp_path, "onnxruntime", "mnli", 100)
    assert result["engagement"]["engaged"]
    assert result["sources"]["eval_samples"] == 600
    assert set(result["metrics"]) == {"loss", "accuracy", "loss_mm", "accuracy_mm"}
    assert result["metrics"]["loss_mm"] != result["metrics"]["loss"]
    assert result["main_metrics"] == ["accuracy", "accuracy_mm"]
    for name in result["main_metrics"]:
        assert 1 / 3 <= result["chance"][name] < 0.45
        assert result["metrics"][name] > result["chance"][name] + 0.08
