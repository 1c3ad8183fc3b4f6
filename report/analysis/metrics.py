"""The declarations of metrics: what a figure is called, means, is measured in, and is read from.

A metric is declared here and nowhere else. Tables, the formats CSV and JSON, the exports, the page
and `report.frame` take its name, unit, meaning, direction, reader and format from its declaration.
A new metric of a job is one more entry of one of the tuples at the end of this module
(docs/adding-a-metric.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Generic, TypeVar

from harness.schema.compiled import compiled_anew
from harness.schema.record import EngineTimes, GpuTelemetry, JobRecord
from report.analysis.statistics import latency_gain, throughput_gain

Subject = TypeVar("Subject", contravariant=True)
DETAIL, NORMAL, MAJOR, ESSENTIAL = 0, 1, 2, 3
"""Importance of a column: where a table is wider than a terminal, columns of DETAIL are left out
first, those of MAJOR (how certain a figure is) last, those of ESSENTIAL never.
"""


class Unit(Enum):
    """A unit: its symbol, and its words in the names of formats that have no place for units.

    The order is that in which exports list the series of an arm.
    """

    SECOND = ("s", "seconds")
    SAMPLES_PER_SECOND = ("samples/s", "samples-per-second")
    TOKENS_PER_SECOND = ("tokens/s", "tokens-per-second")
    BYTE = ("bytes", "bytes")
    JOULE_PER_SAMPLE = ("J/sample", "joules")
    WATT = ("W", "watts")
    MEGAHERTZ = ("MHz", "megahertz")
    PERCENT = ("%", "percent")
    FRACTION = ("fraction", "fraction")
    RATIO = ("times", "times")
    STEP = ("steps", "steps")
    SAMPLE = ("samples", "samples")
    NONE = ("", "")

    def __init__(self, symbol: str, words: str) -> None:
        self.symbol = symbol
        self.words = words

    @property
    def place(self) -> int:
        """Its place in the order of units."""
        return [*Unit].index(self)


class Better(StrEnum):
    """Which values of a metric are the better ones, in the words of the CSV export."""

    HIGHER = "bigger"
    LOWER = "smaller"


@dataclass(frozen=True)
class Figure:
    """A value and the ends of its 95% interval, in the metric's unit; None where not known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float | None, low: float | None = None, high: float | None = None) -> Figure:
        """A figure without infinities: an end that overflowed is as good as none, and JSON has no
        infinity.
        """
        return cls(finite(value), finite(low), finite(high))

    @property
    def half_width(self) -> float | None:
        """From the value to the upper end of the interval; None without one."""
        return None if self.value is None or self.high is None else self.high - self.value


NO_FIGURE = Figure()


def finite(value: float | None) -> float | None:
    """`value`, or None where it is infinite or not a number."""
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, eq=False)
class Metric(Generic[Subject]):
    """The declaration of a metric that is read from a `Subject`, as a job's record.

    Attributes:
        key: Its name in rows: a column of CSV, Parquet and `report.frame`, a field of JSON.
        meaning: What it is, in one phrase for the reader of a file.
        unit: The unit of its values.
        read: Its value in a subject; None where the subject does not have it.
        header: Its column in tables; empty: no table shows it.
        factor: What a value is multiplied by to be shown, as 1000 for milliseconds.
        digits: Decimals that are shown; None: as many as four significant digits need.
        importance: Of its column in a terminal: DETAIL, NORMAL, MAJOR or ESSENTIAL.
        optional: Whether its column is left out where no row has a value.
        better: Which values are better; None where that is not known.
        interval: Whether its mean has a 95% interval over replicates (Student's t).
        interval_header: The column of the interval; empty: no table shows it.
        rate: Whether it is a number of samples over a time: its mean over replicates is that number
            over the mean time, so that both figures of an arm agree.
        series: Its name as a series of exports; empty: exports leave it out.
        proportional: Whether halving it is twice as good or bad, whatever its size. A gain is not:
            it may be near 0, and from 0.1% to 0.2% is no doubling of anything.
        label: Its name in the reason why a replicate without it does not count.
    """

    key: str
    meaning: str
    unit: Unit
    read: Callable[[Subject], float | None]
    header: str = ""
    factor: float = 1.0
    digits: int | None = None
    importance: int = NORMAL
    optional: bool = False
    better: Better | None = None
    interval: bool = False
    interval_header: str = ""
    rate: bool = False
    series: str = ""
    proportional: bool = True
    label: str = ""


