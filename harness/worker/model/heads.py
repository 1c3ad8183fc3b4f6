"""Which types of model have which head in transformers, as far as that is known before a job
imports it. Imports no torch.
"""

from __future__ import annotations

from harness.schema.shapes import SHAPES

# Every type that has AutoModelForSeq2SeqLM in transformers 4.48 or 5.23.
_SEQUENCE_TO_SEQUENCE = frozenset(
    "audioflamingo3 bart bigbird_pegasus blenderbot blenderbot-small encoder-decoder fsmt glmasr "
    "gptsan-japanese granite_speech granite_speech_plus led longt5 m2m_100 marian mbart "
    "moss_transcribe_diarize mt5 musicflamingo mvp nemo_speechlm nllb-moe pegasus pegasus_x plbart "
    "prophetnet qwen2_audio qwen3_asr seamless_m4t seamless_m4t_v2 switch_transformers t5 t5gemma "
    "t5gemma2 umt5 vibevoice_asr voxtral voxtral_realtime xlm-prophetnet".split()
)
# Of the built-in types those that do not have a head.
_WITHOUT = {
    "AutoModelForCausalLM": frozenset("albert deberta deberta-v2 distilbert t5".split()),
    "AutoModelForTokenClassification": frozenset({"bart"}),
}


def may_have(auto_class: str, model_type: str) -> bool:
    """Whether a type of model has a head, or nothing is known of it.

    Args:
        auto_class: Name of the class in transformers that decides the head (AutoModelFor…).
        model_type: As a transformers configuration says it.
    """
    if auto_class == "AutoModelForSeq2SeqLM":
        return model_type in _SEQUENCE_TO_SEQUENCE
    return model_type not in _WITHOUT.get(auto_class, ())


def built_in_with(auto_class: str) -> list[str]:
    """The built-in shapes that have a head; the tiny ones of tests left out."""
    return [
        name
        for name, shape in SHAPES.items()
        if may_have(auto_class, shape["model_type"]) and not name.endswith("-tiny")
    ]
