"""Token classification: a tag for every word; whole entities are judged.

The tags are those of CoNLL-2003's named entities; of own files (`source: files`) they are those of
the training file, sorted, as the original script takes them (`get_label_list` of run_ner.py).

Batches are padded to their longest sentence where `pad_to_max_length` is off, as transformers'
run_ner.py does by default.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, cast

from pydantic import Field, model_validator

from harness.errors import BenchError, is_text
from harness.planning.hub import expanded
from harness.results.mfu import shape_of
from harness.schema.input_errors import Unfit
from harness.schema.record import ModelShape
from harness.schema.workload import Strict, Task
from harness.worker.model import tokenizer
from harness.worker.tasks import entity_corpus
from harness.worker.tasks.base import TaskData, TaskKind
from harness.worker.tasks.entity_corpus import TAGS, Tagged
from harness.worker.tasks.samples import (
    Samples,
    open_samples,
    read_named,
    split_files,
    told_of_files,
)
from harness.worker.tasks.splits import load_splits
from harness.worker.tasks.store import key_of

VERSION = 2  # part of the cache key: raise it when what is made of a sentence changes
HUB_DATASET = ("eriktks/conll2003", "conll2003")
IGNORED = -100  # torch's cross entropy leaves such labels out


class Options(Strict):
    """Where words and tags are, and which tokens of a word carry its tag."""

    tag_every_piece: bool = Field(
        False, description="all tokens of a word count, not only its first"
    )
    text_column: str = Field("tokens", min_length=1, description="column of the words")
    label_column: str = Field("ner_tags", min_length=1, description="column of their tags")

    @model_validator(mode="after")
    def _are_two_columns(self) -> Options:
        if self.text_column == self.label_column:
            raise Unfit(
                f"words and tags cannot both be in the column {self.text_column!r}",
                "another column for each: `text_column` and `label_column`",
            )
        return self

    @property
    def columns(self) -> tuple[str, str]:
        """The columns of words and of tags."""
        return self.text_column, self.label_column


class TokenClassification(TaskKind):
    """A tag for every word; entities are what is judged."""

    name = "token-classification"
    Options = Options
    sources = ("hub", "folder", "files", "synthetic")
    auto_class = "AutoModelForTokenClassification"
    takes_dataset = True

    @classmethod
    def hub_dataset(cls, task: Task) -> tuple[str, str]:
        if task.dataset is not None:
            return task.dataset, task.dataset_config or "default"
        return HUB_DATASET

    @classmethod
    def look_at_folder(cls, task: Task) -> None:
        assert task.folder is not None
        split_files(expanded(task.folder), cls.hub_dataset(task)[1])

    @classmethod
    def look_at_files(cls, task: Task) -> str:
        columns = Options.model_validate(task.options).columns
        tags = _own_tags(task, columns)
        told = told_of_files(
            task, columns, lambda row, place: _tagged(row, columns, place, tags), _example(columns)
        )
        return f"{told}; {len(tags)} tags in {columns[1]!r}: {', '.join(tags)}"

    def load(self) -> TaskData:
        training, task = self.spec.workload.training, self.task
        samples = self._samples()
        tags = self.tags
        tokens, tokenizer_key = tokenizer.load(
            self.spec,
            samples.identity,
            lambda: [" ".join(words) for words, _ in samples.read("train", None)],
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
        options = cast(Options, self.options)
        every_piece, columns = options.tag_every_piece, options.columns

        def encode(split: str) -> Any:
            found = samples.read(split, limits[split])
            return _encode(
                found, tokens, length, tags, pad=training.pad_to_max_length, every=every_piece
            )

        splits, sources = load_splits(
            self.spec,
            ("train", "validation"),
            encode,
            data=samples.origin,
            kind=self.name,
            version=VERSION,
            text=samples.identity,
            tokenizer=tokenizer_key,
            length=length,
            pad=training.pad_to_max_length,
            every_piece=every_piece,
            limits=limits,
            # Not where they have their usual names, so that the cache of before stays.
            **({} if columns == Options().columns else {"columns": columns}),
            **({"tags": tags} if task.source == "files" else {}),
        )
        return TaskData(
            train=splits["train"],
            validation=splits["validation"],
            tokenizer=tokens,
            labels=len(tags),
            sources=sources,
            metrics=lambda prediction: judge(prediction, tags),
            # Tags of other things than entities, such as parts of speech, have no F1.
            main_metrics=("f1",) if any(map(_is_of_entity, tags)) else ("accuracy",),
            chance=_one_tag(splits["validation"]["labels"], tags),
        )

    def _samples(self) -> Samples[Tagged]:
        task, columns = self.task, cast(Options, self.options).columns
        own = _own_tags(task, columns) if task.source == "files" else None
        self.tags = TAGS if own is None else own
        return open_samples(
            task,
            hub=HUB_DATASET,
            columns=columns,
            sample=lambda row, place: _tagged(row, columns, place, own),
            synthetic=lambda split, limit: list(
                entity_corpus.sentences(split, limit, task.data_seed)
            ),
            identity=key_of(kind=self.name, version=entity_corpus.VERSION, seed=task.data_seed),
            example=_example(columns),
        )

    def model_config(self, data: TaskData) -> dict[str, Any]:
        """With the tags' names, so that a saved model says them."""
        return {
            "id2label": dict(enumerate(self.tags)),
            "label2id": {tag: index for index, tag in enumerate(self.tags)},
        }

    def collator(self, data: TaskData) -> Callable[[Any], Any]:
        """Pads the labels too: with what the loss leaves out."""
        from transformers import DataCollatorForTokenClassification

        collator: Callable[[Any], Any] = DataCollatorForTokenClassification(
            data.tokenizer,
            label_pad_token_id=IGNORED,
            pad_to_multiple_of=self.pad_to_multiple_of,
        )
        return collator

    def shape(self, config: Mapping[str, Any], data: TaskData) -> ModelShape | None:
        return shape_of(config, data.labels, every_token=True)


