"""What every kind of task hands to a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.record import Sources


@dataclass(frozen=True)
class TaskData:
    """A tokenised task. Splits are datasets.Dataset with the tokenizer's outputs and `labels`."""

    train: Any
    validation: Any
    tokenizer: Any
    labels: int
    sources: Sources
    metrics: Callable[[Any], dict[str, float]]
