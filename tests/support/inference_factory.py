"""Results of inference made up for tests: proofs, times of both engines, jobs with them."""

from __future__ import annotations

from typing import Any

from report_factory import make_job

from harness.schema.record import (
    EngineTimes,
    InferencePoint,
    InferenceProof,
    InferenceResult,
    JobRecord,
)

PROVEN = InferenceProof(
    engaged=True,
    provider="CPUExecutionProvider",
    providers=["CPUExecutionProvider"],
    opset=17,
    node_counts={"CPUExecutionProvider": {"MatMul": 14, "Softmax": 2}},
    threads=1,
)


def times(mean_s: float, batch_size: int) -> EngineTimes:
    return EngineTimes(
        mean_s=mean_s, p50_s=0.9 * mean_s, p95_s=2 * mean_s, samples_per_s=batch_size / mean_s
    )


def point(torch_s: float, ort_s: float, batch_size: int = 1) -> InferencePoint:
    return InferencePoint(
        batch_size=batch_size,
        batches=40,
        block_batches=10,
        torch=times(torch_s, batch_size),
        onnxruntime=times(ort_s, batch_size),
    )


def result(*points: InferencePoint, **fields: Any) -> InferenceResult:
    given: dict[str, Any] = {
        "state": "ok",
        "precision": "fp32",
        "proof": PROVEN,
        "points": list(points),
        "samples": 100,
        "metrics": {"torch": {"accuracy": 0.84}, "onnxruntime": {"accuracy": 0.84}},
        "logit_difference": 2e-7,
        "logit_tolerance": 1e-3,
        "agree": True,
        "export_s": 1.5,
        "session_s": 0.5,
    }
    return InferenceResult(**{**given, **fields})


def replicates(*of: InferenceResult | None, arm: str = "pytorch", **fields: Any) -> list[JobRecord]:
    return [make_job(arm, replicate, inference=each, **fields) for replicate, each in enumerate(of)]
