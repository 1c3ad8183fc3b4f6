"""Built-in architectures: keyword arguments of the transformers config, by name. Plain data, imports nothing.

The full-size figures are those of the configs published beside the weights (FacebookAI/roberta-base, …); what is left
out equals the config class's default. The tiny shapes are this project's own: they learn the built-in corpus from
random weights within a hundred steps.
"""

from __future__ import annotations

from typing import Any

_ROBERTA = {"model_type": "roberta", "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}
_ROBERTA |= {"layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
_TINY = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
_BERT = {"model_type": "bert", "vocab_size": 30522, "max_position_embeddings": 512, "pad_token_id": 0}

# Tokenizers trained here have at most this many tokens: the tiny shapes have room for no more.
TINY_VOCABULARY = 4096

SHAPES: dict[str, dict[str, Any]] = {
    "roberta-base": {**_ROBERTA, **_BASE},
    "roberta-large": {**_ROBERTA, **_LARGE},
    "bert-base": {**_BERT, **_BASE},
    "bert-large": {**_BERT, **_LARGE},
    "distilbert-base": {
        "model_type": "distilbert",
        "vocab_size": 30522,
        "max_position_embeddings": 512,
        "dim": 768,
        "n_layers": 6,
        "n_heads": 12,
        "hidden_dim": 3072,
        "pad_token_id": 0,
    },
    "albert-base": {
        "model_type": "albert",
        "vocab_size": 30000,
        "embedding_size": 128,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_hidden_groups": 1,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu_new",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout_prob": 0.1,
        "pad_token_id": 0,
    },
    "electra-base": {
        "model_type": "electra",
        "vocab_size": 30522,
        "embedding_size": 768,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
    },
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": 50257,
        "n_positions": 1024,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
    },
    "roberta-tiny": {**_ROBERTA, **_TINY, "vocab_size": TINY_VOCABULARY},
    "bert-tiny": {**_BERT, **_TINY, "vocab_size": TINY_VOCABULARY},
    "deberta-v2-tiny": {
        "model_type": "deberta-v2",
        "vocab_size": TINY_VOCABULARY,
        **_TINY,
        "max_position_embeddings": 512,
        "relative_attention": True,
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "max_relative_positions": -1,
        "type_vocab_size": 0,
        "pad_token_id": 0,
    },
}
