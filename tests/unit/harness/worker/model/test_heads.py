"""What is known of heads without importing transformers is what transformers says."""

from __future__ import annotations

import pytest

from harness.schema.shapes import SHAPES
from harness.worker import tasks
from harness.worker.model import heads

MAPPINGS = {
    "AutoModelForSequenceClassification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "AutoModelForTokenClassification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "AutoModelForCausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "AutoModelForSeq2SeqLM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
}


@pytest.mark.parametrize("kind", tasks.TASKS)
def test_built_in_types_have_the_heads_that_transformers_has(kind: str) -> None:
    from transformers.models.auto import modeling_auto

    auto_class = tasks.get(kind).auto_class
    there = getattr(modeling_auto, MAPPINGS[auto_class])
    for shape in SHAPES.values():
        model_type = shape["model_type"]
        assert heads.may_have(auto_class, model_type) is (model_type in there), model_type


def test_no_type_that_can_translate_is_refused() -> None:
    from transformers.models.auto import modeling_auto

    for model_type in modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        assert heads.may_have("AutoModelForSeq2SeqLM", model_type)
    assert not heads.may_have("AutoModelForSeq2SeqLM", "modernbert")
    assert heads.built_in_with("AutoModelForSeq2SeqLM") == [
        "t5-small",
        "t5-base",
        "t5-large",
        "bart-base",
        "bart-large",
    ]
