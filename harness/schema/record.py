"""The record of one job and of one run: the only thing `harness` writes and `report` reads.

Times are seconds unless a name ends in `_ns` (CLOCK_MONOTONIC, comparable between processes of one
boot). `SCHEMA_VERSION` grows when a reader must know; new optional fields do not change it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from harness.schema import terms
from harness.schema.base import Replaceable
from harness.schema.redaction import CommandText, FreeText
from harness.schema.stats import LONGEST_S, SHORTEST_S
from harness.schema.workload import Arm, Workload

SCHEMA_VERSION = 2

# What a measured number can be; `Part` reads any other number as missing.
Seconds = Annotated[float, Field(ge=SHORTEST_S, le=LONGEST_S, allow_inf_nan=False)]
Quantity = Annotated[float, Field(ge=0, le=1e21, allow_inf_nan=False)]
Difference = Annotated[float, Field(ge=-1e21, le=1e21, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
_OUT_OF_RANGE = frozenset(
    {
        "finite_number",
        "greater_than_equal",
        "less_than_equal",
        "less_than",
        "int_from_float",
        "int_parsing_size",
    }
)


ExitCode = Annotated[int, Field(ge=-(2**31), lt=2**32)]


class Part(Replaceable):
    """Part of a record: frozen, and tolerant of fields a newer harness may have written.

    A number that no measurement can give (a negative or infinite time, NaN, 1e308 s) is read as
    missing, so that every reader meets either a number it can compute with or none. What was
    dropped is added to the validation's context, where that is a list.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _impossible_numbers_are_missing(
        cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            found = [
                each
                for each in error.errors(include_url=False)
                if each["type"] in _OUT_OF_RANGE
                or (each["type"] == "int_type" and each["input"] is None)
            ]
            if not isinstance(data, dict) or not found:
                raise
            # Of a part that cannot be without the number (of a list: all of it) nothing is left.
            names = {str(each["loc"][0]): each for each in found}
            try:
                part = handler({key: value for key, value in data.items() if key not in names})
            except ValidationError:
                raise error from None
            if isinstance(info.context, list):
                for name, each in names.items():
                    place = ".".join(map(str, each["loc"]))
                    what = "" if place == name else f"{name} "
                    info.context.append(
                        f"{place} = {each['input']!r} is no measurement, {what}read as missing"
                    )
            return part


class Timing(Part):
    """The three times of a job (set-up, steady state, end to end) and where they come from.

    `clock` is `cuda_events` or `perf_counter`. A step's duration runs from the end of the step
    before to its own end, so data loading, logging and optimizer are inside.
    """

    clock: Literal["cuda_events", "perf_counter"] | None = None
    imports_s: Quantity | None = None
    data_s: Quantity | None = None
    model_s: Quantity | None = None
    setup_s: Seconds | None = Field(
        None, description="from the call of train() to the end of the first step"
    )
    steady_step_s: Seconds | None = Field(
        None, description="mean seconds per step after the warm-up"
    )
    steady_step_median_s: Seconds | None = None
    steady_begin_step: Count | None = Field(
        None, description="steps before this one (1-based) are warm-up"
    )
    steady_steps: Count | None = None
    settled: bool | None = Field(
        None, description="false: no steady state was found; the minimum warm-up was cut"
    )
    steady_begin_ns: Count | None = None
    steady_end_ns: Count | None = None
    steady_samples_per_s: Quantity | None = None
    steady_tokens_per_s: Quantity | None = Field(
        None,
        description="tokens of the samples, padding left out, source and target together, in the "
        "steady window",
    )
    padding_share: Quantity | None = Field(
        None, description="0 to 1, of the tokens of the steady window's batches"
    )
    steps: Count | None = Field(None, description="optimizer steps done")
    train_runtime_s: Seconds | None = Field(
        None, description="end to end, as Trainer prints it (what is published)"
    )
    train_samples_per_s: Quantity | None = Field(
        None, description="as Trainer prints it, from train_runtime_s"
    )
    eval_runtime_s: Seconds | None = None
    injected_sleep_s: Seconds | None = Field(
        None,
        description="mean seconds that the sleep of an injected delay took before a batch, as "
        "measured around it; null: no delay, or other processes load the data",
    )
    wall_s: Seconds | None = Field(None, description="life of the process, seen by the runner")


