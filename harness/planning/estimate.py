"""How long a plan will take: from earlier runs of the same jobs on disk, else roughly from the work
it asks for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from harness.schema.glue import GLUE, TRAIN
from harness.schema.job import JobSpec
from harness.schema.terms import SUITES

UNKNOWN_SAMPLES = 10_000  # of tasks that are not GLUE's and set no `train_samples`: a first guess
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
    else:
        samples = task.train_samples or UNKNOWN_SAMPLES
    batches = math.ceil(samples / training.batch_size)
    return math.ceil(training.epochs * max(batches // training.gradient_accumulation_steps, 1))


def estimate_s(
    jobs: Iterable[JobSpec], results: Path, suite: str, turn_seconds: float = 0.0
) -> tuple[float, int, int]:
    """(seconds for all jobs, how many of them were estimated from earlier runs, how many there
    are).

    `turn_seconds`: measured time of a replicate of an interleaved group, of which each of its jobs
    counts its share.
    """
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
            earlier = (
                NOMINAL_START_S + turn_seconds / len(job.group) if job.group else _guess_s(job)
            )
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
    layers = _number(shape, ("num_hidden_layers", "n_layers", "n_layer", "num_layers"), 12)
    hidden = _number(shape, ("hidden_size", "dim", "n_embd", "d_model"), 768)
    tokens = training.batch_size * training.gradient_accumulation_steps * training.max_seq_length
    # 6 FLOPs per parameter and token for forward and backward (Kaplan et al. 2020,
    # arXiv:2001.08361, section 2.1)
    flops = 6.0 * 12 * layers * hidden**2 * tokens * steps_of(job)
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
                    found.setdefault(key, []).append(
                        record["timing"]["wall_s"] / max(1, len(group))
                    )
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # the report names damaged lines; an estimate does without them
    return {key: median(walls) for key, walls in found.items()}
