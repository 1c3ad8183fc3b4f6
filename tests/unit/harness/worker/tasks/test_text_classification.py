"""A user's own CSV as `harness train` trains on it, against the semantics of the original script.

The script's steps are written down here with the libraries that it uses (`datasets`, a tokenizer of
transformers, Trainer), from its rules for files that are not GLUE's.
"""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.cli import _parser
from harness.commands.train import spelled
from harness.runner.single_job import _spec
from harness.schema.job import JobSpec
from harness.worker import backends, tasks
from harness.worker.job import Job, Loaded
from harness.worker.tasks.text_classification import accuracy, mean_squared_error

WORDS = "the a film plot cast was is good bad long fine dull great poor warm cold".split()
LABELS = ["positive", "negative", "Mixed"]
BATCH, LENGTH, SEED = 8, 24, 11
KINDS = ("strings", "pair", "regression")


def _csv(file: Path, kind: str, samples: int, seed: int) -> None:
    draw = random.Random(seed)

    def text() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(3, 20)))

    lines = {
        "strings": lambda: f'"{text()},\n{text()}",{draw.choice(LABELS)}',
        "pair": lambda: f'{text()},{draw.randint(1, 4)},"{text()}, {text()}"',
        "regression": lambda: f"{draw.uniform(0, 5):.2f},{text()}",
    }
    head = {"strings": "text,label", "pair": "premise,label,hypothesis", "regression": "label,text"}
    file.write_text("\n".join([head[kind], *(lines[kind]() for _ in range(samples)), ""]))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BERT with a tokenizer, as a user has one in a folder."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model") / "small-bert"
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    known = [*names, ",", *"abcdefghijklmnopqrstuvwxyz", *letters, *(w for w in WORDS if w != "a")]
    vocabulary = {token: index for index, token in enumerate(known)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    special = {f"{name.strip('[]').lower()}_token": name for name in names}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **special,
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def _files(folder: Path, kind: str) -> tuple[Path, Path]:
    train, validation = folder / "train.csv", folder / "validation.csv"
    _csv(train, kind, 60, seed=1)
    _csv(validation, kind, 20, seed=2)
    return train, validation


def _job(folder: Path, model: Path, train: Path, validation: Path, *more: str) -> JobSpec:
    words = f"--model_name_or_path {model} --train_file {train} --validation_file {validation} "
    words += f"--output_dir {folder / 'out'} --do_train --seed {SEED} --max_seq_length {LENGTH} "
    words += f"--per_device_train_batch_size {BATCH}"
    arguments = _parser().parse_args(spelled(["train", *words.split(), *more]))
    return _spec(arguments, "cpu", folder / "cache")


def _prepared(spec: JobSpec, folder: Path) -> tuple[Loaded, Any, Any]:
    """The task with its data, the model, and the Trainer of a job before its first step."""
    backend = backends.get("pytorch")(spec)
    job = Job(spec, backend, SimpleNamespace(send=lambda *_, **__: None))  # type: ignore[arg-type]
    task = tasks.get(spec.workload.task.kind)(spec)
    loaded = Loaded(task, task.load())
    built = job.build_model(loaded)
    return loaded, built.model, job.prepare(loaded, built, folder / "trainer").trainer


def _of_the_script(
    folder: Path, checkpoint: Path, train: Path, validation: Path, *, pad: bool
) -> SimpleNamespace:
    """What the original script has before its first step."""
    import datasets
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        default_data_collator,
        set_seed,
    )

    set_seed(SEED)
    raw = datasets.load_dataset(
        "csv",
        data_files={"train": str(train), "validation": str(validation)},
        cache_dir=str(folder / "datasets"),
    )
    regression = raw["train"].features["label"].dtype in ("float32", "float64")
    names = [] if regression else sorted(raw["train"].unique("label"))
    index = {name: at for at, name in enumerate(names)}
    others = [name for name in raw["train"].column_names if name != "label"]
    if {"sentence1", "sentence2"} <= set(others):
        others = ["sentence1", "sentence2"]
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)

    def tokens(rows: Any) -> Any:
        texts = [rows[name] for name in others[:2]]
        found = tokenizer(
            *texts,
            padding="max_length" if pad else False,
            max_length=LENGTH,
            truncation=True,
        )
        if not regression:
            found["label"] = [index[label] for label in rows["label"]]
        return found

    mapped = raw.map(tokens, batched=True)
    config = AutoConfig.from_pretrained(checkpoint, num_labels=1 if regression else len(names))
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, config=config)
    arguments = TrainingArguments(
        output_dir=str(folder / "script"),
        seed=SEED,
        per_device_train_batch_size=BATCH,
        use_cpu=True,
        report_to=[],
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=mapped["train"],
        eval_dataset=mapped["validation"],
        data_collator=default_data_collator if pad else DataCollatorWithPadding(tokenizer),
    )
    return SimpleNamespace(names=names, trainer=trainer, validation=mapped["validation"])


