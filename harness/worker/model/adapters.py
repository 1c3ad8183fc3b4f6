"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685) through the package peft.

With `training.lora_rank` every weight of the model stays as it is. What is trained are two thin
matrices beside each of the named linear layers, and the whole head of the task.
"""

from __future__ import annotations

from typing import Any

from harness.errors import BenchError
from harness.schema.job import JobSpec
from harness.worker.model.initial_weights import seed_of

# Heads whose parameters peft knows how to keep: what transformers calls them, and peft.
_TASK_TYPES = {
    "AutoModelForSequenceClassification": "SEQ_CLS",
    "AutoModelForTokenClassification": "TOKEN_CLS",
}
_ADAPTER = "default"  # peft's name of the only adapter


def attach(model: Any, spec: JobSpec, auto_class: str) -> Any:
    """The model with adapters, as a peft.PeftModel; the model itself where none are asked for.

    Args:
        model: A transformers model with its weights; it is changed.
        spec: The job. A parity run has no dropout before the adapters either.
        auto_class: Name of the class in transformers that decided the head.

    Raises:
        BenchError: The stack has no peft, the kind of task has no such head, or the model has no
            layer of the names given.
    """
    training = spec.workload.training
    if training.lora_rank is None:
        return model
    if auto_class not in _TASK_TYPES:
        raise BenchError(
            f"LoRA is for classifiers, and {spec.workload.task.kind} trains an {auto_class}",
            place=f"workload {spec.workload.name}: training.lora_rank",
            fix="a task that classifies samples or tokens, or no lora_rank",
        )
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise BenchError(
            f"LoRA needs the package peft, which cannot be imported in this stack: {error}",
            place=f"arms.{spec.arm.name}.stack",
            fix="make setup, or the stack `ort`",
        ) from error
    config = LoraConfig(
        task_type=_TASK_TYPES[auto_class],
        r=training.lora_rank,
        lora_alpha=training.lora_alpha or 2 * training.lora_rank,
        lora_dropout=0.0 if spec.parity_run else training.lora_dropout or 0.0,
        target_modules=list(training.target_modules) if training.target_modules else None,
        # peft knows heads by two names alone, and would leave others at their random weights.
        modules_to_save=_head(model),
    )
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        kind = model.config.model_type
        said = " ".join(str(error).split()) if training.target_modules else ""
        raise BenchError(
            said or f"peft names no layers that get adapters in a model of the type {kind}",
            place=f"workload {spec.workload.name}: training.target_modules",
            fix=f"ends of the names of its linear layers, of {', '.join(_linear_layers(model))}",
        ) from error
    _draw(adapted, spec.seed)
    # Trainer asks the outer model (harness.worker.model.build says why no model is to take it).
    adapted.accepts_loss_kwargs = False
    return adapted


def merged(model: Any) -> Any:
    """A plain transformers model with the adapters added to its weights, and the trained head.

    Args:
        model: What `attach` returned. It is used up: the layers are those of the returned model.
    """
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def trainable(model: Any) -> int:
    """How many parameters the optimizer changes."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)


def _head(model: Any) -> list[str]:
    """The modules beside the model that the head is on, as far as they have parameters."""
    return [
        name
        for name, module in model.named_children()
        if name != model.base_model_prefix and any(True for _ in module.parameters())
    ]


def _linear_layers(model: Any) -> list[str]:
    """The last parts of the names of linear layers within the model, without the head."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.base_model.named_modules()
            if isinstance(module, torch.nn.Linear | Conv1D)
        }
    )


def _draw(model: Any, seed: int) -> None:
    """Initialise each adapter anew from a generator of its own, as all other weights are."""
    import torch
    from peft.tuners.lora import LoraLayer

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            torch.manual_seed(seed_of(seed, name))
            module.reset_lora_parameters(_ADAPTER, True)
    torch.manual_seed(seed)
