"""The kinds of task by name: one file and one line here for each. Importing this imports no
torch.
"""

from __future__ import annotations

from harness.schema.registry import Registry
from harness.worker.tasks.base import TaskKind

TASKS = {
    "glue": "harness.worker.tasks.glue:Glue",
    "text-classification": "harness.worker.tasks.text_classification:TextClassification",
    "causal-lm": "harness.worker.tasks.causal_lm:CausalLm",
    "token-classification": "harness.worker.tasks.token_classification:TokenClassification",
    "translation": "harness.worker.tasks.translation:Translation",
}
REGISTRY = Registry("training_backend_bench.tasks", "kind of task", TASKS, TaskKind, in_stacks=True)


def get(kind: str) -> type[TaskKind]:
    """The class of this kind of task. Raises BenchError naming the known ones."""
    found: type[TaskKind] = REGISTRY.load(kind)
    return found
