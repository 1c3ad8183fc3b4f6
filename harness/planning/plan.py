"""From a suite to the ordered jobs of a run. Pure: same suite, same plan, same ids."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.errors import BenchError
from harness.schema.measurement import Adaptive, Blocks
from harness.schema.record import Pair
from harness.schema.suite import Suite
from harness.schema.workload import Arm, JobSpec, Strict, Workload

Device = Literal["cpu", "cuda"]

# What decides where or when a job runs, not what it computes.
_NOT_IN_ID = {"id", "run", "position", "cache_dir", "output_dir", "cores"}


@dataclass(frozen=True)
class Plan:
    """What one run will do at most. `run` and `auto` sources are the runner's to fill.

    `jobs` are in order of execution: of each workload first the parity twins, then the measured
    jobs. Under the `blocks` protocol two following jobs with `partner` run together, baseline and
    candidate, and the one with the lower position is started first. What `adaptive` makes
    superfluous and a refused pair would have needed is not run; disturbed launches run again, up to
    `max_reruns` times.
    """

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
    adaptive: Adaptive | None = None
    blocks: Blocks = field(default_factory=Blocks)
    max_reruns: int = 0
    contention: Literal["refuse", "note"] = "refuse"


def make_plan(
    suite: Suite, *, device: Device, cache_dir: Path, stacks: Mapping[str, str] | None = None
) -> Plan:
    """All jobs of `suite` on `device`, launches of each workload in ABBA order.

    Under the `blocks` protocol it is the starts of the two jobs of a launch that are in ABBA order.

    `stacks`: their interpreters (harness.setup.stacks.interpreters); None: all jobs run in this
    one.
    """
    pairs = suite.resolved_pairs()
    jobs: list[JobSpec] = []
    for workload in suite.resolved_workloads():
        before = len(jobs)
        for place, spec in _jobs_of(
            suite, workload, [pair for pair in pairs if pair.workload == workload.name]
        ):
            changes = {"position": before + place, "device": device, "cache_dir": cache_dir}
            jobs.append(with_id(spec.model_copy(update=changes)))
    config = suite.model_dump(
        mode="json", exclude={"stacks"}
    )  # where an interpreter is decides no result
    return Plan(
        suite=suite.suite,
        description=suite.description,
        jobs=tuple(jobs),
        pairs=tuple(pairs),
        config=config,
        config_sha256=digest({"config": config, "device": device}),
        timeout_s=60 * suite.measurement.timeout_minutes,
        telemetry_interval_s=suite.measurement.telemetry_interval_ms / 1000,
        adaptive=suite.measurement.adaptive,
        blocks=suite.measurement.blocks,
        max_reruns=suite.measurement.max_reruns,
        contention=suite.measurement.contention,
        stacks=dict(stacks or {arm.stack: sys.executable for arm in suite.arms.values()}),
        notes=[
            f"a fault was injected: {arm.name} sleeps {arm.injected_delay_ms:g} ms before "
            "every batch"
            for arm in suite.arms.values()
            if arm.injected_delay_ms
        ],
    )


def check_lengths(plan: Plan) -> None:
    """Refuse samples that are longer than their model has positions, as far as that is known
    without the hub.

    Raises:
        BenchError: Some workload asks for such a length.
    """
    from harness.planning.hub import local_config
    from harness.planning.positions import usable_positions
    from harness.schema.shapes import SHAPES

    limits: dict[str, int | None] = {}
    for job in plan.jobs:
        model, asked = job.workload.model, job.workload.training.max_seq_length
        if model.name not in limits:
            written = (
                local_config(model.path)
                if model.path is not None and model.weights != "random"
                else None
            )
            shape = written or SHAPES.get(model.architecture or "", {})
            limits[model.name] = usable_positions({**shape, **model.config})
        most = limits[model.name]
        if most is not None and asked > most:
            raise BenchError(
                f"max_seq_length {asked} is more than the {most} positions of {model.name}",
                place=f"workload {job.workload.name}",
                fix=f"max_seq_length: {most} or less, or another model",
            )


def _jobs_of(
    suite: Suite, workload: Workload, pairs: Sequence[Pair]
) -> Iterator[tuple[int, JobSpec]]:
    """A workload's jobs with their places in the order of execution, from 0; without position,
    device and id.

    Of two jobs that run together the baseline comes first here, and the place says which of them is
    started first.
    """
    measurement = suite.measurement
    needed = {name for pair in pairs for name in (pair.baseline, pair.candidate)}
    arms = [
        arm for name, arm in suite.arms.items() if name in needed
    ]  # an arm shared by pairs runs once
    twins = 0
    if measurement.parity is not None:
        twins = len(arms)
        yield from enumerate(
            _twin(suite, workload, arm, measurement.parity.twin_steps) for arm in arms
        )
    seed = f"{measurement.order_seed}/{workload.name}"
    if measurement.protocol == "blocks":
        for number, pair in enumerate(pairs):
            both = [suite.arms[pair.baseline], suite.arms[pair.candidate]]
            starts = abba(both, measurement.launches, f"{seed}/{pair.baseline}/{pair.candidate}")
            before = twins + number * len(starts)
            for launch, (arm, partner) in itertools.product(
                range(measurement.launches), (both, both[::-1])
            ):
                spec = _job(suite, workload, arm, number * measurement.launches + launch)
                yield (
                    before + starts.index((launch, arm)),
                    in_blocks(spec, partner.name, measurement.blocks),
                )
    else:
        order = abba(arms, measurement.most_launches, seed)
        for place, (launch, arm) in enumerate(order, start=twins):
            yield place, _job(suite, workload, arm, launch)


def abba(arms: Sequence[Arm], launches: int, seed: str) -> list[tuple[int, Arm]]:
    """(launch, arm) in order of execution: each two launches run the arms in a drawn order, then
    back (A B B A).

    Linear drift of the host then adds the same to every arm. Which arm begins is drawn for every
    two launches, seeded. In blocks the order is that of the two jobs' starts: on one host, of two
    equal jobs the one that was always started second took 1.7 to 3.4% more in four launches of four
    (results/aa-20261123-090017). Whatever it was, what comes of being second must not pass for a
    difference of the arms.
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


