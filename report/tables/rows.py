"""The rows of tables: what is known of an arm, a pair or a card, in typed, unrounded values.

A row is a dataclass. Its fields, in their order, are the columns of CSV and the fields of JSON. A
figure of a job or a gain is declared in report.analysis.metrics, every other field here with its
meaning. `Row.flat` makes the raw form, `describe_key` says what a name in it means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum, StrEnum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

from harness.schema.record import ENGINES, EngineTimes
from report.analysis.claims import Placed
from report.analysis.gains import Measure
from report.analysis.headline import GainVerdict
from report.analysis.metrics import (
    COLD_SETUP,
    CYCLES_THROUGHPUT_GAIN,
    INFERENCE_METRICS,
    JOB_METRICS,
    LATENCY_GAIN,
    LOG_RATIO,
    NO_FIGURE,
    PREDICTED,
    RUNTIME,
    SETUP,
    THROUGHPUT_GAIN,
    WARM_SETUP,
    AnyMetric,
    Figure,
    JobMetric,
    Metric,
    Unit,
)
from report.analysis.outcome import Outcome, PrecisionTarget
from report.analysis.parity import ParityOutcome

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Value = str | int | float | bool | list[str] | None
Figures = Mapping[JobMetric, Figure]
STATE = "state"  # the key of a row's outcome
ENGINE_LABELS = dict(zip(ENGINES, ("PyTorch", "ONNX Runtime"), strict=True))
SIDES = {"baseline": "the pair's baseline", "candidate": "the pair's candidate"}
_Extended = TypeVar("_Extended", bound="Row")


@dataclass(frozen=True)
class Meaning:
    """What a field of a row means, for who reads it in a file, and its unit."""

    text: str
    unit: Unit = Unit.NONE


# Fields that several kinds of rows have.
ArmName = Annotated[str, Meaning("name of the arm within the run")]
BackendLabel = Annotated[str, Meaning("label of the arm's backend")]
Attention = Annotated[str | None, Meaning("the arm's attention implementation")]
REPLICATE_NUMBER = Meaning(
    "number of the replicate within its group of arms, from 1, where a row is of one job"
)
GroupNumber = Annotated[
    int | None,
    Meaning(
        "number of the group of arms that took turns, from 1, where a row is of one job and the "
        "arms of its workload took turns in several groups"
    ),
]
Device = Annotated[str, Meaning("cpu, or the GPU's name")]
Source = Annotated[str, Meaning("measured, or published (taken from a publication)")]
ReplicateCount = Annotated[
    int | None, Meaning("replicates recorded, whatever became of them (null: not published)")
]
Counted = Annotated[
    int | None,
    Meaning("replicates that count: of the arm, or of both arms of the pair (null: not published)"),
]
ParityShown = Annotated[
    ParityOutcome | None,
    Meaning(
        "passed, failed, or not checked: whether both arms learned alike (null: no parity runs "
        "asked for)"
    ),
]
METRIC_NAME = Meaning(
    "name of a metric of the validation set; in inference that by which both engines were compared"
)
LeftOut = Annotated[str, Meaning("why some replicates do not count")]
State = Annotated[Outcome, Meaning("ok, or why there is no result")]


@dataclass(frozen=True, kw_only=True)
class Row:
    """What every row says of the workload; one that nobody ran is known by its name alone."""

    run: Annotated[str, Meaning("name of the run")]
    workload: Annotated[str, Meaning("name of the workload within the run")]
    model: Annotated[str, Meaning("label of the model")]
    task: Annotated[str | None, Meaning("label of the task")]
    precision: Annotated[str | None, Meaning("fp32, fp16 or bf16")]
    batch_size: Annotated[
        int | None,
        Meaning(
            "training samples per device and step (null: not published, or the arms of the pair "
            "differ in it)",
            Unit.SAMPLE,
        ),
    ]

    def flat(self) -> dict[str, Value]:
        """The row by the names of its values: what CSV, JSON, Parquet and `report.frame` hold.

        A figure with an interval has two more, its ends. Figures of several sides, as the engines
        of inference, have the side's name before theirs.
        """
        return flat(self)


def flat(row: DataclassInstance) -> dict[str, Value]:
    """The fields of a row by the names of their raw values."""
    return {
        key: value
        for each in fields(row)
        for key, value in flat_field(each.name, getattr(row, each.name))
    }


def flat_field(name: str, value: Any) -> Iterator[tuple[str, Value]]:
    """The raw values of a field of a row, with their names."""
    if isinstance(value, Figure):
        yield from _with_ends(name, value)
    elif isinstance(value, Outcome):
        yield STATE, str(value)
    elif isinstance(value, StrEnum):
        yield name, value.value
    elif isinstance(value, Measure):
        yield name, value.key
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            if isinstance(key, str):
                for inner, raw in flat_field(name, entry):
                    yield f"{key}_{inner}", raw
            elif isinstance(entry, Figure):
                figures = list(_with_ends(key.key, entry))
                yield from figures if key.interval else figures[:1]
            else:
                yield key.key, entry
    else:
        yield name, value


def _with_ends(key: str, figure: Figure) -> Iterator[tuple[str, Value]]:
    yield key, figure.value
    yield f"{key}_low", figure.low
    yield f"{key}_high", figure.high


@dataclass(frozen=True, kw_only=True)
class TrainedRow(Row):
    """What every row says of one arm of a workload."""

    arm: ArmName
    backend: BackendLabel
    attention: Attention
    device: Device
    source: Source
    replicates: ReplicateCount
    n: Counted

    @property
    def backend_shown(self) -> str:
        """The label of the backend that the row is grouped by."""
        return self.backend

    @property
    def own_arm(self) -> tuple[str, str] | None:
        """The name and the backend's label of the arm that the row is of."""
        return self.arm, self.backend


