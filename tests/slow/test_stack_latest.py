"""The stack `latest` trains the same job as `ort`, and can be set up over another interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import worker_helpers as worker
from folders import ROOT

LATEST = ROOT / ".venv-latest" / "bin" / "python"

needs_latest = pytest.mark.skipif(
    not LATEST.exists(), reason="the stack `latest` is not set up: make setup-latest"
)


def test_weights_depend_on_seed_and_names_alone() -> None:
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from harness.schema.shapes import SHAPES
    from harness.worker.model import initial_weights
    from harness.worker.model.build import weights_sha256

    model = AutoModelForSequenceClassification.from_config(
        AutoConfig.for_model(**SHAPES["roberta-tiny"])
    )
    initial_weights.draw(model, 1)
    first = weights_sha256(model)
    query = model.roberta.encoder.layer[0].attention.self.query.weight
    assert float(query.detach().std()) == pytest.approx(model.config.initializer_range, rel=0.05)
    assert not torch.equal(query, model.roberta.encoder.layer[1].attention.self.query.weight)
    initial_weights.draw(model, 2)
    assert weights_sha256(model) != first
    torch.rand(100)  # the state of torch's own generator does not matter
    initial_weights.draw(model, 1)
    assert weights_sha256(model) == first
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    initial_weights.draw(
        model, 2, missing=["classifier.out_proj.weight", "classifier.out_proj.bias"]
    )
    changed = [
        name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])
    ]
    assert changed == ["classifier.out_proj.weight"]  # biases are zero


def in_latest(folder: Path, job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> worker.Ended:
    with monkeypatch.context() as patch:
        patch.setattr(worker.sys, "executable", str(LATEST))
        return worker.run(folder, job)


@needs_latest
def test_both_stacks_train_the_same_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`latest` first: it writes tokenizer and data, which `ort` must read or make to the same
    bytes.
    """
    settings = {"max_steps": 12, "warmup_ratio": 0.25}
    job = worker.spec(tmp_path, parity_run=True, training=settings)
    new = in_latest(tmp_path / "new", job, monkeypatch).result
    old = worker.run(tmp_path / "old", job).result
    assert int(new["packages"]["transformers"].split(".")[0]) >= 5
    assert old["packages"]["transformers"] == "4.48.3"
    assert new["fingerprint"] == old["fingerprint"]
    assert new["sources"] == old["sources"]
    assert new["losses"] == pytest.approx(old["losses"], abs=1e-4)
    assert new["metrics"] == pytest.approx(old["metrics"], abs=1e-3)
    half = {**settings, "batch_size": 8, "gradient_accumulation_steps": 2}
    accumulated = in_latest(
        tmp_path / "half", worker.spec(tmp_path, parity_run=True, training=half), monkeypatch
    ).result
    assert accumulated["losses"] == pytest.approx(new["losses"], abs=1e-4)


@needs_latest
@pytest.mark.parametrize("shape", ["t5-tiny", "bart-tiny"])
def test_both_stacks_translate_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    """Losses with label smoothing, and what is generated and scored after training."""
    job = worker.spec_of_kind(
        tmp_path,
        "translation",
        shape,
        parity_run=True,
        task={"options": {"max_target_length": 32, "label_smoothing_factor": 0.1}},
        training={"batch_size": 8, "pad_to_max_length": False, "learning_rate": 5e-3},
    )
    new = in_latest(tmp_path / "new", job, monkeypatch).result
    old = worker.run(tmp_path / "old", job).result
    assert int(new["packages"]["transformers"].split(".")[0]) >= 5
    assert new["fingerprint"] == old["fingerprint"]
    assert new["sources"] == old["sources"]
    assert new["losses"] == pytest.approx(old["losses"], abs=1e-3)
    assert {"loss", "bleu", "gen_len"} <= new["metrics"].keys()
    assert new["metrics"] == pytest.approx(old["metrics"], abs=1e-2)


@needs_latest
def test_latest_can_lie_over_an_interpreter_that_has_pytorch(tmp_path: Path) -> None:
    for name in ("harness", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-P", "-m", "harness.setup.latest", "--base", str(LATEST)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "3 training steps, loss" in done.stdout
    environment_of_its_own = tmp_path / ".venv-latest"
    assert not list(environment_of_its_own.glob("lib/python3*/site-packages/*.dist-info"))
    made = environment_of_its_own / "bin" / "python"
    where = [made, "-c", "import torch, sys; print(torch.__file__, sys.prefix)"]
    torch_file, prefix = subprocess.run(
        where, capture_output=True, text=True, check=True
    ).stdout.split()
    assert Path(torch_file).is_relative_to(LATEST.parents[1])
    assert Path(prefix) == tmp_path / ".venv-latest"
    again = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (again.returncode, again.stdout) == (0, "")  # nothing left to do