class Memory(Part):
    """Peaks in bytes."""

    peak_rss_bytes: Count | None = None
    torch_peak_allocated_bytes: Count | None = None
    torch_peak_reserved_bytes: Count | None = None


class Engagement(Part):
    """Proof that the backend named by the arm really ran the training graph."""

    engaged: bool
    reasons: list[FreeText] = Field(default_factory=list, description="why not, one sentence each")
    checked_after_steps: list[int] = Field(default_factory=list)
    ranks: int = Field(1, description="processes of the job that were proven, each by itself")
    torch_module: str | None = None
    provider: str | None = Field(
        None, description="first execution provider of the training session"
    )
    providers: list[str] = Field(default_factory=list)
    yield_ops: Count | None = None
    rebuilt: bool | None = Field(
        None,
        description="whether ONNX Runtime built its training graph again after the first step, as "
        "for inputs of another kind; other shapes need no other graph",
    )
    node_counts: dict[str, int] = Field(
        default_factory=dict, description="optimized training graph, by operator type"
    )
    phases_s: dict[str, float] = Field(
        default_factory=dict, description="ORTModule's initialisation phases"
    )
    compiled_graphs: Count | None = Field(
        None, description="graphs that torch.compile captured and compiled until then"
    )
    graph_breaks: Count | None = Field(
        None, description="places where torch.compile left a graph for eager execution"
    )
    graph_break_reasons: list[FreeText] = Field(default_factory=list)
    compiled_runs: dict[str, int] = Field(
        default_factory=dict,
        description="forward and backward graphs of Inductor's that ran in the first step",
    )
    inductor_kernels: Count | None = Field(None, description="kernels that Inductor generated")
    graphs_not_in_cache: Count | None = Field(
        None,
        description="graphs that Inductor compiled in this process, because its cache on disk did "
        "not hold them",
    )
    recompiled_at_steps: list[int] = Field(
        default_factory=list,
        description="steps after the first (1-based) in which torch.compile compiled again",
    )
    recompile_reasons: list[FreeText] = Field(default_factory=list)
    kernels: Literal["native", "ptx"] | None = Field(
        None,
        description="machine code for this card in ONNX Runtime's wheel, or compiled by the "
        "driver from its PTX",
    )
    kernels_compiled: bool | None = Field(
        None,
        description="whether the driver compiled kernels from PTX until the end of the first step, "
        "because its cache on disk did not hold them; null: not from PTX, or a run before this was "
        "told",
    )


class Fingerprint(Part):
    """What the job resolved to: compared between the arms of a pair before a gain is believed."""

    initial_weights_sha256: str | None = None
    data_order_sha256: str | None = Field(None, description="input ids of every batch, in order")
    optimizer: str | None = Field(None, description="class and fused flag")
    attention: str | None = None
    dtype_policy: str | None = Field(
        None, description="parameters' dtype, autocast dtype and whether losses are scaled"
    )
    parameters: Count | None = Field(
        None, description="of the whole model, with adapters where it has some"
    )
    trainable_parameters: Count | None = Field(
        None, description="those that the optimizer changes; null: a run before this was told"
    )
    training_arguments: dict[str, Any] = Field(default_factory=dict)


class AloneTurn(Part):
    """A job's last turn in a replicate, in which it had the device to itself for so long that
    telemetry can be read. Its steps count in no gain.
    """

    steps: Count
    step_s: Seconds = Field(description="mean seconds of its steps")
    begin_ns: Count = Field(description="when its first step began (CLOCK_MONOTONIC)")
    end_ns: Count