def _batches(trainer: Any) -> list[dict[str, Any]]:
    from transformers import set_seed

    set_seed(SEED)
    return [dict(batch) for batch in trainer.get_train_dataloader()]


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_classes_and_batches_are_those_of_the_original_script(
    kind: str, pad: bool, checkpoint: Path, tmp_path: Path
) -> None:
    import torch

    train, validation = _files(tmp_path, kind)
    script = _of_the_script(tmp_path, checkpoint, train, validation, pad=pad)
    spec = _job(tmp_path, checkpoint, train, validation, f"--pad_to_max_length={pad}")
    loaded, model, trainer = _prepared(spec, tmp_path)

    if kind == "regression":
        assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
        assert script.names == []
    else:
        assert script.names == (
            ["Mixed", "negative", "positive"] if kind == "strings" else [1, 2, 3, 4]
        )
        assert list(model.config.id2label.values()) == [str(name) for name in script.names]
        assert model.config.label2id == {str(n): i for i, n in enumerate(script.names)}
        assert model.config.num_labels == loaded.data.labels == len(script.names)

    ours, theirs = _batches(trainer), _batches(script.trainer)
    assert len(ours) == len(theirs) == 8
    for batch, other in zip(ours, theirs, strict=True):
        assert batch.keys() == other.keys()
        assert {"input_ids", "attention_mask", "token_type_ids", "labels"} == batch.keys()
        for name, values in batch.items():
            assert torch.equal(values, other[name]), name
    widths = {batch["input_ids"].shape[1] for batch in ours}
    assert widths == {LENGTH} if pad else max(widths) <= LENGTH
    if kind == "pair":
        assert ours[0]["token_type_ids"].any()
    assert loaded.data.validation["labels"] == script.validation["label"]


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_of_fixed_predictions_are_those_of_the_original_script(
    kind: str, checkpoint: Path, tmp_path: Path
) -> None:
    from sklearn import metrics
    from transformers import EvalPrediction

    train, validation = _files(tmp_path, kind)
    spec = _job(tmp_path, checkpoint, train, validation)
    data = tasks.get("text-classification")(spec).load()
    assert data.metrics is not None
    truth = np.asarray(data.validation["labels"])
    logits = np.random.default_rng(0).normal(size=(len(truth), data.labels)).astype(np.float32)
    found = data.metrics(EvalPrediction(predictions=logits, label_ids=truth))
    again = data.metrics(EvalPrediction(predictions=(logits, logits), label_ids=truth))
    if kind == "regression":
        assert data.main_metrics == ("mse",)
        assert found == {"mse": pytest.approx(((np.squeeze(logits) - truth) ** 2).mean())}
        assert found["mse"] == pytest.approx(metrics.mean_squared_error(truth, logits[:, 0]))
        assert data.chance == {
            "mse": pytest.approx(metrics.mean_squared_error(truth, [truth.mean()] * 20))
        }
    else:
        assert data.main_metrics == ("accuracy",)
        right = (np.argmax(logits, axis=1) == truth).astype(np.float32).mean().item()
        assert found == {"accuracy": pytest.approx(right)}
        assert found["accuracy"] == metrics.accuracy_score(truth, logits.argmax(1))
        assert data.chance["accuracy"] == max(np.bincount(truth)) / len(truth)
    assert again == found


def test_what_is_not_finite_has_no_metric() -> None:
    logits = np.array([[0.0, np.nan], [1.0, 0.0]])
    assert np.isnan(accuracy(SimpleNamespace(predictions=logits, label_ids=[0, 1]))["accuracy"])
    column = SimpleNamespace(predictions=np.array([[np.inf], [1.0]]), label_ids=np.zeros(2))
    assert np.isnan(mean_squared_error(column)["mse"])


def test_at_most_so_many_samples_are_the_first_ones_and_all_classes_stay(
    checkpoint: Path, tmp_path: Path
) -> None:
    train, validation = _files(tmp_path, "strings")
    more = ["--max_train_samples", "5", "--max_eval_samples", "3"]
    whole = tasks.get("text-classification")(_job(tmp_path, checkpoint, train, validation)).load()
    few = tasks.get("text-classification")(
        _job(tmp_path, checkpoint, train, validation, *more)
    ).load()
    assert (len(few.train), len(few.validation), few.labels) == (5, 3, 3)
    assert few.train["input_ids"] == whole.train["input_ids"][:5]
    assert (few.sources.data, few.sources.train_samples) == ("files", 5)


def test_a_data_set_of_the_hub_is_read_as_a_file_is(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """datasets.load_dataset itself, on a local copy instead of the network."""
    import datasets

    train, validation = _files(tmp_path, "pair")
    by_files = tasks.get("text-classification")(
        _job(tmp_path, checkpoint, train, validation)
    ).load()
    repository = tmp_path / "hub" / "pairs"
    repository.mkdir(parents=True)
    train.rename(repository / "train.csv")
    validation.rename(repository / "validation.csv")
    load = datasets.load_dataset
    monkeypatch.setattr(
        datasets,
        "load_dataset",
        lambda name, config: load(f"{tmp_path}/hub/{name.split('/')[1]}", config),
    )
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    words = f"--model_name_or_path {checkpoint} --dataset_name org/pairs --do_train "
    words += f"--output_dir {tmp_path / 'out'} --max_seq_length {LENGTH}"
    spec = _spec(_parser().parse_args(spelled(["train", *words.split()])), "cpu", tmp_path / "c")
    assert (spec.workload.task.source, spec.workload.task.dataset) == ("hub", "org/pairs")
    by_hub = tasks.get("text-classification")(spec).load()
    assert by_hub.sources.data == "hub"
    assert by_hub.train["input_ids"] == by_files.train["input_ids"]
    assert by_hub.train["labels"] == by_files.train["labels"]
    assert by_hub.sources.data_sha256 == by_files.sources.data_sha256
