"""`harness train`: what its options refuse for every kind of task."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path

import pytest
from train_support import QUICK, train

from harness.cli import _parser, main
from harness.commands import train as train_command
from harness.runner.single_job import TRAINING, _reason_by_flags, _spec
from harness.schema.workload import Training


@pytest.mark.parametrize(
    ("given", "message", "fix"),
    [
        (
            "--task nonsense",
            "--task nonsense: no kind of task is called 'nonsense'",
            "causal-lm, token-classification",
        ),
        ("--task sst2", "--task sst2: no kind of task is called 'sst2'", "--task-name sst2"),
        (
            "--task causal-lm --task-name sst2",
            "--task-name sst2: tells GLUE's tasks apart",
            "leave it out",
        ),
        ("--task-name causal-lm", "--task-name causal-lm: is a kind of task", "--task causal-lm"),
        ("--task-name sst3", "--task-name: 'sst3' is not a choice", "'sst2'"),
        (
            "--task causal-lm --data hub",
            "--data: causal-lm cannot read its data from hub",
            "auto, synthetic",
        ),
        (
            "--task causal-lm --data a-folder",
            "--data: causal-lm cannot read its data from folder",
            "auto, synthetic",
        ),
        (
            "--task causal-lm --task-option a=1",
            "--task-option a: unknown key 'a'",
            "known keys: none",
        ),
        (
            "--task token-classification --task-option tag_every=true",
            "--task-option tag_every: unknown key 'tag_every'",
            "did you mean 'tag_every_piece'?",
        ),
        (
            "--task token-classification --task-option tag_every_piece=often",
            "--task-option tag_every_piece: 'often' does not fit",
            "true or false",
        ),
        (
            "--task token-classification --task-option [",
            "--task-option [: needs KEY=VALUE",
            "tag_every_piece=true",
        ),
        (
            "--task causal-lm --max-train-samples 0",
            "--max-train-samples: 0 does not fit",
            "greater than 0",
        ),
    ],
)
def test_bad_options_are_one_error_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, message: str, fix: str
) -> None:
    output = tmp_path / "model"
    words = [
        "--model-name-or-path",
        "gpt2-tiny",
        "--device",
        "cpu",
        "--do-train",
        "--output-dir",
        str(output),
    ]
    assert main(["train", *words, *given.split()]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"harness: {message}")
    assert second.startswith("  fix: ")
    assert fix in second
    assert not output.exists()


@pytest.mark.parametrize(
    ("given", "message", "fix"),
    [
        ("--data nope", "--data nope: the folder nope is not there", "auto, hub, synthetic or the"),
        ("--data=", "--data: is empty", "auto, hub, synthetic or a folder"),
        (
            "--data empty",
            "--data empty: no train-*.parquet in empty/sst2",
            "sst2/train-00000-of-00001.parquet in the folder that is named",
        ),
        (
            "t5-tiny --task translation --data empty",
            "--data empty: empty: no file of the split 'train' is there",
            "train.json with a JSON object on each line",
        ),
        ("--data .", "--data .: no train-*.parquet in sst2", "sst2/train-00000-of-00001.parquet"),
        (
            "./broken",
            "--model-name-or-path ./broken: {here}/broken/config.json: is no object of JSON",
            "a whole config.json",
        ),
        ("--cache-dir broken/config.json", "--cache-dir broken/config.json: is a file", "a folder"),
        ("--fp16", "--fp16: half precision training needs a GPU", "leave it out on the CPU"),
        ("--bf16", "--bf16: half precision training needs a GPU", "leave it out on the CPU"),
        ("--backend nope", "--backend nope: no backend is called 'nope'", "pytorch, onnxruntime"),
        (
            "--optim adamw_ort_fused",
            "--optim adamw_ort_fused: pytorch does not know the optimizer adamw_ort_fused",
            "--optim adamw_torch_fused, or --backend onnxruntime",
        ),
        (
            "--backend onnxruntime --optim adamw_ort_fused",
            "--optim adamw_ort_fused: adamw_ort_fused runs on GPUs alone",
            "--optim adamw_torch on a CPU",
        ),
        (
            "bert-base --tokenizer-name /nope",
            "--tokenizer-name /nope: the folder /nope is not there",
            "the path of a folder that is",
        ),
        (
            "bert-base --config-name /nope",
            "--config-name /nope: the folder /nope is not there",
            "the path of a folder with a model",
        ),
        (
            "t5-tiny --attention sdpa",
            "--attention sdpa: transformers has no sdpa attention for models of the type t5",
            "--attention eager",
        ),
        (
            "--max-seq-length 1024",
            "--max-seq-length 1024: max_seq_length 1024 is more than the 512 positions",
            "--max-seq-length 512 or less",
        ),
        (
            "bart-tiny --task translation --max_source_length 2000",
            "--max-source-length 2000: max_seq_length 2000 is more than the 1024 positions",
            "--max-source-length 1024 or less",
        ),
        (
            "bart-tiny --task translation --max_source_length 1",
            "--max-source-length: 1 does not fit",
            "greater than 1",
        ),
        (
            "bart-tiny --task translation --max-target-length 2000",
            "--max-target-length 2000: max_target_length 2000 is more than the 1024 positions",
            "1024 or less, or another model",
        ),
        (
            "t5-tiny --task translation --source_lang ro --target_lang ro --num_beams 2",
            "--source-lang ro --target-lang ro: --source-lang and --target-lang are both 'ro'",
            "two languages, such as --source-lang en and --target-lang ro",
        ),
        (
            "t5-tiny --task translation --target-lang en_GB",
            "--target-lang en_GB: --source-lang and --target-lang are both 'en'",
            "two languages",
        ),
        (
            "t5-tiny --task translation --task-option target_lang=en",
            "--task-option: --source-lang and --target-lang are both 'en'",
            "two languages",
        ),
        (
            "t5-tiny --task translation --source-lang xx",
            "--source-lang xx: what T5 calls the language 'xx' is not known here",
            "give --source-prefix",
        ),
        (
            "--task translation",
            "--model-name-or-path bert-tiny: translation needs a model with AutoModelForSeq2SeqLM, "
            "and bert-tiny is of the type bert, which has none",
            "such as the built-in t5-small or t5-base or t5-large or bart-base or bart-large",
        ),
        (
            "bart-tiny --task token-classification",
            "--model-name-or-path bart-tiny: token-classification needs a model with "
            "AutoModelForTokenClassification",
            "another kind of task, or a model that has it",
        ),
        (
            "albert-tiny --task causal-lm",
            "--model-name-or-path albert-tiny: causal-lm needs a model with AutoModelForCausalLM",
            "another kind of task, or a model that has it",
        ),
    ],
)
def test_an_error_names_the_flag_as_it_was_typed_and_the_fix(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: str,
    message: str,
    fix: str,
) -> None:
    """Each of these once named a setting of suites that nobody had typed, or failed in the job."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("[]")
    model, *more = given.split() if not given.startswith("--") else ("bert-tiny", *given.split())
    words = f"train --model-name-or-path {model} --device cpu --do-train --output-dir out"
    assert main([*words.split(), *more]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"harness: {message.replace('{here}', str(tmp_path))}")
    assert second.startswith("  fix: ")
    assert fix in second
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (
            "in phase data: models.m.path: is cut short\n  fix: copy it again",
            "in phase data: --model-name-or-path bert-tiny: is cut short\n  fix: copy it again",
        ),
        (
            "in phase model: arms.pytorch.attention: there is no sdpa\n  fix: attention: eager",
            "in phase model: --attention sdpa: there is no sdpa\n  fix: --attention eager",
        ),
        ("in phase train: RuntimeError: odd", "in phase train: RuntimeError: odd"),
        ("killed by SIGKILL", "killed by SIGKILL"),
    ],
)
def test_the_reason_of_a_job_names_the_flag(reason: str, told: str) -> None:
    words = "train --model-name-or-path bert-tiny --attention sdpa --output-dir out --do-train"
    assert _reason_by_flags(reason, _parser().parse_args(words.split())) == told