class TurnTimes(Part):
    """What a job of the interleaved protocol did, one entry per round of turns; entries of equal
    index in the jobs of a replicate are of one round.

    Only timed steps count: a turn begins with `lead_in_steps` untimed ones. What it costs a step
    that another job had the device (and the cores) before it is `switch_s`: without lead-in, that
    divided by the turn's steps is in `step_s`.
    """

    @model_validator(mode="before")
    @classmethod
    def _old_names_are_read(cls, data: Any) -> Any:
        return terms.turns_in_new_names(data)

    lead_in_steps: int
    steps: list[int] = Field(default_factory=list, description="timed steps of each turn")
    place: list[int] = Field(
        default_factory=list, description="0-based place of this arm's turn in the round"
    )
    step_s: list[float] = Field(
        default_factory=list, description="mean seconds of a turn's timed steps"
    )
    lead_in_s: list[float] = Field(
        default_factory=list, description="mean seconds of its lead-in steps; [] without"
    )
    begin_ns: list[int] = Field(
        default_factory=list, description="when the turn's first step began"
    )
    host: dict[str, list[float]] = Field(
        default_factory=dict,
        description="what the host did to the job in each turn, lead-in included: run_delay_s "
        "(its threads waited for "
        "a core), main_run_delay_s (its main thread did), steal_s (the hypervisor had its "
        "cores), cpu_s, "
        "involuntary_switches, major_faults, minor_faults; injected_sleep_s (an injected delay "
        "slept, measured around it)",
    )
    pilot: int = Field(
        0, description="rounds at the head that chose the turn length and do not count"
    )
    switch_s: Difference | None = Field(
        None,
        description="what the first step of a turn took more than the mean of its others, mean "
        "over turns of two steps "
        "and more, the pilot's included; null: there were fewer than two such turns",
    )
    switch_standard_error_s: Quantity | None = None
    alone: AloneTurn | None = Field(
        None, description="null: it had no turn to itself, or its training ended before"
    )
    compiling_setup_s: Seconds | None = Field(
        None,
        description="set-up of a process that was ended after it, because it compiled what the "
        "process of this record found on disk; null: there was none",
    )
    levers: dict[str, Any] = Field(
        default_factory=dict,
        description="what was done against noise: cores, …; kept_awake (with `keep_awake` alone: "
        "whether their cores never went idle during the turns; if not, awake_refused may say why)",
    )

    def seconds_beside(self, other: TurnTimes) -> list[tuple[float, float]]:
        """The seconds that this job and `other` took for the same steps, round by round; none of
        the pilot's.
        """
        rounds = list(zip(self.steps, self.step_s, other.step_s, strict=False))[self.pilot :]
        return [(steps * own_s, steps * other_s) for steps, own_s, other_s in rounds]


class Sources(Part):
    """Where data and weights came from; tables say so when either is synthetic."""

    data: Literal["hub", "folder", "files", "synthetic"] | None = None
    weights: Literal["pretrained", "random"] | None = None
    train_samples: Count | None = None
    eval_samples: Count | None = None
    data_sha256: str | None = None
    max_seq_length: Count | None = Field(
        None,
        description="tokens that a sample was really cut to; null: as asked for, in records of "
        "before it was told",
    )
    remarks: list[FreeText] = Field(
        default_factory=list,
        description="what a reader must know of a pretrained model, a sentence each: what of it "
        "did not fit and was "
        "drawn from the seed (not: a head that no checkpoint has), classes in another order",
    )


class GpuTelemetry(Part):
    """One card over the steady window (peak memory and temperature: over the whole job). None:
    could not be read.

    Utilization is NVML's: the share of the driver's last 1/6 to 1 s in which any kernel ran, not
    how busy the card was.
    """

    index: int = Field(description="NVML's, in PCI bus order")
    uuid: str | None = None
    name: str | None = None
    memory_total_bytes: Count | None = None
    power_limit_w: Quantity | None = None
    samples: Count = Field(0, description="ticks within the window at which this card answered")
    utilization_mean: Quantity | None = Field(None, description="percent")
    utilization_p10: Quantity | None = Field(None, description="percent")
    memory_utilization_mean: Quantity | None = Field(
        None, description="percent of time memory was read or written"
    )
    memory_peak_bytes: Count | None = Field(
        None, description="whole card, other processes included"
    )
    power_mean_w: Quantity | None = None
    energy_j: Quantity | None = None
    energy_source: Literal["counter", "power"] | None = Field(
        None, description="the card's energy counter, or power integrated where it has none"
    )
    sm_clock_median_mhz: Quantity | None = None
    sm_clock_p10_mhz: Quantity | None = None
    memory_clock_median_mhz: Quantity | None = None
    temperature_max_c: Difference | None = None
    clock_limits: dict[str, float] = Field(
        default_factory=dict,
        description="share of samples at which NVML named this reason for the clock; 0 left out",
    )
    foreign_processes: Count | None = Field(
        None, description="most processes of others on the card at one time"
    )
    unreadable: list[FreeText] = Field(
        default_factory=list, description="`field: reason`, each once"
    )


