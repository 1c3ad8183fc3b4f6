"""Causal language modelling and token classification: data, metrics, FLOPs, what suites may say."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import worker_helpers as worker
from pydantic import ValidationError

from harness.config import load_suite
from harness.errors import BenchError
from harness.results.mfu import model_flops_per_sample, shape_of
from harness.schema.job import JobSpec
from harness.schema.shapes import SHAPES
from harness.schema.workload import Task
from harness.worker import tasks
from harness.worker.model import build
from harness.worker.tasks.base import TaskData
from harness.worker.tasks.entity_corpus import LENGTHS, sentences
from harness.worker.tasks.token_classification import (
    IGNORED,
    TAGS,
    entities,
    entity_metrics,
)


def _load(folder: Path, kind: str, shape: str, **changes: Any) -> TaskData:
    spec = JobSpec.model_validate(worker.spec_of_kind(folder, kind, shape, **changes))
    return tasks.get(kind)(spec).load()


@pytest.mark.parametrize("shape", ["gpt2-tiny", "bert-tiny"])
def test_blocks_are_full_and_sentences_follow_each_other(tmp_path: Path, shape: str) -> None:
    data = _load(tmp_path, "causal-lm", shape)
    assert (len(data.train), len(data.validation)) == (300, 60)
    assert {len(row) for row in data.train["input_ids"]} == {32}
    assert data.train["labels"] == data.train["input_ids"]
    tokens = list(itertools.chain.from_iterable(data.train["input_ids"]))
    end = data.tokenizer.convert_tokens_to_ids("<|endoftext|>" if shape == "gpt2-tiny" else "[SEP]")
    assert 300 < tokens.count(end) < 2000  # about one in twelve
    assert data.tokenizer.pad_token_id not in tokens
    assert data.tokenizer.cls_token_id is None or data.tokenizer.cls_token_id not in tokens
    first = data.tokenizer.decode(tokens[: tokens.index(end)]).strip()
    other = _load(tmp_path / "other", "causal-lm", shape, task={"data_seed": 1})
    assert first != other.tokenizer.decode(other.train[0]["input_ids"][: len(first)])
    assert 1 < data.chance["perplexity"] < 4096


def test_a_model_without_the_tasks_head_is_one_sentence(tmp_path: Path) -> None:
    """Where transformers' own error lists the types of all models that have it."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    spec = JobSpec.model_validate(worker.spec_of_kind(tmp_path, "causal-lm", "t5-tiny"))
    words = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"<pad>": 0})), pad_token="<pad>"
    )
    with pytest.raises(BenchError, match="has no AutoModelForCausalLM of the type t5\n") as caught:
        build.build(spec, words, tasks.get("causal-lm").auto_class, {"is_decoder": True})
    assert caught.value.place == f"models.{spec.workload.model.name}"
    assert "another kind of task" in caught.value.fix


def test_perplexity_is_of_the_mean_loss(tmp_path: Path) -> None:
    kind = tasks.get("causal-lm")(
        JobSpec.model_validate(worker.spec_of_kind(tmp_path, "causal-lm", "gpt2-tiny"))
    )
    assert kind.scores({"loss": math.log(40)}) == {
        "perplexity": pytest.approx(40),
        "loss": math.log(40),
    }
    assert math.isfinite(kind.scores({"loss": 1e9})["perplexity"])


@pytest.mark.parametrize(
    "shape", ["roberta-tiny", "bert-tiny", "distilbert-base", "albert-base", "gpt2-tiny"]
)
@pytest.mark.parametrize("every", [False, True])
def test_tags_lie_on_the_tokens_of_their_words(tmp_path: Path, shape: str, every: bool) -> None:
    """Whatever the tokenizer cuts words into: put together again, the tagged tokens are the tagged
    words.
    """
    options = {"options": {"tag_every_piece": True}} if every else {}
    data = _load(
        tmp_path, "token-classification", shape, task=options, training={"max_seq_length": 512}
    )
    expected = list(sentences("train", 300, 0))
    for (words, tags), row in zip(expected, data.train, strict=True):
        found = [
            (data.tokenizer.convert_ids_to_tokens(token), TAGS[label])
            for token, label in zip(row["input_ids"], row["labels"], strict=True)
            if label != IGNORED
        ]
        if not every:
            assert [tag for _, tag in found] == tags
        starts = [piece.removeprefix("Ġ").removeprefix("##") for piece, _ in found]
        text = "".join(words).lower()
        assert (
            "".join(starts).lower() == text
            if every
            else all(piece.lower() in text for piece in starts)
        )
        assert starts[0].lower() == words[0].lower()[: len(starts[0])]
        special = set(data.tokenizer.all_special_ids)
        labels = zip(row["input_ids"], row["labels"], strict=True)
        assert all(label == IGNORED for token, label in labels if token in special)


