"""The one place that knows in which versions of transformers, accelerate and datasets a worker may
find itself.

The stack `ort` is frozen (transformers 4.48, datasets 3), `latest` moves (transformers 5, datasets
5). Everything else in harness/worker is written once, with the names that settings and records have
had from the start: 4.48's.
"""

from __future__ import annotations

import dataclasses
from typing import Any


def training_arguments(arguments_class: Any, values: dict[str, Any]) -> Any:
    """TrainingArguments from 4.48's names, for the class of whatever version this is."""
    known = {field.name for field in dataclasses.fields(arguments_class)}
    values = dict(values)
    if (
        "warmup_ratio" not in known
    ):  # since 5: a number of warm-up steps below 1 is a share of all steps
        share = values.pop("warmup_ratio")
        values.setdefault("warmup_steps", share)
    return arguments_class(**values)


def plain_arguments(arguments: Any) -> dict[str, Any]:
    """Resolved TrainingArguments as plain values under 4.48's names, so that equal settings of two
    stacks are equal.

    What a version does not have at all stays away: it is shown as a difference between the stacks.
    """
    values: dict[str, Any] = arguments.to_dict()
    if "warmup_ratio" not in values:
        steps = values["warmup_steps"]
        values |= {"warmup_ratio": steps, "warmup_steps": 0} if steps < 1 else {"warmup_ratio": 0.0}
    values.setdefault(
        "half_precision_backend", "auto"
    )  # 4.48's other choice, NVIDIA's apex, is gone
    if "group_by_length" not in values:
        values["group_by_length"] = values.get("train_sampling_strategy") == "group_by_length"
    if values.get("lr_scheduler_kwargs") is None:  # 4.48: {}
        values["lr_scheduler_kwargs"] = {}
    return values


def single_precision() -> dict[str, Any]:
    """What from_pretrained needs to load weights as fp32: since 5 it takes the type that the
    weights were saved in.
    """
    import torch
    import transformers

    major = int(transformers.__version__.split(".")[0])
    return {"dtype" if major >= 5 else "torch_dtype": torch.float32}


def dataset_format() -> dict[str, Any]:
    """What tells apart the formats of datasets on disk: since 4, lists are stored as a feature that
    3 cannot read.
    """
    import datasets

    return {"lists": "List"} if hasattr(datasets, "List") else {}