@dataclass(frozen=True, kw_only=True)
class ArmRow(TrainedRow):
    """An arm of a workload with its figures, each the mean over the replicates that count."""

    figures: Figures
    left_out: LeftOut
    outcome: State

    def figure(self, metric: JobMetric) -> Figure:
        """The figure of `metric`; without a value if the row has none."""
        return self.figures.get(metric, NO_FIGURE)


@dataclass(frozen=True, kw_only=True)
class UtilizationRow(TrainedRow):
    """What the cards did while an arm trained; its figures are as those of `ArmRow`."""

    figures: Figures
    kernels: Annotated[
        str | None,
        Meaning("native, or ptx if the driver compiled ONNX Runtime's kernels for this card"),
    ]
    left_out: LeftOut
    outcome: State

    def figure(self, metric: JobMetric) -> Figure:
        """The figure of `metric`; without a value if the row has none."""
        return self.figures.get(metric, NO_FIGURE)


@dataclass(frozen=True, kw_only=True)
class CardRow(ArmRow):
    """What one card of an arm with several did."""

    card: Annotated[int, Meaning("NVML's index of the card, in PCI bus order")]
    of_card: Figures

    def figure(self, metric: JobMetric) -> Figure:
        """The figure of `metric` of this card."""
        return self.of_card.get(metric, NO_FIGURE)


@dataclass(frozen=True, kw_only=True)
class MetricRow(ArmRow):
    """A metric of the validation set after training."""

    metric: Annotated[str, METRIC_NAME]
    metric_value: Annotated[
        Figure,
        Meaning(
            "its value after training, mean over the replicates that count (null: not defined "
            "in one of "
            "them)"
        ),
    ]
    chance: Annotated[
        float | None,
        Meaning("what a model that ignores its input reaches of it (null: not recorded)"),
    ]


