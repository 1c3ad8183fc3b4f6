"""From a suite to the ordered jobs of a run. Pure: same suite, same plan, same ids."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.errors import BenchError
from harness.schema import terms
from harness.schema.job import JobSpec, digest
from harness.schema.measurement import Measurement
from harness.schema.record import Pair
from harness.schema.suite import Suite
from harness.schema.workload import Arm, Model, Workload

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Plan:
    """What one run will do at most. What `auto` sources become is the runner's to decide.

    `jobs` are in order of execution: of each workload first the parity runs, then the measured
    jobs. Under the interleaved protocol following jobs with the same `group` and replicate run
    together, and those with lower positions are started first. What adaptive stopping makes
    superfluous and a refused pair would have needed is not run; disturbed replicates run again, up
    to `measurement.max_reruns` times.
    """

    suite: str
    description: str
    jobs: tuple[JobSpec, ...]
    pairs: tuple[Pair, ...]
    measurement: Measurement
    config: dict[str, Any]
    config_sha256: str
    notes: list[str] = field(default_factory=list)
    stacks: dict[str, str] = field(default_factory=lambda: {"ort": sys.executable})

    @property
    def timeout_s(self) -> float:
        """Seconds that one job may take."""
        return 60 * self.measurement.timeout_minutes

    @property
    def telemetry_interval_s(self) -> float:
        """Seconds between samples of the sampler; 0: no sampler."""
        return self.measurement.telemetry_interval_ms / 1000


def make_plan(
    suite: Suite, *, device: Device, cache_dir: Path, stacks: Mapping[str, str] | None = None
) -> Plan:
    """All jobs of `suite` on `device`, replicates of each workload in ABBA order.

    Under the interleaved protocol it is the starts of the two jobs of a replicate that are in ABBA
    order.

    Args:
        suite: What is asked for.
        device: On which all jobs train.
        cache_dir: Where jobs keep what they may find again.
        stacks: Interpreters of the stacks (harness.setup.stacks.interpreters); None: all jobs run
            in this one.
    """
    pairs = suite.resolved_pairs()
    jobs: list[JobSpec] = []
    for workload in suite.resolved_workloads():
        of_workload = [pair for pair in pairs if pair.workload == workload.name]
        factory = _JobFactory(suite, workload, device, cache_dir, first=len(jobs))
        jobs += factory.jobs(of_workload)
    # Where an interpreter is decides no result.
    config = suite.model_dump(mode="json", exclude={"stacks"})
    return Plan(
        suite=suite.suite,
        description=suite.description,
        jobs=tuple(jobs),
        pairs=tuple(pairs),
        measurement=suite.measurement,
        config=config,
        config_sha256=digest({"config": terms.suite_in_old_names(config), "device": device}),
        stacks=dict(stacks or {arm.stack: sys.executable for arm in suite.arms.values()}),
        notes=[
            f"a fault was injected: {arm.name} sleeps {arm.injected_delay_ms:g} ms before "
            "every batch"
            for arm in suite.arms.values()
            if arm.injected_delay_ms
        ],
    )


def known_config(model: Model) -> dict[str, Any]:
    """What is known of a model's transformers configuration without asking the hub: of its folder,
    the cache or the built-in shape, with the suite's own `config` for it; empty: nothing.

    Raises:
        BenchError: A config.json is there and is no configuration.
    """
    from harness.planning.hub import local_config
    from harness.schema.shapes import SHAPES

    written = (
        local_config(model.config_path or model.path, model.revision)
        if model.path is not None and model.weights != "random"
        else None
    )
    return {**(written or SHAPES.get(model.architecture or "", {})), **model.config}


def check_lengths(plan: Plan) -> None:
    """Refuse samples that are longer than their model has positions, as far as that is known
    without the hub.

    Raises:
        BenchError: Some workload asks for such a length.
    """
    from harness.planning.positions import usable_positions

    limits: dict[str, int | None] = {}
    for job in plan.jobs:
        model, asked = job.workload.model, job.workload.training.max_seq_length
        if model.name not in limits:
            limits[model.name] = usable_positions(known_config(model))
        most = limits[model.name]
        if most is not None and asked > most:
            raise BenchError(
                f"max_seq_length {asked} is more than the {most} positions of {model.name}",
                place=f"workload {job.workload.name}",
                fix=f"max_seq_length: {most} or less, or another model",
            )


def abba(arms: Sequence[Arm], replicates: int, seed: str) -> list[tuple[int, Arm]]:
    """(replicate, arm) in order of execution: each two replicates run the arms in a drawn order,
    then back (A B B A).

    Linear drift of the host then adds the same to every arm. Which arm begins is drawn for every
    two replicates, seeded. Under the interleaved protocol the order is that of the two jobs'
    starts: on one host, of two equal jobs the one that was always started second took 1.7 to 3.4%
    more in four replicates of four (results/aa-20261123-090017). Whatever it was, what comes of
    being second must not pass for a difference of the arms.
    """
    draw = random.Random(seed)
    order: list[tuple[int, Arm]] = []
    for replicate in range(0, replicates, 2):
        there = list(arms)
        draw.shuffle(there)
        order += [(replicate, arm) for arm in there]
        if replicate + 1 < replicates:
            order += [(replicate + 1, arm) for arm in reversed(there)]
    return order


@dataclass(frozen=True)
class _JobFactory:
    """Makes the jobs of one workload. `first` is the position of its first job in the run."""

    suite: Suite
    workload: Workload
    device: Device
    cache_dir: Path
    first: int

    def jobs(self, pairs: Sequence[Pair]) -> Iterator[JobSpec]:
        """The jobs that these pairs of the workload need, in order of execution.

        Jobs that run together come in the order of the pairs' arms, and the positions say which of
        them are started first.
        """
        measurement = self.suite.measurement
        needed = {name for pair in pairs for name in (pair.baseline, pair.candidate)}
        # An arm that several pairs share runs once.
        arms = [arm for name, arm in self.suite.arms.items() if name in needed]
        parity_runs = 0
        if measurement.parity is not None:
            parity_runs = len(arms)
            for place, arm in enumerate(arms):
                yield self._job(arm, 0, place, steps=measurement.parity.steps)
        seed = f"{measurement.order_seed}/{self.workload.name}"
        if measurement.protocol == "interleaved":
            yield from self._turns(pairs, parity_runs, seed)
        else:
            order = abba(arms, measurement.most_replicates, seed)
            for place, (replicate, arm) in enumerate(order, start=parity_runs):
                yield self._job(arm, replicate, place)

    def _turns(self, pairs: Sequence[Pair], parity_runs: int, seed: str) -> Iterator[JobSpec]:
        """The jobs of the group of all arms of these pairs, after so many parity runs."""
        measurement = self.suite.measurement
        names = dict.fromkeys(arm for pair in pairs for arm in (pair.baseline, pair.candidate))
        arms = [self.suite.arms[name] for name in names]
        replicates = measurement.most_replicates
        starts = abba(arms, replicates, "/".join([seed, *names]))
        for replicate, arm in itertools.product(range(replicates), arms):
            job = self._job(arm, replicate, parity_runs + starts.index((replicate, arm)))
            yield job.in_turns(list(names), measurement.interleaved)

    def _job(self, arm: Arm, replicate: int, place: int, *, steps: int | None = None) -> JobSpec:
        """One job of the arm. With `steps` its parity run: no dropout, for so many steps."""
        measurement = self.suite.measurement
        workload = self.suite.arm_workload(self.workload, arm)
        parity_run = steps is not None
        if parity_run:
            training = workload.training.replace(dropout=0.0, max_steps=steps, evaluate=False)
            workload = workload.replace(training=training)
        return JobSpec(
            suite=self.suite.suite,
            workload=workload,
            arm=arm,
            replicate=replicate,
            position=self.first + place,
            seed=workload.training.seed + replicate,
            device=self.device,
            warmup_steps=1 if parity_run else measurement.warmup_steps,
            parity_run=parity_run,
            do_eval=workload.training.evaluate,
            inference=None if parity_run else measurement.inference,
            memory_limit_gib=measurement.memory_limit_gib,
            threads=measurement.threads,
            cache_dir=self.cache_dir,
        )
