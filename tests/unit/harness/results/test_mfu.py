"""Model FLOPs: by hand and against the published formula (test_shapes.py: torch's counter);
peaks.
"""

from __future__ import annotations

import pytest

from harness.results.mfu import (
    efficiency,
    model_flops_per_sample,
    model_flops_utilization,
    peak_flops_per_s,
    shape_of,
)
from harness.schema.record import JobRecord, ModelShape, Sources, State, Timing
from harness.schema.shapes import SHAPES
from harness.schema.workload import Arm, Model, Task, Training, Workload

ROBERTA_BASE = ModelShape(layers=12, hidden_size=768, intermediate_size=3072)


def test_a_layer_by_hand():
    # s = 2, h = 3, f = 5: Q, K, V, output 4 x (2x3 by 3x3) = 4 * 2*2*3*3; scores and context 2 x
    # (2*2*2*3); feed-forward 2 x (2*2*3*5); head 2*3*3 + 2*3*7
    shape = ModelShape(layers=1, hidden_size=3, intermediate_size=5, labels=7)
    assert model_flops_per_sample(shape, 2) == 3 * (144 + 48 + 120 + 18 + 42)


def test_gated_feed_forward_has_a_third_matrix():
    plain = ModelShape(layers=1, hidden_size=3, intermediate_size=5)
    gated = ModelShape(layers=1, hidden_size=3, intermediate_size=5, gated=True)
    assert model_flops_per_sample(gated, 2) - model_flops_per_sample(plain, 2) == 3 * 2 * 2 * 3 * 5


def test_it_is_the_published_formula_without_recomputation_and_vocabulary():
    layers, h, s = 12, 768, 128
    published = 72 * s * layers * h**2 * (1 + s / (6 * h))
    head = 3 * (2 * h * h + 2 * h * 2)
    assert model_flops_per_sample(ROBERTA_BASE, s) == pytest.approx(published + head, rel=1e-12)


def test_shapes_of_every_built_in_architecture():
    assert shape_of(SHAPES["roberta-base"]) == ROBERTA_BASE
    assert shape_of(SHAPES["distilbert-base"]) == ROBERTA_BASE.model_copy(update={"layers": 6})
    assert shape_of(SHAPES["albert-base"]) == ROBERTA_BASE.model_copy(
        update={"embedding_size": 128}
    )
    assert (
        shape_of(SHAPES["electra-base"]) == ROBERTA_BASE
    )  # its embeddings have the hidden size: no projection
    assert shape_of(SHAPES["gpt2"]) == ROBERTA_BASE.model_copy(update={"head_layers": 0})
    assert shape_of(SHAPES["t5-base"]) == ROBERTA_BASE.model_copy(update={"decoder_layers": 12})
    assert (
        shape_of(SHAPES["deberta-v2-tiny"]) is None
    )  # its relative attention has further matrix products
    assert shape_of({"model_type": "bert"}) is None


@pytest.mark.parametrize(
    ("name", "precision", "peak"),
    [
        ("NVIDIA A100-SXM4-40GB", "fp16", 312e12),
        ("NVIDIA A100 80GB PCIe", "fp16", 312e12),
        ("NVIDIA A100-PCIE-40GB", "fp32", 19.5e12),
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4e12),
        ("NVIDIA H100 PCIe", "fp16", 756e12),
        ("NVIDIA H200", "fp16", 989.4e12),
        ("NVIDIA L4", "fp16", 121e12),
        ("NVIDIA L40S", "fp16", 362.05e12),
        ("Tesla T4", "fp16", 65e12),
        ("Tesla V100-SXM2-16GB", "fp16", 125e12),
        ("NVIDIA A10", "fp32", 31.2e12),
    ],
)
def test_peaks_by_nvml_name(name, precision, peak):
    assert peak_flops_per_s(name, precision) == peak


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("NVIDIA B300 SXM6", "fp16"),
        ("NVIDIA A10G", "fp16"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "fp16"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "fp16"),
        ("Tesla T4", "bf16"),
        ("cpu", "fp32"),
    ],
)
def test_an_unknown_card_or_precision_has_no_peak(name, precision):
    assert peak_flops_per_s(name, precision) is None


def _record(**changes):
    training = Training(
        precision="fp16", batch_size=8, max_seq_length=128, **changes.pop("training", {})
    )
    fields = {
        "id": "a",
        "run": "r",
        "suite": "s",
        "workload": Workload(
            name="w",
            model=Model(name="m", architecture="roberta-base"),
            task=Task(name="t"),
            training=training,
        ),
        "arm": Arm(name="arm", backend="pytorch"),
        "replicate": 0,
        "position": 0,
        "seed": 1,
        "device": "NVIDIA H100 80GB HBM3",
        "state": State.OK,
        "shape": ROBERTA_BASE,
        "timing": Timing(steady_samples_per_s=2000.0),
    }
    return JobRecord(**{**fields, **changes})


def test_utilization_of_a_record():
    found = efficiency(_record())
    assert found.flops_per_sample == model_flops_per_sample(ROBERTA_BASE, 128)
    # 6 x 85e6 parameters of the layers x 128 tokens = 65 GFLOP, and attention: a figure one can
    # check in the head
    assert found.flops_per_sample == pytest.approx(6 * 85e6 * 128, rel=0.04)
    assert found.model_flops_utilization == pytest.approx(found.flops_per_sample * 2000 / 989.4e12)
    assert model_flops_utilization(1e9, 100, 1e12, cards=2) == pytest.approx(0.05)


def test_the_length_that_was_trained_counts_and_not_the_one_asked_for():
    found = efficiency(_record(sources=Sources(max_seq_length=16)))
    assert found.flops_per_sample == model_flops_per_sample(ROBERTA_BASE, 16)
    assert found.model_flops_utilization == pytest.approx(found.flops_per_sample * 2000 / 989.4e12)


def test_what_would_be_guessed_is_none():
    assert efficiency(_record(training={"pad_to_max_length": False})).flops_per_sample is None
    assert efficiency(_record(training={"lora_rank": 8})).flops_per_sample is None
    assert efficiency(_record(shape=None)).model_flops_utilization is None
    unknown = efficiency(_record(device="NVIDIA Something New"))
    assert unknown.flops_per_sample is not None
    assert (unknown.peak_flops_per_s, unknown.model_flops_utilization) == (None, None)
    assert efficiency(_record(timing=Timing())).model_flops_utilization is None
