"""What counts as a confound between two jobs, and how it is said."""

from __future__ import annotations

from typing import Any

import pytest
from runner_support import ended, make_job

from harness.planning.comparability import SETTINGS, undeclared
from harness.schema.record import Fingerprint, JobRecord, Sources
from harness.schema.workload import Training

ARGUMENTS = {
    "learning_rate": 1e-3,
    "per_device_train_batch_size": 8,
    "optim": "adamw_torch",
    "seed": 42,
    "data_seed": 42,
    "fp16": False,
    "tf32": None,
    "torch_compile": False,
}
FINGERPRINT = {
    "initial_weights_sha256": "a" * 64,
    "data_order_sha256": "b" * 64,
    "optimizer": "AdamW(fused=False)",
    "attention": "eager",
    "dtype_policy": "parameters float32, no autocast, no loss scaling",
    "parameters": 1000,
    "trainable_parameters": 100,
    "training_arguments": ARGUMENTS,
}
SOURCES = {"data": "synthetic", "weights": "random", "train_samples": 100, "data_sha256": "c" * 64}


def job(position: int, sources: dict[str, Any] | None = None, **changes: Any) -> JobRecord:
    arguments = {**ARGUMENTS, **changes.pop("arguments", {})}
    fingerprint = Fingerprint(**{**FINGERPRINT, "training_arguments": arguments, **changes})
    return ended(
        make_job(position),
        fingerprint=fingerprint,
        sources=Sources(**{**SOURCES, **(sources or {})}),
    )


def test_equal_jobs_have_no_confound() -> None:
    assert undeclared(job(0), job(1), []) == []


@pytest.mark.parametrize(
    ("changes", "sentence", "declared"),
    [
        (
            {"arguments": {"learning_rate": 0.01}},
            "learning_rate is 0.001 in pytorch and 0.01 in onnxruntime",
            "training.learning_rate",
        ),
        (
            {"attention": "sdpa"},
            "attention is eager in pytorch and sdpa in onnxruntime",
            "attention",
        ),
        (
            {"optimizer": "AdamW(fused=True)"},
            "optimizer is AdamW(fused=False) in pytorch and AdamW(fused=True) in onnxruntime",
            "training.optim",
        ),
        (
            {"arguments": {"optim": "sgd"}},
            "optim is adamw_torch in pytorch and sgd in onnxruntime",
            "training.optim",
        ),
        (
            {"data_order_sha256": "d" * 64},
            f"data order differs: {'b' * 12} in pytorch against {'d' * 12} in onnxruntime",
            "training.seed",
        ),
        (
            {"initial_weights_sha256": "d" * 64},
            f"initial weights differ: {'a' * 12} in pytorch against {'d' * 12} in onnxruntime",
            "training.seed",
        ),
        (
            {"initial_weights_sha256": None},
            f"initial weights differ: {'a' * 12} in pytorch against not reported in onnxruntime",
            "training.seed",
        ),
        (
            {"dtype_policy": "bfloat16"},
            f"dtype policy is {FINGERPRINT['dtype_policy']} in pytorch and bfloat16 in onnxruntime",
            "training.precision",
        ),
        (
            {"arguments": {"tf32": True}},
            "tf32 is not reported in pytorch and True in onnxruntime",
            "stack",
        ),
        (
            {"arguments": {"neftune": 1}},
            "neftune is no setting in pytorch and 1 in onnxruntime",
            "stack",
        ),
        (
            {"parameters": 1001},
            "number of parameters is 1000 in pytorch and 1001 in onnxruntime",
            "training.lora_rank",
        ),
        (
            {"trainable_parameters": 90},
            "number of trained parameters is 100 in pytorch and 90 in onnxruntime",
            "training.target_modules",
        ),
        (
            {"sources": {"weights": "pretrained"}},
            "source of the weights is random in pytorch and pretrained in onnxruntime",
            None,
        ),
        (
            {"sources": {"data_sha256": "d" * 64}},
            f"training data differs: {'c' * 12} in pytorch against {'d' * 12} in onnxruntime",
            "training.max_seq_length",
        ),
    ],
)
def test_each_difference_is_a_sentence_with_both_values(
    changes: dict[str, Any], sentence: str, declared: str | None
) -> None:
    other = job(1, **changes)
    assert undeclared(job(0), other, []) == [sentence]
    assert undeclared(job(0), other, ["training.weight_decay"]) == [sentence], (
        "another declaration excuses nothing"
    )
    if declared is not None:
        assert undeclared(job(0), other, [declared]) == []


def test_adapters_are_compared_as_they_were_asked_for() -> None:
    """Their scaling and dropout change no number of parameters and no initial weight."""
    one, other = job(0), job(1)
    workload = other.workload.replace(training=Training(lora_rank=4, lora_dropout=0.1))
    adapted = other.replace(workload=workload)
    assert undeclared(one, adapted, []) == [
        "lora_rank is not reported in pytorch and 4 in onnxruntime",
        "lora_dropout is not reported in pytorch and 0.1 in onnxruntime",
    ]
    assert undeclared(one, adapted, ["training.lora_rank", "training.lora_dropout"]) == []


def test_what_an_earlier_job_did_not_tell_is_no_difference() -> None:
    assert undeclared(job(0, trainable_parameters=None), job(1), []) == []


def test_a_declared_batch_size_may_change_the_data_order_and_nothing_else() -> None:
    changes = {"arguments": {"per_device_train_batch_size": 16}, "data_order_sha256": "d" * 64}
    declared = ["training.batch_size"]
    assert undeclared(job(0), job(1, **changes), declared) == []
    assert len(undeclared(job(0), job(1, **changes), [])) == 2
    (sentence,) = undeclared(job(0), job(1, **changes, attention="sdpa"), declared)
    assert sentence.startswith("attention is")


def test_compiling_is_what_another_backend_is_but_not_the_same_one() -> None:
    one, other = job(0), job(1, arguments={"torch_compile": True})
    assert len(undeclared(one, other, [])) == 1
    compiled = other.model_copy(
        update={"arm": other.arm.model_copy(update={"backend": "torch-compile"})}
    )
    assert undeclared(one, compiled, []) == []


def test_every_setting_it_knows_is_one_of_the_suites_and_of_the_fingerprints() -> None:
    from harness.worker.arguments import DECISIVE

    assert set(SETTINGS) <= set(DECISIVE)
    assert {name.removeprefix("training.") for name in SETTINGS.values()} <= set(
        Training.model_fields
    )
