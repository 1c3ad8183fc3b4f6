"""What jobs need of their stack and device beyond what every job needs: an optimizer that has to be
compiled, a package that only some settings use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from harness.schema.job import JobSpec
from harness.schema.workload import ORT_OPTIMIZERS
from harness.setup.stack import without_fused_ops
from harness.setup.stacks import LATEST, OF_SOME_TASKS, OWN, how_to_make
from harness.worker import backends, tasks


@dataclass(frozen=True)
class Need:
    """What some job needs and does not have, and what to do. `setting`: the name of the setting
    that asks for it.
    """

    message: str
    fix: str
    setting: str


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
            "`optim: adamw_torch_fused`, or `backend: onnxruntime`",
            "optim",
        )
    elif training.optim in ORT_OPTIMIZERS:
        if job.device == "cpu":
            yield Need(
                f"{training.optim} runs on GPUs alone", "`optim: adamw_torch` on a CPU", "optim"
            )
        elif (why := without_fused_ops()) is not None:
            yield Need(f"{training.optim} cannot run: {why[0]}", why[1], "optim")
    if training.lora_rank is not None:
        yield from _package("peft", "lora_rank", "lora_rank", arm.stack, packages)
    task = job.workload.task
    for name, instead in tasks.get(task.kind).packages(task).items():
        wants = f"{task.kind} ({task.name})"
        yield from _package(
            name, wants, "options", arm.stack, packages, f"`options: {{{instead}}}`"
        )


def _package(
    name: str,
    wants: str,
    setting: str,
    stack: str,
    packages: Collection[str],
    instead: str = "",
) -> Iterator[Need]:
    """The need of a package that a stack does not have. `wants`: what asks for it."""
    if (name if stack == OWN else f"{stack}/{name}") in packages:
        return
    made = stack == OWN or (stack == LATEST and name in OF_SOME_TASKS)
    fix = how_to_make(stack) if made else f"{name} in the stack {stack}"
    fixes = f"{fix}; or {instead}" if instead else fix
    yield Need(f"{wants} needs the package {name} in the stack {stack}", fixes, setting)
