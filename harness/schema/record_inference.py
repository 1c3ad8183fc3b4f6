"""What a job's record says of inference: the trained model evaluated by PyTorch and by ONNX
Runtime, in turns.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.schema.record_parts import Count, Part, Quantity
from harness.schema.redaction import FreeText

ENGINES = ("torch", "onnxruntime")


class EngineTimes(Part):
    """Seconds per batch of one engine at one batch size, from host tensors in to host logits out."""

    mean_s: float
    p50_s: float = Field(
        description="quantiles by linear interpolation between the nearest batches"
    )
    p95_s: float
    samples_per_s: float = Field(description="batch size / mean_s")


class InferencePoint(Part):
    """Both engines at one batch size: the same batches, in alternating blocks."""

    batch_size: int
    batches: int = Field(description="timed batches of each engine")
    block_batches: int = Field(description="timed batches of a block, which untimed ones precede")
    torch: EngineTimes
    onnxruntime: EngineTimes


class InferenceProof(Part):
    """What ONNX Runtime really ran: `engaged` is false where any reason speaks against it."""

    engaged: bool
    reasons: list[FreeText] = Field(default_factory=list, description="one sentence each")
    provider: str | None = Field(None, description="first execution provider of the session")
    providers: list[str] = Field(default_factory=list)
    opset: int | None = Field(None, description="of the exported graph, read from its file")
    node_counts: dict[str, dict[str, int]] = Field(
        default_factory=dict,
        description="provider: operator type: nodes of the optimized graph, from a profiled batch",
    )
    threads: int | None = Field(
        None, description="of the session, and of torch beside it; null on a GPU"
    )


class InferenceResult(Part):
    """The inference of one job. `failed` says nothing against its training: what is there until
    then stays.
    """

    state: Literal["ok", "failed"]
    reason: FreeText = Field("", description="one sentence, when the state is not ok")
    precision: Literal["fp32", "fp16"] | None = Field(
        None, description="weights and arithmetic of both engines"
    )
    attention: str | None = Field(
        None, description="of PyTorch's engine, and of the model that was exported"
    )
    proof: InferenceProof | None = None
    points: list[InferencePoint] = Field(
        default_factory=list, description="one per batch size, in the order asked"
    )
    samples: Count | None = Field(
        None, description="validation samples that both engines were compared on"
    )
    metrics: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="engine: the task's metrics"
    )
    logit_difference: Quantity | None = Field(
        None, description="largest absolute difference; null: not finite"
    )
    logit_tolerance: Quantity | None = None
    agree: bool | None = Field(
        None, description="whether logits and metrics of both engines agree; null: not compared"
    )
    disagreement: FreeText = Field("", description="one sentence, when they do not")
    export_s: Quantity | None = None
    session_s: Quantity | None = Field(
        None, description="reading and optimizing the exported graph"
    )
    model_bytes: Count | None = Field(None, description="of the exported graph with its weights")
    begin_ns: Count | None = Field(
        None, description="CLOCK_MONOTONIC: the job's training and evaluation are over by then"
    )
    wall_s: Quantity | None = None
