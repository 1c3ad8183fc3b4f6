"""Sentences with tags, and translations, in files that a user names one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cli import _parser, main
from harness.commands.train import spelled
from harness.runner.single_job import _spec
from harness.worker import tasks
from harness.worker.tasks.entity_corpus import TAGS

TAGGED = [
    {"tokens": ["Torvin", "won", "in", "Lork"], "ner_tags": ["B-PER", "O", "O", "B-LOC"]},
    {"tokens": ["rain"], "ner_tags": [0]},
]
OWN_TAGS = ["B-LOC", "B-PER", "O"]
PAIRS = [{"translation": {"en": f"good day {i}", "ro": f"buna ziua {i}"}} for i in range(3)]
SAMPLES = {
    "token-classification": ("bert-tiny", TAGGED),
    "translation": ("t5-tiny", PAIRS),
}


def _lines(file: Path, rows: list[Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def _words(folder: Path, kind: str, validation: list[Any] | None = None) -> list[str]:
    model, rows = SAMPLES[kind]
    train = _lines(folder / "train.json", rows)
    other = _lines(folder / "validation.json", rows[:1] if validation is None else validation)
    words = f"train --task {kind} --model_name_or_path {model} --output_dir {folder / 'out'} "
    words += f"--train_file {train} --validation_file {other} --do_train --device cpu "
    return f"{words} --max_seq_length 32 --pad_to_max_length no".split()


@pytest.mark.parametrize("kind", SAMPLES)
def test_samples_of_named_files_are_those_of_a_folder_of_them(kind: str, tmp_path: Path) -> None:
    words = _words(tmp_path, kind)
    spec = _spec(_parser().parse_args(spelled(words)), "cpu", tmp_path / "cache")
    data = tasks.get(kind)(spec).load()
    assert data.sources.data == "files"
    assert (len(data.train), len(data.validation)) == (len(SAMPLES[kind][1]), 1)
    at = words.index("--train_file")
    by_folder = [*words[:at], "--data", str(tmp_path), *words[at + 4 :]]
    spec = _spec(_parser().parse_args(spelled(by_folder)), "cpu", tmp_path / "cache")
    folder = tasks.get(kind)(spec).load()
    assert folder.sources.data == "folder"
    assert folder.train["input_ids"] == data.train["input_ids"]
    if kind == "token-classification":  # a folder is CoNLL-2003's, files have tags of their own
        assert [
            [TAGS.index(OWN_TAGS[i]) if i >= 0 else i for i in row] for row in data.train["labels"]
        ] == folder.train["labels"]
    else:
        assert folder.train["labels"] == data.train["labels"]


def test_tags_are_those_of_the_training_file_as_in_the_original_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import EvalPrediction

    rows = [
        {"tokens": ["Zest", "cures", "colds"], "ner_tags": ["B-drug", "O", "B-ILL"]},
        {"tokens": ["rain"], "ner_tags": ["O"]},
    ]
    expected = _get_label_list([row["ner_tags"] for row in rows])
    assert expected == ["B-ILL", "B-drug", "O"]
    words = _words(tmp_path, "token-classification", rows[:1])
    _lines(tmp_path / "train.json", rows)
    spec = _spec(_parser().parse_args(spelled(words)), "cpu", tmp_path / "cache")
    task = tasks.get("token-classification")(spec)
    data = task.load()
    assert (data.labels, data.main_metrics) == (3, ("f1",))
    assert task.model_config(data)["id2label"] == dict(enumerate(expected))
    found = [[label for label in row if label >= 0] for row in data.train["labels"]]
    assert found == [[1, 2, 0], [2]]
    assert data.metrics is not None
    truth = np.asarray([[-100, 1, 2, 0]])
    logits = np.eye(3)[[[0, 1, 2, 2]]]  # the drug is found and the illness is not
    scores = data.metrics(EvalPrediction(predictions=logits, label_ids=truth))
    assert scores["precision"] == 1.0
    assert scores["recall"] == 0.5
    assert tasks.get("token-classification").look_at_files(spec.workload.task) == (
        "2 train samples, 1 validation samples; 3 tags in 'ner_tags': B-ILL, B-drug, O"
    )


def _get_label_list(labels: list[list[str]]) -> list[str]:
    """As in run_ner.py of transformers' examples."""
    unique: set[str] = set()
    for label in labels:
        unique = unique | set(label)
    return sorted(unique)