def test_a_folder_with_a_model_that_cannot_translate_is_refused_before_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"model_type": "roberta"}')
    words = "train --model-name-or-path mine --device cpu --do-train --output-dir out"
    assert main([*words.split(), "--task", "translation"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("harness: --model-name-or-path mine: translation needs a model with")
    assert "of the type roberta" in told
    assert not (tmp_path / "out").exists()


def test_the_models_declare_what_is_not_given(tmp_path: Path) -> None:
    words = ["train", "--model-name-or-path", "bert-tiny", "--output-dir", str(tmp_path / "out")]

    def training(*given: str) -> Training:
        arguments = _parser().parse_args([*words, "--do-train", *given])
        return _spec(arguments, "cpu", tmp_path).workload.training

    assert training() == Training()
    assert training("--max-steps", "3", "--learning-rate", "0.1") == Training(
        max_steps=3, learning_rate=0.1
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("./checkpoints/bert-tiny", "the folder ./checkpoints/bert-tiny is not there"),
        ("~/bert-tiny", "the folder ~/bert-tiny is not there"),
        ("a/b/bert-tiny", "the folder a/b/bert-tiny is not there"),
        ("модели/bert-tiny", "is no folder that is there, and no name that the hub could have"),
        ("bert-tiny ", "is no folder that is there, and no name that the hub could have"),
        ("", "is empty"),
    ],
)
def test_a_model_that_cannot_be_is_one_error_and_not_random_weights(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
    message: str,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "model"
    words = ["--device", "cpu", "--do-train", "--data", "synthetic", "--output-dir", str(output)]
    assert main(["train", "--model-name-or-path", model, *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("harness: --model-name-or-path")
    assert message in said
    assert "fix: " in said
    assert not output.exists()


def test_an_unclear_hub_leaves_nothing_behind(tmp_path: Path) -> None:
    """Nobody listens there, and the model has no built-in shape that could stand in: the same
    command can follow.
    """
    environment = {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path / "hf"),
        "no_proxy": "127.0.0.1",
    }
    done = train(
        tmp_path / "model", "org/unknown", f"{QUICK} --data synthetic --do-train", **environment
    )
    assert done.returncode == 2, done.stderr
    assert "whether the hub has the weights of unknown (org/unknown) is not known" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("option", ["--output-dir", "--model-name-or-path"])
def test_a_folder_whose_name_is_no_text_is_refused_before_it_trains(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = str(tmp_path / os.fsdecode(b"a\xffb"))
    words = {
        "--output-dir": str(tmp_path / "out"),
        "--model-name-or-path": "bert-tiny",
        option: odd,
    }
    assert main(["train", "--do-train", *(word for pair in words.items() for word in pair)]) == 2
    assert f"{tmp_path}/a\\udcffb: is not UTF-8 text" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_relative_folder_below_one_whose_name_is_no_text_is_refused_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / os.fsdecode(b"a\xffb")
    odd.mkdir()
    monkeypatch.chdir(odd)
    assert (
        main(["train", "--do-train", "--output-dir", "out", "--model-name-or-path", "bert-tiny"])
        == 2
    )
    assert capsys.readouterr().err.startswith("harness: --output-dir out: its name is not UTF-8")
    assert list(odd.iterdir()) == []


def test_inference_of_a_translation_is_refused_before_anything_runs(tmp_path: Path) -> None:
    options = "--task translation --do-train --inference-with-ort"
    done = train(tmp_path / "model", "t5-tiny", options)
    assert done.returncode == 2
    assert "--inference-with-ort: the kind translation generates text" in done.stderr
    assert not (tmp_path / "model").exists()


def test_an_unknown_kind_is_told_with_the_installed_ones(tmp_path: Path) -> None:
    metadata = tmp_path / "site" / "toy-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[training_backend_bench.tasks]\ntoy-task = toy:Toy\n"
    )
    done = train(
        tmp_path / "model", "bert-tiny", "--task tyo --do-train", PYTHONPATH=str(metadata.parent)
    )
    assert done.returncode == 2
    assert "one of: glue, " in done.stderr
    assert ", toy-task; or install" in done.stderr
    assert "(in the environment of its stack too)" in done.stderr


@pytest.mark.parametrize(("setting", "option"), TRAINING.items())
def test_help_tells_the_default_that_the_model_declares(setting: str, option: str) -> None:
    from transformers import TrainingArguments

    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    train_command.register(commands)
    (action,) = (
        action
        for action in commands.choices["train"]._actions
        if f"--{option}" in action.option_strings
    )
    default = Training.model_fields[setting].default
    if setting.startswith("adam_"):  # left to transformers
        (field,) = (f for f in dataclasses.fields(TrainingArguments) if f.name == setting)
        default = field.default
    by_another = {
        "max_steps": "the epochs",
        "warmup_steps": "by the ratio",
        "dataloader_pin_memory": "True on a GPU",
    }
    told = by_another.get(setting, str(default))
    assert (action.help or "").endswith(f"(default: {told})")
