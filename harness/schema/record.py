"""The record of one job and of one run: the only thing `harness` writes and `report` reads.

Times are seconds unless a name ends in `_ns` (CLOCK_MONOTONIC, comparable between processes of one
boot). `SCHEMA_VERSION` grows when a reader must know; new optional fields do not change it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import ConfigDict, Field

from harness.schema.record_inference import InferenceResult
from harness.schema.record_parts import (
    BlockTimes,
    Contention,
    Count,
    Efficiency,
    Engagement,
    ExitCode,
    Fingerprint,
    GpuTelemetry,
    Memory,
    ModelShape,
    Part,
    Quantity,
    Sources,
    Telemetry,
    Timing,
)
from harness.schema.redaction import CommandText, FreeText
from harness.schema.workload import Arm, Workload

__all__ = [
    "SCHEMA_VERSION",
    "BlockTimes",
    "Contention",
    "Efficiency",
    "Engagement",
    "Fingerprint",
    "GpuTelemetry",
    "Host",
    "InferenceResult",
    "JobRecord",
    "Memory",
    "ModelShape",
    "Pair",
    "Part",
    "Refusal",
    "RunInfo",
    "Sources",
    "State",
    "Stopping",
    "Telemetry",
    "Timing",
    "WorkerResult",
    "trained_length",
]

SCHEMA_VERSION = 1


class State(StrEnum):
    """How a job ended. Only `ok` is a result."""

    OK = "ok"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    DIVERGED = "diverged"
    FALLBACK = "fallback"
    CRASHED = "crashed"
    INTERRUPTED = "interrupted"
    CONTAMINATED = "contaminated"


class WorkerResult(Part):
    """What a worker reports when training ended by itself."""

    timing: Timing = Timing()
    memory: Memory = Memory()
    engagement: Engagement | None = None
    fingerprint: Fingerprint = Fingerprint()
    sources: Sources = Sources()
    metrics: dict[str, float] = Field(
        default_factory=dict, description="evaluation metrics by the task's own names"
    )
    main_metrics: list[str] = Field(
        default_factory=list, description="the mean of these is the task's score"
    )
    chance: dict[str, float] = Field(
        default_factory=dict, description="metrics of a model that ignores its input"
    )
    first_loss: float | None = None
    last_loss: float | None = None
    losses: list[float] | None = Field(
        None, description="of every step; only parity twins carry them here"
    )
    blocks: BlockTimes | None = Field(None, description="only under the blocks protocol")
    packages: dict[str, str] = Field(
        default_factory=dict, description="versions of the arm's stack"
    )
    inference: InferenceResult | None = Field(
        None, description="of the trained model; null: not asked for"
    )
    shape: ModelShape | None = Field(
        None, description="from the model's configuration (harness.results.mfu.shape_of)"
    )


class JobRecord(WorkerResult):
    """One line of jobs.jsonl."""

    schema_version: int = SCHEMA_VERSION
    id: str
    run: str
    suite: str
    workload: Workload
    arm: Arm
    launch: int
    position: int
    seed: int
    device: str = Field(description="cpu, or the GPU's name")
    twin: bool = False
    partner: str | None = Field(
        None, description="blocks protocol: the arm it was measured against"
    )
    attempt: int = Field(
        1, description="1-based; a disturbed quad runs again, and its last attempt counts"
    )
    state: State
    reason: FreeText = Field("", description="one sentence, when the state is not ok")
    started_at: str | None = Field(None, description="UTC, ISO 8601")
    exit_code: ExitCode | None = None
    signal: ExitCode | None = None
    series: str | None = Field(
        None, description="Parquet, a row per step (step, duration_s, loss), in the run folder"
    )
    log: str | None = Field(None, description="relative to the run")
    telemetry: Telemetry | None = None
    contention: Contention | None = Field(
        None, description="of a measured job; null: not looked at"
    )
    efficiency: Efficiency | None = None
    source: Literal["measured", "published"] = "measured"
    unpublished: list[str] = Field(
        default_factory=list,
        description="only for published records: dotted names of fields that the source leaves "
        "out; their values here "
        "mean nothing and are never shown (launch: how often a figure was repeated)",
    )


def trained_length(job: JobRecord) -> int:
    """The most tokens that a sample really had: a tokenizer may take fewer than were asked for."""
    return job.sources.max_seq_length or job.workload.training.max_seq_length


class Pair(Part):
    """Two arms on one workload."""

    workload: str
    baseline: str
    candidate: str
    differs: list[str] = Field(
        default_factory=list, description="declared differences besides the backend"
    )


class Stopping(Part):
    """How adaptive stopping ended for a pair."""

    workload: str
    baseline: str
    candidate: str
    state: Literal["precision reached", "precision not reached"]
    pairs: int
    half_width_pp: Quantity | None = Field(
        None, description="of the 95% interval of the throughput gain"
    )
    target_pp: float
    minutes: float = Field(description="wall time of the workload's jobs so far")
    needed_pairs: Count | None = Field(
        None, description="estimated number of pairs that would reach the target"
    )
    needed_minutes: Quantity | None = None


class Refusal(Part):
    """A pair that was not measured because its arms differ in more than it declares."""

    workload: str
    baseline: str
    candidate: str
    reasons: list[FreeText] = Field(
        description="one sentence per undeclared difference, with both values"
    )


class Host(Part):
    """The machine a run was made on."""

    name_sha256: str | None = Field(
        None, description="hash of the host name: tells hosts apart without naming them"
    )
    os: str | None = None
    kernel: str | None = None
    cpu: str | None = None
    cores: Count | None = None
    memory_bytes: Count | None = None
    gpus: list[dict[str, Any]] = Field(
        default_factory=list,
        description="name, uuid, memory_bytes, compute_capability; index if it is not the place",
    )
    lost_gpus: list[dict[str, Any]] = Field(
        default_factory=list, description="index, uuid, reason: do not answer"
    )
    gpu_problem: FreeText = Field(
        "", description="why a driver that is there tells nothing of its cards"
    )
    driver: str | None = None
    cuda_driver: str | None = None


class RunInfo(Part):
    """run.json: what was asked for, of which host, with which code.

    Fields that a newer harness added are kept when the file is written again.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: int = SCHEMA_VERSION
    run: str
    suite: str
    description: FreeText = ""
    created_at: str
    finished_at: str | None = None
    status: Literal["running", "complete", "incomplete"] = "running"
    config: dict[str, Any] = Field(default_factory=dict, description="the resolved suite")
    config_sha256: str = ""
    pairs: list[Pair] = Field(default_factory=list)
    host: Host = Host()
    packages: dict[str, str] = Field(
        default_factory=dict, description="of further stacks too, as `stack/package`"
    )
    stacks: dict[str, str] = Field(
        default_factory=dict, description="interpreter within the checkout, or its version"
    )
    git: dict[str, Any] = Field(default_factory=dict, description="commit, dirty")
    environment: dict[str, CommandText] = Field(
        default_factory=dict, description="by harness.schema.variables' allow-list"
    )
    command: list[CommandText] = Field(default_factory=list)
    notes: list[FreeText] = Field(
        default_factory=list, description="what a reader of the tables must know"
    )
    stopping: list[Stopping] = Field(default_factory=list)
    refusals: list[Refusal] = Field(default_factory=list)
    parts: list[str] = Field(
        default_factory=list, description="runs below parts/ that this one was put together from"
    )
    published_gains: list[dict[str, Any]] = Field(
        default_factory=list, description="only for published runs"
    )
