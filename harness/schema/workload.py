"""What is trained and how: the models that suites, jobs and records share. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from harness.schema.base import Replaceable
from harness.schema.glue import GlueTask
from harness.schema.input_errors import Unfit
from harness.schema.redaction import HOST_PATH

Scalar = bool | int | float | str | None
# Of anything that waits or measures; what is longer is a slip of the keyboard.
MOST_SECONDS = 366 * 24 * 3600.0
LARGEST_SEED = 2**31 - 1  # NumPy takes 32 bits, and replicates count up from it
MOST_REPLICATES = 1000
# Ends of the keys of a model's configuration that are counts.
SIZES = ("_size", "_layers", "_heads", "_embeddings", "n_embd", "n_layer", "n_head", "n_positions")

# Settings of models and tasks that runs recorded before there were such do not have. What
# identifies a job or a suite is a hash of what is written, and stays as it was where they are not
# given.
ADDED_TO_MODEL = ("revision", "tokenizer_path", "config_path")
ADDED_TO_TASK = ("train_file", "validation_file", "files_sha256", "dataset", "dataset_config")
# Values of Training.optim that ONNX Runtime's trainer alone knows.
ORT_OPTIMIZERS = ("adamw_ort_fused",)
_OF_LORA = ("lora_alpha", "lora_dropout", "target_modules")
# Settings of Training that runs recorded before there were such do not have.
_OF_ADAM = ("adam_beta1", "adam_beta2", "adam_epsilon")
ADDED_SETTINGS = ("lora_rank", *_OF_LORA, *_OF_ADAM, "warmup_steps", "dataloader_pin_memory")

# Names become names of files and folders, which the system counts in bytes and ends at 255. What is
# put together from a name (SUITE-TIME-again, MODEL-TASK-SETTING, .NAME.tmp) has room beside it.
MAX_NAME_BYTES, MAX_WORKLOAD_NAME_BYTES, MAX_RUN_NAME_BYTES = 100, 200, 220


def unfit_name(name: str, most_bytes: int = MAX_NAME_BYTES) -> str:
    """Why a name that a user gives is none for files, folders and options; empty if it is one."""
    try:
        _is_slug(name)
    except ValueError as error:
        return str(error)
    if name[0] in "-.":
        return f"a name does not begin with {name[0]}"
    size = len(name.encode())
    return f"the name has {size} bytes, and {most_bytes} are allowed" if size > most_bytes else ""


def _is_slug(name: str) -> str:
    if not name or any(not (c.isalnum() or c in "-_.+") for c in name):
        raise ValueError("a name is made of letters, digits and - _ . +")
    return name


Slug = Annotated[str, AfterValidator(_is_slug)]


class Strict(Replaceable):
    """Unknown keys are errors, and so are infinity and NaN; values do not change after
    validation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _a_number_is_not_a_boolean(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic would read `batch_size: true` as 1. The question comes first, for this runs for
        # every field of every record that is read.
        if not isinstance(value, bool):
            return value
        annotation = cls.model_fields[str(info.field_name)].annotation
        kinds = get_args(annotation) or (annotation,)
        if bool not in kinds and (int in kinds or float in kinds):
            raise ValueError(f"{str(value).lower()} is not a number")
        return value


def _given(written: dict[str, Any], added: Sequence[str]) -> dict[str, Any]:
    """What is written of a model's fields, without those of `added` that are not given."""
    return {
        name: value for name, value in written.items() if name not in added or value is not None
    }


class NoOptions(Strict):
    """Options of a backend or a kind of task that has none."""


class Model(Strict):
    """A model by hub name or folder (`path`), or by architecture with random weights.

    A `path` that looks like one (it begins with `/`, `./`, `../` or `~`, holds a backslash or more
    than one slash) or that is the name of an existing folder means a folder, which must be there.
    Everything else is a name on the hub.

    `weights: auto` takes pretrained weights from `path` where the folder, the cache or the hub has
    them, else random weights of the shape `architecture`. What is taken is decided once per run,
    before its first job, and recorded. If the hub's answer is neither yes nor no, every `auto` of
    the run that needs the hub takes its stand-in.
    """

    name: Slug = Field(description="label in tables; defaults to the key in `models`")
    path: Annotated[str, HOST_PATH] | None = Field(
        None, description="hub id (FacebookAI/roberta-base) or folder; ~ is the user's home"
    )
    architecture: str | None = Field(
        None, description="a built-in shape (roberta-base, …) for random weights"
    )
    config: dict[str, Scalar] = Field(
        default_factory=dict, description="overrides of the transformers config"
    )
    weights: Literal["auto", "pretrained", "random"] = "auto"
    revision: str | None = Field(
        None, description="branch, tag or commit of `path` on the hub; null: main"
    )
    tokenizer_path: Annotated[str, HOST_PATH] | None = Field(
        None, description="hub id or folder of the tokenizer; null: that of `path`"
    )
    config_path: Annotated[str, HOST_PATH] | None = Field(
        None, description="hub id or folder of the configuration; null: that of `path`"
    )

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _given(write(self), ADDED_TO_MODEL)

    @field_validator("config")
    @classmethod
    def _a_size_is_whole(cls, config: dict[str, Scalar]) -> dict[str, Scalar]:
        """1e2 means 100 where a count is wanted, as it does for every other setting."""
        return {
            key: int(value)
            if key.endswith(SIZES) and isinstance(value, float) and value.is_integer()
            else value
            for key, value in config.items()
        }

    @model_validator(mode="after")
    def _has_a_source(self) -> Model:
        if self.path is None and self.architecture is None:
            raise ValueError(
                "a model needs `path` (hub id or folder) or `architecture` (a built-in shape)"
            )
        if self.weights == "pretrained" and self.path is None:
            raise ValueError("`weights: pretrained` needs `path`")
        if self.weights == "random" and self.architecture is None:
            raise ValueError("`weights: random` needs `architecture`")
        if self.weights == "random" or self.path is None:
            for name in ADDED_TO_MODEL:
                if getattr(self, name) is not None:
                    raise ValueError(f"`{name}` goes with pretrained weights from `path`")
        return self


class Task(Strict):
    """A task and where its data comes from.

    `source: auto` is the hub where it has the data (or a cached copy), else the built-in learnable
    stand-in. It is decided as `weights: auto` of a model is. `source: files` is your own data, in
    `train_file` and `validation_file`.
    """

    name: Slug = Field(description="label in tables; defaults to the key in `tasks`")
    kind: Slug = Field(
        "glue",
        description="a registered kind of task: glue, text-classification, causal-lm, "
        "token-classification, …; defaults to text-classification where `source: files` or "
        "`dataset` is given",
    )
    subset: GlueTask | None = Field(
        None,
        description="GLUE task; defaults to the key in `tasks`, else sst2; only for `kind: glue`",
    )
    options: dict[str, Scalar] = Field(default_factory=dict, description="the kind's own settings")
    source: Literal["auto", "hub", "folder", "files", "synthetic"] = "auto"
    folder: Annotated[Path, HOST_PATH] | None = Field(
        None, description="folder with the hub's Parquet layout (SUBSET/train-*.parquet, …)"
    )
    train_file: Annotated[Path, HOST_PATH] | None = Field(
        None,
        description="your training samples: .csv, .json or .jsonl (JSON lines) or .parquet; "
        "relative to the suite's file",
    )
    validation_file: Annotated[Path, HOST_PATH] | None = Field(
        None, description="your validation samples, in the format of `train_file`"
    )
    files_sha256: str | None = Field(
        None,
        description="SHA-256 over both files, filled in when the suite is read; given: what it "
        "must be",
    )
    dataset: str | None = Field(None, description="data set on the hub, of `source: hub`")
    dataset_config: str | None = Field(None, description="configuration of `dataset`")
    train_samples: int | None = Field(
        None, gt=0, description="at most so many training samples (default: all)"
    )
    eval_samples: int | None = Field(
        None, gt=0, description="at most so many evaluation samples (default: all)"
    )
    data_seed: int = Field(0, ge=0, le=LARGEST_SEED, description="seed of the built-in corpus")

    @property
    def data_name(self) -> str:
        """What its data is called: GLUE's subset, else the kind of task."""
        return self.subset or self.kind

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _given(write(self), ADDED_TO_TASK)

    @model_validator(mode="before")
    @classmethod
    def _glue_has_a_subset(cls, data: Any) -> Any:
        if (
            isinstance(data, dict)
            and "kind" not in data
            and data.get("subset") is None
            and (data.get("source") == "files" or data.get("dataset") is not None)
        ):
            return {**data, "kind": "text-classification"}
        if (
            isinstance(data, dict)
            and data.get("kind", "glue") == "glue"
            and data.get("subset") is None
        ):
            return {**data, "subset": "sst2"}
        return data

    @model_validator(mode="after")
    def _only_glue_has_a_subset(self) -> Task:
        if self.kind != "glue" and self.subset is not None:
            raise ValueError(f"`subset` goes with `kind: glue`; {self.kind} has `options`")
        return self

    @model_validator(mode="after")
    def _folder_goes_with_folder(self) -> Task:
        if (self.source == "folder") != (self.folder is not None):
            raise Unfit("`folder` and `source: folder` go together", "both, or neither")
        return self

    @model_validator(mode="after")
    def _own_data_has_its_source(self) -> Task:
        of_files = {"train_file", "validation_file"}
        given = {name for name in of_files if getattr(self, name) is not None}
        if self.source == "files" and given != of_files:
            missing = sorted(of_files - given)
            raise Unfit(
                f"`source: files` needs `{'` and `'.join(missing)}`",
                "both files: a model trains on one and is judged on the other",
            )
        if self.source != "files" and (given or self.files_sha256 is not None):
            what = sorted(given)[0] if given else "files_sha256"
            raise Unfit(f"`{what}` goes with `source: files`", "`source: files`, or leave it out")
        if self.dataset is not None and self.source != "hub":
            raise Unfit("`dataset` goes with `source: hub`", "`source: hub`, or leave it out")
        if self.dataset_config is not None and self.dataset is None:
            raise Unfit("`dataset_config` goes with `dataset`", "`dataset`, or leave it out")
        return self


class Training(Strict):
    """Settings both arms share; names follow transformers.TrainingArguments where one exists."""

    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    batch_size: int = Field(8, gt=0, description="per device")
    eval_batch_size: int = Field(8, gt=0)
    max_seq_length: int = Field(128, gt=1, le=4096)
    pad_to_max_length: bool = True
    epochs: float = Field(3.0, gt=0, le=1_000_000)
    max_steps: int | None = Field(
        None, gt=0, description="stop after so many optimizer steps, whatever `epochs` says"
    )
    gradient_accumulation_steps: int = Field(1, gt=0)
    learning_rate: float = Field(2e-5, gt=0)
    lr_scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    warmup_ratio: float = Field(
        0.0, ge=0, lt=1, description="share of the steps over which the learning rate rises"
    )
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, ge=0)
    optim: Literal["adamw_torch", "adamw_torch_fused", "adamw_ort_fused", "sgd", "adafactor"] = (
        Field(
            "adamw_torch",
            description="adamw_torch_fused: PyTorch's, one kernel for many parameters; "
            "adamw_ort_fused: ONNX Runtime's, for its backend on a GPU, compiled by nvcc",
        )
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="every dropout of the model; null: the model's own"
    )
    dataloader_workers: int = Field(0, ge=0, le=1024)
    dataloader_pin_memory: bool | None = Field(
        None, description="batches in page-locked memory, which the card reads; null: on a GPU"
    )
    logging_steps: int = Field(500, gt=0)
    evaluate: bool = Field(True, description="evaluate on the task's validation set after training")
    seed: int = Field(
        42, ge=0, le=LARGEST_SEED, description="replicate k of every arm uses seed + k"
    )
    lora_rank: int | None = Field(
        None,
        gt=0,
        le=4096,
        description="train low-rank adapters of this rank and the head, and nothing else (peft); "
        "null: all weights",
    )
    lora_alpha: float | None = Field(
        None,
        gt=0,
        description="adapters are scaled by lora_alpha / lora_rank; null: twice the rank",
    )
    lora_dropout: float | None = Field(
        None, ge=0, lt=1, description="dropout before each adapter; null: 0"
    )
    target_modules: list[str] | None = Field(
        None,
        min_length=1,
        description="ends of the names of the linear layers that get an adapter, such as q_proj; "
        "null: those that peft names for the type of model",
    )

    adam_beta1: float | None = Field(None, ge=0, lt=1, description="of AdamW; null: 0.9")
    adam_beta2: float | None = Field(None, ge=0, lt=1, description="of AdamW; null: 0.999")
    adam_epsilon: float | None = Field(None, gt=0, le=1, description="of AdamW; null: 1e-8")
    warmup_steps: int | None = Field(
        None,
        gt=0,
        description="steps over which the learning rate rises, in place of warmup_ratio",
    )

    @field_validator("target_modules")
    @classmethod
    def _each_is_a_name(cls, names: list[str] | None) -> list[str] | None:
        for name in names or ():
            if not all(part.isidentifier() or part.isdecimal() for part in name.split(".")):
                raise ValueError(f"{name!r} is no name of a module, such as q_proj")
        return names

    @model_validator(mode="after")
    def _adapters_have_a_rank(self) -> Training:
        given = [name for name in _OF_LORA if getattr(self, name) is not None]
        if given and self.lora_rank is None:
            raise ValueError(f"`{given[0]}` goes with `lora_rank`")
        return self

    @model_validator(mode="after")
    def _no_setting_is_ignored(self) -> Training:
        given = [name for name in _OF_ADAM if getattr(self, name) is not None]
        if given and not self.optim.startswith("adamw"):
            raise Unfit(
                f"`{given[0]}` goes with an `optim` of AdamW, and {self.optim} is not",
                "leave it out, or `optim: adamw_torch`",
            )
        if self.warmup_steps is not None and self.warmup_ratio:
            raise Unfit(
                "`warmup_steps` and `warmup_ratio` say the same: give one of them",
                "leave one of them out",
            )
        return self

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The settings, those of ADDED_SETTINGS only where they are not the default.

        What identifies a job or a suite is a hash of this, and stays as it was before there were
        such settings.
        """
        written: dict[str, Any] = write(self)
        for name in ADDED_SETTINGS:
            if name in written and getattr(self, name) == Training.model_fields[name].default:
                del written[name]
        return written


class Launch(Strict):
    """How many processes train a job together, and what starts them. The batch size is per
    process.
    """

    launcher: Literal["auto", "plain", "torchrun"] = Field(
        "auto", description="auto: torchrun for several processes"
    )
    processes: int = Field(
        1,
        ge=1,
        le=64,
        description="on each node, as torchrun's --nproc_per_node: each has a GPU of its own",
    )
    nodes: int = Field(
        1,
        ge=1,
        le=64,
        description="nodes of a SLURM allocation that train a job together (docs/several-gpus.md)",
    )
    timeout_s: float = Field(
        300,
        gt=0,
        le=MOST_SECONDS,
        description="a rank waits so long for the others before the job fails",
    )
    find_unused_parameters: bool = Field(
        False, description="DistributedDataParallel looks for them at every step"
    )

    @property
    def world_size(self) -> int:
        """Processes of a job on all nodes."""
        return self.processes * self.nodes

    @property
    def torchrun(self) -> bool:
        """Whether torchrun starts the job."""
        return self.launcher == "torchrun" or (self.launcher == "auto" and self.world_size > 1)

    @model_validator(mode="after")
    def _several_processes_need_torchrun(self) -> Launch:
        if self.launcher == "plain" and self.world_size > 1:
            raise ValueError(
                f"`launcher: plain` starts one process, not {self.world_size}: give `launcher: "
                "torchrun`"
            )
        return self


class Inference(Strict):
    """After training: the trained model by PyTorch and by ONNX Runtime, in turns on the same
    batches.
    """

    batch_sizes: list[int] | None = Field(
        None,
        min_length=1,
        description="samples per batch, each timed; null: 1 and the workload's eval_batch_size",
    )
    seconds: float = Field(
        10,
        gt=0,
        le=MOST_SECONDS,
        description="measured time of a batch size, about, both engines together",
    )
    precision: Literal["fp32", "fp16"] | None = Field(
        None,
        description="weights and arithmetic of both engines; null: fp16 where training is fp16, "
        "else fp32",
    )
    opset: int = Field(
        17,
        ge=14,
        le=20,
        description="of the exported graph; 17 has layer normalization as one node",
    )
    tolerance: float | None = Field(
        None,
        gt=0,
        description="largest difference of a logit between the engines; null: by precision",
    )

    @field_validator("batch_sizes")
    @classmethod
    def _sizes_are_positive(cls, sizes: list[int] | None) -> list[int] | None:
        if any(size < 1 for size in sizes or ()):
            raise ValueError("a batch has at least one sample")
        return sizes


class Workload(Strict):
    """One model, one task and the training settings both arms share."""

    name: Slug
    model: Model
    task: Task
    training: Training
    launch: Launch = Launch()


class Arm(Strict):
    """What trains a workload: a backend with its options, in a named stack."""

    name: Slug = Field(description="label in tables; defaults to the key in `arms`")
    backend: Slug = Field(description="a registered backend: pytorch, onnxruntime, …")
    stack: Slug = "ort"
    attention: Literal["eager", "sdpa"] = "eager"
    options: dict[str, Scalar] = Field(
        default_factory=dict, description="the backend's own switches"
    )
    training: dict[str, Any] = Field(
        default_factory=dict,
        description="settings this arm alone changes; a pair must declare each as a difference",
    )
    injected_delay_ms: float = Field(
        0.0,
        ge=0,
        le=1000 * MOST_SECONDS,
        description="sleep in the data collator for every batch: a fault to rehearse alarms with",
    )
