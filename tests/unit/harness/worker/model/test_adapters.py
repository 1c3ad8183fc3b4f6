"""Which weights LoRA trains, how adapters are drawn, and what comes of them after training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import worker_helpers as worker

from harness.errors import BenchError
from harness.schema.job import JobSpec
from harness.schema.shapes import SHAPES
from harness.worker.model import adapters, build

CLASSIFIER = "AutoModelForSequenceClassification"
TOKENS = type("Tokens", (), {"pad_token_id": 1, "__len__": lambda self: 100})()
# Families whose layers peft names itself.
NAMED_BY_PEFT = ["bert", "deberta", "deberta-v2", "electra", "gpt2", "llama", "roberta", "t5"]


def _built(
    folder: Path, architecture: str = "llama-tiny", auto_class: str = CLASSIFIER, **changes: Any
) -> Any:
    training = {"lora_rank": 4, **changes.pop("training", {})}
    job = worker.spec(folder, model={"architecture": architecture}, training=training, **changes)
    spec = JobSpec.model_validate(job)
    return build.build(spec, TOKENS, auto_class, {"num_labels": 3, "use_cache": False})[0]


def _trained(model: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}


def test_adapters_and_the_head_are_trained_and_nothing_else(tmp_path: Path) -> None:
    """Llama-tiny: two layers of 128, one head of 64 for keys and values, three classes."""
    model = _built(tmp_path, training={"lora_rank": 4, "target_modules": ["q_proj", "v_proj"]})
    trained = _trained(model)
    per_layer = 4 * (128 + 128) + 4 * (128 + 64)
    assert adapters.trainable(model) == 2 * per_layer + 3 * 128
    of_adapters = [name.split(".")[-3:] for name in trained if "lora" in name]
    assert {name for name, _, _ in of_adapters} == {"lora_A", "lora_B"}
    assert len(of_adapters) == 2 * 2 * 2  # two layers, two modules of each, two matrices
    assert all("lora" in name or ".score." in name for name in trained)
    whole = _built(tmp_path, training={"lora_rank": None})
    assert adapters.trainable(whole) == sum(p.numel() for p in whole.parameters())


@pytest.mark.parametrize("family", NAMED_BY_PEFT)
def test_the_head_of_every_family_is_trained(tmp_path: Path, family: str) -> None:
    model = _built(tmp_path, f"{family}-tiny")
    plain = _built(tmp_path, f"{family}-tiny", training={"lora_rank": None})
    heads = {name for name, _ in plain.named_children()} - {plain.base_model_prefix}
    expected = sum(p.numel() for head in heads for p in getattr(plain, head).parameters())
    of_head = [p for name, p in model.named_parameters() if p.requires_grad and "lora" not in name]
    assert sum(p.numel() for p in of_head) == expected > 0


def test_adapters_depend_on_the_seed_and_change_nothing_before_training(tmp_path: Path) -> None:
    import torch

    first = _built(tmp_path)
    torch.rand(7)  # whatever was drawn before
    assert build.weights_sha256(_built(tmp_path)) == build.weights_sha256(first)
    assert build.weights_sha256(_built(tmp_path, seed=7)) != build.weights_sha256(first)
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 1]])
    batch = {"input_ids": ids, "attention_mask": (ids != 1).long()}
    plain = _built(tmp_path, training={"lora_rank": None})
    with torch.no_grad():
        assert torch.equal(first.eval()(**batch).logits, plain.eval()(**batch).logits)


def test_a_merged_model_is_a_plain_one_with_the_same_answers(tmp_path: Path) -> None:
    import torch

    model = _built(tmp_path)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:  # as after training
            torch.manual_seed(len(name))
            torch.nn.init.normal_(parameter, std=0.1)
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 1]])
    batch = {"input_ids": ids, "attention_mask": (ids != 1).long()}
    with torch.no_grad():
        adapted = model.eval()(**batch).logits
    plain = adapters.merged(model)
    plain.save_pretrained(tmp_path / "saved")
    from transformers import LlamaForSequenceClassification

    assert type(plain) is LlamaForSequenceClassification
    loaded = LlamaForSequenceClassification.from_pretrained(
        tmp_path / "saved", attn_implementation="eager"
    )
    with torch.no_grad():
        assert torch.allclose(loaded.eval()(**batch).logits, adapted, atol=1e-5)
    assert adapters.merged(plain) is plain


def test_scaling_and_dropout_are_those_asked_for_and_a_parity_run_has_none(
    tmp_path: Path,
) -> None:
    import torch

    def of(**changes: Any) -> tuple[float, float]:
        layer = next(
            module
            for _, module in _built(tmp_path, **changes).named_modules()
            if hasattr(module, "lora_dropout")
        )
        dropout = layer.lora_dropout["default"]
        rate = dropout.p if isinstance(dropout, torch.nn.Dropout) else 0.0
        return layer.scaling["default"], rate

    assert of() == (2.0, 0.0)
    settings = {"lora_alpha": 1.0, "lora_dropout": 0.1}
    assert of(training=settings) == (0.25, 0.1)
    assert of(training=settings, parity_run=True) == (0.25, 0.0)


def test_layers_that_are_not_there_are_an_error_that_names_those_that_are(
    tmp_path: Path,
) -> None:
    with pytest.raises(BenchError, match="Target modules .'nope'. not found") as caught:
        _built(tmp_path, training={"target_modules": ["nope"]})
    assert caught.value.place == "workload w: training.target_modules"
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in caught.value.fix
    assert "score" not in caught.value.fix
    with pytest.raises(BenchError, match="in a model of the type distilbert") as caught:
        _built(tmp_path, "distilbert-tiny")
    assert "q_lin" in caught.value.fix
    assert _trained(_built(tmp_path, "distilbert-tiny", training={"target_modules": ["q_lin"]}))


def test_only_classifiers_have_adapters(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="LoRA is for classifiers") as caught:
        _built(tmp_path, "gpt2-tiny", "AutoModelForCausalLM")
    assert caught.value.place == "workload w: training.lora_rank"
    tokens = _built(tmp_path, "bert-tiny", "AutoModelForTokenClassification")
    assert any("classifier" in name for name in _trained(tokens))


def test_all_tiny_shapes_are_either_named_by_peft_or_refused(tmp_path: Path) -> None:
    refused = set()
    for name in SHAPES:
        if name.endswith("-tiny"):
            try:
                _built(tmp_path, name)
            except BenchError:
                refused.add(name)
    assert refused == {"albert-tiny", "distilbert-tiny"}
