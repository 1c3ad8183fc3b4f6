"""The model of a job: pretrained from the hub or a folder, or a built-in shape with weights drawn
from the seed.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from harness.errors import BenchError
from harness.planning.hub import (
    LFS_POINTER,
    WEIGHTS,
    cached_file,
    folder_of,
    hub_cache,
    model_folder,
)
from harness.planning.positions import usable_positions
from harness.schema.job import JobSpec
from harness.schema.shapes import SHAPES
from harness.schema.workload import Model
from harness.worker import compat
from harness.worker.model import adapters, initial_weights


def source(model: Model) -> Literal["pretrained", "random"]:
    """Where the weights come from. The runner decides `auto`; where it did not, only what is local
    counts.
    """
    if model.weights != "auto":
        return model.weights
    local = model.path is not None and folder_of(model.path) is not None
    return "pretrained" if local or model.architecture is None else "random"


def location(model: Model) -> str:
    """What transformers is to load the pretrained model from: a folder, or a name on the hub.

    Raises:
        BenchError: It is a folder, and no model is there.
    """
    assert model.path is not None
    folder = model_folder(model.path, f"models.{model.name}.path")
    return model.path if folder is None else str(folder)


def config_location(model: Model) -> str:
    """What transformers is to load the configuration of a pretrained model from.

    Raises:
        BenchError: It is a folder, and no model is there.
    """
    if model.config_path is None:
        return location(model)
    folder = model_folder(model.config_path, f"models.{model.name}.config_path")
    return model.config_path if folder is None else str(folder)


def shape(model: Model) -> dict[str, Any]:
    """Config arguments of the model's architecture with its own overrides. Raises BenchError if
    there is none.
    """
    if model.architecture not in SHAPES:
        raise BenchError(
            f"no built-in shape is called {model.architecture!r}",
            place=f"models.{model.name}.architecture",
            fix=f"one of: {', '.join(SHAPES)}",
        )
    return {**SHAPES[model.architecture], **model.config}


def build(
    spec: JobSpec, tokenizer: Any, auto_class: str, config_of_task: dict[str, Any]
) -> tuple[Any, list[str]]:
    """A transformers model in fp32 on the CPU, the same for both arms of a replicate; with
    adapters where the training settings ask for them.

    Args:
        spec: The job.
        tokenizer: Its tokenizer.
        auto_class: Name of the class in transformers that decides the head (AutoModelFor…).
        config_of_task: What the task sets in the model's configuration, over which the suite's own
            `config` for the model goes.

    Returns:
        The model, and what a reader must know of its checkpoint (record.Sources.remarks).

    Raises:
        BenchError: The model cannot be had, is broken, is too short for the samples or does not
            know the attention asked for.
    """
    import transformers
    from transformers import AutoConfig, set_seed
    from transformers.configuration_utils import PretrainedConfig

    model = spec.workload.model
    place = f"models.{model.name}"
    pretrained = source(model) == "pretrained"
    remarks: list[str] = []
    try:
        if pretrained:
            refuse_broken_files(model)
            of_hub = {"cache_dir": hub_cache(), "revision": model.revision or "main"}
            written, _ = PretrainedConfig.get_config_dict(config_location(model), **of_hub)
            _check_types(written.get("model_type"), model)
            config = AutoConfig.from_pretrained(
                config_location(model), **of_hub, **{**config_of_task, **model.config}
            )
            if model.tokenizer_path is not None and config.vocab_size < len(tokenizer):
                raise BenchError(
                    f"the tokenizer has {len(tokenizer)} tokens, and {model.path} knows "
                    f"{config.vocab_size}",
                    place=f"{place}.tokenizer_path",
                    fix="the tokenizer that belongs to the weights",
                )
        else:
            _check_types(shape(model)["model_type"], model)
            config = AutoConfig.for_model(**{**config_of_task, **shape(model)})
            if config.vocab_size < len(tokenizer):
                raise BenchError(
                    f"vocab_size {config.vocab_size} is smaller than the tokenizer's "
                    f"{len(tokenizer)} tokens",
                    place=f"{place}.config",
                    fix=f"vocab_size: {len(tokenizer)} or more",
                )
        config.pad_token_id = tokenizer.pad_token_id  # GPT-2 has none of its own
        _check_length(spec, config.to_dict())
        dropout = 0.0 if spec.parity_run else spec.workload.training.dropout
        _set_dropout(config, dropout)
        set_seed(spec.seed)
        factory = getattr(transformers, auto_class)
        _check_attention(spec, _class_of(factory, config, place))
        if pretrained:
            built, report = factory.from_pretrained(
                location(model),
                config=config,
                **of_hub,
                attn_implementation=spec.arm.attention,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **compat.single_precision(),
            )
            remarks = _draw_what_does_not_fit(built, spec, report)
            remarks += (
                _other_order(written, config_of_task, model)
                if not report["mismatched_keys"]
                else []
            )
        else:
            built = factory.from_config(config, attn_implementation=spec.arm.attention)
            initial_weights.draw(built, spec.seed)
    except (OSError, ValueError, TypeError) as error:
        raise BenchError(
            f"{type(error).__name__}: {error}",
            place=place,
            fix="check the model's `path` and `config`",
        ) from error
    _set_module_dropout(built, dropout)
    # A model whose forward takes any keyword is handed the number of labels, to divide the sum of
    # its losses by it, and Trainer leaves out dividing by the accumulated micro-batches; under
    # ORTModule it never gets that number. So that the gradients of all arms have the same scale,
    # every model takes the mean over its batch.
    built.accepts_loss_kwargs = False
    return adapters.attach(built, spec, auto_class), remarks


def _class_of(factory: Any, config: Any, place: str) -> Any:
    """The model's class with the head of `factory`, an Auto class.

    Raises BenchError where transformers has none; its own error lists all types that do.
    """
    import transformers

    found = factory._model_mapping.get(type(config), None)
    if found is None:
        raise BenchError(
            f"transformers {transformers.__version__} has no {factory.__name__} of the type "
            f"{config.model_type}",
            place=place,
            fix="a model that has it, or another kind of task",
        )
    return found


def _check_attention(spec: JobSpec, model_class: Any) -> None:
    """Raises BenchError where this version of transformers has no such attention for the model."""
    import transformers

    if spec.arm.attention == "sdpa" and not model_class._supports_sdpa:
        raise BenchError(
            f"{model_class.__name__} has no sdpa attention in transformers "
            f"{transformers.__version__}",
            place=f"arms.{spec.arm.name}.attention",
            fix="attention: eager, or an arm for the models that have it",
        )


def _check_types(kind: Any, model: Model) -> None:
    """Raises BenchError for an override of the suite's that is no number where transformers has
    one.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if kind not in CONFIG_MAPPING:
        return  # transformers says it better
    default = CONFIG_MAPPING[kind]()
    for key, value in model.config.items():
        usual = getattr(default, key, None)
        if (
            isinstance(usual, int | float)
            and isinstance(value, bool | str)
            and not isinstance(usual, bool)
        ):
            raise BenchError(
                f"{value!r} is not a number, and {key} of {kind} is one",
                place=f"models.{model.name}.config.{key}",
                fix=f"a number without quotes, such as {usual!r}",
            )


