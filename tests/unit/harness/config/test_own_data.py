"""Suites whose tasks read a user's own files, or any data set on the hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import load_suite
from harness.errors import BenchError
from harness.planning.plan import make_plan
from harness.schema.job import JobSpec
from harness.schema.workload import Task
from harness.worker import tasks

SUITE = """\
suite: own
models:
  tiny: {architecture: bert-tiny, weights: random}
tasks:
  own: {source: files, train_file: data/train.csv, validation_file: data/validation.csv}
workloads:
  - {model: tiny, task: own}
arms:
  pytorch: {backend: pytorch}
  onnxruntime: {backend: onnxruntime}
pairs:
  - {baseline: pytorch, candidate: onnxruntime}
"""
TRAIN = "sentence,label\ngood film,pos\nbad film,neg\n"
VALIDATION = "sentence,label\ngood,pos\n"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "suites" / "data").mkdir(parents=True)
    (tmp_path / "suites" / "data" / "train.csv").write_text(TRAIN)
    (tmp_path / "suites" / "data" / "validation.csv").write_text(VALIDATION)
    file = tmp_path / "suites" / "own.yaml"
    file.write_text(SUITE)
    return file


def _jobs(file: Path, *overrides: str) -> tuple[JobSpec, ...]:
    return make_plan(load_suite(file, overrides), device="cpu", cache_dir=Path("cache")).jobs


def _identity(file: Path) -> list[str]:
    plan = make_plan(load_suite(file), device="cpu", cache_dir=Path("cache"))
    return [plan.config_sha256, *(job.id for job in plan.jobs)]


def test_paths_are_relative_to_the_suites_file(suite: Path) -> None:
    task = load_suite(suite).tasks["own"]
    assert task.kind == "text-classification"
    assert task.train_file == suite.parent / "data" / "train.csv"
    assert task.validation_file == suite.parent / "data" / "validation.csv"
    assert task.files_sha256 is not None


def test_paths_of_a_suite_that_is_extended_are_relative_to_that_one(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "other.csv").write_text(VALIDATION)
    child = tmp_path / "mine" / "child.yaml"
    child.write_text("extends: ../suites/own.yaml\ntasks: {own: {validation_file: other.csv}}\n")
    task = load_suite(child).tasks["own"]
    assert task.train_file == tmp_path / "suites" / "data" / "train.csv"
    assert task.validation_file == tmp_path / "mine" / "other.csv"
    monkeypatch.chdir(tmp_path / "mine")
    assert load_suite(suite, ["tasks.own.validation_file=other.csv"]).tasks[
        "own"
    ].validation_file == Path("other.csv")


def test_what_the_files_hold_is_in_the_identity_of_suite_and_jobs(
    suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(suite.parent)
    before = _identity(Path("own.yaml"))
    assert _identity(Path("own.yaml")) == before
    Path("data/train.csv").write_text(TRAIN.replace("good film", "fine film"))
    after = _identity(Path("own.yaml"))
    assert len(before) == len(after)
    assert not set(before) & set(after)


def test_the_identity_does_not_depend_on_where_a_checkout_lies(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = _identity(Path("suites/own.yaml"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "suites").rename(tmp_path / "elsewhere" / "suites")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert _identity(Path("suites/own.yaml")) == before


def test_what_is_written_of_other_tasks_and_models_is_what_it_was() -> None:
    task = Task(name="sst2")
    assert set(task.model_dump()) == {
        *("name", "kind", "subset", "options", "source", "folder", "train_samples"),
        *("eval_samples", "data_seed"),
    }
    own = Task(name="own", source="hub", dataset="org/set")
    assert (own.kind, own.model_dump()["dataset"]) == ("text-classification", "org/set")
    assert Task.model_validate(own.model_dump(mode="json")) == own


def test_a_digest_that_is_written_in_the_suite_must_be_that_of_the_files(suite: Path) -> None:
    digest = load_suite(suite).tasks["own"].files_sha256
    assert load_suite(suite, [f"tasks.own.files_sha256={digest}"]).tasks["own"].files_sha256 == (
        digest
    )
    with pytest.raises(BenchError) as caught:
        load_suite(suite, ["tasks.own.files_sha256=abc"])
    assert caught.value.message == f"the files have the SHA-256 {digest}, not abc"
    assert "data/train.csv and " in caught.value.place


def test_a_bad_file_is_told_with_its_line_when_the_suite_is_read(suite: Path) -> None:
    bad = suite.parent / "data" / "validation.csv"
    bad.write_text("sentence,label\ngood,pos\n,neg\n")
    with pytest.raises(BenchError) as caught:
        load_suite(suite)
    assert caught.value.place == f"{bad}:3"
    assert caught.value.message == "the text in 'sentence' is missing or empty"


def test_a_file_that_changes_after_the_suite_was_read_is_refused_by_the_job(
    suite: Path, tmp_path: Path
) -> None:
    job = _jobs(suite)[0].replace(cache_dir=tmp_path / "cache")
    (suite.parent / "data" / "train.csv").write_text(TRAIN.replace("good", "fine"))
    with pytest.raises(BenchError, match="a file has changed since the run began"):
        tasks.get("text-classification")(job).load()


@pytest.mark.parametrize(
    ("override", "message", "allowed"),
    [
        ("{source: files, train_file: a.csv}", "`source: files` needs `validation_file`", ""),
        ("{source: files}", "`source: files` needs `train_file` and `validation_file`", ""),
        ("{train_file: a.csv}", "`train_file` goes with `source: files`", ""),
        ("{source: hub, dataset_config: x}", "`dataset_config` goes with `dataset`", ""),
        ("{dataset: org/set}", "`dataset` goes with `source: hub`", ""),
        (
            "{kind: glue, source: files, train_file: a.csv, validation_file: b.csv}",
            "glue cannot read its data from files",
            "`kind: text-classification` reads your own files",
        ),
        (
            "{kind: glue, source: hub, dataset: org/set}",
            "glue has a data set of its own",
            "leave it out, or `kind: text-classification`",
        ),
        (
            "{kind: text-classification}",
            "text-classification has no data of its own",
            "`source: files` with `train_file` and `validation_file`, or `source: hub` with",
        ),
        (
            "{kind: text-classification, source: synthetic}",
            "text-classification cannot read its data from synthetic",
            "auto, files, hub",
        ),
        ("{source: hub, dataset: a b}", "'a b' is no name that the hub could have", "OWNER/NAME"),
        (
            "{source: hub, dataset: org/set, options: {label: x}}",
            "unknown key 'label'",
            "known keys: text_column, text_pair_column, label_column",
        ),
    ],
)
def test_settings_that_do_not_go_together(
    suite: Path, override: str, message: str, allowed: str
) -> None:
    task = SUITE.splitlines()[4]
    suite.write_text(SUITE.replace(task, f"  own: {override}"))
    with pytest.raises(BenchError) as caught:
        load_suite(suite)
    assert message in caught.value.message
    assert allowed in caught.value.message
    assert caught.value.place == f"{suite}:5"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "{architecture: bert-tiny, revision: v1}",
            "`revision` goes with pretrained weights from `path`",
        ),
        (
            "{path: a/b, architecture: bert-tiny, weights: random, tokenizer_path: x}",
            "`tokenizer_path` goes with pretrained weights from `path`",
        ),
    ],
)
def test_what_only_pretrained_weights_have(suite: Path, model: str, message: str) -> None:
    with pytest.raises(BenchError) as caught:
        load_suite(suite, [f"models.tiny={model}"])
    assert message in caught.value.message
