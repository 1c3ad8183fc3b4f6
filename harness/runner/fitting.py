"""Whether the models of a plan can be trained on its tasks, as far as that is known without the
hub.
"""

from __future__ import annotations

from harness.errors import BenchError
from harness.planning.plan import Plan, check_lengths, known_config
from harness.schema.shapes import EAGER_ONLY
from harness.setup.stacks import OWN
from harness.worker import tasks


def check_models(plan: Plan) -> None:
    """Refuse models that have too few positions for the samples, no head for the task or no
    attention of the kind that an arm asks for.

    Raises:
        BenchError: The first one.
    """
    check_lengths(plan)
    workloads = {job.workload.name: job.workload for job in plan.jobs}
    for workload in workloads.values():
        task, model = workload.task, workload.model
        tasks.get(task.kind).check_model(task, model, known_config(model))
    for job in plan.jobs:
        arm, model = job.arm, job.workload.model
        if arm.attention == "eager" or arm.stack != OWN:
            continue  # other stacks have other versions of transformers, and say it themselves
        kind = known_config(model).get("model_type")
        if kind in EAGER_ONLY:
            raise BenchError(
                f"transformers has no {arm.attention} attention for models of the type {kind}, "
                f"which {model.name} is",
                place=f"arms.{arm.name}.attention",
                fix="`attention: eager`, or another model",
            )
