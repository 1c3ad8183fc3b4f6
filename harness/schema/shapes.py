"""Built-in architectures: keyword arguments of the transformers config, by name. Plain data,
imports nothing.

The full-size figures are those of the configs published beside the weights
(FacebookAI/roberta-base, google-bert/bert-base-uncased, distilbert/distilbert-base-uncased,
albert/albert-base-v2, google/electra-base-discriminator, openai-community/gpt2, google-t5/t5-base,
microsoft/deberta-v3-base, meta-llama/Llama-2-7b-hf, meta-llama/Llama-3.2-1B, …); what is left out
equals the config class's default. The tiny shapes are this project's own: they learn the built-in
corpus from random weights within a hundred steps.
"""

from __future__ import annotations

from typing import Any

# Tokenizers trained here have at most this many tokens: the tiny shapes have room for no more.
TINY_VOCABULARY = 4096

_BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
_TINY = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 512,
}
_SMALL_VOCABULARY = {"vocab_size": TINY_VOCABULARY}

_ROBERTA = {
    "model_type": "roberta",
    "vocab_size": 50265,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
}
_ROBERTA |= {"layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
_BERT = {
    "model_type": "bert",
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
_DISTILBERT = {
    "model_type": "distilbert",
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
_ALBERT = {
    "model_type": "albert",
    "vocab_size": 30000,
    "embedding_size": 128,
    "num_hidden_groups": 1,
}
_ALBERT |= {
    "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_ALBERT |= {"classifier_dropout_prob": 0.1, "pad_token_id": 0}
_ELECTRA = {
    "model_type": "electra",
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
_GPT2 = {"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024}
_T5 = {"model_type": "t5", "vocab_size": 32128, "d_kv": 64, "relative_attention_num_buckets": 32}
_T5 |= {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
_BART = {
    "model_type": "bart",
    "vocab_size": 50265,
    "max_position_embeddings": 1024,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 2,
}
_DEBERTA: dict[str, Any] = {
    "max_position_embeddings": 512,
    "relative_attention": True,
    "max_relative_positions": -1,
}
_DEBERTA |= {"pos_att_type": ["c2p", "p2c"], "position_biased_input": False, "type_vocab_size": 0}
_DEBERTA |= {"layer_norm_eps": 1e-7, "pad_token_id": 0}
_DEBERTA_V1 = {"model_type": "deberta", "vocab_size": 50265, **_DEBERTA}
_DEBERTA_V2 = {
    "model_type": "deberta-v2",
    "vocab_size": 128100,
    **_DEBERTA,
    "position_buckets": 256,
}
_DEBERTA_V2 |= {"norm_rel_ebd": "layer_norm", "share_att_key": True}

_LLAMA: dict[str, Any] = {"model_type": "llama", "rms_norm_eps": 1e-5}
# Llama 3's rotary positions, stretched from 8,192 tokens.
_LLAMA_3: dict[str, Any] = {**_LLAMA, "rope_theta": 500000.0}
_LLAMA_3 |= {
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
}

SHAPES: dict[str, dict[str, Any]] = {
    "roberta-base": {**_ROBERTA, **_BASE},
    "roberta-large": {**_ROBERTA, **_LARGE},
    "bert-base": {**_BERT, **_BASE},
    "bert-large": {**_BERT, **_LARGE},
    "bert-large-cased": {**_BERT, **_LARGE, "vocab_size": 28996},
    "distilbert-base": {
        **_DISTILBERT,
        "dim": 768,
        "n_layers": 6,
        "n_heads": 12,
        "hidden_dim": 3072,
    },
    "albert-base": {**_ALBERT, **_BASE},
    "albert-large": {**_ALBERT, **_LARGE},
    "electra-small": {
        **_ELECTRA,
        "embedding_size": 128,
        "hidden_size": 256,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
    },
    "electra-base": {**_ELECTRA, "embedding_size": 768, **_BASE},
    "electra-large": {**_ELECTRA, "embedding_size": 1024, **_LARGE},
    "gpt2": {**_GPT2, "n_embd": 768, "n_layer": 12, "n_head": 12},
    "gpt2-medium": {**_GPT2, "n_embd": 1024, "n_layer": 24, "n_head": 16},
    "gpt2-large": {**_GPT2, "n_embd": 1280, "n_layer": 36, "n_head": 20},
    "t5-small": {**_T5, "d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "t5-base": {**_T5, "d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
    "t5-large": {**_T5, "d_model": 1024, "d_ff": 4096, "num_layers": 24, "num_heads": 16},
    "bart-base": {
        **_BART,
        "d_model": 768,
        **{f"{side}_layers": 6 for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": 12 for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": 3072 for side in ("encoder", "decoder")},
    },
    "bart-large": {
        **_BART,
        "d_model": 1024,
        **{f"{side}_layers": 12 for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": 16 for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": 4096 for side in ("encoder", "decoder")},
    },
    "deberta-base": {**_DEBERTA_V1, **_BASE},
    "deberta-v3-base": {**_DEBERTA_V2, **_BASE},
    "llama-2-7b": {
        **_LLAMA,
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 4096,
    },
    "llama-3.2-1b": {
        **_LLAMA_3,
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
        "bos_token_id": 128000,
        "eos_token_id": 128001,
    },
    "roberta-tiny": {**_ROBERTA, **_TINY, **_SMALL_VOCABULARY},
    "bert-tiny": {**_BERT, **_TINY, **_SMALL_VOCABULARY},
    "distilbert-tiny": {
        **_DISTILBERT,
        "dim": 128,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 512,
        **_SMALL_VOCABULARY,
    },
    "albert-tiny": {**_ALBERT, **_TINY, "embedding_size": 64, **_SMALL_VOCABULARY},
    "electra-tiny": {**_ELECTRA, **_TINY, "embedding_size": 64, **_SMALL_VOCABULARY},
    "gpt2-tiny": {**_GPT2, "n_embd": 128, "n_layer": 2, "n_head": 2, **_SMALL_VOCABULARY},
    "t5-tiny": {
        **_T5,
        "d_model": 128,
        "d_ff": 512,
        "num_layers": 2,
        "num_heads": 2,
        **_SMALL_VOCABULARY,
    },
    "bart-tiny": {
        **_BART,
        "d_model": 128,
        **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": 512 for side in ("encoder", "decoder")},
        **_SMALL_VOCABULARY,
    },
    "llama-tiny": {
        **_LLAMA_3,
        **_TINY,
        "num_key_value_heads": 1,  # as of all Llama 3: fewer than query heads
        "max_position_embeddings": 131072,
        **_SMALL_VOCABULARY,
    },
    "deberta-tiny": {**_DEBERTA_V1, **_TINY, **_SMALL_VOCABULARY},
    "deberta-v2-tiny": {**_DEBERTA_V2, **_TINY, **_SMALL_VOCABULARY},
}

# Model types that have no sdpa attention in transformers 4.48 (`_supports_sdpa` of their classes).
EAGER_ONLY = ("deberta", "deberta-v2", "electra", "t5")
