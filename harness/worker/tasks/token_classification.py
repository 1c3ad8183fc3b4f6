"""Token classification: persons, organizations, places and nationalities in sentences from a
template grammar.

Built in, and of CoNLL-2003's shape (Tjong Kim Sang and De Meulder 2003: four types, BIO tags,
14,041 and 3,250 sentences). A word alone does not tell: family names are companies' too (`Torvin
said`, `Torvin Holdings`), places are teams where they play (`Lork beat Vand`), and names have one
to four words.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, cast

from pydantic import Field

from harness.errors import BenchError
from harness.results.mfu import shape_of
from harness.schema.record import ModelShape
from harness.schema.workload import Strict
from harness.worker.model import tokenizer
from harness.worker.tasks.base import TaskData, TaskKind
from harness.worker.tasks.splits import load_splits
from harness.worker.tasks.store import key_of

VERSION = 1  # part of every cache key: raise it when sentences or tags change
SIZES = {"train": 14_041, "validation": 3_250}
TAGS = ["O", *(f"{prefix}-{kind}" for kind in ("PER", "ORG", "LOC", "MISC") for prefix in "BI")]
IGNORED = -100  # torch's cross entropy leaves such labels out

# Slots in capitals are filled; everything else is outside of any entity.
TEMPLATES = """PER said on DAY that ORG would cut NUMBER jobs in LOC
PER of ORG met PER in LOC on DAY
shares of ORG fell NUMBER percent after PER left
TEAM beat TEAM NUMBER - NUMBER in LOC
PER scored twice as TEAM lost to TEAM
the MISC government will talk to ORG about the plant in LOC
PER , a MISC lawyer , moved from LOC to LOC last year
ORG bought ORG from its MISC owner for NUMBER million dollars
police in LOC arrested a MISC driver on DAY
PER and PER will run ORG until DAY
MISC exports to LOC rose by NUMBER percent
the mayor of LOC , PER , opened the new hall of ORG
nothing was said about the talks on DAY
TEAM signed the MISC striker PER from TEAM
ORG named PER as its head for LOC""".splitlines()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
COMPANY_ENDS = ["Holdings", "Group", "Bank", "and Sons", "Motors", "Airlines", "Steel"]
TEAM_ENDS = ["", "", "", "United", "City", "Rovers"]
PLACE_HEADS = ["", "", "", "", "New", "South", "Port", "Lake"]
ONSETS = "b br c d f g gr h k l m n p r s st t tr v w z".split()
VOWELS = "a e i o u ai ou".split()
CODAS = ["", "l", "n", "r", "s", "nd", "rt", "m"]


class Options(Strict):
    """Which tokens of a word carry its tag."""

    tag_every_piece: bool = Field(
        False, description="all tokens of a word count, not only its first"
    )


class TokenClassification(TaskKind):
    """A tag for every word; entities are what is judged."""

    name = "token-classification"
    Options = Options
    auto_class = "AutoModelForTokenClassification"

    def load(self) -> TaskData:
        training, task = self.spec.workload.training, self.task
        identity = key_of(kind=self.name, version=VERSION, seed=task.data_seed)
        tokens, tokenizer_key = tokenizer.load(
            self.spec,
            identity,
            lambda: [" ".join(words) for words, _ in sentences("train", None, task.data_seed)],
        )
        if not tokens.is_fast:
            raise BenchError(
                f"the tokenizer of {self.spec.workload.model.path} does not say where in the text "
                "a token stands",
                place=f"models.{self.spec.workload.model.name}.path",
                fix="a model with a fast tokenizer (a tokenizer.json)",
            )
        length = tokenizer.length_of(self.spec, tokens, tokens.num_special_tokens_to_add())
        limits = {"train": task.train_samples, "validation": task.eval_samples}
        every_piece = cast(Options, self.options).tag_every_piece

        def encode(split: str) -> Any:
            found = list(sentences(split, limits[split], task.data_seed))
            return _encode(found, tokens, length, pad=training.pad_to_max_length, every=every_piece)

        splits, sources = load_splits(
            self.spec,
            ("train", "validation"),
            encode,
            text=identity,
            tokenizer=tokenizer_key,
            length=length,
            pad=training.pad_to_max_length,
            every_piece=every_piece,
            limits=limits,
        )
        return TaskData(
            train=splits["train"],
            validation=splits["validation"],
            tokenizer=tokens,
            labels=len(TAGS),
            sources=sources,
            metrics=judge,
            main_metrics=("f1",),
            chance=_no_entities(splits["validation"]["labels"]),
        )

    def model_config(self, data: TaskData) -> dict[str, Any]:
        """With the tags' names, so that a saved model says them."""
        return {
            "id2label": dict(enumerate(TAGS)),
            "label2id": {tag: index for index, tag in enumerate(TAGS)},
        }

    def collator(self, data: TaskData) -> Callable[[Any], Any]:
        """Pads the labels too: with what the loss leaves out."""
        from transformers import DataCollatorForTokenClassification

        collator: Callable[[Any], Any] = DataCollatorForTokenClassification(
            data.tokenizer, label_pad_token_id=IGNORED
        )
        return collator

    def shape(self, config: Mapping[str, Any], data: TaskData) -> ModelShape | None:
        return shape_of(config, data.labels, every_token=True)