def _example(columns: tuple[str, str]) -> str:
    """A line of a file as it should be."""
    return '{"%s": ["Lork", "won"], "%s": ["B-ORG", "O"]}' % columns  # noqa: UP031


def _own_tags(task: Task, columns: tuple[str, str]) -> list[str]:
    """The tags of the training file of `source: files`, sorted.

    Raises:
        BenchError: The file or a sentence in it cannot be used.
    """
    found = read_named(
        task,
        "train",
        columns,
        lambda row, place: _tagged(row, columns, place, ()),
        _example(columns),
    )
    tags = sorted({tag for _, sentence in found for tag in sentence})
    if len(tags) < 2:
        raise BenchError(
            f"all tags in {columns[1]!r} are {tags[0]!r}",
            place=str(task.train_file),
            fix="training sentences with two tags or more",
        )
    return tags


def _tagged(
    row: Mapping[str, Any],
    columns: tuple[str, str],
    place: str,
    own: Sequence[str] | None = None,
) -> Tagged:
    """A sentence of a file or of the hub.

    Args:
        row: Its columns.
        columns: Those of the words and of the tags.
        place: Where it stands.
        own: The tags that there may be; none: all names; None: CoNLL-2003's.

    Raises:
        BenchError: It cannot be used.
    """
    words, tags = (row[column] for column in columns)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BenchError(
            f"{columns[0]!r} is no list of words", place=place, fix='a list such as ["Lork", "won"]'
        )
    for number, word in enumerate(words, 1):
        if not word.strip():
            raise BenchError(
                f"word {number} in {columns[0]!r} is empty",
                place=place,
                fix="leave it out, and its tag",
            )
        if not is_text(word):
            raise BenchError(
                f"word {number} in {columns[0]!r} holds half of a surrogate pair, which is no "
                "character",
                place=place,
                fix="text that can be written in UTF-8",
            )
    if not isinstance(tags, list) or len(tags) != len(words):
        count = len(tags) if isinstance(tags, list) else 0
        raise BenchError(
            f"{len(words)} words have {count} tags", place=place, fix="a tag for every word"
        )
    if not words:
        raise BenchError("the sentence has no word", place=place, fix="leave it out")
    return words, [_tag(tag, place, own) for tag in tags]


def _tag(tag: Any, place: str, own: Sequence[str] | None) -> str:
    """A tag by its name or by its number in CoNLL-2003 on the hub; `own` as of `_tagged`."""
    if isinstance(tag, int) and not isinstance(tag, bool) and 0 <= tag < len(TAGS):
        tag = TAGS[tag]
    if own is not None:
        if not isinstance(tag, str) or not tag.strip() or not is_text(tag):
            raise BenchError(
                f"the tag {tag!r} is no name of a tag",
                place=place,
                fix="text, such as 'B-PER', or the number of one of CoNLL-2003's tags, from 0 to 8",
            )
        if own and tag not in own:
            raise BenchError(
                f"the tag {tag!r} is in no training sentence; those there are {', '.join(own)}",
                place=place,
                fix="correct it, remove the sentence, or add such sentences to the training file",
            )
        return tag
    if tag not in TAGS:
        raise BenchError(
            f"the tag {tag!r} is none of CoNLL-2003's",
            place=place,
            fix=f"{', '.join(TAGS)}, or their numbers from 0",
        )
    return str(tag)


def _encode(
    found: Sequence[tuple[list[str], list[str]]],
    tokens: Any,
    length: int,
    tags_of_all: Sequence[str],
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

    index = {tag: at for at, tag in enumerate(tags_of_all)}
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
            row.append(index[tags[word]] if word >= 0 and (every or word != last) else IGNORED)
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


def _is_of_entity(tag: str) -> bool:
    """Whether a BIO tag says that a word belongs to an entity."""
    return tag.startswith(("B-", "I-")) and len(tag) > 2


def _one_tag(labels: Sequence[Sequence[int]], tags: Sequence[str]) -> dict[str, float]:
    """Metrics of a model that gives every word one tag: outside of entities, or the most frequent
    one where no tag is called so.
    """
    truth = [[tags[label] for label in row if label != IGNORED] for row in labels]
    counted = Counter(tag for row in truth for tag in row)
    one = "O" if "O" in tags or not counted else counted.most_common(1)[0][0]
    return entity_metrics(truth, [[one] * len(row) for row in truth])


def judge(prediction: Any, tags: Sequence[str] = TAGS) -> dict[str, float]:
    """Metrics of a transformers.EvalPrediction: logits of shape (sentences, tokens, tags), labels
    with -100. `tags`: their names, by index.
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
        ([tags[i] for i in real[keep]], [tags[i] for i in found[keep]])
        for real, found, keep in zip(truth, guess, kept, strict=True)
    ]
    return entity_metrics([real for real, _ in rows], [found for _, found in rows])
