"""Models that `harness train` trains, of every kind of task, load again in transformers and score
the same.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from folders import ROOT
from train_support import QUICK, train

from harness.results.mfu import model_flops_per_sample
from harness.results.run_folder import read_records
from harness.worker.tasks import synthetic
from harness.worker.tasks.causal_lm import _blocks

REAL = f"{QUICK} --learning-rate 3e-3 --per-device-eval-batch-size 1"


def _metrics(output: Path, model: str, words: str) -> dict[str, Any]:
    """Of a job that must end well."""
    done = train(output, model, words)
    assert done.returncode == 0, done.stdout + done.stderr
    metrics: dict[str, Any] = json.loads((output / "metrics.json").read_text())
    assert all(f"{name} = " in done.stdout for name in metrics)
    return metrics


def test_a_language_model_trained_by_onnxruntime_loads_again(tmp_path: Path) -> None:
    """The model and the tokenizer that were saved have the perplexity that was printed; both
    engines infer it alike.
    """
    output = tmp_path / "model"
    words = (
        f"--task causal-lm {REAL} --backend onnxruntime --do-train --do-eval --inference-with-ort"
    )
    trained = _metrics(output, "gpt2-tiny", words)
    assert (trained["state"], trained["train_steps"]) == ("ok", 8)
    (folder,) = (output / "runs").iterdir()
    (record,) = read_records(folder)[0]
    assert (record.workload.task.kind, record.workload.task.subset) == ("causal-lm", None)
    assert (record.sources.train_samples, record.sources.eval_samples) == (120, 40)
    assert record.engagement is not None
    assert record.engagement.engaged
    assert trained["inference"] == "ok"
    assert 0 < trained["inference_max_logit_difference"] < 1e-3
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, report = AutoModelForCausalLM.from_pretrained(output, output_loading_info=True)
    assert (report["missing_keys"], report["unexpected_keys"], report["mismatched_keys"]) == (
        [],
        [],
        [],
    )
    sentences = synthetic.reviews("validation", 400, 0)[0]
    blocks = itertools.islice(_blocks(sentences, AutoTokenizer.from_pretrained(output), 32), 40)
    ids = torch.tensor(list(blocks))
    assert ids.shape == (40, 32)
    assert model(input_ids=ids, labels=ids).loss.exp().item() == pytest.approx(
        trained["eval_perplexity"], rel=1e-4
    )


def test_both_backends_train_on_a_csv_of_the_users_own(tmp_path: Path) -> None:
    """Both learn it from the same weights and batches; the saved models say their classes by name,
    and score what was printed.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    words = {"positive": ["good", "great", "lovely"], "Negative": ["bad", "awful", "dull"]}
    samples = {"train": 240, "validation": 60}
    texts: dict[str, list[tuple[str, str]]] = {}
    for split, count in samples.items():
        draw = random.Random(split)
        labels = draw.choices(list(words), k=count)
        texts[split] = [(f'a {draw.choice(words[x])} "film",\nhe said', x) for x in labels]
        with (tmp_path / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("review", "label"), *texts[split]])
    given = f"--train_file {tmp_path}/train.csv --validation_file {tmp_path}/validation.csv"
    how = (
        "--device cpu --max_seq_length 32 --max_steps 60 --learning_rate 1e-3 --do_train --do_eval"
    )
    records = []
    for backend in ("pytorch", "onnxruntime"):
        output = tmp_path / backend
        trained = _metrics(output, "bert-tiny", f"{given} {how} --backend {backend}")
        assert (trained["state"], trained["data"], trained["train_steps"]) == ("ok", "files", 60)
        assert trained["eval_accuracy"] == 1.0
        model = AutoModelForSequenceClassification.from_pretrained(output)
        assert model.config.id2label == {0: "Negative", 1: "positive"}
        tokens = AutoTokenizer.from_pretrained(output)(
            [text for text, _ in texts["validation"]], padding=True, return_tensors="pt"
        )
        with torch.no_grad():
            found = model.eval()(**tokens).logits.argmax(-1).tolist()
        assert [model.config.id2label[i] for i in found] == [x for _, x in texts["validation"]]
        (folder,) = (output / "runs").iterdir()
        (record,) = read_records(folder)[0]
        records.append(record)
        notes = json.loads((folder / "run.json").read_text())["notes"]
        assert any("text in 'review' (the only column beside the label)" in note for note in notes)
        assert any("2 classes in 'label': Negative, positive" in note for note in notes)
    one, other = records
    assert one.workload.task == other.workload.task
    assert one.workload.task.files_sha256 is not None
    assert one.sources.data_sha256 == other.sources.data_sha256
    assert one.fingerprint.data_order_sha256 == other.fingerprint.data_order_sha256
    assert one.fingerprint.initial_weights_sha256 == other.fingerprint.initial_weights_sha256
    assert other.engagement is not None
    assert other.engagement.engaged


