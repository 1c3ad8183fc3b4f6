"""What jobs need of their stack and device beyond what every job needs: an optimizer that has to be
compiled, a package that only some settings use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from harness.schema.job import JobSpec
from harness.schema.workload import ORT_OPTIMIZERS
from harness.setup.stack import without_fused_ops
from harness.setup.stacks import OWN, how_to_make
from harness.worker import backends


@dataclass(frozen=True)
class Need:
    """What some job needs and does not have, and what to do."""

    message: str
    fix: str


def unmet(jobs: Iterable[JobSpec], packages: Collection[str]) -> list[Need]:
    """What the jobs need and do not have, each thing once.

    Args:
        jobs: Jobs that are to run on this host.
        packages: Of every stack, as the record of a run names them (harness.results.provenance):
            those of the stack `ort` by their names, of others as `stack/package`.
    """
    found = dict.fromkeys(need for job in jobs for need in _of(job, packages))
    return list(found)


def _of(job: JobSpec, packages: Collection[str]) -> Iterator[Need]:
    training, arm = job.workload.training, job.arm
    if not backends.knows_optimizer(arm.backend, training.optim):
        yield Need(
            f"{arm.backend} does not know the optimizer {training.optim}, which is ONNX Runtime's",
            "adamw_torch_fused, or the backend onnxruntime",
        )
    elif training.optim in ORT_OPTIMIZERS:
        if job.device == "cpu":
            yield Need(f"{training.optim} runs on GPUs alone", "adamw_torch on a CPU")
        elif (why := without_fused_ops()) is not None:
            yield Need(f"{training.optim} cannot run: {why[0]}", why[1])
    if training.lora_rank is not None:
        name = "peft" if arm.stack == OWN else f"{arm.stack}/peft"
        if name not in packages:
            fix = how_to_make(OWN) if arm.stack == OWN else f"peft in the stack {arm.stack}"
            yield Need(f"lora_rank needs the package peft in the stack {arm.stack}", fix)