def _check_length(spec: JobSpec, config: Mapping[str, Any]) -> None:
    """Raises BenchError where samples are to be longer than the model has positions."""
    asked, most = spec.workload.training.max_seq_length, usable_positions(config)
    if most is not None and asked > most:
        raise BenchError(
            f"max_seq_length {asked} is more than the {most} positions of "
            f"{spec.workload.model.name}",
            place=f"workload {spec.workload.name}",
            fix=f"max_seq_length: {most} or less, or another model",
        )


def refuse_broken_files(model: Model) -> None:
    """Raises BenchError for a file of a pretrained model that is not what it is called: a pointer,
    or cut short.
    """
    folder = folder_of(model.path or "")
    if folder is not None:
        files = sorted(file for file in folder.iterdir() if file.is_file())
        cure = f"`git lfs pull` in {model.path}, or copy it there again"
    else:
        names = (
            *WEIGHTS,
            "config.json",
            "tokenizer.json",
            "vocab.txt",
            "vocab.json",
            "merges.txt",
            "spiece.model",
        )
        files = [
            file
            for name in names
            if (file := cached_file(model.path or "", name, revision=model.revision)) is not None
        ]
        files += sorted(
            part
            for file in files[:1]
            for part in file.parent.glob("*.safetensors")
            if part not in files
        )
        cure = "remove it from the cache of the hub: the next run loads it again"
    for file in files:
        problem = _broken(file)
        if not problem and folder is not None and file.name.endswith(".index.json"):
            problem = _incomplete(file)  # the hub's client loads what is missing in its cache
        if problem:
            raise BenchError(f"{file.name} {problem}", place=f"models.{model.name}.path", fix=cure)


