"""A tiny Llama with LoRA trains alike under both backends, and serves as a plain model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import worker_helpers as worker

from harness.schema.record import InferenceResult

LORA = {"lora_rank": 8, "target_modules": ["q_proj", "v_proj"], "learning_rate": 3e-3}
# Two layers; queries of 128, values of 64; two classes.
TRAINED = 2 * 8 * ((128 + 128) + (128 + 64)) + 2 * 128


def test_both_arms_train_adapters_alike(tmp_path: Path) -> None:
    """Parity runs over 12 steps: dropout is asked for, and there is none."""
    ended = {}
    for backend in ("pytorch", "onnxruntime"):
        job = worker.spec(
            tmp_path,
            backend,
            model={"architecture": "llama-tiny"},
            training={**LORA, "lora_dropout": 0.5},
            parity_run=True,
        )
        ended[backend] = worker.run(tmp_path / backend, job)
    torch, ort = ended["pytorch"], ended["onnxruntime"]
    assert ort.result["engagement"]["engaged"], ort.result["engagement"]["reasons"]
    assert ort.result["engagement"]["yield_ops"] == 1
    assert len(torch.losses) == len(ort.losses) == 12
    assert max(abs(a - b) for a, b in zip(torch.losses, ort.losses, strict=True)) < 1e-5
    assert len({round(loss, 6) for loss in torch.losses}) == 12  # something is learned
    assert torch.result["fingerprint"] == ort.result["fingerprint"]
    fingerprint = ort.result["fingerprint"]
    assert fingerprint["trainable_parameters"] == TRAINED
    assert fingerprint["parameters"] > 100 * TRAINED
    assert ort.result["metrics"] == pytest.approx(torch.result["metrics"], rel=1e-3, abs=1e-3)


def test_what_is_saved_is_the_whole_trained_model_and_both_engines_agree_on_it(
    tmp_path: Path,
) -> None:
    job = worker.spec(
        tmp_path,
        "onnxruntime",
        model={"architecture": "llama-tiny"},
        training={**LORA, "lora_dropout": 0.1, "max_steps": 60, "eval_batch_size": 50},
        output_dir=str(tmp_path / "out"),
        inference={"seconds": 0.3, "batch_sizes": [1]},
    )
    ended = worker.run(tmp_path / "job", job, timeout_s=240)
    assert ended.result["engagement"]["engaged"]
    found = InferenceResult.model_validate(ended.result["inference"])
    assert (found.state, found.reason, found.agree, found.disagreement) == ("ok", "", True, "")
    assert found.metrics["onnxruntime"]["accuracy"] == ended.result["metrics"]["accuracy"]
    saved = json.loads((tmp_path / "out" / "config.json").read_text())
    assert saved["architectures"] == ["LlamaForSequenceClassification"]
    assert not list((tmp_path / "out").glob("adapter*"))


@pytest.mark.parametrize("backend", ["pytorch", "onnxruntime"])
def test_the_fused_optimizer_is_what_trained(tmp_path: Path, backend: str) -> None:
    """PyTorch 2.6 has its fused AdamW on the CPU too; it learns what the other one learns."""
    losses = {}
    for optim in ("adamw_torch", "adamw_torch_fused"):
        job = worker.spec(tmp_path, backend, training={"optim": optim}, parity_run=True)
        ended = worker.run(tmp_path / optim, job)
        fused = optim == "adamw_torch_fused"
        assert ended.result["fingerprint"]["optimizer"] == f"AdamW(fused={fused})"
        losses[optim] = ended.losses
    both = zip(*losses.values(), strict=True)
    assert max(abs(one - other) for one, other in both) < 1e-4


@pytest.mark.parametrize("architecture", ["roberta-tiny", "gpt2-tiny", "t5-tiny"])
def test_other_families_train_adapters_alike_too(tmp_path: Path, architecture: str) -> None:
    """Layers that peft names by itself; GPT-2's are no linear ones, T5's decoder has its own."""
    ended = {}
    for backend in ("pytorch", "onnxruntime"):
        job = worker.spec(
            tmp_path,
            backend,
            model={"architecture": architecture},
            training={"lora_rank": 4, "max_steps": 6, "learning_rate": 3e-4},
            parity_run=True,
            do_eval=False,
        )
        ended[backend] = worker.run(tmp_path / backend, job)
    torch, ort = ended["pytorch"], ended["onnxruntime"]
    assert ort.result["engagement"]["engaged"], ort.result["engagement"]["reasons"]
    assert max(abs(a - b) for a, b in zip(torch.losses, ort.losses, strict=True)) < 1e-4
    assert torch.result["fingerprint"] == ort.result["fingerprint"]
    fingerprint = ort.result["fingerprint"]
    assert 0 < fingerprint["trainable_parameters"] < fingerprint["parameters"] / 20
