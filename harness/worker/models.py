"""The model of a job: pretrained from the hub or a folder, or a built-in shape with weights drawn from the seed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from harness.errors import BenchError
from harness.settings import JobSpec, Model
from harness.worker import compat, initial
from harness.worker.shapes import SHAPES


def source(model: Model) -> Literal["pretrained", "random"]:
    """Where the weights come from. The runner decides `auto`; where it did not, only what is local counts."""
    if model.weights != "auto":
        return model.weights
    local = model.path is not None and (Path(model.path).expanduser() / "config.json").is_file()
    return "pretrained" if local or model.architecture is None else "random"


def shape(model: Model) -> dict[str, Any]:
    """Config arguments of the model's architecture with its own overrides. Raises BenchError if there is none."""
    if model.architecture not in SHAPES:
        raise BenchError(
            f"no built-in shape is called {model.architecture!r}",
            place=f"models.{model.name}.architecture",
            fix=f"one of: {', '.join(SHAPES)}",
        )
    return {**SHAPES[model.architecture], **model.config}


def build(spec: JobSpec, tokenizer: Any, auto_class: str, config_of_task: dict[str, Any]) -> Any:
    """A transformers model in fp32 on the CPU, the same for both arms of a launch.

    `auto_class`: name of the class in transformers that decides the head (AutoModelFor…); `config_of_task`: what the
    task sets in the model's configuration, over which the suite's own `config` for the model goes.
    Raises BenchError if the model cannot be had or does not know the attention asked for.
    """
    import transformers
    from transformers import AutoConfig, set_seed

    model = spec.workload.model
    place = f"models.{model.name}"
    pretrained = source(model) == "pretrained"
    try:
        if pretrained:
            config = AutoConfig.from_pretrained(model.path, **{**config_of_task, **model.config})
        else:
            config = AutoConfig.for_model(**{**config_of_task, **shape(model)})
            if config.vocab_size < len(tokenizer):
                raise BenchError(
                    f"vocab_size {config.vocab_size} is smaller than the tokenizer's {len(tokenizer)} tokens",
                    place=f"{place}.config",
                )
        config.pad_token_id = tokenizer.pad_token_id  # GPT-2 has none of its own
        dropout = 0.0 if spec.twin else spec.workload.training.dropout
        _set_dropout(config, dropout)
        set_seed(spec.seed)
        factory = getattr(transformers, auto_class)
        _check_attention(spec, _class_of(factory, config, place))
        if pretrained:
            built, report = factory.from_pretrained(
                model.path,
                config=config,
                attn_implementation=spec.arm.attention,
                output_loading_info=True,
                **compat.single_precision(),
            )
            initial.draw(built, spec.seed, report["missing_keys"])  # such as a new classifier
        else:
            built = factory.from_config(config, attn_implementation=spec.arm.attention)
            initial.draw(built, spec.seed)
    except (OSError, ValueError, TypeError) as error:
        raise BenchError(f"{type(error).__name__}: {error}", place=place) from error
    _set_module_dropout(built, dropout)
    # A model whose forward takes any keyword is handed the number of labels, to divide the sum of its losses by it, and
    # Trainer leaves out dividing by the accumulated micro-batches; under ORTModule it never gets that number. So that
    # the gradients of all arms have the same scale, every model takes the mean over its batch.
    built.accepts_loss_kwargs = False
    return built


def _class_of(factory: Any, config: Any, place: str) -> Any:
    """The model's class with the head of `factory`, an Auto class.

    Raises BenchError where transformers has none; its own error lists all types that do.
    """
    import transformers

    found = factory._model_mapping.get(type(config), None)
    if found is None:
        raise BenchError(
            f"transformers {transformers.__version__} has no {factory.__name__} of the type {config.model_type}",
            place=place,
            fix="a model that has it, or another kind of task",
        )
    return found


def _check_attention(spec: JobSpec, model_class: Any) -> None:
    """Raises BenchError where this version of transformers has no such attention for the model."""
    import transformers

    if spec.arm.attention == "sdpa" and not model_class._supports_sdpa:
        raise BenchError(
            f"{model_class.__name__} has no sdpa attention in transformers {transformers.__version__}",
            place=f"arms.{spec.arm.name}.attention",
            fix="attention: eager, or an arm for the models that have it",
        )


def _set_dropout(config: Any, dropout: float | None) -> None:
    """Every dropout probability of a config, by name: hidden, attention, embedding, classifier (None: inherits)."""
    if dropout is None:
        return
    for name, value in config.to_dict().items():
        is_layer_drop = "layerdrop" in name or "layer_drop" in name  # drops whole layers: another thing, but at 0 off
        if "drop" in name and not isinstance(value, bool | str | dict | list) and not (is_layer_drop and dropout):
            setattr(config, name, dropout)


def _set_module_dropout(model: Any, dropout: float | None) -> None:
    """What a model's code fixes itself, whatever its config says."""
    import torch

    for module in model.modules() if dropout is not None else ():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout


def weights_sha256(model: Any) -> str:
    """SHA-256 over name, type and bytes of every tensor of the state dict (about a second per 1.5 GB)."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(memoryview(flat.numpy()))
    return digest.hexdigest()