def test_batches_pad_labels_with_what_the_loss_leaves_out(tmp_path: Path) -> None:
    changes = {"training": {"pad_to_max_length": False, "max_seq_length": 64}}
    spec = JobSpec.model_validate(
        worker.spec_of_kind(tmp_path, "token-classification", "bert-tiny", **changes)
    )
    kind = tasks.get("token-classification")(spec)
    data = kind.load()
    rows = [data.train[index] for index in range(4)]
    lengths = [len(row["labels"]) for row in rows]
    assert len(set(lengths)) > 1
    batch = kind.collator(data)(rows)
    assert batch["labels"].shape == batch["input_ids"].shape == (4, max(lengths))
    for length, labels in zip(lengths, batch["labels"].tolist(), strict=True):
        assert labels[length:] == [IGNORED] * (max(lengths) - length)


def test_sentences_are_the_same_everywhere_and_as_many_as_conll() -> None:
    first = next(sentences("train", 1, 0))
    assert first == (
        "Sicomese exports to Faitrous rose by 4 percent".split(),
        "B-MISC O O B-LOC O O O O".split(),
    )
    training = list(sentences("train", None, 0))
    assert len(training) == 14_041
    assert training[:5] == list(sentences("train", 5, 0))
    assert training[0] != next(sentences("train", 1, 1))
    validation = list(sentences("validation", None, 0))
    assert len(validation) == 3_250
    assert all(len(words) == len(tags) for words, tags in validation)
    kinds = {kind for _, tags in validation for kind, _, _ in entities(tags)}
    assert kinds == {"PER", "ORG", "LOC", "MISC"}
    by_word: dict[str, set[str]] = {}
    for words, tags in validation:
        for word, tag in zip(words, tags, strict=True):
            by_word.setdefault(word, set()).add(tag[2:])
    assert sum(len(found) > 1 for found in by_word.values()) > 300  # a word alone does not tell


def test_sentences_have_as_many_words_as_those_of_conll() -> None:
    """All of its training set, sentence for sentence; those for validation by the same
    distribution.
    """
    training = Counter(len(words) for words, _ in sentences("train", None, 0))
    assert training == +Counter(LENGTHS)
    assert training.total() == 14_041
    assert sum(length * count for length, count in training.items()) == 203_621
    assert (training[1], training[2], training[9], max(training)) == (179, 1_129, 894, 113)
    validation = [len(words) for words, _ in sentences("validation", None, 0)]
    assert statistics.mean(validation) == pytest.approx(203_621 / 14_041, abs=0.01)
    short = sum(count for length, count in training.items() if length <= 8) / 14_041
    assert sum(length <= 8 for length in validation) / 3_250 == pytest.approx(short, abs=0.001)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", set()),
        ("B-PER I-PER O B-LOC", {("PER", 0, 2), ("LOC", 3, 4)}),
        ("B-PER B-PER", {("PER", 0, 1), ("PER", 1, 2)}),
        ("I-PER I-PER", {("PER", 0, 2)}),
        ("B-PER I-LOC I-LOC", {("PER", 0, 1), ("LOC", 1, 3)}),
        ("O I-ORG", {("ORG", 1, 2)}),
    ],
)
def test_entities_in_tags(tags: str, expected: set[tuple[str, int, int]]) -> None:
    assert entities(tags.split()) == expected


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, (0.738095238095, 0.681318681319, 0.708571428571, 0.676470588235)),
        (1, (0.630434782609, 0.623655913978, 0.627027027027, 0.707317073171)),
        (2, (0.675675675676, 0.675675675676, 0.675675675676, 0.729166666667)),
    ],
)
def test_metrics_are_those_of_seqeval(seed: int, expected: tuple[float, ...]) -> None:
    """Figures of seqeval 1.2.2 for these sentences (precision, recall, F1, accuracy; its default
    mode).
    """
    draw = random.Random(seed)
    truth = [[draw.choice(TAGS) for _ in range(draw.randrange(1, 12))] for _ in range(20)]
    guess = [[tag if draw.random() < 0.7 else draw.choice(TAGS) for tag in row] for row in truth]
    found = entity_metrics(truth, guess)
    assert list(found) == ["precision", "recall", "f1", "accuracy"]
    assert list(found.values()) == pytest.approx(expected, abs=1e-11)


