"""Tokenizers: the one that belongs to pretrained weights, or one trained on the task's own text."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.errors import BenchError
from harness.planning.hub import hub_cache, tokenizer_folder
from harness.schema.job import JobSpec
from harness.schema.shapes import TINY_VOCABULARY
from harness.worker.model import build
from harness.worker.tasks.store import build_once, key_of

VERSION = 3  # part of the cache key: raise it when a trained tokenizer changes
TRAINING_TEXTS = 20_000  # enough for a few thousand tokens
# Families with byte-level BPE; the others have WordPiece.
BYTE_LEVEL = ("roberta", "gpt2", "llama")
# Families whose models take no token_type_ids.
PAIR_FREE = ("roberta", "gpt2", "distilbert", "t5", "llama")
# Families that have the tokenizer of another one.
LIKE = {"bart": "roberta"}


def load(spec: JobSpec, identity: str, texts: Callable[[], list[str]]) -> tuple[Any, str]:
    """The tokenizer of a job and a hash of all of it that decides tokens (`fingerprint`).

    Args:
        spec: The job.
        identity: A name for the text that a tokenizer would be trained on.
        texts: Yields that text; called only if a tokenizer has to be trained.

    Raises:
        BenchError: The model has no tokenizer that can be read.
    """
    pretrained = build.source(spec.workload.model) == "pretrained"
    tokenizer = _pretrained(spec) if pretrained else _built_in(spec, identity, texts)
    return tokenizer, fingerprint(tokenizer)


def fingerprint(tokenizer: Any) -> str:
    """A hash of everything that decides which tokens a tokenizer of transformers makes of a text.

    That is more than the vocabulary: normalizer, pre-tokenizer, merges, post-processor, the flags
    of added tokens, which inputs the model takes, the sides of padding and truncation, and the code
    itself.
    """
    import tokenizers

    parts = {
        "kind": type(tokenizer).__name__,
        "code": tokenizers.__version__,
        "inputs": list(tokenizer.model_input_names),
        "sides": [tokenizer.padding_side, tokenizer.truncation_side],
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "padding": [tokenizer.pad_token_id, tokenizer.pad_token_type_id],
        "length": tokenizer.model_max_length,
    }
    if tokenizer.is_fast:
        # Without what the last call left there: padding and truncation are set anew by every call.
        whole = json.loads(tokenizer.backend_tokenizer.to_str())
        return key_of(**parts, whole={**whole, "padding": None, "truncation": None})
    files: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="bench-tokenizer-") as folder:
        tokenizer.save_pretrained(folder)
        for file in sorted(Path(folder).rglob("*")):
            if file.is_file():
                files[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return key_of(**parts, files=files)


def length_of(spec: JobSpec, tokenizer: Any, special: int) -> int:
    """The tokens that a sample of the job is cut (and padded) to: what the tokenizer allows at
    most.

    Args:
        spec: The job, whose `max_seq_length` is what was asked for.
        tokenizer: Its tokenizer; `model_max_length` may be less.
        special: The tokens of a sample that are no text.

    Raises:
        BenchError: No room is left for text.
    """
    asked, most = spec.workload.training.max_seq_length, tokenizer.model_max_length
    if isinstance(most, bool) or not isinstance(most, int | float) or most != most:
        raise BenchError(
            f"its tokenizer's model_max_length is {most!r}, which is no number",
            place=f"models.{spec.workload.model.name}",
            fix="the right model_max_length in its tokenizer_config.json",
        )
    length = int(min(asked, most))
    if length > special:
        return length
    if length == asked:
        raise BenchError(
            f"{asked} tokens leave no room for text beside {special} special tokens",
            place=f"workload {spec.workload.name}: max_seq_length",
            fix="a longer max_seq_length",
        )
    raise BenchError(
        f"its tokenizer takes no more than {length} tokens (model_max_length), {special} of "
        "them special",
        place=f"models.{spec.workload.model.name}",
        fix="the right model_max_length in its tokenizer_config.json",
    )


def _pretrained(spec: JobSpec) -> Any:
    from transformers import AutoTokenizer

    model = spec.workload.model
    where = build.location(model)
    place, named = f"models.{model.name}.path", model.path
    if model.tokenizer_path is not None:
        place, named = f"models.{model.name}.tokenizer_path", model.tokenizer_path
        folder = tokenizer_folder(named, place)
        where = named if folder is None else str(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            where, use_fast=True, cache_dir=hub_cache(), revision=model.revision or "main"
        )
    except Exception as error:  # tokenizers raises bare Exceptions, transformers whatever comes up
        build.refuse_broken_files(model)
        reason = " ".join(str(error).split())[:300]
        raise BenchError(
            f"no tokenizer can be read from {named}: {type(error).__name__}: {reason}",
            place=place,
            fix="a complete tokenizer beside the weights, or another model",
        ) from error
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise BenchError(
                f"the tokenizer of {named} has neither a padding token nor an end token",
                place=place,
                fix="set pad_token in its tokenizer_config.json",
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _built_in(spec: JobSpec, identity: str, texts: Callable[[], list[str]]) -> Any:
    family = build.shape(spec.workload.model)["model_type"]
    family = LIKE.get(family, family)
    kind = family if family in PAIR_FREE else "bert"
    key = key_of(version=VERSION, kind=kind, text=identity, limit=TRAINING_TEXTS)
    folder = build_once(
        spec.cache_dir / "tokenizers", key, lambda folder: _train(kind, texts(), folder)
    )
    from transformers import PreTrainedTokenizerFast

    # Not by from_pretrained: every version of transformers writes a format of its own, but the
    # folder serves them all.
    names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **names)


def _train(kind: str, texts: list[str], folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE, WordPiece

    byte_level = kind in BYTE_LEVEL
    if kind == "gpt2":
        special = {
            "bos_token": "<|endoftext|>",
            "eos_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>",
        }
        special |= {"pad_token": "<pad>"}
    elif kind == "llama":  # Llama 3's names, and of its tokens the one made for padding
        special = {
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|end_of_text|>",
            "unk_token": "<|end_of_text|>",
            "pad_token": "<|finetune_right_pad_id|>",
        }
    elif byte_level:  # in roberta's order: its config fixes pad to 1
        special = {
            "bos_token": "<s>",
            "pad_token": "<pad>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
        }
        special |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    elif kind == "t5":  # in its order: its config fixes pad to 0 and the end to 1
        special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    else:
        special = {
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
        }
        special |= {"mask_token": "[MASK]"}
    names = list(dict.fromkeys(special.values()))
    texts = texts[:TRAINING_TEXTS]
    if byte_level:
        tokenizer = Tokenizer(BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=TINY_VOCABULARY,
            special_tokens=names,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
    else:
        normalizer, splitter = (
            normalizers.BertNormalizer(lowercase=True),
            pre_tokenizers.BertPreTokenizer(),
        )
        vocabulary = _word_pieces(texts, names, normalizer, splitter)
        tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=special["unk_token"]))
        tokenizer.add_special_tokens(names)
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
        tokenizer.decoder = decoders.WordPiece()
    if byte_level:  # as RobertaTokenizerFast and GPT2TokenizerFast encode
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "t5":
        end = special["eos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {end}",
            pair=f"$A {end} $B {end}",
            special_tokens=[(end, tokenizer.token_to_id(end))],
        )
    elif kind == "llama":  # every text begins with its token, and no token ends it
        begin = special["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A",
            pair=f"{begin} $A {begin} $B",
            special_tokens=[(begin, tokenizer.token_to_id(begin))],
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
    inputs = (
        ["input_ids", "attention_mask"]
        if kind in PAIR_FREE
        else ["input_ids", "token_type_ids", "attention_mask"]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {**special, "model_input_names": inputs, "padding_side": "right"}
    (folder / "names.json").write_text(json.dumps(described, indent=1), encoding="utf-8")


def _word_pieces(
    texts: list[str], special: list[str], normalizer: Any, splitter: Any
) -> dict[str, int]:
    """The vocabulary of a WordPiece tokenizer, the same in every process for the same texts.

    WordPieceTrainer gives the pieces that continue a word ("##a") their ids in the order in which
    it meets them in a hash map, which is another one in every process, and breaks ties between
    equally frequent pairs by these ids. What the trainer is told as special tokens gets its ids
    first, in the order given: so all single characters are told that way, and what remains is
    decided by counts and ids alone.
    """
    from tokenizers import Tokenizer, trainers
    from tokenizers.models import WordPiece

    begin, inside = _characters(texts, normalizer, splitter)
    alphabet = [*sorted(begin | inside), *(f"##{character}" for character in sorted(inside))]
    first = list(dict.fromkeys([*special, *alphabet]))
    tokenizer = Tokenizer(WordPiece())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    trainer = trainers.WordPieceTrainer(
        vocab_size=TINY_VOCABULARY, special_tokens=first, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return vocabulary


def _characters(texts: Iterable[str], normalizer: Any, splitter: Any) -> tuple[set[str], set[str]]:
    """The characters that words begin with, and those within words."""
    words: set[str] = set()
    for text in texts:
        words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    return {word[0] for word in words}, {character for word in words for character in word[1:]}
