"""Built-in shapes against the published sizes, transformers' own word on attention, and torch's
FLOP counter.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.results.mfu import model_flops_per_sample, shape_of
from harness.schema.shapes import EAGER_ONLY, SHAPES, TINY_VOCABULARY

# Parameters of the published encoders and decoders, without any head (num_parameters() of
# transformers.AutoModel).
PUBLISHED = {
    "roberta-base": 124_645_632,
    "roberta-large": 355_359_744,
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    "bert-large-cased": 333_579_264,
    "distilbert-base": 66_362_880,
    "albert-base": 11_683_584,
    "albert-large": 17_683_968,
    "electra-small": 13_483_008,
    "electra-base": 108_891_648,
    "electra-large": 334_092_288,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "bart-base": 139_420_416,
    "bart-large": 406_291_456,
    "deberta-base": 138_601_728,
    "deberta-v3-base": 183_831_552,
    "llama-2-7b": 6_607_343_616,
    "llama-3.2-1b": 1_235_814_400,
}
TINY = [name for name in SHAPES if name.endswith("-tiny")]


def _classifier(name: str, **sizes: Any) -> Any:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.for_model(**{**SHAPES[name], **sizes}, num_labels=3)
    if config.pad_token_id is None:
        config.pad_token_id = 0
    return AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size_shapes_have_the_published_number_of_parameters(name: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.for_model(**SHAPES[name]))
    assert model.num_parameters() == PUBLISHED[name]


def test_every_family_has_a_tiny_shape() -> None:
    assert set(SHAPES) == {*PUBLISHED, *TINY}
    families = {shape["model_type"] for shape in SHAPES.values()}
    assert {SHAPES[name]["model_type"] for name in TINY} == families
    for name in TINY:
        assert SHAPES[name]["vocab_size"] == TINY_VOCABULARY


def test_which_families_have_sdpa_attention_is_as_transformers_says() -> None:
    import torch

    with torch.device("meta"):
        without = {
            SHAPES[name]["model_type"] for name in TINY if not _classifier(name)._supports_sdpa
        }
    assert without == set(EAGER_ONLY)


@pytest.mark.parametrize("name", TINY)
def test_flops_are_what_torch_counts(name: str) -> None:
    """GPT-2's classifier judges every token and picks one; the formula has the one that training
    needs.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    samples, length = 2, 16
    torch.manual_seed(0)
    model = _classifier(name, vocab_size=100).train()
    ids = torch.randint(5, 90, (samples, length))
    ids[:, -1] = SHAPES[name].get("eos_token_id", 1)  # T5 and BART look for the end
    batch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.tensor([0, 2]),
    }
    with FlopCounterMode(display=False) as counter:
        model(**batch).loss.backward()
    counted = counter.get_total_flops() / samples
    shape = shape_of(model.config.to_dict(), labels=3)
    if name.startswith(("bart", "deberta", "llama")):
        assert shape is None, (
            "relative attention has further matrix products, Llama fewer for keys and values, and "
            "BART's are not known: "
            "unknown, not approximated"
        )
        return
    assert shape is not None
    assert shape == shape_of(SHAPES[name], labels=3)
    unneeded = (
        3 * 2 * shape.hidden_size * shape.labels * (length - 1) if name.startswith("gpt2") else 0
    )
    assert model_flops_per_sample(shape, length) == counted - unneeded


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"num_decoder_layers": 1}, {"decoder_layers": 1}),
        ({"feed_forward_proj": "gated-gelu"}, {"gated": True}),
        ({"num_heads": 32}, None),  # as t5-3b: queries and keys are wider than the model
    ],
)
def test_shapes_of_other_t5_configurations(
    change: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    usual = shape_of(SHAPES["t5-base"])
    assert usual is not None
    changed = shape_of({**SHAPES["t5-base"], **change})
    assert changed == (usual.model_copy(update=expected) if expected else None)
    encoder = shape_of(SHAPES["t5-base"], every_token=True)
    assert encoder is not None
    assert (encoder.layers, encoder.decoder_layers) == (12, 0)
