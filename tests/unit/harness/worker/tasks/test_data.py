"""Data, tokenizers and models of a job, in process: sources, their errors, and what is cached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import worker_helpers as worker

from harness.errors import BenchError
from harness.planning.hub import LFS_POINTER
from harness.schema.job import JobSpec
from harness.schema.shapes import SHAPES
from harness.worker.model import build
from harness.worker.tasks import glue
from harness.worker.tasks.store import build_once


def _spec(folder: Path, **changes: Any) -> JobSpec:
    return JobSpec.model_validate(worker.spec(folder, **changes))


def _build(spec: JobSpec, labels: int, tokenizer: Any) -> Any:
    return build.build(
        spec, tokenizer, "AutoModelForSequenceClassification", {"num_labels": labels}
    )[0]


def _parquet(folder: Path, name: str, **columns: list[Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{name}-00000-of-00001.parquet")


def _folder_task(root: Path, subset: str) -> dict[str, Any]:
    return {
        "subset": subset,
        "source": "folder",
        "folder": str(root),
        "train_samples": None,
        "eval_samples": None,
    }


@pytest.fixture
def mrpc(tmp_path: Path) -> Path:
    for name, count in (("train", 40), ("validation", 10)):
        _parquet(
            tmp_path / "data" / "mrpc",
            name,
            sentence1=[f"the first sentence {i}" for i in range(count)],
            sentence2=["a second one"] * count,
            label=[i % 2 for i in range(count)],
            idx=list(range(count)),
        )
    return tmp_path / "data"


def test_a_folder_in_the_hubs_layout_with_sentence_pairs(tmp_path: Path, mrpc: Path) -> None:
    data = glue.load(
        _spec(tmp_path, model={"architecture": "bert-tiny"}, task=_folder_task(mrpc, "mrpc"))
    )
    assert (len(data.train), len(data.validation), data.labels) == (40, 10, 2)
    assert data.sources.data == "folder"
    row = data.train[3]
    assert set(row) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
    assert len(row["input_ids"]) == 32
    assert row["labels"] == 1
    assert (
        data.tokenizer.decode(row["input_ids"], skip_special_tokens=True)
        == "the first sentence 3 a second one"
    )
    second = [
        token for token, kind in zip(row["input_ids"], row["token_type_ids"], strict=True) if kind
    ]
    assert data.tokenizer.decode(second, skip_special_tokens=True) == "a second one"


def test_the_cache_follows_the_content(tmp_path: Path, mrpc: Path) -> None:
    spec = _spec(tmp_path, task=_folder_task(mrpc, "mrpc"))
    first = glue.load(spec).sources.data_sha256
    assert glue.load(spec).sources.data_sha256 == first
    assert len(list((tmp_path / "cache" / "tokenised").glob("*/meta.json"))) == 1
    assert (
        glue.load(_spec(tmp_path, task=_folder_task(mrpc, "mrpc"), training={"max_seq_length": 16}))
        is not None
    )
    _parquet(mrpc / "mrpc", "validation", sentence1=["changed"], sentence2=["too"], label=[0])
    assert glue.load(spec).sources.data_sha256 != first
    assert len(list((tmp_path / "cache" / "tokenised").glob("*/meta.json"))) == 3


def test_limits_and_regression_labels(tmp_path: Path) -> None:
    columns = {
        "sentence1": ["one"] * 5,
        "sentence2": ["two"] * 5,
        "label": [0.0, 1.5, 2.25, 4.0, 5.0],
    }
    for name in ("train", "validation"):
        _parquet(tmp_path / "stsb", name, **columns)
    data = glue.load(_spec(tmp_path, task={**_folder_task(tmp_path, "stsb"), "train_samples": 3}))
    assert data.labels == 1
    assert data.train["labels"] == [0.0, 1.5, 2.25]
    assert len(data.validation) == 5


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (None, "no validation-"),
        ({"text": ["a"], "label": [1]}, "no column 'sentence'"),
        ({"sentence": ["a"]}, "no column 'label'"),
        ({"sentence": ["a"], "label": [-1]}, "not labelled"),
        ({"sentence": [None], "label": [1]}, "missing"),
        ({"sentence": [7], "label": [1]}, "the column 'sentence' holds no text: int '7'\n"),
        ({"sentence": [["a"]], "label": [1]}, "the column 'sentence' holds no text: list"),
        ({"sentence": [b"a"], "label": [1]}, "the column 'sentence' holds no text: bytes"),
        ({"sentence": [{"a": 1}], "label": [1]}, "the column 'sentence' holds no text: dict"),
        ({"sentence": ["a", "b"], "label": ["1", "0"]}, "a label is '1', not one of 0, 1"),
    ],
)
def test_unusable_folders_say_why(
    tmp_path: Path, validation: dict[str, Any] | None, message: str
) -> None:
    _parquet(tmp_path / "sst2", "train", sentence=["good", "bad"], label=[1, 0])
    if validation is not None:
        _parquet(tmp_path / "sst2", "validation", **validation)
    with pytest.raises(BenchError, match=message):
        glue.load(_spec(tmp_path, task=_folder_task(tmp_path, "sst2")))
    assert not list(
        (tmp_path / "cache").glob("tokenised/*/meta.json")
    )  # nothing half-built is left


def test_files_that_git_did_not_fetch_are_named(tmp_path: Path) -> None:
    for name in ("train", "validation"):
        _parquet(tmp_path / "sst2", name, sentence=["good", "bad"], label=[1, 0])
    (tmp_path / "sst2" / "train-00000-of-00001.parquet").write_bytes(
        LFS_POINTER + b"v1\noid sha256:00\nsize 9\n"
    )
    with pytest.raises(
        BenchError, match=r"train-00000-of-00001\.parquet is a pointer of Git LFS"
    ) as caught:
        glue.load(_spec(tmp_path, task=_folder_task(tmp_path, "sst2")))
    assert "git lfs pull" in caught.value.fix


def test_a_file_of_data_that_is_cut_short_is_named(tmp_path: Path) -> None:
    for name in ("train", "validation"):
        _parquet(tmp_path / "sst2", name, sentence=["good", "bad"], label=[1, 0])
    file = tmp_path / "sst2" / "validation-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(
        BenchError, match=r"validation-00000-of-00001\.parquet cannot be read: "
    ) as caught:
        glue.load(_spec(tmp_path, task=_folder_task(tmp_path, "sst2")))
    assert caught.value.fix == "a whole Parquet file"


def test_text_that_is_no_utf8_is_one_sentence(tmp_path: Path) -> None:
    for name in ("train", "validation"):
        _parquet(tmp_path / "sst2", name, sentence=["good", "bad"], label=[1, 0])
    text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    )
    table = pa.table({"sentence": text, "label": [1]})
    pq.write_table(table, tmp_path / "sst2" / "train-00000-of-00001.parquet")
    with pytest.raises(BenchError, match="a text is not UTF-8"):
        glue.load(_spec(tmp_path, task=_folder_task(tmp_path, "sst2")))


def test_home_is_expanded_in_a_folder_of_data(
    mrpc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(mrpc.parent))
    spec = _spec(tmp_path, task={**_folder_task(mrpc, "mrpc"), "folder": f"~/{mrpc.name}"})
    assert len(glue.load(spec).train) == 40


def test_a_build_that_fails_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError):
        build_once(tmp_path, "x", broken)
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock"]
    assert (build_once(tmp_path, "x", lambda folder: (folder / "whole").touch()) / "whole").exists()


@pytest.mark.parametrize("architecture", [name for name in SHAPES if name.endswith("-tiny")])
def test_every_family_reads_what_its_tokenizer_writes(tmp_path: Path, architecture: str) -> None:
    """Forward pass of random weights; at dropout 0 training mode and evaluation mode agree to the
    bit.
    """
    import torch

    spec = _spec(
        tmp_path,
        model={"architecture": architecture},
        parity_run=True,
        task={"train_samples": 300, "eval_samples": 8},
    )
    data = glue.load(spec)
    built = _build(spec, data.labels, data.tokenizer)
    batch = {name: torch.tensor(data.validation[name]) for name in data.validation.column_names}
    with torch.no_grad():
        trained, evaluated = built.train()(**batch), built.eval()(**batch)
    assert trained.logits.shape == (8, 2)
    assert torch.equal(trained.logits, evaluated.logits)
    assert built.config.pad_token_id == data.tokenizer.pad_token_id
    padding = torch.tensor(data.validation["attention_mask"]) == 0
    assert set(batch["input_ids"][padding].tolist()) == {data.tokenizer.pad_token_id}
    again = build.weights_sha256(_build(spec, data.labels, data.tokenizer))
    assert again == build.weights_sha256(built)
    other = spec.model_copy(update={"seed": 7})
    assert build.weights_sha256(_build(other, data.labels, data.tokenizer)) != again


def test_dropout_is_set_everywhere_or_left_alone(tmp_path: Path) -> None:
    import torch

    def rates(**training: float) -> set[float]:
        spec = _spec(tmp_path, training=training)
        tokens = type("Tokens", (), {"pad_token_id": 1, "__len__": lambda self: 100})()
        model = _build(spec, 2, tokens)
        return {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}

    assert rates() == {0.1}
    assert rates(dropout=0.3) == {0.3}
    assert rates(dropout=0.0) == {0.0}
