"""Tokenizers: the one that belongs to pretrained weights, or one trained on the task's own text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import BenchError
from harness.settings import JobSpec
from harness.worker import models
from harness.worker.shapes import TINY_VOCABULARY
from harness.worker.tasks.store import build_once, key_of

VERSION = 2  # part of the cache key
TRAINING_TEXTS = 20_000  # enough for a few thousand tokens
BYTE_LEVEL = ("roberta", "gpt2")  # families with byte-level BPE; the others have WordPiece
PAIR_FREE = ("roberta", "gpt2", "distilbert", "t5")  # families whose models take no token_type_ids


def load(spec: JobSpec, identity: str, texts: Callable[[], list[str]]) -> tuple[Any, str]:
    """The tokenizer of a job and a hash that tells it from others.

    `texts()` yields training text and is only called if a tokenizer has to be trained; `identity` names that text.
    """
    model = spec.workload.model
    if models.source(model) == "pretrained":
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(model.path, use_fast=True)
        except (OSError, ValueError) as error:
            raise BenchError(
                f"no tokenizer in {model.path}: {error}", place=f"models.{model.name}.path", fix="check the name"
            ) from error
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer, key_of(tokens=sorted(tokenizer.get_vocab().items()), special=tokenizer.special_tokens_map)
    family = models.shape(model)["model_type"]
    kind = family if family in PAIR_FREE else "bert"
    key = key_of(version=VERSION, kind=kind, text=identity, limit=TRAINING_TEXTS)
    folder = build_once(spec.cache_dir / "tokenizers", key, lambda folder: _train(kind, texts(), folder))
    from transformers import PreTrainedTokenizerFast

    # Not by from_pretrained: every version of transformers writes a format of its own, but the folder serves them all.
    names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **names), key


def _train(kind: str, texts: list[str], folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE, WordPiece

    byte_level = kind in BYTE_LEVEL
    if kind == "gpt2":
        special = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
        special |= {"pad_token": "<pad>"}
    elif byte_level:  # in roberta's order: its config fixes pad to 1
        special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
        special |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    elif kind == "t5":  # in its order: its config fixes pad to 0 and the end to 1
        special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    else:
        special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        special |= {"mask_token": "[MASK]"}
    arguments = {"vocab_size": TINY_VOCABULARY, "special_tokens": list(dict.fromkeys(special.values()))}
    if byte_level:
        tokenizer = Tokenizer(BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            **arguments, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        )
    else:
        tokenizer = Tokenizer(WordPiece(unk_token=special["unk_token"]))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(**arguments, show_progress=False)
    tokenizer.train_from_iterator(texts[:TRAINING_TEXTS], trainer)
    if byte_level:  # as RobertaTokenizerFast and GPT2TokenizerFast encode
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "t5":
        end = special["eos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {end}", pair=f"$A {end} $B {end}", special_tokens=[(end, tokenizer.token_to_id(end))]
        )
    elif "cls_token" in special:
        begin, end = special["cls_token"], special["sep_token"]
        separator = f"{end} {end}" if byte_level else end
        second = "" if kind in PAIR_FREE else ":1"
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A {end}",
            pair=f"{begin} $A {separator} $B{second} {end}{second}",
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in (begin, end)],
        )
    names = ["input_ids", "attention_mask"] if kind in PAIR_FREE else ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {**special, "model_input_names": names, "padding_side": "right"}
    (folder / "names.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
