"""The specification of one job: what the planner makes, once, and the job's process gets as JSON.

A specification is complete from its beginning. Where a job must differ from what was planned, a
method makes a new specification, which is validated as the first one was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_core import to_jsonable_python

from harness.schema import terms
from harness.schema.measurement import Interleaved
from harness.schema.workload import Arm, Inference, Slug, Strict, Workload

# What decides where or when a job runs, and not what it computes.
_NOT_IN_ID = frozenset({"id", "position", "cache_dir", "output_dir", "cores"})
# Ids have 16 of the 64 hex digits: enough for all jobs of all runs, and short in names of files.
_ID_DIGITS = 16


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a mapping (sorted keys, no spaces), in hex digits."""
    data = to_jsonable_python(dict(content))
    return hashlib.sha256(
        json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def _id_of(settings: dict[str, Any]) -> str:
    """The id of a job with these settings."""
    decisive = {name: value for name, value in settings.items() if name not in _NOT_IN_ID}
    # Jobs once had variables of their own. The empty entry keeps the ids of runs made since, so
    # that an unfinished one can be resumed.
    decisive = _without_group(terms.job_in_old_names(decisive))
    return digest({**decisive, "environment": {}})[:_ID_DIGITS]


def _without_group(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with `partner` for a group of two, which had no other name once."""
    group = settings.pop("group")
    others = [name for name in group if name != settings["arm"].name]
    settings["partner"] = others[0] if len(others) == 1 else None
    return {**settings, "group": group} if len(others) > 1 else settings


class JobSpec(Strict):
    """One job, completely."""

    suite: str
    workload: Workload = Field(description="with the arm's own training settings applied")
    arm: Arm
    replicate: int = Field(
        ge=0, description="0-based; replicate k of two arms forms one pair of fresh replicates"
    )
    position: int = Field(
        ge=0, description="0-based order of execution within the run, or of being started"
    )
    seed: int
    device: Literal["cpu", "cuda"]
    warmup_steps: int = Field(10, ge=1, description="steps never counted as steady state")
    parity_run: bool = Field(
        False, description="parity run: dropout 0, losses of every step compared"
    )
    group: list[Slug] = Field(
        default_factory=list,
        description="interleaved protocol: the arms that share the device, this one included; the "
        "job waits at borders for the runner; []: it runs alone",
    )
    lead_in_steps: int = Field(
        1, ge=0, description="interleaved protocol: steps at the head of a turn that are not timed"
    )
    cores: list[int] | None = Field(
        None, description="CPUs the job's processes may run on; null: all"
    )
    freeze_collector: bool = Field(
        False, description="gc.freeze() and gc.disable() once the warm-up is over"
    )
    realtime: bool = Field(
        False, description="SCHED_FIFO once the warm-up is over, where the host allows it"
    )
    do_train: bool = True
    do_eval: bool = True
    inference: Inference | None = Field(None, description="null: none")
    cache_dir: Path
    output_dir: Path | None = Field(
        None, description="where to save the trained model; null: not saved"
    )
    memory_limit_gib: float | None = Field(
        None, gt=0, description="host memory the job may use (RLIMIT_DATA)"
    )
    threads: int | None = Field(
        None, gt=0, description="CPU threads of torch and ONNX Runtime; null: their defaults"
    )
    # The last field, for its default is made of all others.
    id: str = Field(
        default_factory=_id_of,
        min_length=1,
        description="hash of all that decides the job's result, sources as they were asked for",
    )

    def in_turns(
        self, group: Sequence[str], settings: Interleaved, replicate: int | None = None
    ) -> JobSpec:
        """The job as it takes turns with the jobs of the other arms of `group`, under an id of its
        own; with `replicate` in the replicate of this number.
        """
        replicate = self.replicate if replicate is None else replicate
        return self._as_another_job(
            group=list(group),
            replicate=replicate,
            seed=self.seed + replicate - self.replicate,
            lead_in_steps=settings.lead_in_steps,
            freeze_collector=settings.freeze_collector,
            realtime=settings.realtime,
        )

    def alone(self) -> JobSpec:
        """A job that takes turns as one that runs by itself, under an id of its own."""
        names = ("group", "lead_in_steps", "cores", "freeze_collector", "realtime")
        fields = type(self).model_fields
        return self._as_another_job(
            **{name: fields[name].get_default(call_default_factory=True) for name in names}
        )

    def with_cores(self, cores: Sequence[int] | None) -> JobSpec:
        """The same job on these CPUs; None: on all."""
        return self.replace(cores=None if cores is None else list(cores))

    def with_sources(self, *, data: str, weights: str) -> JobSpec:
        """The same job with the data and the weights that the run decided on, for `auto` too.

        Args:
            data: `source` of its task: hub, folder or synthetic.
            weights: `weights` of its model: pretrained or random.
        """
        workload = self.workload
        return self.replace(
            workload=workload.replace(
                task=workload.task.replace(source=data),
                model=workload.model.replace(weights=weights),
            )
        )

    def _as_another_job(self, **changes: Any) -> JobSpec:
        settings = {name: value for name, value in self if name != "id"}
        return type(self).model_validate({**settings, **changes})
