"""What a job's record is made of (harness.schema.record): times, memory, proof, telemetry, each a
part of its own.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from harness.schema.redaction import FreeText
from harness.schema.stats import LONGEST_S, SHORTEST_S

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


class Part(BaseModel):
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
    steps: Count | None = Field(None, description="optimizer steps done")
    train_runtime_s: Seconds | None = Field(
        None, description="end to end, as Trainer prints it (what is published)"
    )
    train_samples_per_s: Quantity | None = Field(
        None, description="as Trainer prints it, from train_runtime_s"
    )
    eval_runtime_s: Seconds | None = None
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


class Fingerprint(Part):
    """What the job resolved to: compared between the arms of a pair before a gain is believed."""

    initial_weights_sha256: str | None = None
    data_order_sha256: str | None = Field(None, description="input ids of every batch, in order")
    optimizer: str | None = Field(None, description="class and fused flag")
    attention: str | None = None
    dtype_policy: str | None = Field(
        None, description="parameters' dtype, autocast dtype and whether losses are scaled"
    )
    parameters: Count | None = None
    training_arguments: dict[str, Any] = Field(default_factory=dict)


class BlockTimes(Part):
    """What a job of the `blocks` protocol did, one entry per pair of blocks; the partner's entries
    have equal index.

    Only timed steps count: a block begins with `lead_in_steps` untimed ones. What it costs a step
    that the partner had the device (and the cores) before it is `switch_s`: without lead-in, that
    divided by the block's steps is in `step_s`.
    """

    lead_in_steps: int
    steps: list[int] = Field(default_factory=list, description="timed steps of each block")
    first: list[bool] = Field(
        default_factory=list, description="whether this arm went first in the pair of blocks"
    )
    step_s: list[float] = Field(
        default_factory=list, description="mean seconds of a block's timed steps"
    )
    lead_in_s: list[float] = Field(
        default_factory=list, description="mean seconds of its lead-in steps; [] without"
    )
    begin_ns: list[int] = Field(
        default_factory=list, description="when the block's first step began"
    )
    host: dict[str, list[float]] = Field(
        default_factory=dict,
        description="what the host did to the job in each turn, lead-in included: run_delay_s "
        "(its threads waited for "
        "a core), main_run_delay_s (its main thread did), steal_s (the hypervisor had its "
        "cores), cpu_s, "
        "involuntary_switches, major_faults, minor_faults",
    )
    pilot: int = Field(
        0, description="pairs of blocks at the head that chose the block length and do not count"
    )
    switch_s: Difference | None = Field(
        None,
        description="what the first step of a turn took more than the mean of its others, mean "
        "over turns of two steps "
        "and more, the pilot's included; null: there were fewer than two such turns",
    )
    switch_standard_error_s: Quantity | None = None
    levers: dict[str, Any] = Field(
        default_factory=dict, description="what was done against noise: cores, …"
    )


class Sources(Part):
    """Where data and weights came from; tables say so when either is synthetic."""

    data: Literal["hub", "folder", "synthetic"] | None = None
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
        None, description="0 to 1, all processes, of all cores"
    )
    job_cpu_share_mean: Quantity | None = Field(
        None, description="0 to 1, the job's process tree, of all cores"
    )
    job_cores: Count | None = Field(
        None, description="logical CPUs that the job's processes may use"
    )
    job_cores_busy_mean: Quantity | None = Field(
        None, description="0 to 1, all processes, of the job's cores"
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
        None, description="under the blocks protocol the longest block's mean step"
    )
    median_step_s: float | None = Field(
        None, description="under the blocks protocol of blocks' mean steps"
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
