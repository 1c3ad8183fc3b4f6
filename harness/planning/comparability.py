"""What two arms of a pair resolved to, compared: a difference that the pair does not declare is a
confound. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from harness.schema.record import JobRecord

# TrainingArguments (and so their keys in the fingerprint) → the suite's name for the setting.
SETTINGS = {
    "learning_rate": "training.learning_rate",
    "per_device_train_batch_size": "training.batch_size",
    "per_device_eval_batch_size": "training.eval_batch_size",
    "gradient_accumulation_steps": "training.gradient_accumulation_steps",
    "num_train_epochs": "training.epochs",
    "max_steps": "training.max_steps",
    "lr_scheduler_type": "training.lr_scheduler",
    "warmup_ratio": "training.warmup_ratio",
    "warmup_steps": "training.warmup_steps",
    "adam_beta1": "training.adam_beta1",
    "adam_beta2": "training.adam_beta2",
    "adam_epsilon": "training.adam_epsilon",
    "weight_decay": "training.weight_decay",
    "max_grad_norm": "training.max_grad_norm",
    "optim": "training.optim",
    "dataloader_num_workers": "training.dataloader_workers",
    "dataloader_pin_memory": "training.dataloader_pin_memory",
    "logging_steps": "training.logging_steps",
    "seed": "training.seed",
    "data_seed": "training.seed",
    "fp16": "training.precision",
    "bf16": "training.precision",
}
# Of these, those that a suite leaves to the stack's defaults where it does not give them.
LEFT_OPEN = frozenset({"adam_beta1", "adam_beta2", "adam_epsilon", "warmup_steps"})
# Declared differences that cannot but change what a job sees of its data: how it is cut into
# samples, which, how many.
TOKENS = ("training.max_seq_length", "training.pad_to_max_length")
ORDER = (
    "training.seed",
    "training.batch_size",
    "training.gradient_accumulation_steps",
    "training.max_steps",
    "training.epochs",
    *TOKENS,
)
# Which weights are trained; TrainingArguments does not have it.
ADAPTERS = (
    "training.lora_rank",
    "training.lora_alpha",
    "training.lora_dropout",
    "training.target_modules",
)
ABSENT = object()


def undeclared(baseline: JobRecord, candidate: JobRecord, differs: Iterable[str]) -> list[str]:
    """One sentence, with both values, for each difference between two jobs that `differs` does not
    declare or cause.

    `differs` holds the suite's names: stack, attention, options, training.SETTING. What only one of
    the jobs reports counts as a difference, for it cannot be shown to be equal.
    """
    declared = set(differs)
    arms = (baseline.arm.name, candidate.arm.name)
    return [
        _sentence(what, left, right, arms)
        for what, left, right, excuses in _compared(baseline, candidate)
        if left != right and not declared.intersection(excuses)
    ]


def excused_by_stack(
    baseline: JobRecord, candidate: JobRecord, differs: Iterable[str]
) -> list[str]:
    """What only `stack` among the declared differences excuses, one sentence each: another default,
    say.
    """
    sound = undeclared(baseline, candidate, differs)
    without = undeclared(baseline, candidate, [name for name in differs if name != "stack"])
    return [sentence for sentence in without if sentence not in sound]


def _compared(a: JobRecord, b: JobRecord) -> Iterator[tuple[str, Any, Any, tuple[str, ...]]]:
    """(what, baseline's value, candidate's value, the declarations that excuse a difference)."""
    left, right = a.fingerprint, b.fingerprint
    one, other = left.training_arguments, right.training_arguments
    precision = ("training.precision",)
    yield "precision", a.workload.training.precision, b.workload.training.precision, precision
    for name in sorted(one.keys() | other.keys()):
        if name == "torch_compile" and a.arm.backend != b.arm.backend:
            continue  # that is what the backend is
        # What a suite has no name for comes from the stack's defaults, or from the backend's own
        # options.
        excuses = (SETTINGS[name],) if name in SETTINGS else ("stack", "options")
        left_open = name in LEFT_OPEN
        if name in SETTINGS and (left_open or name not in one or name not in other):
            excuses = (*excuses, "stack")
        yield name, one.get(name, ABSENT), other.get(name, ABSENT), excuses
    yield "optimizer", left.optimizer, right.optimizer, ("training.optim",)
    yield "attention", left.attention, right.attention, ("attention",)
    yield "dtype policy", left.dtype_policy, right.dtype_policy, precision
    for setting in ADAPTERS:
        name = setting.removeprefix("training.")
        settings = a.workload.training, b.workload.training
        yield name, getattr(settings[0], name), getattr(settings[1], name), (setting,)
    yield "number of parameters", left.parameters, right.parameters, ADAPTERS
    trained = left.trainable_parameters, right.trainable_parameters
    if None not in trained:  # a run that goes on may have jobs of before this was told
        yield "number of trained parameters", *trained, ADAPTERS
    yield (
        "initial weights",
        left.initial_weights_sha256,
        right.initial_weights_sha256,
        ("training.seed", *ADAPTERS),
    )
    yield "data order", left.data_order_sha256, right.data_order_sha256, ORDER
    yield "source of the data", a.sources.data, b.sources.data, ()
    yield "source of the weights", a.sources.weights, b.sources.weights, ()
    yield "number of training samples", a.sources.train_samples, b.sources.train_samples, ()
    yield "number of evaluation samples", a.sources.eval_samples, b.sources.eval_samples, ()
    yield "training data", a.sources.data_sha256, b.sources.data_sha256, TOKENS


def _sentence(what: str, left: Any, right: Any, arms: tuple[str, str]) -> str:
    one, other = f"{_shown(left)} in {arms[0]}", f"{_shown(right)} in {arms[1]}"
    if what in (
        "initial weights",
        "data order",
        "training data",
    ):  # hashes: that they differ is what they say
        return (
            f"{what} {'differ' if what == 'initial weights' else 'differs'}: {one} against {other}"
        )
    return f"{what} is {one} and {other}"


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "no setting"
    if value is None:
        return "not reported"
    text = str(value)
    return text[:12] if len(text) == 64 and all(c in "0123456789abcdef" for c in text) else text
