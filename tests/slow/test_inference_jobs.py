"""Inference of real jobs: both arms' trained models by both engines; what does not export; what
crashes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import worker_helpers as worker
from folders import ROOT, SUPPORT

from harness.schema.record import ENGINES, InferenceResult
from harness.worker.inference import phase
from harness.worker.inference.child import Request


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inference")


def job(folder: Path, backend: str, **inference: object) -> worker.Ended:
    spec = worker.spec(
        folder,
        backend,
        training={"eval_batch_size": 48},  # 200 samples: the last batch is a short one
        inference={"seconds": 0.5, "batch_sizes": [1, 16], **inference},
    )
    return worker.run(folder / backend, spec)


@pytest.fixture(scope="module")
def trained_by_ort(folder: Path) -> worker.Ended:
    return job(folder, "onnxruntime")


def test_a_trained_model_by_both_engines(trained_by_ort: worker.Ended) -> None:
    result = InferenceResult.model_validate(trained_by_ort.result["inference"])
    assert (result.state, result.reason, result.agree, result.disagreement) == ("ok", "", True, "")
    assert result.samples == 200
    assert result.logit_difference is not None
    assert (
        0 < result.logit_difference < 1e-5
    )  # two engines: the same to the last bit would be one engine twice
    trained = trained_by_ort.result["metrics"]["accuracy"]
    assert {of["accuracy"] for of in result.metrics.values()} == {trained}
    assert set(result.metrics) == set(ENGINES)
    assert [point.batch_size for point in result.points] == [1, 16]
    for point in result.points:
        for times in (point.torch, point.onnxruntime):
            assert 0 < times.p50_s <= times.p95_s
            assert times.samples_per_s == pytest.approx(point.batch_size / times.mean_s)


def test_it_is_proven_where_the_session_ran(trained_by_ort: worker.Ended) -> None:
    proof = InferenceResult.model_validate(trained_by_ort.result["inference"]).proof
    assert proof is not None
    assert (proof.engaged, proof.provider, proof.opset, proof.threads) == (
        True,
        "CPUExecutionProvider",
        17,
        1,
    )
    nodes = proof.node_counts["CPUExecutionProvider"]
    assert nodes["LayerNormalization"] == 5  # two layers of two, and the embeddings'
    assert nodes["BiasGelu"] == 2  # the optimizer has been at it
    assert proof.node_counts.keys() == {"CPUExecutionProvider"}


def test_training_is_over_before_inference_begins(trained_by_ort: worker.Ended) -> None:
    result = trained_by_ort.result["inference"]
    assert [each["name"] for each in trained_by_ort.named("phase")][-2:] == [
        "evaluate",
        "inference",
    ]
    assert trained_by_ort.result["timing"]["steady_end_ns"] < result["begin_ns"]
    assert trained_by_ort.result["engagement"]["engaged"]
    assert result["wall_s"] > result["export_s"] + result["session_s"]


def test_engines_that_differ_more_than_allowed_disagree_and_the_training_stands(
    folder: Path, trained_by_ort: worker.Ended
) -> None:
    ended = job(folder, "pytorch", tolerance=1e-15, batch_sizes=[16])
    assert ended.exit_code == 0
    result = InferenceResult.model_validate(ended.result["inference"])
    assert (result.state, result.agree) == ("ok", False)
    assert result.disagreement.startswith("logits differ by ")
    assert ended.result["timing"]["steps"] == 12


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Unexportable", "in the export to ONNX: UnsupportedOperatorError"),
        ("Crashing", "its process was killed by SIGSEGV in the export to ONNX"),
    ],
)
def test_a_model_that_does_not_export_is_said(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import odd_models
    import torch
    from transformers import BertConfig

    config = BertConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    getattr(odd_models, name)(config).save_pretrained(tmp_path / "model")
    ids = torch.randint(0, 50, (4, 6))
    torch.save(
        {"evaluation": [{"input_ids": ids}], "points": [(4, [{"input_ids": ids}])]},
        tmp_path / "batches.pt",
    )
    request = Request(
        model_class=f"odd_models:{name}",
        attention="eager",
        device="cpu",
        precision="fp32",
        opset=17,
        threads=1,
        seconds=0.1,
        first=0,
    )
    (tmp_path / "request.json").write_text(request.model_dump_json())
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{SUPPORT}")
    result = phase._run_child(tmp_path)
    assert result.state == "failed"
    assert result.reason.startswith(reason)
    assert result.points == []
    assert result.proof is None