def _broken(file: Path) -> str:
    """What is wrong with a file; empty: nothing that can be told without reading all of it."""
    with file.open("rb") as content:
        begin = content.read(len(LFS_POINTER))
        if begin == LFS_POINTER:
            return "is a pointer of Git LFS and not the file itself"
        if begin.startswith(b"PK") and not zipfile.is_zipfile(
            file
        ):  # how torch saves; its table stands at the end
            return "is cut short"
        if file.suffix != ".safetensors":
            return ""
        size = file.stat().st_size
        length = int.from_bytes(begin[:8], "little")
        if size < 8 or 8 + length > size:
            return (
                "is cut short or no safetensors file: its header does not fit into its "
                f"{size:,} bytes"
            )
        content.seek(8)
        try:
            header = json.loads(content.read(length))
            ends = [
                tensor["data_offsets"][1]
                for name, tensor in header.items()
                if name != "__metadata__"
            ]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return "is no safetensors file: its header cannot be read"
    whole = 8 + length + max(ends, default=0)
    return "" if size == whole else f"is cut short: {size:,} bytes of {whole:,}"


def _incomplete(index: Path) -> str:
    """What is wrong with the index of weights in several files."""
    try:
        parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "is no index of weights"
    missing = [str(part) for part in parts if not (index.parent / str(part)).is_file()]
    return f"names {missing[0]}, which is not there" if missing else ""


def _draw_what_does_not_fit(built: Any, spec: JobSpec, report: Mapping[str, Any]) -> list[str]:
    """Draw from the seed what the checkpoint does not have, or has for another number of classes;
    what to say of it.

    Raises:
        BenchError: The model itself, not only its head, is not in the checkpoint or of another
            shape there.
    """
    model = spec.workload.model
    place = f"models.{model.name}.path"
    parameters = {name for name, _ in built.named_parameters()}
    prefix = f"{built.base_model_prefix}."
    of_model = {name for name in parameters if name.startswith(prefix)}

    def named(
        name: str,
    ) -> str:  # transformers leaves the prefix out where the checkpoint has no head
        return prefix + name if name not in parameters and prefix + name in parameters else name

    shapes = {
        named(name): (tuple(before), tuple(now)) for name, before, now in report["mismatched_keys"]
    }
    if inside := sorted(of_model & shapes.keys()):
        before, now = shapes[inside[0]]
        raise BenchError(
            f"{inside[0]} of the checkpoint is {_size(before)}, and {_size(now)} by its "
            "configuration",
            place=place,
            fix="the config.json that belongs to the weights, and no override of sizes in `config`",
        )
    missing = {named(name) for name in report["missing_keys"]}
    if of_model and of_model <= missing:
        raise BenchError(
            f"the checkpoint has no weight of a {built.config.model_type}",
            place=place,
            fix="the config.json that belongs to the weights",
        )
    initial_weights.draw(built, spec.seed, missing | set(shapes))  # such as a new classifier
    said = [
        f"{name} of {model.name} has {before[0]} outputs in the checkpoint and {now[0]} here: "
        "drawn from the seed"
        for name, (before, now) in sorted(shapes.items())
        if len(now) > 1 or name.rpartition(".")[0] + ".weight" not in shapes
    ]
    layers = sorted(
        name for name in of_model & missing if ".pooler." not in name
    )  # a pooler is part of the head
    if layers:
        count = len(layers)
        said.append(
            f"{count} weights of {model.name} are not in its checkpoint: drawn from the seed "
            f"({layers[0]}, …)"
        )
    return said


def _other_order(
    written: Mapping[str, Any], config_of_task: Mapping[str, Any], model: Model
) -> list[str]:
    """What to say of a head whose classes have the task's names and other numbers."""
    theirs, ours = written.get("id2label"), config_of_task.get("id2label")
    if not isinstance(theirs, dict) or not isinstance(ours, dict):
        return []
    names = {str(index): str(name).lower() for index, name in theirs.items()}
    wanted = {str(index): str(name).lower() for index, name in ours.items()}
    if names == wanted or set(names.values()) != set(wanted.values()):
        return []
    return [
        f"the head of {model.name} was trained with its classes in another order "
        f"({', '.join(names.values())}) than the task's ({', '.join(wanted.values())})"
    ]


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _set_dropout(config: Any, dropout: float | None) -> None:
    """Every dropout probability of a config, by name: hidden, attention, embedding, classifier
    (None: inherits).
    """
    if dropout is None:
        return
    for name, value in config.to_dict().items():
        is_layer_drop = (
            "layerdrop" in name or "layer_drop" in name
        )  # drops whole layers: another thing, but at 0 off
        if (
            "drop" in name
            and not isinstance(value, bool | str | dict | list)
            and not (is_layer_drop and dropout)
        ):
            setattr(config, name, dropout)


def _set_module_dropout(model: Any, dropout: float | None) -> None:
    """What a model's code fixes itself, whatever its config says."""
    import torch

    for module in model.modules() if dropout is not None else ():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout


def weights_sha256(model: Any) -> str:
    """SHA-256 over name, type and bytes of every tensor of the state dict (about a second per 1.5
    GB).
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(memoryview(flat.numpy()))
    return digest.hexdigest()