class Telemetry(Part):
    """What the sampler saw of a job; window values are None if the job had no steady window."""

    interval_s: Seconds | None = Field(
        None, description="between ticks; processes, temperature, … about every second"
    )
    window_s: Seconds | None = Field(None, description="length of the steady window")
    samples: Count = Field(0, description="ticks within the window")
    missed_ticks: Count | None = Field(None, description="over the whole job")
    cores: Count | None = Field(None, description="logical CPUs that shares refer to")
    host_cpu_share_mean: Quantity | None = Field(
        None, description="0 to 1, all processes but those that keep cores awake, of all cores"
    )
    job_cpu_share_mean: Quantity | None = Field(
        None, description="0 to 1, the job's process tree, of all cores"
    )
    job_cores: Count | None = Field(
        None, description="logical CPUs that the job's processes may use"
    )
    job_cores_busy_mean: Quantity | None = Field(
        None,
        description="0 to 1, all processes but those that keep cores awake, of the job's cores",
    )
    others_cpu_share_mean: Quantity | None = Field(
        None,
        description="0 to 1, what is not the job (the hypervisor's other guests included), of the "
        "job's cores",
    )
    stopped_s: Quantity | None = Field(
        None, description="whole job, time in which a process of the job was stopped (SIGSTOP)"
    )
    covered_share: Quantity | None = Field(
        None, description="0 to 1, share of the window without a gap in the samples"
    )
    job_rss_peak_bytes: Count | None = Field(
        None, description="sum over the tree, whole job; shared pages count twice"
    )
    joules_per_sample: Quantity | None = Field(
        None, description="all cards' energy per training sample in the window"
    )
    alone_s: Seconds | None = Field(
        None,
        description="of a job that took turns: seconds of its turn to itself over which CPU time, "
        "utilization, power and energy were read, instead of over the window; null: it had none",
    )
    gpus: list[GpuTelemetry] = Field(default_factory=list)
    unreadable: list[FreeText] = Field(default_factory=list)
    series: str | None = Field(
        None, description="Parquet, a row per tick and card (and one for the host), in the run"
    )


class Contention(Part):
    """What else on the host disturbed a job in its steady window (harness.runner.contention). None:
    cannot be told.
    """

    pause_share: float | None = Field(
        None, description="0 to 1, time beyond the median of steps that paused"
    )
    longest_step_s: float | None = Field(
        None, description="under the interleaved protocol the longest turn's mean step"
    )
    median_step_s: float | None = Field(
        None, description="under the interleaved protocol of turns' mean steps"
    )
    others_share: float | None = Field(
        None, description="0 to 1, CPU time of others, of the job's cores; on CPU only"
    )
    busy_share: float | None = Field(
        None, description="0 to 1, CPU time of all, of the job's cores; on CPU only"
    )
    cores: int | None = Field(None, description="the job's cores")
    stopped_s: float | None = Field(
        None, description="whole job, a process of it was stopped (SIGSTOP)"
    )
    noted: list[Literal["pauses", "others", "stopped"]] = Field(
        default_factory=list, description="which of these is more than on a quiet host"
    )
    heavy: FreeText = Field(
        "", description="why these times are no fair measurement, in words; empty if they are"
    )


