"""Every flag of the original scripts is taken by `harness train`, or refused with a reason."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pytest
from train_support import train

from harness.cli import _parser, main
from harness.commands.script_flags import REFUSED
from harness.commands.train import spelled
from harness.runner.single_job import OF_KINDS, _spec
from harness.schema.job import JobSpec
from harness.schema.workload import Training
from harness.worker import tasks

# Flags of run_glue.py, run_ner.py and run_translation.py beside those of TrainingArguments.
OF_SCRIPTS = """
    task_name dataset_name dataset_config_name max_seq_length overwrite_cache pad_to_max_length
    max_train_samples max_eval_samples max_predict_samples train_file validation_file test_file
    model_name_or_path config_name tokenizer_name cache_dir use_fast_tokenizer model_revision token
    trust_remote_code ignore_mismatched_sizes text_column_name label_column_name
    preprocessing_num_workers label_all_tokens return_entity_level_metrics source_lang target_lang
    max_source_length max_target_length val_max_target_length num_beams ignore_pad_token_for_loss
    source_prefix forced_bos_token inference_with_ort use_auth_token
""".split()


def of_training_arguments() -> list[str]:
    """Flags of transformers' and Optimum's TrainingArguments."""
    from optimum.onnxruntime import ORTSeq2SeqTrainingArguments

    return [field.name for field in dataclasses.fields(ORTSeq2SeqTrainingArguments) if field.init]


def _actions() -> dict[str, argparse.Action]:
    (commands,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {name: a for a in commands.choices["train"]._actions for name in a.option_strings}


def test_every_flag_of_the_scripts_is_known() -> None:
    flags = {name.replace("_", "-") for name in (*OF_SCRIPTS, *of_training_arguments())}
    assert len(flags) > 150
    unknown = {flag for flag in flags if f"--{flag}" not in _actions()}
    # `_n_gpu` is no flag that anybody writes.
    assert unknown - {"-n-gpu"} == set()


def test_a_flag_is_taken_or_refused_and_each_is_refused_for_one_reason() -> None:
    refused = [name for why in REFUSED for name in why.flags.split()]
    assert len(refused) == len(set(refused))
    assert all(why.means.keys() <= set(why.flags.split()) for why in REFUSED)
    shown = {name for name, a in _actions().items() if a.help != argparse.SUPPRESS}
    assert not shown & {f"--{name.replace('_', '-')}" for name in refused}


def _run(capsys: pytest.CaptureFixture[str], output: Path, *words: str) -> str:
    """What the command says on stderr; it must end with 2, and write nothing."""
    command = ["train", "--model-name-or-path", "bert-tiny", "--device", "cpu", "--do-train"]
    assert main([*command, "--output-dir", str(output), *words]) == 2
    assert not output.exists()
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "why"), [(name, why) for why in REFUSED for name in why.flags.split()]
)
def test_what_says_nothing_here_is_refused_with_the_reason(
    flag: str, why: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = _run(capsys, tmp_path / "out", f"--{flag}", "7")
    option = f"--{flag.replace('_', '-')}"
    value = "" if flag.endswith("token") else " 7"
    assert told.startswith(f"harness: {option}{value}: is not taken: {why.reason}\n  fix: ")  # type: ignore[attr-defined]
    assert "hf_" not in told


def test_a_token_is_not_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = _run(capsys, tmp_path / "out", "--token", "hf_secret")
    assert told == (
        "harness: --token: is not taken: every user of this host sees the words of a command, and "
        "a token is a secret\n  fix: the variable HF_TOKEN, or `huggingface-cli login`\n"
    )


def _job(tmp_path: Path, *words: str) -> JobSpec:
    given = ["train", "--model_name_or_path", "bert-tiny", "--output_dir", str(tmp_path / "out")]
    return _spec(_parser().parse_args(spelled([*given, "--do_train", *words])), "cpu", tmp_path)


def test_what_says_what_happens_anyway_is_taken(tmp_path: Path) -> None:
    words = (
        "--report_to none --save_strategy no --eval_strategy no --disable_tqdm True --do_predict "
        "False --use_fast_tokenizer --ignore_mismatched_sizes --tf32 0 --push_to_hub=false "
        "--fp16_backend auto --overwrite_cache no --fp16 False --ignore_pad_token_for_loss "
        "--max_steps -1 --warmup_steps 0"
    )
    assert _job(tmp_path, *words.split()) == _job(tmp_path)
    tags = ("--task", "token-classification")
    assert _job(tmp_path, *tags, "--task_name", "ner") == _job(tmp_path, *tags)
    warm = _job(tmp_path, "--warmup_steps", "0", "--warmup_ratio", "0.1").workload.training
    assert warm == Training(warmup_ratio=0.1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--no_use_fast_tokenizer", "harness: --no-use-fast-tokenizer: is not taken: tokens are"),
        (
            "--ignore_mismatched_sizes False",
            "harness: --ignore-mismatched-sizes False: is not taken: a head of another size is "
            "always drawn from the seed, and a note says so\n"
            "  fix: leave it out; --ignore-mismatched-sizes true is taken\n",
        ),
        (
            "--report_to wandb tensorboard",
            "harness: --report-to wandb tensorboard: is not taken: the harness itself records",
        ),
        ("--do_predict", "harness: --do-predict: is not taken: nothing is predicted"),
        (
            "--label_smoothing_factor 0.1",
            "harness: --label-smoothing-factor: glue has no such setting\n  fix: leave it out",
        ),
        (
            "--text_column_name text",
            "harness: --text-column-name: glue has no such setting\n"
            "  fix: leave it out, or --task text-classification or token-classification\n",
        ),
        (
            "--label_all_tokens",
            "harness: --label-all-tokens: glue has no such setting\n"
            "  fix: leave it out, or --task token-classification\n",
        ),
        (
            "--max_source_length 64",
            "harness: --max-source-length: glue has no such setting\n"
            "  fix: leave it out, or --max-seq-length",
        ),
        (
            "--task translation --max_source_length 64 --max_seq_length 32",
            "harness: --max-source-length and --max-seq-length: two names of one setting\n"
            "  fix: leave one out\n",
        ),
        ("--max_steps -2", "harness: --max-steps: -2 does not fit\n  fix: greater than 0"),
        (
            "--task token-classification --task_name pos",
            "harness: --task-name pos: tells GLUE's tasks apart, and token-classification is no "
            "task of GLUE\n",
        ),
        (
            "--lr_scheduler_type polynomial",
            "harness: --lr-scheduler-type: 'polynomial' is not a choice\n  fix: 'linear', 'cosine'",
        ),
        ("--warmup_ratio 2", "harness: --warmup-ratio: 2.0 does not fit\n  fix: less than 1"),
        (
            "--warmup_ratio 0.1 --warmup_steps 5",
            "harness: --warmup-steps --warmup-ratio: --warmup-steps and --warmup-ratio say the "
            "same: give one of them\n  fix: leave one of them out\n",
        ),
        (
            "--optim sgd --adam_beta1 0.8",
            "harness: --adam-beta1 --optim: --adam-beta1 goes with an --optim of AdamW, and sgd is "
            "not\n  fix: leave it out, or --optim adamw_torch\n",
        ),
        ("--use_cpu --device cuda", "harness: --use-cpu --device cuda: the CPU and the card are"),
        (
            "--train_file a.csv",
            "harness: --validation-file: is missing, and --train-file is given\n  fix: --train-file"
            " and --validation-file: a model trains on one and is judged on the other\n",
        ),
        ("--validation_file a.csv", "harness: --train-file: is missing, and --validation-file is"),
        (
            "--train_file a.csv --validation_file b.csv --task_name mrpc",
            "harness: --train-file and --task-name mrpc: two sources of data\n"
            "  fix: leave one out\n",
        ),
        (
            "--train_file a.csv --validation_file b.csv --data synthetic",
            "harness: --train-file and --data synthetic: two sources of data\n",
        ),
        (
            "--dataset_name imdb --train_file b.csv",
            "harness: --dataset-name and --train-file b.csv: two sources of data\n",
        ),
        (
            "--dataset_name imdb --task_name sst2",
            "harness: --dataset-name and --task-name sst2: two sources of data\n",
        ),
        ("--dataset_config_name x", "harness: --dataset-config-name x: goes with --dataset-name\n"),
        (
            "--task causal-lm --train_file a.csv --validation_file b.csv",
            "harness: --task causal-lm --train-file a.csv: causal-lm cannot read its data from "
            "files that are named one by one\n  fix: --task text-classification or ",
        ),
        (
            "--task glue --dataset_name imdb",
            "harness: --dataset-name: glue has a data set of its own\n",
        ),
        (
            "--task text-classification",
            "harness: --data: text-classification has no data of its own\n",
        ),
        (
            "--task translation --num_beams 0",
            "harness: --num-beams: 0 does not fit\n  fix: greater than or equal to 1\n",
        ),
        (
            "--task glue --train_file a.csv --validation_file b.csv",
            "harness: --task glue --train-file a.csv: glue cannot read its data from files that "
            "are named one by one\n  fix: --task text-classification or token-classification or "
            "translation, or --data FOLDER for glue\n",
        ),
        ("--dataset_name ./tests", "harness: --dataset-name: './tests' is a file or folder here\n"),
        (
            "--model_revision v2",
            "harness: --model-revision v2: bert-tiny is built in, and has no such thing",
        ),
        ("--tokenizer_name x", "harness: --tokenizer-name x: bert-tiny is built in, and has no"),
    ],
)
def test_flags_that_do_not_fit(
    words: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(capsys, tmp_path / "out", *words.split()).startswith(message)


def test_a_data_set_of_the_hub_without_a_network_is_one_error(tmp_path: Path) -> None:
    """Nobody listens there."""
    environment = {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path / "hf"),
        "no_proxy": "127.0.0.1",
    }
    done = train(tmp_path / "out", "bert-tiny", "--dataset_name org/set --do_train", **environment)
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        "harness: --dataset-name org/set: whether the hub has the data set org/set is not known "
        "(connection refused)\n"
        "  fix: try again later, or with a network; HF_HUB_OFFLINE=1 takes only what the cache "
        "has; or --train-file and --validation-file\n"
    )
    assert not (tmp_path / "out").exists()


def test_settings_of_training_have_the_scripts_flags(tmp_path: Path) -> None:
    words = (
        "--gradient_accumulation_steps 2 --lr_scheduler_type cosine --warmup_ratio 0.1 "
        "--weight_decay 0.01 --max_grad_norm 0.5 --dataloader_num_workers 1 --logging_steps 5 "
        "--pad_to_max_length False --max_seq_length 64 --num_train_epochs 1 --adam_beta1 0.8 "
        "--adam_beta2 0.99 --adam_epsilon 1e-6 --optim adamw_torch_fused "
        "--dataloader_pin_memory False"
    )
    assert _job(tmp_path, *words.split()).workload.training == Training(
        gradient_accumulation_steps=2,
        lr_scheduler="cosine",
        warmup_ratio=0.1,
        weight_decay=0.01,
        max_grad_norm=0.5,
        dataloader_workers=1,
        dataloader_pin_memory=False,
        logging_steps=5,
        pad_to_max_length=False,
        max_seq_length=64,
        optim="adamw_torch_fused",
        epochs=1,
        adam_beta1=0.8,
        adam_beta2=0.99,
        adam_epsilon=1e-6,
    )
    assert _job(tmp_path, "--warmup_steps", "7").workload.training == Training(warmup_steps=7)
    assert not _job(tmp_path, "--no_pad_to_max_length").workload.training.pad_to_max_length
    assert _job(tmp_path, "--task_name", "MRPC").workload.task.subset == "mrpc"


def test_settings_of_a_kind_of_task_have_the_scripts_flags(tmp_path: Path) -> None:
    words = (
        "--task translation --source_lang de --target_lang en --source_prefix x: "
        "--max_source_length 48 --max_target_length 64 --num_beams 2 --label_smoothing_factor 0.1 "
        "--predict_with_generate False"
    )
    job = _job(tmp_path, *words.split())
    assert job.workload.training.max_seq_length == 48
    assert job.workload.task.options == {
        "source_lang": "de",
        "target_lang": "en",
        "source_prefix": "x:",
        "max_target_length": 64,
        "num_beams": 2,
        "label_smoothing_factor": 0.1,
        "predict_with_generate": False,
    }
    tags = _job(tmp_path, "--task", "token-classification", "--label_all_tokens")
    assert tags.workload.task.options == {"tag_every_piece": True}
    for option, flag in OF_KINDS.items():
        assert f"--{flag}" in _actions(), option


def test_the_published_commands_of_the_other_examples_are_taken(tmp_path: Path) -> None:
    words = "--task translation --dataset_name wmt16 --dataset_config_name ro-en --source_lang en"
    task = _job(tmp_path, *words.split(), "--target_lang", "ro").workload.task
    assert (task.kind, task.source) == ("translation", "hub")
    assert tasks.get(task.kind).hub_dataset(task) == ("wmt16", "ro-en")
    task = _job(
        tmp_path, "--task", "token-classification", "--dataset_name", "conll2003"
    ).workload.task
    assert tasks.get(task.kind).hub_dataset(task) == ("conll2003", "default")


def test_a_model_of_the_hub_has_a_revision_and_parts_of_its_own(tmp_path: Path) -> None:
    words = ["--config_name", "org/c", "--tokenizer_name", "org/t", "--model_revision", "v2"]
    model = _job(tmp_path, "--model_name_or_path", "org/m", *words).workload.model
    assert (model.path, model.config_path, model.tokenizer_path, model.revision) == (
        "org/m",
        "org/c",
        "org/t",
        "v2",
    )


def test_the_cache_of_the_hub_is_that_of_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.planning import hub

    monkeypatch.setenv("TRANSFORMERS_CACHE", "/elsewhere")
    monkeypatch.setenv("HF_HUB_CACHE", "/elsewhere")
    monkeypatch.setenv("HF_DATASETS_CACHE", "/elsewhere")
    hub.use_cache(tmp_path)
    assert (hub.hub_cache(), hub.datasets_cache()) == (tmp_path, tmp_path)


def test_the_help_names_every_kind_of_task() -> None:
    told = _actions()["--task"].help or ""
    assert [kind for kind in tasks.TASKS if kind not in told] == []