@dataclass(frozen=True, kw_only=True)
class ScalingRow(ArmRow):
    """An arm that trained the same work by some number of processes."""

    processes: Annotated[int, Meaning("processes that trained together, on all nodes")]
    nodes: Annotated[int, Meaning("nodes that the processes were on")]
    speed_up: Annotated[
        Figure,
        Meaning(
            "steady samples per second over those of the fewest processes that the run has "
            "of the same "
            "work",
            Unit.RATIO,
        ),
    ]
    scaling_efficiency: Annotated[
        Figure,
        Meaning(
            "the speed-up over the ratio of processes, as a fraction: 1 if nothing is lost",
            Unit.FRACTION,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class PredictionRow(ArmRow):
    """One job, and what its first steps foretell of its training time."""

    replicate: Annotated[int, REPLICATE_NUMBER]
    group: GroupNumber
    steps: Annotated[int, Meaning("optimizer steps of the job", Unit.STEP)]
    setup_s: Annotated[float | None, SETUP]
    first_step_s: Annotated[
        float,
        Meaning(
            "mean seconds of its first 200 steps, without the suite's warm-up steps", Unit.SECOND
        ),
    ]
    later_step_s: Annotated[float, Meaning("mean seconds of the steps after these", Unit.SECOND)]
    predicted_runtime_s: Annotated[
        float,
        Meaning(
            "set-up and as many steps of first_step_s as the job has after the first", Unit.SECOND
        ),
    ]
    runtime_s: Annotated[float, RUNTIME]
    prediction_difference: Annotated[
        float, Meaning("predicted_runtime_s over runtime_s, less 1, as a fraction", Unit.FRACTION)
    ]


@dataclass(frozen=True, kw_only=True)
class PredictedRow(ArmRow):
    """An arm with the training time of all epochs, predicted from its set-up and steady steps."""

    epochs: Annotated[float, Meaning("epochs that the prediction is of")]
    steps: Annotated[int, Meaning("optimizer steps of these epochs", Unit.STEP)]
    first_setup_s: Annotated[
        float | None,
        Meaning(
            "set-up of the arm's parity run, its first job of the run: what is compiled or cached "
            "on first use is in it (null: no parity run)",
            Unit.SECOND,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class SupportRow(ArmRow):
    """Whether an arm works: trains, is proven engaged, learns alike and gains."""

    host: Annotated[str, Meaning("the GPU's name, or of a run on CPU the processor and its cores")]
    trains: Annotated[
        str,
        Meaning(
            "yes if a replicate trained to its end, no if none did, not known if all were stopped "
            "by no fault of their own, not run if there is none"
        ),
    ]
    proven: Annotated[
        str | None,
        Meaning(
            "whether the backend was proven to run the training, where a proof was taken "
            "(null: needs "
            "none)"
        ),
    ]
    baseline: Annotated[str | None, Meaning("arm that the candidate is compared with")]
    baseline_backend: Annotated[str | None, Meaning("label of the baseline's backend")]
    parity: ParityShown
    throughput_gain: Annotated[Figure, THROUGHPUT_GAIN]
    error: Annotated[str, Meaning("why there is no result, or no gain")]


@dataclass(frozen=True, kw_only=True)
class InferenceRow(TrainedRow):
    """Both engines on the weights that an arm trained, at one batch size."""

    inference_batch_size: Annotated[
        int | None, Meaning("samples per batch of inference (null: none was timed)", Unit.SAMPLE)
    ]
    inference_precision: Annotated[
        str | None,
        Meaning("fp32 or fp16: weights and arithmetic of both engines (null: not known)"),
    ]
    engines: Mapping[str, Mapping[Metric[EngineTimes], Figure]]
    log_ratio: Annotated[Figure, LOG_RATIO]
    latency_gain: Annotated[Figure, LATENCY_GAIN]
    throughput_gain: Annotated[Figure, THROUGHPUT_GAIN]
    metric: Annotated[str | None, METRIC_NAME]
    torch_metric: Annotated[float | None, Meaning("its value by PyTorch, mean over replicates")]
    onnxruntime_metric: Annotated[
        float | None, Meaning("its value by ONNX Runtime, mean over replicates")
    ]
    logit_difference: Annotated[
        float | None,
        Meaning("largest absolute difference of a logit between both engines in any replicate"),
    ]
    logit_tolerance: Annotated[float | None, Meaning("what it was allowed to be")]
    provider: Annotated[str | None, Meaning("first execution provider of ONNX Runtime's session")]
    opset: Annotated[int | None, Meaning("opset of the exported graph")]
    export_s: Annotated[float | None, Meaning("seconds of the export to ONNX, mean", Unit.SECOND)]
    session_s: Annotated[
        float | None, Meaning("seconds of making ONNX Runtime's session, mean", Unit.SECOND)
    ]
    left_out: LeftOut
    outcome: State


@dataclass(frozen=True, kw_only=True)
class GainRow(Row):
    """The gain of a declared pair by one measure, with the checks that it has to pass."""

    baseline: Annotated[str, Meaning("arm that the candidate is compared with")]
    candidate: Annotated[str, Meaning("arm whose gain this is")]
    baseline_backend: Annotated[str, Meaning("label of the baseline's backend")]
    candidate_backend: Annotated[str, Meaning("label of the candidate's backend")]
    baseline_attention: Annotated[str | None, Meaning("the baseline's attention implementation")]
    candidate_attention: Annotated[str | None, Meaning("the candidate's attention implementation")]
    device: Device
    protocol: Annotated[
        str, Meaning("sequential, or interleaved: the jobs of both arms took turns on the device")
    ]
    measure: Annotated[Measure, Meaning("end_to_end or steady_state: the time that is compared")]
    source: Source
    replicates: ReplicateCount
    n: Counted
    log_ratio: Annotated[Figure, LOG_RATIO]
    latency_gain: Annotated[Figure, LATENCY_GAIN]
    throughput_gain: Annotated[Figure, THROUGHPUT_GAIN]
    cycles_throughput_gain: Annotated[Figure, CYCLES_THROUGHPUT_GAIN]
    published_latency_gain: Annotated[
        float | None,
        Meaning("the gain as printed in the publication (published runs only)", Unit.FRACTION),
    ]
    published_throughput_gain: Annotated[
        float | None,
        Meaning("the gain as printed in the publication (published runs only)", Unit.FRACTION),
    ]
    break_even: Annotated[
        str,
        Meaning(
            "the step from which the candidate has repaid its set-up, with its 95% interval, "
            "in words"
        ),
    ]
    break_even_step: Annotated[
        float | None, Meaning("that step, counted from 1 (null: never, or not known)", Unit.STEP)
    ]
    break_even_step_low: Annotated[
        float | None,
        Meaning("lower end of its 95% interval by Fieller (null: never, or not known)", Unit.STEP),
    ]
    break_even_step_high: Annotated[
        float | None,
        Meaning(
            "upper end of its 95% interval by Fieller (null: unbounded, or not known)", Unit.STEP
        ),
    ]
    a_a: Annotated[
        bool, Meaning("whether the arms of the pair are identical, so that the gain is noise")
    ]
    noise_floor: Annotated[
        str,
        Meaning(
            "half-width of the 95% interval of identical arms on this host, with its middle "
            "if 0 is "
            "outside"
        ),
    ]
    noise_floor_throughput_gain_low: Annotated[
        float | None,
        Meaning(
            "lower end of the 95% interval of identical arms' throughput gain, a fraction",
            Unit.FRACTION,
        ),
    ]
    noise_floor_throughput_gain_high: Annotated[
        float | None,
        Meaning(
            "upper end of the 95% interval of identical arms' throughput gain, a fraction",
            Unit.FRACTION,
        ),
    ]
    noise_floor_run: Annotated[
        str | None, Meaning("the run in which the identical arms were measured")
    ]
    parity: ParityShown
    parity_reason: Annotated[str, Meaning("why parity failed or was not checked")]
    parity_metric: Annotated[
        str,
        Meaning(
            "how the task's metric after training compares with the baseline's spread between seeds"
        ),
    ]
    parity_loss_difference: Annotated[
        float | None, Meaning("largest difference of a step's loss between the parity runs")
    ]
    parity_loss_tolerance: Annotated[float | None, Meaning("what it was allowed to be")]
    precision_target: Annotated[
        PrecisionTarget | None,
        Meaning(
            "precision reached or precision not reached (null: no adaptive stopping on this "
            "measure)"
        ),
    ]
    differs: Annotated[list[str], Meaning("declared differences of the pair besides the backend")]
    left_out: LeftOut
    unobserved: Annotated[
        str,
        Meaning(
            "of how many jobs of the gain it is unknown whether their cards were throttled "
            "or shared, "
            "and why"
        ),
    ]
    outcome: State

    @property
    def backend_shown(self) -> str:
        """The label of the backend that the row is grouped by: a gain is its candidate's."""
        return self.candidate_backend

    @property
    def own_arm(self) -> tuple[str, str] | None:
        """A gain is of two arms."""
        return None


@dataclass(frozen=True, kw_only=True)
class FullRow(GainRow):
    """A gain with the figures of both arms, by `baseline` and `candidate`."""

    sides: Mapping[str, Figures]


@dataclass(frozen=True, kw_only=True)
class AnswerRow(GainRow):
    """A pair with the gains by both measures in one row."""

    steady_throughput_gain: Annotated[
        Figure,
        Meaning(
            "the throughput gain in the steady state, where a row is of one pair and "
            "`throughput_gain` "
            "is end to end",
            Unit.FRACTION,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class HeadlineRow(GainRow):
    """A gain with its verdict, and the sentence of its pair."""

    verdict: Annotated[
        GainVerdict,
        Meaning(
            "faster, slower or not distinguishable by the 95% interval; without an interval; "
            "without a result; or identical arms"
        ),
    ]
    needed_replicates: Annotated[
        int | None,
        Meaning(
            "of two or three replicates: how many it would take by their spread, to tell the gain "
            "from 0 or to bound it to needed_for_pp (null: enough, or not to be told)"
        ),
    ]
    needed_for_pp: Annotated[
        float | None,
        Meaning(
            "half-width of the interval in percentage points that needed_replicates would bound "
            "the gain to (null: to tell it from 0)"
        ),
    ]
    facts: Annotated[
        list[str],
        Meaning("what the workload is: precision, batch size, attention, device, sources"),
    ]
    gpu_utilization: Annotated[
        str, Meaning("NVML's GPU utilization of the candidate against the baseline's, in words")
    ]
    leaves_padding_out: Annotated[
        str,
        Meaning(
            "baseline or candidate: which of them leaves out padding that the other computes "
            "(empty: neither)"
        ),
    ]
    sentence: Annotated[str, Meaning("what all measures of the pair come to, in words")]


@dataclass(frozen=True, kw_only=True)
class SummaryRow(GainRow):
    """The latest gain of a pair, and what its runs have in all."""

    runs: Annotated[int, Meaning("runs that have the pair")]
    runs_with_gain: Annotated[int, Meaning("runs in which its gain is valid")]
    first_run_at: Annotated[
        str, Meaning("when the first of them was made (UTC, ISO 8601; empty: not known)")
    ]
    latest_run_at: Annotated[
        str, Meaning("when the latest of them was made, to which all other keys of the row belong")
    ]
    median_throughput_gain: Annotated[
        float | None, Meaning("median over the runs with a valid gain", Unit.FRACTION)
    ]
    lowest_throughput_gain: Annotated[
        float | None, Meaning("lowest of the runs with a valid gain", Unit.FRACTION)
    ]
    highest_throughput_gain: Annotated[
        float | None, Meaning("highest of the runs with a valid gain", Unit.FRACTION)
    ]


@dataclass(frozen=True, kw_only=True)
class ClaimRow(Row):
    """What was published of a model, and what was measured of it. `run` is the measured one, and
    so are precision, batch size and all figures but those that are called published.
    """

    claim: Annotated[str, Meaning("name of the published claim")]
    published_model: Annotated[
        str | None, Meaning("the model that the claim is of (null: the claim names none)")
    ]
    published_task: Annotated[str | None, Meaning("the task that the claim is of (null: likewise)")]
    published_device: Annotated[str, Meaning("what the claim was measured on")]
    published_statement: Annotated[
        str, Meaning("the gain in the publication's words, where it has no figure for a model")
    ]
    published_baseline_runtime_s: Annotated[
        float | None, Meaning("the baseline's runtime as printed", Unit.SECOND)
    ]
    published_candidate_runtime_s: Annotated[
        float | None, Meaning("the candidate's runtime as printed", Unit.SECOND)
    ]
    published_latency_gain: Annotated[
        float | None,
        Meaning("the gain as printed in the publication (published runs only)", Unit.FRACTION),
    ]
    published_throughput_gain: Annotated[
        float | None,
        Meaning("the gain as printed in the publication (published runs only)", Unit.FRACTION),
    ]
    baseline: Annotated[str, Meaning("arm that the candidate is compared with")]
    candidate: Annotated[str, Meaning("arm whose gain this is")]
    device: Device
    measure: Annotated[
        Measure | None,
        Meaning("end_to_end, predicted or steady_state: the time that is compared (null: none)"),
    ]
    replicates: ReplicateCount
    n: Counted
    latency_gain: Annotated[Figure, LATENCY_GAIN]
    throughput_gain: Annotated[Figure, THROUGHPUT_GAIN]
    measured_baseline_runtime_s: Annotated[
        float | None,
        Meaning(
            "the baseline's seconds for all epochs, measured or predicted as `measure` says",
            Unit.SECOND,
        ),
    ]
    measured_candidate_runtime_s: Annotated[
        float | None, Meaning("the candidate's, likewise", Unit.SECOND)
    ]
    inside: Annotated[
        Placed | None,
        Meaning(
            "yes, or no with the side: whether the 95% interval of the measured throughput gain "
            "meets what was published; not decided: it is too wide to tell; no interval (null: no "
            "gain, no published figure, or other work)"
        ),
    ]
    related: Annotated[
        bool, Meaning("whether the measured work is other work, which only bears on the claim")
    ]
    differences: Annotated[
        list[str], Meaning("what is known to differ from the published experiment, or is unknown")
    ]
    outcome: State

    @property
    def source(self) -> str:
        """Its gain is the measured one."""
        return "measured"

    @property
    def backend_shown(self) -> str:
        """A claim is of the candidate."""
        return self.candidate

    @property
    def own_arm(self) -> tuple[str, str] | None:
        """A claim is of two arms."""
        return None


@dataclass(frozen=True, kw_only=True)
class JobRow(Row):
    """One job with its own figures, whatever became of it."""

    arm: ArmName
    backend: BackendLabel
    attention: Attention
    device: Device
    source: Source
    replicate: Annotated[int | None, REPLICATE_NUMBER]
    group: GroupNumber
    attempt: Annotated[int, Meaning("number of the attempt at the replicate, from 1")]
    parity_run: Annotated[
        bool, Meaning("whether it is a parity run, which trains without dropout and is not timed")
    ]
    counts: Annotated[
        bool,
        Meaning(
            "whether tables of its arm's speed count it: a result, the latest attempt, no parity "
            "run, and not compiled anew where other replicates of the arm were not"
        ),
    ]
    compiled_anew: Annotated[
        bool,
        Meaning(
            "whether its arm keeps compiled kernels from job to job and it compiled them, so that "
            "its set-up was cold"
        ),
    ]
    reason: Annotated[str, Meaning("what the job said of its end; empty if it ended well")]
    started_at: Annotated[str | None, Meaning("when it began (UTC, ISO 8601)")]
    figures: Mapping[JobMetric, float | None]
    outcome: State


AnyRow = ArmRow | UtilizationRow | InferenceRow | GainRow
ROW_KINDS: tuple[type[Row], ...] = (
    *(ArmRow, UtilizationRow, CardRow, MetricRow, ScalingRow, PredictedRow, PredictionRow),
    *(SupportRow, InferenceRow, GainRow, FullRow, AnswerRow, HeadlineRow, SummaryRow),
    *(ClaimRow, JobRow),
)


def extended(row: Row, kind: type[_Extended], **more: Any) -> _Extended:
    """A row of `kind` with the fields that it shares with `row`, and `more` of those that it has
    besides or that are to be others.
    """
    shared = {each.name for each in fields(kind)}
    kept = {each.name: getattr(row, each.name) for each in fields(row) if each.name in shared}
    return kind(**{**kept, **more})


class Kind(Enum):
    """The type of a raw value; null is allowed for each."""

    TEXT = "text"
    TEXTS = "texts"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class Key:
    """What a name in the raw form of a row stands for."""

    meaning: str
    unit: Unit
    kind: Kind


def describe_key(key: str) -> Key:
    """What a name in the raw form of a row stands for. KeyError for a name that no row has."""
    keys = _keys()
    if key in keys:
        return keys[key]
    for side, whose in SIDES.items():
        if key.startswith(f"{side}_"):
            found = describe_key(key.removeprefix(f"{side}_"))
            return Key(f"{found.meaning}; of {whose}", found.unit, found.kind)
    return keys[key]


@cache
def _keys() -> dict[str, Key]:
    found: dict[str, Key] = {}
    for metric in (*JOB_METRICS, COLD_SETUP, *PREDICTED, WARM_SETUP):
        found |= dict(_keys_of_metric(metric))
    for engine, label in ENGINE_LABELS.items():
        for of_engine in INFERENCE_METRICS:
            meaning = of_engine.meaning.format(engine=label)
            found |= dict(_keys_of_metric(of_engine, f"{engine}_", meaning))
    for row in ROW_KINDS:
        for name, hint in get_type_hints(row, include_extras=True).items():
            told = getattr(hint, "__metadata__", ())
            if told and isinstance(told[0], Metric):
                found |= dict(_keys_of_field(name, hint, told[0].meaning, told[0].unit))
            elif told:
                found |= dict(_keys_of_field(name, hint, told[0].text, told[0].unit))
    return found


def _keys_of_metric(
    metric: AnyMetric, before: str = "", meaning: str = ""
) -> Iterator[tuple[str, Key]]:
    key = f"{before}{metric.key}"
    keys = _keys_of_figure(key, meaning or metric.meaning, metric.unit)
    yield from keys if metric.interval else [next(keys)]


def _keys_of_figure(name: str, meaning: str, unit: Unit) -> Iterator[tuple[str, Key]]:
    yield name, Key(meaning, unit, Kind.NUMBER)
    for end, what in (("low", "lower"), ("high", "upper")):
        said = f"{what} end of the 95% Student t interval of {name} (null where n < 2)"
        yield f"{name}_{end}", Key(said, unit, Kind.NUMBER)


def _keys_of_field(name: str, hint: Any, meaning: str, unit: Unit) -> Iterator[tuple[str, Key]]:
    annotated = get_args(hint)[0]
    types = set(get_args(annotated) or (annotated,)) - {type(None)}
    if annotated == list[str]:
        yield name, Key(meaning, unit, Kind.TEXTS)
    elif types == {Figure}:
        yield from _keys_of_figure(name, meaning, unit)
    elif types == {Outcome}:
        yield STATE, Key(meaning, unit, Kind.TEXT)
    else:
        numbers = {bool: Kind.BOOLEAN, int: Kind.INTEGER, float: Kind.NUMBER}
        yield name, Key(meaning, unit, numbers.get(types.pop(), Kind.TEXT))
