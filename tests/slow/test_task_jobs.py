"""Language models, token classifiers and translators train alike under both backends."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import worker_helpers as worker
from folders import ROOT
from interleaved_support import Replicate, group_of

from harness.config import load_suite
from harness.planning.plan import make_plan
from harness.schema.job import JobSpec
from harness.schema.measurement import Interleaved
from harness.worker import tasks

KINDS = {"causal-lm": "gpt2-tiny", "token-classification": "bert-tiny"}


@pytest.mark.parametrize("kind", KINDS)
def test_both_arms_train_it_alike(tmp_path: Path, kind: str) -> None:
    """Parity runs over 12 steps; GPT-2 with accumulation, where a model that counts labels itself
    would differ.
    """
    halves = {"batch_size": 8, "gradient_accumulation_steps": 2} if kind == "causal-lm" else {}
    ended = {}
    for backend in ("pytorch", "onnxruntime"):
        job = worker.spec_of_kind(
            tmp_path,
            kind,
            KINDS[kind],
            parity_run=True,
            arm={"name": backend, "backend": backend},
            training={"max_steps": 12, "learning_rate": 3e-3, **halves},
        )
        ended[backend] = worker.run(tmp_path / backend, job)
    torch, ort = ended["pytorch"], ended["onnxruntime"]
    assert ort.result["engagement"]["engaged"], ort.result["engagement"]["reasons"]
    assert len(torch.losses) == len(ort.losses) == 12
    assert max(abs(a - b) for a, b in zip(torch.losses, ort.losses, strict=True)) < 1e-4
    assert torch.losses[-1] < torch.losses[0] - 0.5
    assert torch.result["fingerprint"] == ort.result["fingerprint"]
    assert ort.result["metrics"] == pytest.approx(torch.result["metrics"], rel=1e-3, abs=1e-3)
    (main,) = ort.result["main_metrics"]
    score, chance = ort.result["metrics"][main], ort.result["chance"][main]
    if kind == "causal-lm":
        assert torch.losses[0] == pytest.approx(
            math.log(4096), abs=0.3
        )  # not the sum over accumulated batches
        assert score < 1500
    else:
        assert score > chance


def _suite_jobs(workload: str, folder: Path, *, parity: bool) -> dict[str, JobSpec]:
    """The jobs of a workload of tasks-smoke, by backend; parity runs are evaluated too."""
    suite = load_suite(ROOT / "configs" / "tasks-smoke.yaml")
    plan = make_plan(suite, device="cpu", cache_dir=folder / "cache")
    return {
        job.arm.backend: job.replace(
            do_eval=True,
            workload=job.workload.replace(training=job.workload.training.replace(evaluate=True)),
        )
        for job in plan.jobs
        if job.workload.name == workload and job.parity_run == parity
    }


def _ended(jobs: dict[str, JobSpec], folder: Path) -> tuple[worker.Ended, worker.Ended]:
    found = {
        name: worker.run(folder / name, job.model_dump(mode="json"), timeout_s=240)
        for name, job in jobs.items()
    }
    return found["pytorch"], found["onnxruntime"]


DYNAMIC = ["bert-tiny-entities-dynamic", "t5-tiny-translation", "bart-tiny-translation"]


@pytest.mark.parametrize("workload", DYNAMIC)
def test_batches_of_any_length_train_alike_by_one_graph(tmp_path: Path, workload: str) -> None:
    """Parity runs of the smoke suite, whose batches are padded to their longest sentences: the same
    losses with label smoothing, BLEU and evaluation's loss; ONNX Runtime exported once.
    """
    torch, ort = _ended(_suite_jobs(workload, tmp_path, parity=True), tmp_path)
    engagement = ort.result["engagement"]
    assert engagement["engaged"], engagement["reasons"]
    assert engagement["checked_after_steps"] == [1, 10]
    assert engagement["rebuilt"] is False
    assert torch.result["sources"]["remarks"] == ort.result["sources"]["remarks"] == []
    assert len(torch.losses) == len(ort.losses) == 10
    assert max(abs(a - b) for a, b in zip(torch.losses, ort.losses, strict=True)) < 1e-4
    assert torch.losses[-1] < torch.losses[0] - 0.15
    assert torch.result["fingerprint"] == ort.result["fingerprint"]
    for name in ("loss", *ort.result["main_metrics"]):
        expected = pytest.approx(torch.result["metrics"][name], rel=1e-4, abs=1e-4)
        assert ort.result["metrics"][name] == expected
    settings = ort.result["fingerprint"]["training_arguments"]
    translates = workload.endswith("translation")
    assert settings["label_smoothing_factor"] == (0.1 if translates else 0.0)
    assert ort.result["main_metrics"] == (["bleu"] if translates else ["f1"])


def test_samples_and_tokens_per_second_belong_together(tmp_path: Path) -> None:
    """Under dynamic padding, in the steady window: tokens of the data, positions of the batches."""
    job = _suite_jobs("t5-tiny-translation", tmp_path, parity=False)["pytorch"]
    ended = worker.run(tmp_path / "job", job.model_dump(mode="json"), timeout_s=240)
    timing = ended.result["timing"]
    assert 0.2 < timing["padding_share"] < 0.7
    rows = tasks.get("translation")(job).load().train
    mean = sum(len(row["input_ids"]) + len(row["labels"]) for row in rows) / len(rows)
    per_sample = timing["steady_tokens_per_s"] / timing["steady_samples_per_s"]
    assert per_sample == pytest.approx(mean, rel=0.15)
    assert ended.result["metrics"].keys() == {"loss", "bleu", "gen_len"}
    assert ended.result["main_metrics"] == ["bleu"]


WORDS = {"one": "unu", "two": "doi", "three": "trei", "red": "roșu", "house": "casă", "is": "este"}


def test_text_is_generated_by_the_model_that_was_trained(tmp_path: Path) -> None:
    """A few pairs learned by heart, so that words come out: both arms generate the same, which is
    what the saved model does in transformers.
    """
    folder = tmp_path / "data"
    folder.mkdir()
    draw = random.Random(0)
    chosen = [draw.sample(list(WORDS), draw.randrange(4, 7)) for _ in range(8)]
    lines = [
        json.dumps({"translation": {"en": " ".join(words), "ro": " ".join(map(WORDS.get, words))}})
        for words in chosen
    ]
    for split in ("train", "validation"):
        (folder / f"{split}.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found: dict[str, dict[str, Any]] = {}
    for name in ("pytorch", "onnxruntime"):
        job = worker.spec_of_kind(
            tmp_path,
            "translation",
            "bart-tiny",
            arm={"name": name, "backend": name},
            parity_run=True,
            output_dir=str(tmp_path / f"{name}-model"),
            task={
                "source": "folder",
                "folder": str(folder),
                "options": {"max_target_length": 24, "label_smoothing_factor": 0.1},
            },
            training={
                "max_steps": 60,
                "batch_size": 4,
                "eval_batch_size": 3,  # the last batch is shorter
                "learning_rate": 3e-3,
                "max_seq_length": 64,
                "pad_to_max_length": False,
            },
        )
        found[name] = worker.run(tmp_path / name, job, timeout_s=240).result["metrics"]
    assert found["onnxruntime"] == pytest.approx(found["pytorch"], rel=1e-3)
    assert found["onnxruntime"]["bleu"] > 20

    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    from harness.worker.tasks.translation import judge

    saved = tmp_path / "onnxruntime-model"
    model = AutoModelForSeq2SeqLM.from_pretrained(saved).eval()
    tokens = AutoTokenizer.from_pretrained(saved)
    rows = list(tasks.get("translation")(JobSpec.model_validate(job)).load().validation)
    inputs = tokens.pad({"input_ids": [row["input_ids"] for row in rows]}, return_tensors="pt")
    generated = model.generate(**inputs, max_length=24, num_beams=1)
    longest = max(len(row["labels"]) for row in rows)
    labels = [row["labels"] + [-100] * (longest - len(row["labels"])) for row in rows]
    scored = judge(tokens, SimpleNamespace(predictions=generated.numpy(), label_ids=labels))
    assert scored["bleu"] == pytest.approx(found["onnxruntime"]["bleu"], rel=1e-6)


def test_a_translator_takes_turns(tmp_path: Path) -> None:
    """Interleaved: turns over batches of all lengths, engagement proven at both ends."""
    replicate = Replicate(tmp_path)
    group = group_of(
        tmp_path,
        model={"architecture": "t5-tiny"},
        task={
            "name": "t",
            "kind": "translation",
            "options": {"max_target_length": 64, "label_smoothing_factor": 0.1},
        },
        training={
            "batch_size": 8,
            "max_seq_length": 64,
            "pad_to_max_length": False,
            "max_steps": 2000,
        },
    )
    outcome = replicate.run(group, Interleaved(seconds=4, steps=2, cores=2, lead_in_steps=1))
    assert outcome.problem == outcome.note == ""
    baseline, candidate = outcome.turns
    assert len(baseline.steps) == len(candidate.steps) >= 3
    results = [seen.result for seen in outcome.seen]
    assert all(result is not None for result in results)
    torch, ort = results
    assert ort.engagement.engaged
    assert ort.engagement.rebuilt is False
    assert len(ort.engagement.checked_after_steps) == 2
    # The same steps of both arms are timed, so the same samples and the same padding.
    assert torch.timing.padding_share == pytest.approx(ort.timing.padding_share)
    assert torch.timing.padding_share > 0.1
    for timing in (torch.timing, ort.timing):
        assert timing.steady_tokens_per_s > timing.steady_samples_per_s > 0


def test_a_graph_that_is_built_again_is_told() -> None:
    """ORTModule without its fast path exports a changed model again; the proof after it says so."""
    code = """
import os
os.environ["ORTMODULE_SKIPCHECK_POLICY"] = "SKIP_CHECK_DISABLED"
import json, sys, torch
from types import SimpleNamespace
from torch_ort import ORTModule
from harness.schema.job import JobSpec
from harness.worker.backends.onnxruntime import OnnxRuntime

backend = OnnxRuntime(JobSpec.model_validate(json.load(sys.stdin)))
module = ORTModule(torch.nn.Linear(3, 2))
trainer = SimpleNamespace(model_wrapped=module)
told = []
for step, rows in enumerate((4, 9, 9), 1):
    if step == 3:
        module.changed = True
    module(torch.ones(rows, 3)).sum().backward()
    told.append(backend.engagement(trainer, step).rebuilt)
print(json.dumps(told))
"""
    job = json.dumps(worker.spec(Path("unused"), "onnxruntime"))
    done = subprocess.run(
        [sys.executable, "-c", code], input=job, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [False, False, True]