def test_metrics_of_nothing_are_zero() -> None:
    assert set(entity_metrics([["O", "O"]], [["O", "O"]]).values()) == {0.0, 1.0}
    assert entity_metrics([], [])["accuracy"] == 0.0


def test_flops_of_a_head_on_every_token() -> None:
    """2 s h labels forward, three times that with the backward pass: the V / 12 l h of the
    published formula.
    """
    layers, h, s, vocabulary = 12, 768, 128, 50257
    shape = shape_of(SHAPES["gpt2"], vocabulary, every_token=True)
    assert shape is not None
    published = 72 * s * layers * h**2 * (1 + s / (6 * h) + vocabulary / (12 * layers * h))
    assert model_flops_per_sample(shape, s) == pytest.approx(published, rel=1e-12)


def test_flops_are_known_only_where_the_head_is(tmp_path: Path) -> None:
    def shape(kind: str, architecture: str) -> Any:
        spec = JobSpec.model_validate(worker.spec_of_kind(tmp_path, kind, architecture))
        config = {**SHAPES[architecture]}
        data = TaskData(None, None, None, len(TAGS), Any, None)  # type: ignore[arg-type]
        return tasks.get(kind)(spec).shape(config, data)

    assert shape("causal-lm", "roberta-tiny") is None  # its head has a layer of its own
    assert shape("causal-lm", "gpt2-tiny").labels == SHAPES["gpt2-tiny"]["vocab_size"]
    tagger = shape("token-classification", "roberta-tiny")
    assert (tagger.labels, tagger.head_layers, tagger.every_token) == (len(TAGS), 0, True)


def test_a_subset_is_glues() -> None:
    assert Task(name="t").subset == "sst2"
    assert (
        Task.model_validate_json('{"name": "t", "kind": "glue", "subset": "cola"}').data_name
        == "cola"
    )
    other = Task(name="t", kind="causal-lm")
    assert (other.subset, other.data_name) == (None, "causal-lm")
    assert Task.model_validate_json(other.model_dump_json()) == other
    with pytest.raises(ValidationError, match="`subset` goes with `kind: glue`"):
        Task(name="t", kind="causal-lm", subset="cola")


SUITE = """suite: s
models: {m: {architecture: bert-tiny, weights: random}}
tasks:
  sst2:
    kind: token-classification
    LINE
workloads: [{model: m, task: sst2}]
arms: {a: {backend: pytorch}, b: {backend: pytorch}}
pairs: [{baseline: a, candidate: b}]
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "options: {tag_evry_piece: true}",
            "6: tasks.sst2.options.tag_evry_piece: unknown key 'tag_evry_piece'",
        ),
        ("options: {tag_every_piece: 7}", "6: tasks.sst2.options.tag_every_piece: 7 does not fit"),
        ("source: disk", "6: tasks.sst2.source: "),
        ("subset: sst2", "4: tasks.sst2: `subset` goes with `kind: glue`"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "s.yaml").write_text(SUITE.replace("LINE", line))
    with pytest.raises(BenchError) as caught:
        load_suite(tmp_path / "s.yaml")
    assert f"s.yaml:{said}" in str(caught.value)


def test_a_source_that_a_kind_cannot_read_is_told_with_its_line(tmp_path: Path) -> None:
    text = SUITE.replace("LINE", "source: hub").replace("token-classification", "causal-lm")
    (tmp_path / "s.yaml").write_text(text)
    said = "6: tasks.sst2.source: causal-lm cannot read its data from hub"
    with pytest.raises(BenchError, match=said):
        load_suite(tmp_path / "s.yaml")


def test_an_unknown_kind_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        SUITE.replace("    LINE\n", "").replace("token-class", "tokn-class")
    )
    with pytest.raises(BenchError) as caught:
        load_suite(tmp_path / "s.yaml")
    assert "s.yaml:5: tasks.sst2.kind: no kind of task is called 'tokn-classification'" in str(
        caught.value
    )
    assert all(kind in str(caught.value) for kind in tasks.TASKS)


def test_a_key_of_glue_is_no_subset_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SUITE.replace("LINE", "options: {tag_every_piece: true}"))
    task = load_suite(tmp_path / "s.yaml").tasks["sst2"]
    assert (task.subset, task.options) == (None, {"tag_every_piece": True})
