"""Language models and token classifiers train alike under both backends."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import worker_helpers as worker

KINDS = {"causal-lm": "gpt2-tiny", "token-classification": "bert-tiny"}


@pytest.mark.parametrize("kind", KINDS)
def test_both_arms_train_it_alike(tmp_path: Path, kind: str) -> None:
    """Parity runs over 12 steps; GPT-2 with accumulation, where a model that counts labels itself
    would differ.
    """
    halves = {"batch_size": 8, "gradient_accumulation_steps": 2} if kind == "causal-lm" else {}
    ended = {}
    for backend in ("pytorch", "onnxruntime"):
        job = worker.spec_of_kind(
            tmp_path,
            kind,
            KINDS[kind],
            parity_run=True,
            arm={"name": backend, "backend": backend},
            training={"max_steps": 12, "learning_rate": 3e-3, **halves},
        )
        ended[backend] = worker.run(tmp_path / backend, job)
    torch, ort = ended["pytorch"], ended["onnxruntime"]
    assert ort.result["engagement"]["engaged"], ort.result["engagement"]["reasons"]
    assert len(torch.losses) == len(ort.losses) == 12
    assert max(abs(a - b) for a, b in zip(torch.losses, ort.losses, strict=True)) < 1e-4
    assert torch.losses[-1] < torch.losses[0] - 0.5
    assert torch.result["fingerprint"] == ort.result["fingerprint"]
    assert ort.result["metrics"] == pytest.approx(torch.result["metrics"], rel=1e-3, abs=1e-3)
    (main,) = ort.result["main_metrics"]
    score, chance = ort.result["metrics"][main], ort.result["chance"][main]
    if kind == "causal-lm":
        assert torch.losses[0] == pytest.approx(
            math.log(4096), abs=0.3
        )  # not the sum over accumulated batches
        assert score < 1500
    else:
        assert score > chance