def _job(suite: Suite, workload: Workload, arm: Arm, launch: int) -> JobSpec:
    resolved = suite.arm_workload(workload, arm)
    return JobSpec(
        id="",
        run="",
        suite=suite.suite,
        workload=resolved,
        arm=arm,
        launch=launch,
        position=0,
        seed=resolved.training.seed + launch,
        warmup_steps=suite.measurement.warmup_steps,
        do_eval=resolved.training.evaluate,
        inference=suite.measurement.inference,
        memory_limit_gib=suite.measurement.memory_limit_gib,
        threads=suite.measurement.threads,
        cache_dir=Path(),
    )


def _twin(suite: Suite, workload: Workload, arm: Arm, steps: int) -> JobSpec:
    """The arm's parity twin: launch 0 without dropout, for so many steps."""
    spec = _job(suite, workload, arm, launch=0)
    training = spec.workload.training.model_copy(
        update={"dropout": 0.0, "max_steps": steps, "evaluate": False}
    )
    changes = {
        "workload": spec.workload.model_copy(update={"training": training}),
        "twin": True,
        "do_eval": False,
    }
    return spec.model_copy(update={**changes, "inference": None, "warmup_steps": 1})


def in_blocks(spec: JobSpec, partner: str, blocks: Blocks) -> JobSpec:
    """The job as it shares the device with `partner`; its id is no longer right."""
    return spec.model_copy(
        update={
            "partner": partner,
            "lead_in_steps": blocks.lead_in_steps,
            "freeze_collector": blocks.freeze_collector,
            "realtime": blocks.realtime,
        }
    )


def alone(spec: JobSpec) -> JobSpec:
    """A job of the `blocks` protocol as the `epochs` protocol runs it: for a pair that does not fit
    on the device.
    """
    names = ("partner", "lead_in_steps", "cores", "freeze_collector", "realtime")
    return with_id(
        spec.model_copy(update={name: JobSpec.model_fields[name].default for name in names})
    )


def with_id(spec: JobSpec) -> JobSpec:
    """The spec with `id` set to the first 16 hex digits of the SHA-256 of all that decides the
    job's result.
    """
    return spec.model_copy(update={"id": digest(spec, exclude=_NOT_IN_ID)[:16]})


def digest(content: Strict | dict[str, Any], exclude: set[str] | None = None) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no spaces) of a model or a dictionary."""
    data = (
        content.model_dump(mode="json", exclude=exclude) if isinstance(content, Strict) else content
    )
    return hashlib.sha256(
        json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