def sentences(split: str, limit: int | None, seed: int) -> Iterator[tuple[list[str], list[str]]]:
    """Words and their tags, sentence by sentence: all of a split or the first `limit`; the same on
    every host.
    """
    names = _names(random.Random(f"entities/{VERSION}/{seed}/names"))
    draw = random.Random(f"entities/{VERSION}/{seed}/{split}")
    for _ in range(min(limit or SIZES[split], SIZES[split])):
        words: list[str] = []
        tags: list[str] = []
        for slot in draw.choice(TEMPLATES).split():
            kind, filled = _fill(slot, draw, names)
            words += filled
            tags += (
                ["O"] * len(filled)
                if kind is None
                else [f"B-{kind}", *[f"I-{kind}"] * (len(filled) - 1)]
            )
        yield [words[0][0].upper() + words[0][1:], *words[1:], "."], [*tags, "O"]


def _names(draw: random.Random) -> dict[str, list[str]]:
    """Made-up names; their pools do not overlap, but slots share them."""
    made: dict[str, None] = {}
    while len(made) < 1500:
        syllables = draw.choices([1, 2, 3], weights=[1, 6, 3])[0]
        made[
            "".join(draw.choice(ONSETS) + draw.choice(VOWELS) for _ in range(syllables))
            + draw.choice(CODAS)
        ] = None
    names = [name.capitalize() for name in made]
    return {
        "first": names[:300],
        "family": names[300:900],
        "place": names[900:1300],
        "nation": names[1300:],
    }


def _fill(
    slot: str, draw: random.Random, names: Mapping[str, list[str]]
) -> tuple[str | None, list[str]]:
    """What a slot of a template holds: type of entity or None, and its words."""

    def one(pool: str) -> str:  # frequencies fall like a power of the rank, as those of names do
        return names[pool][int(len(names[pool]) * draw.random() ** 2.5)]

    match slot:
        case "PER":
            return "PER", [*([one("first")] if draw.random() < 0.6 else []), one("family")]
        case "ORG":
            return "ORG", [one("family"), *draw.choice(COMPANY_ENDS).split()]
        case "TEAM":
            return "ORG", [one("place"), *draw.choice(TEAM_ENDS).split()]
        case "LOC":
            return "LOC", [*draw.choice(PLACE_HEADS).split(), one("place")]
        case "MISC":
            return "MISC", [one("nation") + draw.choice(["ian", "ese", "ish"])]
        case "DAY":
            return None, [draw.choice(DAYS)]
        case "NUMBER":
            return None, [str(draw.randrange(1, 100))]
    return None, [slot]


def _encode(
    found: Sequence[tuple[list[str], list[str]]],
    tokens: Any,
    length: int,
    *,
    pad: bool,
    every: bool,
) -> Any:
    """Tokens with the tags of their words: on a word's first token, or on `every` one; -100 on all
    others.

    Words are found again by their place in the text, which every fast tokenizer tells whatever it
    cuts words into.
    """
    from datasets import Dataset

    texts = [" ".join(words) for words, _ in found]
    encoded = tokens(
        texts,
        padding="max_length" if pad else False,
        truncation=True,
        max_length=length,
        return_offsets_mapping=True,
    )
    labels = []
    for (words, tags), spans in zip(found, encoded.pop("offset_mapping"), strict=True):
        begins = list(accumulate((len(word) + 1 for word in words[:-1]), initial=0))
        row, last = [], -1
        for begin, end in spans:
            word = (
                bisect_right(begins, end - 1) - 1 if end > begin else -1
            )  # an empty span: a special token
            row.append(TAGS.index(tags[word]) if word >= 0 and (every or word != last) else IGNORED)
            last = word
        labels.append(row)
    return Dataset.from_dict({**encoded, "labels": labels})


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """(type, first word, word after the last) of every entity in BIO tags.

    As CoNLL's script counts them: a new one begins at every B, and at an I that follows O or
    another type.
    """
    found: set[tuple[str, int, int]] = set()
    begin, kind = 0, ""
    for index, tag in enumerate([*tags, "O"]):
        prefix, _, now = tag.partition("-")
        if kind and (prefix != "I" or now != kind):
            found.add((kind, begin, index))
            kind = ""
        if not kind and now:
            begin, kind = index, now
    return found


def entity_metrics(
    truth: Sequence[Sequence[str]], guess: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Over all sentences: precision, recall and F1 of whole entities (type and both ends right),
    accuracy of tags.
    """
    pairs = list(zip(map(entities, truth), map(entities, guess), strict=True))
    right = sum(len(real & found) for real, found in pairs)
    real, found = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    equal = [
        a == b
        for row, other in zip(truth, guess, strict=True)
        for a, b in zip(row, other, strict=True)
    ]
    return {
        "precision": right / found if found else 0.0,
        "recall": right / real if real else 0.0,
        "f1": 2 * right / (real + found) if real + found else 0.0,
        "accuracy": sum(equal) / len(equal) if equal else 0.0,
    }


def _no_entities(labels: Sequence[Sequence[int]]) -> dict[str, float]:
    """Metrics of a model that takes every word for outside."""
    truth = [[TAGS[label] for label in row if label != IGNORED] for row in labels]
    return entity_metrics(truth, [["O"] * len(row) for row in truth])


def judge(prediction: Any) -> dict[str, float]:
    """Metrics of a transformers.EvalPrediction: logits of shape (sentences, tokens, tags), labels
    with -100.
    """
    import numpy as np

    logits = (
        prediction.predictions[0]
        if isinstance(prediction.predictions, tuple)
        else prediction.predictions
    )
    guess, truth = np.asarray(logits).argmax(axis=-1), np.asarray(prediction.label_ids)
    kept = truth != IGNORED
    rows = [
        ([TAGS[i] for i in real[keep]], [TAGS[i] for i in found[keep]])
        for real, found, keep in zip(truth, guess, kept, strict=True)
    ]
    return entity_metrics([real for real, _ in rows], [found for _, found in rows])
