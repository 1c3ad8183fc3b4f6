"""All nine GLUE tasks as a job sees them: the hub's layout, both validation sets of MNLI, labels,
the model's head.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import worker_helpers as worker

from harness.errors import BenchError
from harness.schema.glue import GLUE, GLUE_TASKS
from harness.schema.job import JobSpec
from harness.worker.model import build
from harness.worker.tasks import glue, sources, synthetic

SIZES = {"train": 60, "validation": 20, "validation_mm": 16}


def _spec(root: Path, subset: str, **task: Any) -> JobSpec:
    given = {"name": subset, "subset": subset, "train_samples": None, "eval_samples": None, **task}
    return JobSpec.model_validate(worker.spec(root, task=given))


def _write(folder: Path, subset: str) -> None:
    """The task's splits as the hub has them: Parquet, its own column and split names, test sets
    without labels.
    """
    columns = GLUE[subset]
    folder.mkdir(parents=True)
    for split, name in columns.splits.items():
        texts, labels = synthetic.generate(subset, split, SIZES[split], 0)
        table = {
            **dict(zip(columns.texts, texts, strict=True)),
            "label": labels,
            "idx": list(range(len(labels))),
        }
        pq.write_table(pa.table(table), folder / f"{name}-00000-of-00001.parquet")
        if split != "train":
            hidden = {**table, "label": [type(labels[0])(-1)] * len(labels)}
            test = name.replace("validation", "test")
            pq.write_table(pa.table(hidden), folder / f"{test}-00000-of-00001.parquet")


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in the layout of the hub's nyu-mll/glue: a folder per task, and the README that
    names the splits.
    """
    root = tmp_path_factory.mktemp("hub") / "glue"
    lines = ["---", "configs:"]
    for subset in GLUE_TASKS:
        _write(root / subset, subset)
        lines += [f"- config_name: {subset}", "  data_files:"]
        for file in sorted((root / subset).glob("*.parquet")):
            split = file.name.split("-")[0]
            lines += [f"  - split: {split}", f"    path: {subset}/{split}-*"]
    (root / "README.md").write_text("\n".join([*lines, "---", ""]))
    return root


@pytest.fixture
def hub(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """datasets.load_dataset itself, on a local copy instead of the network."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(sources, "HUB_DATASET", str(mirror))
    return mirror


@pytest.mark.parametrize("subset", GLUE_TASKS)
def test_the_hub_a_folder_and_the_corpus_give_the_same_task(
    subset: str, hub: Path, tmp_path: Path
) -> None:
    by_hub = glue.load(_spec(tmp_path, subset, source="hub"))
    by_folder = glue.load(_spec(tmp_path, subset, source="folder", folder=str(hub)))
    built_in = glue.load(
        _spec(tmp_path, subset, source="synthetic", train_samples=60, eval_samples=20)
    )
    assert [data.sources.data for data in (by_hub, by_folder, built_in)] == [
        "hub",
        "folder",
        "synthetic",
    ]
    for data in (by_hub, by_folder, built_in):
        assert len(data.train) == 60
        assert len(data.validation) == 20
        assert set(data.further) == ({"mm"} if subset == "mnli" else set())
        assert data.train["labels"] == by_hub.train["labels"]
        assert data.validation["labels"] == by_hub.validation["labels"]
        assert len(data.train[0]["input_ids"]) == 32
    kind = float if subset == "stsb" else int
    assert {type(label) for label in by_folder.train["labels"]} == {kind}
    assert by_hub.labels == {"stsb": 1, "mnli": 3}.get(subset, 2)
    if subset == "mnli":
        assert len(by_hub.further["mm"]) == 16
        assert by_hub.further["mm"]["labels"] == by_folder.further["mm"]["labels"]
        assert by_hub.sources.eval_samples == 36
        assert set(by_hub.chance) == set(by_hub.main_metrics) == {"accuracy", "accuracy_mm"}


@pytest.mark.parametrize("subset", GLUE_TASKS)
def test_the_models_head_is_that_of_the_task(subset: str, tmp_path: Path) -> None:
    task = glue.Glue(_spec(tmp_path, subset, train_samples=50, eval_samples=20))
    data = task.load()
    model, remarks = build.build(
        task.spec, data.tokenizer, task.auto_class, task.model_config(data)
    )
    config = model.config
    assert remarks == []
    assert config.num_labels == data.labels
    if subset == "stsb":
        assert config.problem_type == "regression"
    else:
        assert [config.id2label[index] for index in range(data.labels)] == list(
            GLUE[subset].classes
        )


@pytest.mark.parametrize(
    ("subset", "split"), [("sst2", "validation"), ("mnli", "validation_mismatched")]
)
def test_hidden_labels_are_refused(subset: str, split: str, mirror: Path, tmp_path: Path) -> None:
    """A test set where a validation set should be: GLUE's have -1 for every label."""
    import shutil

    folder = tmp_path / "mixed" / subset
    shutil.copytree(mirror / subset, folder)
    hidden = folder / f"{split.replace('validation', 'test')}-00000-of-00001.parquet"
    hidden.replace(folder / f"{split}-00000-of-00001.parquet")
    with pytest.raises(BenchError, match="not labelled") as caught:
        glue.load(_spec(tmp_path, subset, source="folder", folder=str(folder.parent)))
    assert caught.value.place == f"{folder} ({split})"
    assert "training and validation sets" in caught.value.fix


@pytest.mark.parametrize(
    ("subset", "label", "message"),
    [
        ("rte", 2, "a label is 2, not one of 0, 1"),
        ("mnli", -2, "a label is -2, not one of 0, 1, 2"),
        ("stsb", 5.5, "a label is 5.5, not a number from 0 to 5"),
        ("cola", "good", "a label is 'good', not one of 0, 1"),
    ],
)
def test_a_label_that_cannot_be_is_refused(
    subset: str, label: Any, message: str, mirror: Path, tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "wrong" / subset
    shutil.copytree(mirror / subset, folder)
    texts = {column: ["one", "two"] for column in GLUE[subset].texts}
    pq.write_table(
        pa.table({**texts, "label": [label, label]}), folder / "train-00000-of-00001.parquet"
    )
    with pytest.raises(BenchError) as caught:
        glue.load(_spec(tmp_path, subset, source="folder", folder=str(folder.parent)))
    assert caught.value.message == message
    assert caught.value.place == f"{folder} (train), row 1"
    assert "correct it or remove the sample" in caught.value.fix


def test_what_is_missing_is_told_with_its_row(mirror: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "holes" / "cola"
    shutil.copytree(mirror / "cola", folder)
    table = pa.table({"sentence": ["one", "two"], "label": [1, None]})
    pq.write_table(table, folder / "train-00000-of-00001.parquet")
    with pytest.raises(BenchError, match="is missing \\(null\\) in 'label'") as caught:
        glue.load(_spec(tmp_path, "cola", source="folder", folder=str(folder.parent)))
    assert caught.value.place == f"{folder} (train), row 2"
    assert caught.value.fix == "a value there, or remove the sample"


def test_mnli_needs_both_validation_sets(mirror: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(mirror / "mnli", tmp_path / "half" / "mnli")
    (tmp_path / "half" / "mnli" / "validation_mismatched-00000-of-00001.parquet").unlink()
    with pytest.raises(BenchError, match="no validation_mismatched-"):
        glue.load(_spec(tmp_path, "mnli", source="folder", folder=str(tmp_path / "half")))
