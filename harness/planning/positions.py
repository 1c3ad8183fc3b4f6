"""How many tokens a model has positions for, from its configuration. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Model types whose positions are looked up in a table, and the key of the table's size. Not here:
# relative or rotary positions (t5, xlnet, llama, modernbert, …), which a longer sample does not
# break.
_SIZE = "max_position_embeddings"
_TABLES: dict[str, str] = dict.fromkeys(
    "albert bart bert big_bird camembert canine convbert data2vec-text deberta deberta-v2 "
    "distilbert electra ernie esm "
    "flaubert ibert layoutlm longformer luke mbart megatron-bert mobilebert mpnet opt rembert "
    "roberta "
    "roberta-prelayernorm roformer splinter squeezebert xlm xlm-roberta "
    "xlm-roberta-xl xmod".split(),
    _SIZE,
)
_TABLES |= {
    "gpt2": "n_positions",
    "openai-gpt": "n_positions",
    "gpt_neo": _SIZE,
    "gpt_bigcode": "n_positions",
}
# Those that begin to count behind the id of the padding token: the rows up to it are never used.
_FROM_PADDING = frozenset(
    "camembert data2vec-text esm ibert longformer luke mpnet roberta roberta-prelayernorm "
    "xlm-roberta xlm-roberta-xl "
    "xmod".split()
)
_PADDING_IS_FIXED = frozenset({"mpnet"})  # at 1, whatever its configuration says


def usable_positions(config: Mapping[str, Any]) -> int | None:
    """The longest sample that a model can take, in tokens; None: no limit is known.

    Args:
        config: Its transformers configuration: config.json, or harness.schema.shapes.SHAPES.
    """
    kind = config.get("model_type")
    size = config.get(_TABLES.get(str(kind), ""))
    if kind in ("gpt2", "openai-gpt", "gpt_bigcode") and size is None:
        size = config.get(_SIZE)  # the name that transformers takes for it too
    if kind in ("deberta", "deberta-v2") and not config.get("position_biased_input", True):
        return None
    if kind == "esm" and config.get("position_embedding_type") == "rotary":
        return None
    if isinstance(size, bool) or not isinstance(size, int):
        return None
    if kind not in _FROM_PADDING:
        return size
    padding = 1 if kind in _PADDING_IS_FIXED else config.get("pad_token_id", 1)
    return size - (padding if isinstance(padding, int) else 1) - 1
