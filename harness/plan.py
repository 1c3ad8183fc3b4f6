"""From a suite to the ordered jobs of a run. Pure: same suite, same plan, same ids."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.config import Suite
from harness.record import Pair
from harness.settings import Arm, JobSpec, Strict, Workload

# What decides where or when a job runs, not what it computes.
_NOT_IN_ID = {"id", "run", "position", "cache_dir", "output_dir", "cores"}


@dataclass(frozen=True)
class Plan:
    """What one run will do. `jobs` are in order of execution; `run` and `auto` sources are the runner's to fill."""

    suite: str
    description: str
    jobs: tuple[JobSpec, ...]
    pairs: tuple[Pair, ...]
    config: dict[str, Any]
    config_sha256: str
    timeout_s: float
    telemetry_interval_s: float = 0.1  # 0: no sampler
    notes: list[str] = field(default_factory=list)
    stacks: dict[str, str] = field(default_factory=lambda: {"ort": sys.executable})


def make_plan(suite: Suite, *, device: Literal["cpu", "cuda"], cache_dir: Path) -> Plan:
    """All jobs of `suite` on `device`, launches of each workload in ABBA order."""
    workloads, pairs = suite.resolved_workloads(), suite.resolved_pairs()
    jobs: list[JobSpec] = []
    for workload in workloads:
        arms = _arms_of(workload, pairs, suite)
        for launch, arm in abba(arms, suite.measurement.launches, f"{suite.measurement.order_seed}/{workload.name}"):
            jobs.append(_job(suite, workload, arm, launch, len(jobs), device, cache_dir))
    config = suite.model_dump(mode="json")
    return Plan(
        suite=suite.suite,
        description=suite.description,
        jobs=tuple(jobs),
        pairs=tuple(pairs),
        config=config,
        config_sha256=digest({"config": config, "device": device}),
        timeout_s=60 * suite.measurement.timeout_minutes,
        telemetry_interval_s=suite.measurement.telemetry_interval_ms / 1000,
    )


def _arms_of(workload: Workload, pairs: Sequence[Pair], suite: Suite) -> list[Arm]:
    """The arms that some pair needs on this workload, in the order of the file: an arm shared by pairs runs once."""
    needed = {name for p in pairs if p.workload == workload.name for name in (p.baseline, p.candidate)}
    return [arm for name, arm in suite.arms.items() if name in needed]


def abba(arms: Sequence[Arm], launches: int, seed: str) -> list[tuple[int, Arm]]:
    """(launch, arm) in order of execution: each two launches run the arms in a drawn order, then back (A B B A).

    Linear drift of the host then adds the same to every arm. Which arm begins is drawn for every two launches, seeded.
    """
    draw = random.Random(seed)
    order: list[tuple[int, Arm]] = []
    for launch in range(0, launches, 2):
        there = list(arms)
        draw.shuffle(there)
        order += [(launch, arm) for arm in there]
        if launch + 1 < launches:
            order += [(launch + 1, arm) for arm in reversed(there)]
    return order


def _job(
    suite: Suite, workload: Workload, arm: Arm, launch: int, position: int, device: Literal["cpu", "cuda"], cache: Path
) -> JobSpec:
    resolved = suite.arm_workload(workload, arm)
    spec = JobSpec(
        id="",
        run="",
        suite=suite.suite,
        workload=resolved,
        arm=arm,
        launch=launch,
        position=position,
        seed=resolved.training.seed + launch,
        device=device,
        warmup_steps=suite.measurement.warmup_steps,
        do_eval=resolved.training.evaluate,
        memory_limit_gib=suite.measurement.memory_limit_gib,
        threads=suite.measurement.threads,
        cache_dir=cache,
    )
    return with_id(spec)


def with_id(spec: JobSpec) -> JobSpec:
    """The spec with `id` set to the first 16 hex digits of the SHA-256 of all that decides the job's result."""
    return spec.model_copy(update={"id": digest(spec, exclude=_NOT_IN_ID)[:16]})


def digest(content: Strict | dict[str, Any], exclude: set[str] | None = None) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no spaces) of a model or a dictionary."""
    data = content.model_dump(mode="json", exclude=exclude) if isinstance(content, Strict) else content
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
