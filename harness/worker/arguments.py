"""TrainingArguments of a job: identical for every arm, from settings.Training alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from harness.errors import BenchError
from harness.schema.job import JobSpec
from harness.worker import compat
from harness.worker.backends.base import Backend
from harness.worker.tasks.base import TaskKind

# What the fingerprint keeps: everything that changes how a model is trained, no paths.
DECISIVE = (
    "adam_beta1 adam_beta2 adam_epsilon auto_find_batch_size average_tokens_across_devices bf16 "
    "data_seed "
    "dataloader_drop_last dataloader_num_workers dataloader_pin_memory ddp_find_unused_parameters "
    "full_determinism "
    "fp16 gradient_accumulation_steps gradient_checkpointing group_by_length "
    "half_precision_backend label_names "
    "label_smoothing_factor learning_rate logging_nan_inf_filter logging_steps "
    "lr_scheduler_kwargs lr_scheduler_type "
    "max_grad_norm max_steps neftune_noise_alpha num_train_epochs optim optim_args "
    "per_device_eval_batch_size "
    "per_device_train_batch_size remove_unused_columns seed tf32 torch_compile use_cpu "
    "warmup_ratio warmup_steps "
    "weight_decay"
).split()


def check_precision(spec: JobSpec) -> None:
    """Raises BenchError for half precision on a CPU: Trainer refuses fp16 there, ONNX Runtime has
    no bf16 kernels.
    """
    precision = spec.workload.training.precision
    if spec.device == "cpu" and precision != "fp32":
        raise BenchError(
            f"{precision} needs a GPU",
            place="training.precision",
            fix="precision: fp32, or a host with a GPU",
        )


def build(spec: JobSpec, backend: Backend, folder: Path, task: TaskKind) -> Any:
    """The arguments, of the class that goes with the backend's trainer. `folder` is only where
    Trainer may write.
    """
    training, launch = spec.workload.training, spec.workload.launch
    values = {
        "output_dir": str(folder),
        "seed": spec.seed,
        "data_seed": spec.seed,
        "use_cpu": spec.device == "cpu",
        "fp16": training.precision == "fp16",
        "bf16": training.precision == "bf16",
        "per_device_train_batch_size": training.batch_size,
        "per_device_eval_batch_size": training.eval_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "num_train_epochs": training.epochs,
        "max_steps": training.max_steps or -1,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.lr_scheduler,
        "warmup_ratio": training.warmup_ratio,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "optim": training.optim,
        "dataloader_num_workers": training.dataloader_workers,
        "dataloader_pin_memory": spec.device == "cuda"
        if training.dataloader_pin_memory is None
        else training.dataloader_pin_memory,
        "logging_steps": training.logging_steps,
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "ddp_backend": ("nccl" if spec.device == "cuda" else "gloo") if launch.torchrun else None,
        "ddp_timeout": math.ceil(launch.timeout_s),
        "ddp_find_unused_parameters": launch.find_unused_parameters if launch.torchrun else None,
        # ORTModule hides the model's forward signature, from which they are guessed otherwise.
        "label_names": ["labels"],
        # 4.48's default; 5 has another, which only several GPUs would notice
        "average_tokens_across_devices": False,
        # fp32 means the same in every arm: left open, Trainer turns TF32 on for compiled models
        # alone
        "tf32": False,
    }
    for name in ("adam_beta1", "adam_beta2", "adam_epsilon", "warmup_steps"):
        if (given := getattr(training, name)) is not None:
            values[name] = given
    return compat.training_arguments(
        backend.seq2seq_arguments_class()
        if task.sequence_to_sequence
        else backend.arguments_class(),
        values | task.arguments() | backend.extra_arguments(),
    )


def decisive(arguments: Any) -> dict[str, Any]:
    """The arguments that decide how a model is trained, as plain values."""
    values = compat.plain_arguments(arguments)
    return {name: values[name] for name in DECISIVE if name in values}


def optimizer_name(trainer: Any) -> str | None:
    """Class and fused flag of the optimizer that ran, e.g. `AdamW(fused=False)`; None before
    training.
    """
    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)  # accelerate wraps it
    if optimizer is None:
        return None
    return f"{type(optimizer).__name__}(fused={bool(optimizer.defaults.get('fused'))})"


def dtype_policy(trainer: Any) -> str:
    """Dtypes of the parameters, what autocast computes in, whether the loss is scaled: as training
    resolved them.
    """
    dtypes = sorted(
        {str(parameter.dtype).removeprefix("torch.") for parameter in trainer.model.parameters()}
    )
    computed = {"fp16": "autocast float16", "bf16": "autocast bfloat16"}.get(
        trainer.accelerator.mixed_precision, "no autocast"
    )
    scaler = trainer.accelerator.scaler
    scaled = "loss scaled" if scaler is not None and scaler.is_enabled() else "loss not scaled"
    return f"parameters {'/'.join(dtypes)}, {computed}, {scaled}"
