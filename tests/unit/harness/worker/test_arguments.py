"""Settings of a suite as they reach transformers' TrainingArguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import worker_helpers as worker

from harness.schema.job import JobSpec
from harness.worker import arguments, backends, tasks


def _arguments(folder: Path, **training: Any) -> dict[str, Any]:
    spec = JobSpec.model_validate(worker.spec(folder, training=training))
    task = tasks.get(spec.workload.task.kind)(spec)
    backend = backends.get("pytorch")(spec)
    return arguments.decisive(arguments.build(spec, backend, folder / "out", task))


def test_what_is_not_given_is_left_to_transformers(tmp_path: Path) -> None:
    found = _arguments(tmp_path)
    assert (found["adam_beta1"], found["adam_beta2"]) == (0.9, 0.999)
    assert (found["adam_epsilon"], found["warmup_steps"], found["warmup_ratio"]) == (1e-8, 0, 0.0)


def test_what_is_given_arrives(tmp_path: Path) -> None:
    given = {"adam_beta1": 0.8, "adam_beta2": 0.99, "adam_epsilon": 1e-6, "warmup_steps": 5}
    found = _arguments(tmp_path, **given)
    assert {name: found[name] for name in given} == given
