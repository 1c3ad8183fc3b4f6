"""How long a plan will take: from earlier runs of the same jobs on disk, else roughly from the work
it asks for.

The work of a step is counted in tokens, padding included. Where samples are padded to
`max_seq_length`, that is their length. Where batches are padded to their longest sample, the length
is the expected longest of a batch under an assumption: lengths are log-normal with the mean and
standard deviation of the built-in stand-in (`LENGTHS`), whatever data is taken, and of own files
and data sets, of which nothing is known before they are read, those of `UNKNOWN_LENGTH`. At batch
8 that is within 7% of the stand-ins' batches; at batch 128 it is up to 40% too long, for real
lengths end and the distribution does not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from statistics import NormalDist, fmean, median

from harness.schema.glue import GLUE, TRAIN
from harness.schema.job import JobSpec
from harness.schema.measurement import ALONE_REPLICATES, Interleaved
from harness.schema.terms import SUITES
from harness.schema.workload import Task, Workload

UNKNOWN_SAMPLES = 10_000  # of tasks of unknown size that set no `train_samples`: a first guess
# Training samples of built-in stand-ins; CoNLL-2003 itself has as many, and Optimum's published
# example took as many pairs of WMT16.
STAND_IN_SAMPLES = {"token-classification": 14_041, "translation": 30_000}
# Mean and standard deviation of the tokens of a sample, special ones included, as counted in the
# stand-ins with the built-in tokenizers.
LENGTHS: dict[str, tuple[float, float]] = {
    "cola": (12.0, 0.4),
    "sst2": (15.4, 7.1),
    "mrpc": (25.0, 2.0),
    "stsb": (24.9, 2.1),
    "qqp": (25.0, 2.2),
    "mnli": (24.8, 2.1),
    "qnli": (25.0, 2.2),
    "rte": (47.2, 2.8),
    "wnli": (25.0, 2.1),
    "token-classification": (19.9, 14.4),
    "translation": (38.7, 23.1),
}
TRANSLATED_LENGTH = (42.0, 26.2)
T5_PREFIX_TOKENS = 15.3  # of `translate English to Romanian: ` and the tokens that T5 adds
UNKNOWN_LENGTH = (40.0, 25.0)
# Kinds whose samples are all as long as `max_seq_length` allows, whatever the padding: blocks.
BLOCKS = ("causal-lm",)
TARGET_LENGTH = 128  # the default of translation's `max_target_length`
ENCODER_DECODERS = ("t5", "bart")  # of the built-in shapes
QUANTILES = 200  # of a distribution of lengths, for the expected longest of a batch
# Rates of a small batch that the host's kernel launches limit, for a first guess only: FLOP/s of
# one CPU core (fp32), of a GPU.
NOMINAL_CPU_CORE_FLOPS = 2e10
NOMINAL_GPU_FLOPS = 2e13
NOMINAL_START_S = 12.0  # imports, data, model


def steps_of(spec: JobSpec) -> int:
    """Optimizer steps of a job (one device)."""
    training, task = spec.workload.training, spec.workload.task
    if training.max_steps is not None:
        return training.max_steps
    if task.data_name in GLUE:
        size = GLUE[task.data_name].sizes[TRAIN]
        samples = min(task.train_samples or size, size)
    elif _is_stand_in(task) and task.kind in STAND_IN_SAMPLES:
        size = STAND_IN_SAMPLES[task.kind]
        samples = min(task.train_samples or size, size)
    else:
        samples = task.train_samples or UNKNOWN_SAMPLES
    batches = math.ceil(samples / training.batch_size)
    return math.ceil(training.epochs * max(batches // training.gradient_accumulation_steps, 1))


def _is_stand_in(task: Task) -> bool:
    """Whether the data may be the built-in stand-in, as far as a plan can tell."""
    return task.source in ("auto", "synthetic")


def length_of_batch(workload: Workload) -> tuple[float, float]:
    """Tokens of a sample in a batch, with its padding: those of the input, and those of a
    translation, which are the input's for every other kind of task.

    Under dynamic padding it is an expected value, by the assumption of this module.
    """
    training, task = workload.training, workload.task
    most = float(training.max_seq_length)
    target = most
    if task.kind == "translation":
        given = task.options.get("max_target_length")
        target = float(given if isinstance(given, int) else TARGET_LENGTH)
    name = task.data_name
    own = task.source == "files" or task.dataset is not None
    known = name in LENGTHS or name == "text-classification"
    if training.pad_to_max_length or name in BLOCKS or not known:
        return most, target
    mean, deviation = UNKNOWN_LENGTH if own else LENGTHS.get(name, UNKNOWN_LENGTH)
    multiple = 8 if training.precision == "fp16" and task.kind != "glue" else 1

    def longest(mean: float, deviation: float, most: float) -> float:
        return expected_longest(mean, deviation, training.batch_size, most, multiple)

    if task.kind != "translation":
        length = longest(mean, deviation, most)
        return length, length
    of_target = (mean, deviation) if own else TRANSLATED_LENGTH
    architecture = workload.model.architecture or workload.model.path or ""
    if "t5" in architecture.lower() and task.options.get("source_prefix") is None:
        mean += T5_PREFIX_TOKENS
    return longest(mean, deviation, most), longest(*of_target, target)


def expected_longest(
    mean: float, deviation: float, samples: int, most: float, multiple: int = 1
) -> float:
    """Expected length of the longest of so many samples whose lengths are log-normal.

    The longest of n has the distribution function F^n, so its quantile at p is F's at p^(1/n); the
    mean is taken over equally likely quantiles.

    Args:
        mean: Of a sample's tokens.
        deviation: Standard deviation of a sample's tokens.
        samples: In a batch.
        most: Tokens that a sample is cut to.
        multiple: What a batch's length is rounded up to a multiple of.
    """
    variance = math.log(1 + (deviation / mean) ** 2)
    logarithm = NormalDist(math.log(mean) - variance / 2, math.sqrt(variance))
    lengths = (
        min(math.exp(logarithm.inv_cdf(((i + 0.5) / QUANTILES) ** (1 / samples))), most)
        for i in range(QUANTILES)
    )
    if multiple == 1:
        return fmean(lengths)
    return fmean(multiple * math.ceil(length / multiple) for length in lengths)


def estimate_s(
    jobs: Iterable[JobSpec],
    results: Path,
    suite: str,
    interleaved: Interleaved | None = None,
) -> tuple[float, int, int]:
    """(seconds for all jobs, how many of them were estimated from earlier runs, how many there
    are).

    `interleaved`: how the jobs of a group take turns. Each counts its share of a replicate's
    measured time, and the turn that it has to itself.
    """
    interleaved = interleaved or Interleaved()
    known = _earlier_walls(results, suite)
    total, from_runs, count = 0.0, 0, 0
    for job in jobs:
        count += 1
        earlier = known.get(
            (
                job.workload.name,
                job.arm.name,
                job.device == "cpu",
                _together(job.group) or steps_of(job),
            )
        )
        if earlier is None:
            turns_s = interleaved.seconds / max(1, len(job.group))
            if job.replicate < ALONE_REPLICATES:
                turns_s += interleaved.alone_on(job.device)
            earlier = NOMINAL_START_S + turns_s if job.group else _guess_s(job)
        else:
            from_runs += 1
        total += earlier
    return total, from_runs, count


def _together(group: Iterable[str]) -> str:
    """A group as a key; empty for a job that runs alone."""
    return "+".join(sorted(group))


def _guess_s(job: JobSpec) -> float:
    from harness.schema.shapes import SHAPES

    training = job.workload.training
    shape = {
        **SHAPES.get(job.workload.model.architecture or "roberta-base", {}),
        **job.workload.model.config,
    }
    hidden = _number(shape, ("hidden_size", "dim", "n_embd", "d_model"), 768)
    layers = _number(
        shape, ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers"), 12
    )
    length, of_target = length_of_batch(job.workload)
    weighted = 12.0 * layers * length  # 12 × hidden² parameters a layer: attention 4, the MLP 8
    if shape.get("model_type") in ENCODER_DECODERS:  # 4 more that attend to the encoder
        decoder = _number(shape, ("num_decoder_layers", "decoder_layers"), layers)
        weighted += 16.0 * decoder * of_target
    samples = training.batch_size * training.gradient_accumulation_steps
    # 6 FLOPs per parameter and token for forward and backward (Kaplan et al. 2020,
    # arXiv:2001.08361, section 2.1)
    flops = 6.0 * weighted * hidden**2 * samples * steps_of(job)
    if job.device == "cuda":
        return NOMINAL_START_S + flops / NOMINAL_GPU_FLOPS
    import os

    return NOMINAL_START_S + flops / (NOMINAL_CPU_CORE_FLOPS * (os.cpu_count() or 1))


def _number(shape: dict[str, object], names: tuple[str, ...], default: int) -> int:
    value = next((shape[n] for n in names if n in shape), default)
    return value if isinstance(value, int) else default


def _earlier_walls(results: Path, suite: str) -> dict[tuple[str, str, bool, int | str], float]:
    """Median wall seconds of ok jobs in the newest three runs of the suite.

    By (workload, arm, whether on a CPU, steps or group): a card's times tell nothing of a host
    without one.

    Of jobs that ran together each counts for its share of the time.
    """
    found: dict[tuple[str, str, bool, int | str], list[float]] = {}
    names = [*(before for before, now in SUITES.items() if now == suite), suite]
    files = [file for name in names for file in sorted(results.glob(f"{name}-*/jobs.jsonl"))]
    for file in files[-3:]:
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            try:
                record = json.loads(line)
                arm, device = record["arm"]["name"], record["device"]
                partner = record.get("partner")  # what one other arm was called once
                group = record.get("group") or ([arm, partner] if partner else [])
                key = (
                    record["workload"]["name"],
                    arm,
                    device == "cpu",
                    _together(group) or record["timing"]["steps"],
                )
                if record["state"] == "ok" and record["timing"]["wall_s"]:
                    share_s = record.get("share_s")
                    found.setdefault(key, []).append(
                        record["timing"]["wall_s"] / max(1, len(group))
                        if share_s is None
                        else share_s
                    )
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # the report names damaged lines; an estimate does without them
    return {key: median(walls) for key, walls in found.items()}