class ModelShape(Part):
    """What decides how many floating-point operations a transformer needs."""

    layers: int
    decoder_layers: int = Field(
        0, description="beside them, of as many tokens, with attention to the encoder (T5)"
    )
    hidden_size: int
    intermediate_size: int
    labels: int = 2
    head_layers: int = Field(
        1, description="hidden x hidden layers on the pooled token, before the classifier"
    )
    embedding_size: Count | None = Field(None, description="if it is not the hidden size (ALBERT)")
    every_token: bool = Field(
        False, description="the head is on every token of a sample, not on a pooled one"
    )
    gated: bool = Field(
        False, description="a feed-forward block of three matrices (SwiGLU) instead of two"
    )


class Efficiency(Part):
    """Model FLOPs utilization and what it is made of (harness.results.mfu). None: the card's peak
    or the shape is unknown.
    """

    flops_per_sample: Quantity | None = Field(
        None, description="forward and backward pass of one training sample"
    )
    peak_flops_per_s: Quantity | None = Field(
        None, description="dense peak of the card at this precision, from its data sheet"
    )
    model_flops_utilization: Quantity | None = Field(
        None, description="0 to 1, in the steady window"
    )


ENGINES = ("torch", "onnxruntime")


class EngineTimes(Part):
    """Seconds per batch of one engine at one batch size, from host tensors to host logits."""

    mean_s: float
    p50_s: float = Field(
        description="quantiles by linear interpolation between the nearest batches"
    )
    p95_s: float
    samples_per_s: float = Field(description="batch size / mean_s")


class InferencePoint(Part):
    """Both engines at one batch size: the same batches, in turns (A B B A)."""

    batch_size: int
    batches: int = Field(description="timed batches of each engine")
    block_batches: int = Field(description="timed batches of a turn, which untimed ones precede")
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
        None, description="of every step; only parity runs carry them here"
    )
    turns: TurnTimes | None = Field(None, description="only under the interleaved protocol")
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

    @model_validator(mode="before")
    @classmethod
    def _old_names_are_read(cls, data: Any) -> Any:
        return terms.record_in_new_names(data, SCHEMA_VERSION)

    schema_version: int = SCHEMA_VERSION
    id: str
    run: str
    suite: str
    workload: Workload
    arm: Arm
    replicate: int
    position: int
    seed: int
    device: str = Field(description="cpu, or the GPU's name")
    parity_run: bool = False
    group: list[str] = Field(
        default_factory=list,
        description="interleaved protocol: the arms that took turns, this one included; []: it ran "
        "alone",
    )
    attempt: int = Field(
        1, description="1-based; a disturbed quad runs again, and its last attempt counts"
    )
    state: State
    reason: FreeText = Field("", description="one sentence, when the state is not ok")
    started_at: str | None = Field(None, description="UTC, ISO 8601")
    share_s: Seconds | None = Field(
        None,
        description="of jobs that ran side by side, the time of all divided by their number; null: "
        "the job ran alone, or took turns",
    )
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
        "mean nothing and are never shown (replicate: how often a figure was repeated)",
    )


def wall_share_s(job: JobRecord) -> float | None:
    """Wall seconds that a run spent on the job: those that took turns, or ran side by side, took
    the time of one.
    """
    if job.share_s is not None:
        return job.share_s
    wall_s = job.timing.wall_s
    return None if wall_s is None else wall_s / max(1, len(job.group))


def protocol_of(job: JobRecord) -> str:
    """How the job was measured, as far as its times depend on it: the protocol, and what was done
    to its cores. Jobs of which this differs are not measured alike.
    """
    if not job.group:
        return "sequential"
    levers = job.turns.levers if job.turns is not None else {}
    awake = ["cores kept awake"] if levers.get("kept_awake") else []
    realtime = ["real-time priority"] if levers.get("scheduler") == "SCHED_FIFO" else []
    return ", ".join(["interleaved", *awake, *realtime])


def trained_length(job: JobRecord) -> int:
    """The most tokens that a sample really had: a tokenizer may take fewer than were asked for."""
    return job.sources.max_seq_length or job.workload.training.max_seq_length


def leaves_padding_out(job: JobRecord) -> bool:
    """Whether the job left padding out of the layers after the embeddings, attention excepted.

    ONNX Runtime does so on a GPU where less than 90% of the tokens of the first batch are real, if
    its embedding sparsity optimizer is on. Its optimized graph then has FlattenAndUnpad nodes.
    """
    proof = job.engagement
    return proof is not None and proof.node_counts.get("FlattenAndUnpad", 0) > 0


