"""Causal language modelling: every token from those before it, on the built-in reviews cut to
blocks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.results.mfu import shape_of
from harness.schema.glue import GLUE
from harness.schema.record import ModelShape
from harness.worker.model import tokenizer
from harness.worker.tasks import synthetic
from harness.worker.tasks.base import TaskData, TaskKind
from harness.worker.tasks.splits import load_splits
from harness.worker.tasks.store import key_of

VERSION = 1  # part of the cache key
SENTENCES = GLUE["sst2"].sizes
SHORTEST = 4  # words of the shortest sentence, hence tokens without the one that ends it
BATCH = 1000
HEAD_IS_ONE_MATRIX = (
    "gpt2",
)  # model types whose logits are one product with the embeddings; others have more


class CausalLm(TaskKind):
    """A sample is a block of `max_seq_length` tokens: sentences one after the other, without
    padding.
    """

    name = "causal-lm"
    auto_class = "AutoModelForCausalLM"

    def load(self) -> TaskData:
        task = self.task
        identity = key_of(corpus=synthetic.SST2_VERSION, seed=task.data_seed)
        tokens, tokenizer_key = tokenizer.load(
            self.spec, identity, lambda: self._sentences("train", tokenizer.TRAINING_TEXTS)
        )
        length = tokenizer.length_of(
            self.spec, tokens, 1
        )  # the first token of a block is not predicted
        limits = {"train": task.train_samples, "validation": task.eval_samples}

        def blocks(split: str) -> Any:
            from datasets import Dataset

            limit = limits[split]
            enough = (
                SENTENCES[split]
                if limit is None
                else min(-(-limit * length // SHORTEST), SENTENCES[split])
            )
            found = _blocks(self._sentences(split, enough), tokens, length)
            ids = list(itertools.islice(found, limit))
            return Dataset.from_dict(
                {"input_ids": ids, "labels": ids}
            )  # the model shifts them by one

        splits, sources = load_splits(
            self.spec,
            ("train", "validation"),
            blocks,
            kind=self.name,
            version=VERSION,
            text=identity,
            tokenizer=tokenizer_key,
            length=length,
            limits=limits,
        )
        return TaskData(
            train=splits["train"],
            validation=splits["validation"],
            tokenizer=tokens,
            labels=len(tokens),
            sources=sources,
            metrics=None,
            main_metrics=("perplexity",),
            chance={"perplexity": _unigram_perplexity(splits["validation"])},
        )

    def _sentences(self, split: str, count: int) -> list[str]:
        return synthetic.reviews(split, min(count, SENTENCES[split]), self.task.data_seed)[0]

    def model_config(self, data: TaskData) -> dict[str, Any]:
        """Encoders become decoders; the cache is for generating text and would only be further
        outputs here.
        """
        return {"is_decoder": True, "use_cache": False}

    def collator(self, data: TaskData) -> Callable[[Any], Any]:
        from transformers import default_data_collator

        return default_data_collator  # type: ignore[no-any-return]

    def scores(self, evaluated: Mapping[str, float]) -> dict[str, float]:
        """With the perplexity: all blocks are equally long, so the loss is the mean over all
        tokens.
        """
        return {
            "perplexity": math.exp(min(evaluated["loss"], 700.0)),
            **evaluated,
        }  # e^710 is no float

    def shape(self, config: Mapping[str, Any], data: TaskData) -> ModelShape | None:
        if config.get("model_type") not in HEAD_IS_ONE_MATRIX:
            return None
        return shape_of(config, config["vocab_size"], every_token=True)


def _unigram_perplexity(blocks: Any) -> float:
    """Of whoever knows how frequent each token is, and nothing of what comes before it."""
    import numpy as np

    _, counts = np.unique(
        np.concatenate(blocks.with_format("numpy")["input_ids"]), return_counts=True
    )
    shares = counts / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _blocks(sentences: list[str], tokens: Any, length: int) -> Iterator[list[int]]:
    """Blocks of `length` token ids: sentences, each with the tokenizer's end mark; what is left
    over is dropped.
    """
    end = tokens.eos_token_id if tokens.eos_token_id is not None else tokens.sep_token_id
    row: list[int] = []
    for begin in range(0, len(sentences), BATCH):
        for ids in tokens(sentences[begin : begin + BATCH], add_special_tokens=False)["input_ids"]:
            row += [*ids, end]
            while len(row) >= length:
                yield row[:length]
                row = row[length:]