JobMetric = Metric[JobRecord]
AnyMetric = Metric[Any]


@dataclass(frozen=True)
class OfCards:
    """The reader of a figure of all cards of a job: None unless every card has it.

    Attributes:
        combine: Makes one value of those of all cards.
        read: The value of one card.
    """

    combine: Callable[[list[float]], float]
    read: Callable[[GpuTelemetry], float | None]

    def __call__(self, job: JobRecord) -> float | None:
        """The combined value of a job's cards; None without telemetry of a card."""
        cards = job.telemetry.gpus if job.telemetry else []
        values = [value for card in cards if (value := self.read(card)) is not None]
        return float(self.combine(values)) if values and len(values) == len(cards) else None


def mean(values: list[float]) -> float:
    """The arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


def _warm_setup_s(job: JobRecord) -> float | None:
    """Seconds of set-up of a job that found what earlier ones compiled; None if it compiled
    anew.
    """
    return None if compiled_anew(job) else job.timing.setup_s


def _cold_setup_s(job: JobRecord) -> float | None:
    """Seconds of the set-up in which what later jobs find was compiled: of the job itself, or of
    the process that it began again from; None if nothing was compiled.
    """
    if job.turns is not None and job.turns.compiling_setup_s is not None:
        return job.turns.compiling_setup_s
    return job.timing.setup_s if compiled_anew(job) else None


# Jobs that took turns on the device waited for one another, so they have no time end to end.
RUNTIME = JobMetric(
    key="runtime_s",
    meaning="end-to-end training time in seconds, mean over the replicates that count",
    unit=Unit.SECOND,
    read=lambda job: None if job.group else job.timing.train_runtime_s,
    header="Runtime(s)",
    importance=ESSENTIAL,
    better=Better.LOWER,
    interval=True,
    interval_header="Runtime 95%",
    series="end-to-end-time",
    label="end to end time",
)
TRAIN_SAMPLES_PER_S = JobMetric(
    key="train_samples_per_s",
    meaning="end-to-end training samples per second: samples over the mean time",
    unit=Unit.SAMPLES_PER_SECOND,
    read=lambda job: None if job.group else job.timing.train_samples_per_s,
    header="Train samples(/s)",
    better=Better.HIGHER,
    rate=True,
    interval=True,
    series="end-to-end-throughput",
    label="end to end throughput",
)
SETUP = JobMetric(
    key="setup_s",
    meaning="seconds from the call of train() to the end of the first step, mean",
    unit=Unit.SECOND,
    read=lambda job: job.timing.setup_s,
    header="Set-up(s)",
    optional=True,
    better=Better.LOWER,
    interval=True,
    series="setup-time",
    label="set-up time",
)
COLD_SETUP = JobMetric(
    key="compiling_setup_s",
    meaning="seconds from the call of train() to the end of the first step, mean over the jobs "
    "that compiled what later ones find on disk: those of replicates that do not count because of "
    "it, and those that were ended after it, to begin again",
    unit=Unit.SECOND,
    read=_cold_setup_s,
    header="Cold set-up(s)",
    optional=True,
    better=Better.LOWER,
)
STEADY_STEP = JobMetric(
    key="steady_step_s",
    meaning="seconds per step after the warm-up, mean",
    unit=Unit.SECOND,
    read=lambda job: job.timing.steady_step_s,
    header="Steady step(ms)",
    factor=1e3,
    importance=ESSENTIAL,
    better=Better.LOWER,
    interval=True,
    interval_header="Step 95%",
    series="steady-step-time",
    label="steady state time",
)
STEADY_SAMPLES_PER_S = JobMetric(
    key="steady_samples_per_s",
    meaning="training samples per second after the warm-up: samples over the mean time",
    unit=Unit.SAMPLES_PER_SECOND,
    read=lambda job: job.timing.steady_samples_per_s,
    header="Steady samples(/s)",
    better=Better.HIGHER,
    rate=True,
    interval=True,
    series="steady-throughput",
    label="steady state throughput",
)
STEADY_TOKENS_PER_S = JobMetric(
    key="steady_tokens_per_s",
    meaning="tokens of the training samples, padding left out, source and target together, per "
    "second after the warm-up, mean",
    unit=Unit.TOKENS_PER_SECOND,
    read=lambda job: job.timing.steady_tokens_per_s,
    better=Better.HIGHER,
)
PADDING_SHARE = JobMetric(
    key="padding_share",
    meaning="padding among the tokens of the batches after the warm-up, mean",
    unit=Unit.FRACTION,
    read=lambda job: job.timing.padding_share,
)
GPU_UTILIZATION = JobMetric(
    key="gpu_utilization_percent",
    meaning="NVML's GPU utilization in the steady window, mean over cards and replicates",
    unit=Unit.PERCENT,
    read=OfCards(mean, lambda card: card.utilization_mean),
    header="Util(%)",
    digits=1,
    importance=ESSENTIAL,
)
GPU_UTILIZATION_P10 = JobMetric(
    key="gpu_utilization_p10_percent",
    meaning="its 10th percentile over the samples of a window, mean over cards and replicates",
    unit=Unit.PERCENT,
    read=OfCards(mean, lambda card: card.utilization_p10),
    header="p10(%)",
    digits=1,
    importance=DETAIL,
)
GPU_MEMORY_PEAK = JobMetric(
    key="gpu_memory_peak_bytes",
    meaning="peak of the whole card's memory in use by NVML, of the fullest card, mean over "
    "replicates",
    unit=Unit.BYTE,
    read=OfCards(max, lambda card: card.memory_peak_bytes),
    header="NVML GiB",
    factor=2**-30,
    digits=2,
    importance=ESSENTIAL,
    better=Better.LOWER,
    series="gpu-memory-peak",
)
TORCH_PEAK_ALLOCATED = JobMetric(
    key="torch_peak_allocated_bytes",
    meaning="peak that torch's allocator had handed out, mean over replicates",
    unit=Unit.BYTE,
    read=lambda job: job.memory.torch_peak_allocated_bytes,
    header="Torch GiB",
    factor=2**-30,
    digits=2,
    importance=DETAIL,
    better=Better.LOWER,
    series="torch-memory-peak",
)
TORCH_PEAK_RESERVED = JobMetric(
    key="torch_peak_reserved_bytes",
    meaning="peak that torch's allocator had taken from the card, mean over replicates",
    unit=Unit.BYTE,
    read=lambda job: job.memory.torch_peak_reserved_bytes,
    better=Better.LOWER,
)
POWER = JobMetric(
    key="power_w",
    meaning="power in the steady window, all cards together, mean over replicates",
    unit=Unit.WATT,
    read=OfCards(sum, lambda card: card.power_mean_w),
    header="Power(W)",
    digits=0,
)
ENERGY_PER_SAMPLE = JobMetric(
    key="joules_per_sample",
    meaning="energy of all cards per training sample in the steady window, mean over replicates",
    unit=Unit.JOULE_PER_SAMPLE,
    read=lambda job: job.telemetry.joules_per_sample if job.telemetry else None,
    header="J/sample",
    better=Better.LOWER,
    series="energy-per-sample",
)
MODEL_FLOPS_UTILIZATION = JobMetric(
    key="model_flops_utilization",
    meaning="the model's FLOPs over the card's dense peak, as a fraction, mean over replicates",
    unit=Unit.FRACTION,
    read=lambda job: job.efficiency.model_flops_utilization if job.efficiency else None,
    header="MFU(%)",
    factor=100,
    digits=1,
    better=Better.HIGHER,
)
SM_CLOCK = JobMetric(
    key="sm_clock_mhz",
    meaning="median SM clock in the steady window, mean over cards and replicates",
    unit=Unit.MEGAHERTZ,
    read=OfCards(mean, lambda card: card.sm_clock_median_mhz),
    header="SM(MHz)",
    digits=0,
    importance=DETAIL,
)
JOB_CPU_SHARE = JobMetric(
    key="job_cpu_share",
    meaning="CPU time of the job's processes over that of all cores in the steady window, as a "
    "fraction, mean",
    unit=Unit.FRACTION,
    read=lambda job: job.telemetry.job_cpu_share_mean if job.telemetry else None,
    header="CPU, job(%)",
    factor=100,
    digits=1,
)
HOST_CPU_SHARE = JobMetric(
    key="host_cpu_share",
    meaning="CPU time of all processes over that of all cores in the steady window, as a "
    "fraction, mean",
    unit=Unit.FRACTION,
    read=lambda job: job.telemetry.host_cpu_share_mean if job.telemetry else None,
    header="CPU, host(%)",
    factor=100,
    digits=1,
    importance=DETAIL,
)
PROCESS_MEMORY_PEAK = JobMetric(
    key="peak_rss_bytes",
    meaning="peak resident memory of the job's process, mean over replicates",
    unit=Unit.BYTE,
    read=lambda job: job.memory.peak_rss_bytes,
    header="Peak RSS(GiB)",
    factor=2**-30,
    digits=2,
    better=Better.LOWER,
    series="process-memory-peak",
)
JOB_MEMORY_PEAK = JobMetric(
    key="job_rss_peak_bytes",
    meaning="peak resident memory summed over the job's processes (shared pages twice), mean",
    unit=Unit.BYTE,
    read=lambda job: job.telemetry.job_rss_peak_bytes if job.telemetry else None,
    better=Better.LOWER,
)

# The figures of gains, of which rows hold a field each. `read` takes the mean of
# d = ln T_baseline - ln T_candidate, or an end of its interval.
LOG_RATIO: Metric[float] = Metric(
    key="log_ratio",
    meaning="mean of ln T_baseline - ln T_candidate over the replicates that count",
    unit=Unit.NONE,
    read=lambda d: d,
    better=Better.HIGHER,
    interval=True,
    proportional=False,
)

LATENCY_GAIN: Metric[float] = Metric(
    key="latency_gain",
    meaning="1 - T_candidate / T_baseline, as a fraction, from unrounded times",
    unit=Unit.FRACTION,
    read=latency_gain,
    header="Latency",
    better=Better.HIGHER,
    interval=True,
    series="latency-gain",
    proportional=False,
)
THROUGHPUT_GAIN: Metric[float] = Metric(
    key="throughput_gain",
    meaning="T_baseline / T_candidate - 1, as a fraction, from unrounded times",
    unit=Unit.FRACTION,
    read=throughput_gain,
    header="Throughput",
    importance=ESSENTIAL,
    better=Better.HIGHER,
    interval=True,
    interval_header="Throughput (95%)",
    series="throughput-gain",
    proportional=False,
)
# The throughput gain as tools can take it that judge by ratios: no table has it. `read` takes the
# throughput gain.
SPEED_UP: Metric[float] = Metric(
    key="speedup",
    meaning="T_baseline / T_candidate, from unrounded times",
    unit=Unit.RATIO,
    read=lambda gain: 1 + gain,
    better=Better.HIGHER,
    interval=True,
    series="speedup",
)
CYCLES_THROUGHPUT_GAIN: Metric[float] = Metric(
    key="cycles_throughput_gain",
    meaning="the throughput gain in clock cycles: each replicate's times multiplied by its SM "
    "clock",
    unit=Unit.FRACTION,
    read=throughput_gain,
    better=Better.HIGHER,
    interval=True,
    proportional=False,
)

# Of an engine of inference: in rows, its name stands before the key; `{engine}` is its label.
INFERENCE_LATENCY: Metric[EngineTimes] = Metric(
    key="latency_s",
    meaning="inference, seconds per batch by {engine}, mean over the replicates that count",
    unit=Unit.SECOND,
    read=lambda times: times.mean_s,
    header="mean",
    factor=1e3,
    better=Better.LOWER,
    interval=True,
    series="inference-latency",
)
INFERENCE_LATENCY_P50: Metric[EngineTimes] = Metric(
    key="latency_p50_s",
    meaning="inference, median over a replicate's batches, mean over replicates",
    unit=Unit.SECOND,
    read=lambda times: times.p50_s,
    header="p50",
    factor=1e3,
    better=Better.LOWER,
    series="inference-latency-p50",
)
INFERENCE_LATENCY_P95: Metric[EngineTimes] = Metric(
    key="latency_p95_s",
    meaning="inference, 95th percentile over a replicate's batches, mean over replicates",
    unit=Unit.SECOND,
    read=lambda times: times.p95_s,
    header="p95",
    factor=1e3,
    better=Better.LOWER,
    series="inference-latency-p95",
)
INFERENCE_SAMPLES_PER_S: Metric[EngineTimes] = Metric(
    key="samples_per_s",
    meaning="inference, samples per second by {engine}: samples over the mean time",
    unit=Unit.SAMPLES_PER_SECOND,
    read=lambda times: times.samples_per_s,
    header="samples(/s)",
    better=Better.HIGHER,
    rate=True,
    series="inference-throughput",
)


def whole_steps(job: JobRecord) -> int | None:
    """Optimizer steps of all epochs that the suite asks for, however early the job ended.

    As `transformers.Trainer` counts them: ceil(epochs · max(⌊batches / accumulation⌋, 1)). None
    where the number of samples is not known.
    """
    training, launch = job.workload.training, job.workload.launch
    samples = job.sources.train_samples
    if not samples:
        return None
    batches = math.ceil(samples / (training.batch_size * launch.world_size))
    return math.ceil(training.epochs * max(batches // training.gradient_accumulation_steps, 1))


def _predicted_runtime_s(job: JobRecord) -> float | None:
    steps, setup_s, step_s = whole_steps(job), _warm_setup_s(job), job.timing.steady_step_s
    if steps is None or setup_s is None or step_s is None:
        return None
    return setup_s + (steps - 1) * step_s


def _predicted_samples_per_s(job: JobRecord) -> float | None:
    seconds, samples = _predicted_runtime_s(job), job.sources.train_samples
    return job.workload.training.epochs * samples / seconds if seconds and samples else None


PREDICTED_RUNTIME = JobMetric(
    key="whole_runtime_s",
    meaning="training time of all epochs in seconds, predicted: set-up and as many steady steps as "
    "the epochs have after the first, mean",
    unit=Unit.SECOND,
    read=_predicted_runtime_s,
    header="Runtime(s), predicted",
    importance=ESSENTIAL,
    better=Better.LOWER,
    interval=True,
    interval_header="Predicted 95%",
    label="predicted training time",
)
WARM_SETUP = JobMetric(
    key="warm_setup_s",
    meaning="seconds from the call of train() to the end of the first step, mean, without "
    "replicates of an arm that keeps compiled kernels from job to job in which it compiled anew",
    unit=Unit.SECOND,
    read=_warm_setup_s,
    header="Warm set-up(s)",
    better=Better.LOWER,
    label="warm set-up time",
)
PREDICTED_SAMPLES_PER_S = JobMetric(
    key="whole_samples_per_s",
    meaning="training samples per second of all epochs, predicted: samples over the mean time",
    unit=Unit.SAMPLES_PER_SECOND,
    read=_predicted_samples_per_s,
    header="Train samples(/s)",
    better=Better.HIGHER,
    rate=True,
    label="predicted throughput",
)

# What the views show, in the order of rows and columns. A metric that is appended here has a
# column in the view's table if it has a header, and is in CSV, JSON, Parquet and report.frame.
END_TO_END: tuple[JobMetric, ...] = (RUNTIME, TRAIN_SAMPLES_PER_S)
STEADY_STATE: tuple[JobMetric, ...] = (
    SETUP,
    STEADY_STEP,
    STEADY_SAMPLES_PER_S,
    STEADY_TOKENS_PER_S,
    PADDING_SHARE,
)
GPU: tuple[JobMetric, ...] = (
    GPU_UTILIZATION,
    GPU_UTILIZATION_P10,
    GPU_MEMORY_PEAK,
    TORCH_PEAK_ALLOCATED,
    TORCH_PEAK_RESERVED,
    POWER,
    ENERGY_PER_SAMPLE,
    MODEL_FLOPS_UTILIZATION,
    SM_CLOCK,
)
HOST: tuple[JobMetric, ...] = (JOB_CPU_SHARE, HOST_CPU_SHARE, PROCESS_MEMORY_PEAK, JOB_MEMORY_PEAK)
PREDICTED: tuple[JobMetric, ...] = (PREDICTED_RUNTIME, PREDICTED_SAMPLES_PER_S)
WARM_ONLY: tuple[JobMetric, ...] = (*PREDICTED, WARM_SETUP)  # a job that compiled anew has none
JOB_METRICS: tuple[JobMetric, ...] = (*END_TO_END, *STEADY_STATE, *GPU, *HOST)
INFERENCE_METRICS: tuple[Metric[EngineTimes], ...] = (
    INFERENCE_LATENCY,
    INFERENCE_LATENCY_P50,
    INFERENCE_LATENCY_P95,
    INFERENCE_SAMPLES_PER_S,
)


def exported(metrics: tuple[Metric[Subject], ...]) -> list[Metric[Subject]]:
    """The metrics that exports have as series: times first, then rates, sizes and energy."""
    return sorted(
        (metric for metric in metrics if metric.series), key=lambda metric: metric.unit.place
    )