def test_tags_of_no_entities_are_judged_by_accuracy(tmp_path: Path) -> None:
    rows = [{"tokens": ["rain", "fell", "hail"], "ner_tags": ["NN", "VB", "NN"]}]
    words = _words(tmp_path, "token-classification", rows)
    _lines(tmp_path / "train.json", rows)
    spec = _spec(_parser().parse_args(spelled(words)), "cpu", tmp_path / "cache")
    data = tasks.get("token-classification")(spec).load()
    assert data.main_metrics == ("accuracy",)
    assert data.chance["accuracy"] == pytest.approx(2 / 3)


def test_one_tag_alone_is_nothing_to_learn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"tokens": ["rain"], "ner_tags": ["O"]}]
    words = _words(tmp_path, "token-classification", rows)
    _lines(tmp_path / "train.json", rows)
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"harness: --train-file {tmp_path}/train.json: all tags in 'ner_tags'")
    assert "fix: training sentences with two tags or more" in told


def test_words_and_tags_are_in_the_columns_that_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = _spec(
        _parser().parse_args(spelled(_words(tmp_path, "token-classification"))), "cpu", tmp_path
    )
    expected = tasks.get("token-classification")(usual).load()
    renamed = [{"words": row["tokens"], "pos: ner": row["ner_tags"]} for row in TAGGED]
    words = _words(tmp_path, "token-classification")
    for name, rows in (("train", renamed), ("validation", renamed[:1])):
        _lines(tmp_path / f"{name}.json", rows)
    named = [*words, "--text_column_name", "words", "--label_column_name", "pos: ner"]
    spec = _spec(_parser().parse_args(spelled(named)), "cpu", tmp_path)
    data = tasks.get("token-classification")(spec).load()
    assert data.train["labels"] == expected.train["labels"]
    assert data.train["input_ids"] == expected.train["input_ids"]
    assert main(words) == 2
    told = capsys.readouterr().err
    where = f"harness: {tmp_path}/train.json:1: "
    assert told.startswith(f"{where}'tokens' is missing; there are: 'words', 'pos: ner'\n")
    assert main([*named, "--text_column_name", "w"]) == 2
    assert "--text-column-name w: is given 2 times\n  fix: one column" in capsys.readouterr().err
    same = [*words, "--text_column_name", "ner_tags"]
    assert main(same) == 2
    told = capsys.readouterr().err
    assert told.startswith("harness: --text-column-name ner_tags: words and tags cannot both be in")


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("token-classification", {"tokens": ["a"]}, "'ner_tags' is missing"),
        (
            "token-classification",
            {"tokens": ["a"], "ner_tags": ["B-X"]},
            "the tag 'B-X' is in no training "
            "sentence; those there are B-LOC, B-PER, O\n  fix: correct it, remove the sentence",
        ),
        ("token-classification", {"tokens": ["a"], "ner_tags": [9]}, "the tag 9 is no name of a"),
        ("token-classification", {"tokens": ["a"], "ner_tags": [" "]}, "the tag ' ' is no name"),
        ("token-classification", {"tokens": ["a"], "ner_tags": []}, "1 words have 0 tags"),
        (
            "token-classification",
            {"tokens": ["a", "b\ud800"], "ner_tags": ["O", "O"]},
            "word 2 in 'tokens' holds half of a surrogate pair",
        ),
        (
            "translation",
            {"translation": {"en": "a", "ro": "b\ud800"}},
            "the text in 'ro' holds half of a surrogate pair",
        ),
        ("translation", {"translation": {"en": "a"}}, "'translation' has no text in 'ro', only"),
        ("translation", {"translation": {"en": "a", "ro": " "}}, "the text in 'ro' is empty"),
    ],
)
def test_a_bad_sample_is_told_with_its_line_before_anything_runs(
    kind: str,
    row: dict[str, Any],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = _words(tmp_path, kind, [SAMPLES[kind][1][0], row])
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"harness: {tmp_path}/validation.json:2: {message}")
    assert "\n  fix: " in told
    assert not (tmp_path / "out").exists()