def test_a_token_classifier_trained_by_pytorch_loads_again(tmp_path: Path) -> None:
    """With its option, which must be in what is trained, and its tags' names."""
    output = tmp_path / "model"
    words = (
        f"--task token-classification --task-option tag_every_piece=true {REAL} --do-train "
        "--do-eval"
    )
    trained = _metrics(output, "bert-tiny", f"{words} --backend pytorch")
    assert (trained["state"], trained["train_steps"]) == ("ok", 8)
    assert {
        f"eval_{name}" for name in ("loss", "precision", "recall", "f1", "accuracy")
    } < trained.keys()
    (folder,) = (output / "runs").iterdir()
    (record,) = read_records(folder)[0]
    assert record.workload.task.options == {"tag_every_piece": True}
    assert record.sources.train_samples == 120
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    model, report = AutoModelForTokenClassification.from_pretrained(
        output, output_loading_info=True
    )
    assert (report["missing_keys"], report["unexpected_keys"], report["mismatched_keys"]) == (
        [],
        [],
        [],
    )
    assert model.config.id2label[1] == "B-PER"
    encoded = AutoTokenizer.from_pretrained(output)("Lork beat Vand .", return_tensors="pt")
    assert model(**encoded).logits.shape == (*encoded["input_ids"].shape, 9)

    # From a folder whose name looks like a token of the hub: it trains, and is recorded under its
    # name.
    named = output.rename(tmp_path / "hf_bert_local_finetuned")
    again = f"--task token-classification {REAL} --do-train --max-steps 1"
    assert _metrics(tmp_path / "again", str(named), again)["weights"] == "pretrained"
    (folder,) = (tmp_path / "again" / "runs").iterdir()
    (record,) = read_records(folder)[0]
    assert record.workload.name == "hf_bert_local_finetuned-token-classification"
    assert record.workload.model.name == named.name
    assert (record.workload.model.path or "").endswith(f"/{named.name}")
    assert (
        str(tmp_path) not in (folder / "jobs.jsonl").read_text() + (folder / "run.json").read_text()
    )


def test_a_checkpoint_of_three_classes_trains_for_two(tmp_path: Path) -> None:
    """From MNLI to RTE, with a tokenizer that takes less than is asked for: both are told, in
    record and tables.
    """
    words = f"{QUICK} --data synthetic --do-train --max-steps 2"
    _metrics(tmp_path / "mnli", "bert-tiny", f"--task-name mnli {words}")
    settings = tmp_path / "mnli" / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"model_max_length": 16}))
    done = train(
        tmp_path / "rte",
        str(tmp_path / "mnli"),
        f"--task-name rte {words} --do-eval --max-seq-length 64",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    remark = (
        "classifier.weight of mnli has 3 outputs in the checkpoint and 2 here: drawn from the seed"
    )
    assert remark in done.stderr
    assert f"note = {remark}" in done.stdout
    assert "note = length 16, for the tokenizer takes no more (64 asked for)" in done.stdout
    (folder,) = (tmp_path / "rte" / "runs").iterdir()
    (record,) = read_records(folder)[0]
    assert (record.sources.weights, record.sources.remarks) == ("pretrained", [remark])
    assert (record.workload.training.max_seq_length, record.sources.max_seq_length) == (64, 16)
    assert record.shape is not None
    assert record.efficiency is not None
    assert record.efficiency.flops_per_sample == model_flops_per_sample(record.shape, 16)


def test_a_training_that_was_disturbed_counts_and_says_so(tmp_path: Path) -> None:
    """Stopped while it loads data: no step tells of it, and the model is wanted all the same."""
    command = [sys.executable, "-m", "harness.cli", "train", "--model-name-or-path", "bert-tiny"]
    command += [*"--data synthetic --do-train --max-steps 2 --max-train-samples 16".split()]
    command += [*"--max-seq-length 16 --device cpu --output-dir out".split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (
        workers := [
            p for p in psutil.Process(process.pid).children(recursive=True) if _is_worker(p)
        ]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers[0].send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    workers[0].send_signal(signal.SIGCONT)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 0, shown
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["state"] == "ok"
    assert "a process of the job was stopped (SIGSTOP) for" in metrics["disturbed"]
    assert "disturbed = " in shown


def _is_worker(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[1:3] == ["-m", "harness.worker"]
    except psutil.Error:
        return False