class Pair(Part):
    """Two arms on one workload."""

    workload: str
    baseline: str
    candidate: str
    differs: list[str] = Field(
        default_factory=list, description="declared differences besides the backend"
    )


class Related(Part):
    """Measured runs that bear on a claim although they do not measure what it was made of."""

    suite: str = Field(description="pattern of the names of their suites")
    why: FreeText = Field(description="what they measure, as a phrase")


class Claim(Part):
    """What a publication claims, of a published run; its figures are the run's jobs and gains."""

    name: str
    source: FreeText = Field(description="the publication, as a phrase")
    devices: FreeText = Field(description="what it was measured on, as a phrase")
    statement: FreeText = Field(
        "", description="the gain in the publication's words, where it has no figure for a model"
    )
    throughput_gain_from: Quantity | None = Field(
        None, description="lowest claimed, a fraction, where a range is claimed and no figure"
    )
    throughput_gain_to: Quantity | None = Field(None, description="highest claimed, likewise")
    versions: FreeText = Field("", description="of packages, as published; empty: not published")
    out_of_scope: list[FreeText] = Field(
        default_factory=list, description="what it was made with and this project does not measure"
    )
    default_batch_size: int | None = Field(
        None, description="of the script that was run, where the batch size was not published"
    )
    measured_by: list[str] = Field(
        default_factory=list, description="suites that measure the same, in order of preference"
    )
    related: list[Related] = Field(default_factory=list)


class Stopping(Part):
    """How adaptive stopping ended for a pair."""

    workload: str
    baseline: str
    candidate: str
    state: Literal["precision reached", "precision not reached"]
    replicates: int = Field(
        description="replicates that both arms ended well, without those that compiled anew "
        "beside others (harness.schema.compiled)"
    )
    half_width_pp: Quantity | None = Field(
        None, description="of the 95% interval of the throughput gain"
    )
    target_pp: float
    minutes: float = Field(description="wall time of the workload's jobs so far")
    needed_replicates: Count | None = Field(
        None, description="estimated number of replicates that would reach the target"
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


class AdaptiveInfo(Part):
    """Of the suite's adaptive stopping what a reader of the run needs."""

    measure: Literal["steady_state", "end_to_end"] = Field(
        "steady_state", description="the gain that was to be precise enough"
    )


class ParityInfo(Part):
    """Of the suite's parity check what a reader of the run needs."""

    tolerance: Quantity | None = Field(
        None,
        description="largest difference of a step's loss between parity runs; null: by precision",
    )


class MeasurementInfo(Part):
    """Of the suite's `measurement` what a reader of the run needs.

    Not harness.schema.measurement.Measurement itself: a setting that a run is older than must not
    be read as today's default, but as none.
    """

    protocol: Literal["sequential", "interleaved"] | None = None
    warmup_steps: Count | None = None
    threads: Count | None = None
    adaptive: AdaptiveInfo | None = None
    parity: ParityInfo | None = Field(
        None, description="null: none was asked for, or the run is older than the check"
    )


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
    measurement: MeasurementInfo | None = Field(
        None, description="from `config` where a run is older than this field; null: not told"
    )
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
    claim: Claim | None = Field(None, description="only for published runs")

    @model_validator(mode="before")
    @classmethod
    def _measurement_is_in_the_config(cls, data: Any) -> Any:
        """Take the measurement's settings from the resolved suite where they are nowhere else."""
        if not isinstance(data, dict) or data.get("measurement") is not None:
            return data
        config = data.get("config")
        settings = config.get("measurement") if isinstance(config, dict) else None
        try:
            return {**data, "measurement": MeasurementInfo.model_validate(settings)}
        except ValidationError:
            # A suite is kept as it was written. What it says otherwise than today's does not make
            # the run unreadable.
            return data

    @model_validator(mode="before")
    @classmethod
    def _old_names_are_read(cls, data: Any) -> Any:
        return terms.run_in_new_names(data, SCHEMA_VERSION)
