"""Flags of Hugging Face's example scripts that say nothing here, with the reason for each, and how
the scripts spell flags.

A flag whose value says what happens anyway (`--report_to none`) is taken. Everything else is
refused: a setting that is ignored would be believed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import BenchError

TRUTH = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
LEAVE_OUT = "leave it out"


def truth(text: str) -> bool:
    """A value of a flag that may stand alone, as the scripts read it."""
    if text.lower() not in TRUTH:
        raise argparse.ArgumentTypeError(f"{text!r} is not true or false")
    return TRUTH[text.lower()]


def with_dashes(words: Iterable[str]) -> list[str]:
    """The words of a command line with `--max_train_samples` as `--max-train-samples`; values stay
    as they are.
    """
    spelled = []
    for word in words:
        name, equals, value = word.partition("=")
        spelled.append(
            f"{name.replace('_', '-')}{equals}{value}" if name.startswith("--") else word
        )
    return spelled


@dataclass(frozen=True)
class RefusedFlags:
    """Flags that are refused for one reason.

    Attributes:
        flags: Their names, as the scripts spell them, separated by spaces.
        reason: Why each of them says nothing here; a sentence after "is not taken: ".
        fix: What to do instead.
        means: Values of a flag by its name that say what happens anyway, and are taken.
    """

    flags: str
    reason: str
    fix: str = LEAVE_OUT
    means: dict[str, Sequence[str]] = field(default_factory=dict)


_TRUE, _FALSE, _NO = ("true",), ("false",), ("no",)
REFUSED = (
    RefusedFlags(
        "do_predict test_file max_predict_samples prediction_loss_only use_legacy_prediction_loop "
        "past_index",
        "nothing is predicted, for a backend is measured in training and evaluation",
        "leave it out; the model in --output-dir predicts in transformers",
        {"do_predict": _FALSE, "prediction_loss_only": _FALSE},
    ),
    RefusedFlags(
        "eval_strategy evaluation_strategy eval_steps eval_delay eval_on_start "
        "eval_accumulation_steps load_best_model_at_end metric_for_best_model greater_is_better",
        "while steps are timed, nothing is evaluated or saved",
        "--do-eval, which evaluates once after training",
        {
            "eval_strategy": _NO,
            "evaluation_strategy": _NO,
            "eval_on_start": _FALSE,
            "load_best_model_at_end": _FALSE,
        },
    ),
    RefusedFlags(
        "save_strategy save_steps save_total_limit save_safetensors save_on_each_node "
        "save_only_model resume_from_checkpoint restore_callback_states_from_checkpoint "
        "ignore_data_skip",
        "while steps are timed, nothing is saved: the model is saved once, after training",
        means={"save_strategy": _NO, "save_safetensors": _TRUE},
    ),
    RefusedFlags(
        "log_level log_level_replica log_on_each_node logging_dir logging_strategy "
        "logging_first_step logging_nan_inf_filter report_to run_name disable_tqdm "
        "skip_memory_metrics tpu_metrics_debug debug include_tokens_per_second "
        "include_num_input_tokens_seen",
        "the harness itself records every step, by the same instruments for all backends",
        "leave it out; the record and the log are in --output-dir",
        {"report_to": ("none",), "disable_tqdm": _TRUE, "skip_memory_metrics": _TRUE},
    ),
    RefusedFlags(
        "push_to_hub hub_model_id hub_strategy hub_private_repo hub_always_push "
        "push_to_hub_model_id push_to_hub_organization",
        "nothing is uploaded",
        "`huggingface-cli upload` of --output-dir",
        {"push_to_hub": _FALSE},
    ),
    RefusedFlags(
        "token use_auth_token hub_token push_to_hub_token",
        "every user of this host sees the words of a command, and a token is a secret",
        "the variable HF_TOKEN, or `huggingface-cli login`",
        {"use_auth_token": _FALSE},
    ),
    RefusedFlags(
        "trust_remote_code",
        "code from the hub would decide what is measured, and no version here names it",
        "a model that transformers itself has",
        {"trust_remote_code": _FALSE},
    ),
    RefusedFlags(
        "local_rank ddp_backend ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers "
        "ddp_timeout fsdp fsdp_min_num_params fsdp_config fsdp_transformer_layer_cls_to_wrap "
        "deepspeed accelerator_config tpu_num_cores use_mps_device mp_parameters ray_scope _n_gpu "
        "dispatch_batches split_batches",
        "this command trains with one process on one device",
        "a suite with `launch: {processes: …}` (docs/several-gpus.md)",
        {"use_mps_device": _FALSE},
    ),
    RefusedFlags(
        "fp16_opt_level half_precision_backend fp16_backend bf16_full_eval fp16_full_eval tf32 "
        "jit_mode_eval use_ipex",
        "arithmetic is fp32, or mixed by PyTorch's autocast, and the same for all backends",
        "--fp16, --bf16 or neither",
        {
            "half_precision_backend": ("auto", "cuda_amp", "cpu_amp"),
            "fp16_backend": ("auto",),
            "bf16_full_eval": _FALSE,
            "fp16_full_eval": _FALSE,
            "tf32": _FALSE,
            "jit_mode_eval": _FALSE,
            "use_ipex": _FALSE,
        },
    ),
    RefusedFlags(
        "torchdynamo torch_compile torch_compile_backend torch_compile_mode use_liger_kernel "
        "use_module_with_loss save_onnx onnx_prefix onnx_log_level",
        "how the model is executed is what a backend decides",
        "--backend pytorch, onnxruntime or torch-compile",
        {
            "torch_compile": _FALSE,
            "use_liger_kernel": _FALSE,
            "use_module_with_loss": _FALSE,
            "save_onnx": _FALSE,
        },
    ),
    RefusedFlags(
        "lr_scheduler_kwargs optim_args optim_target_modules neftune_noise_alpha "
        "gradient_checkpointing gradient_checkpointing_kwargs full_determinism "
        "torch_empty_cache_steps auto_find_batch_size",
        "no backend here is measured with it",
        means={
            "gradient_checkpointing": _FALSE,
            "full_determinism": _FALSE,
            "auto_find_batch_size": _FALSE,
        },
    ),
    RefusedFlags(
        "adafactor", "`optim` names the optimizer", "--optim adafactor", {"adafactor": _FALSE}
    ),
    RefusedFlags(
        "per_gpu_train_batch_size per_gpu_eval_batch_size",
        "transformers has another name for it now",
        "--per-device-train-batch-size, --per-device-eval-batch-size",
    ),
    RefusedFlags(
        "data_seed dataloader_drop_last dataloader_prefetch_factor "
        "dataloader_persistent_workers remove_unused_columns label_names group_by_length "
        "length_column_name batch_eval_metrics include_inputs_for_metrics include_for_metrics "
        "eval_do_concat_batches eval_use_gather_object average_tokens_across_devices "
        "sortish_sampler",
        "the batches and their order are the same for all backends, by --seed alone",
        means={
            "dataloader_drop_last": _FALSE,
            "remove_unused_columns": _TRUE,
            "group_by_length": _FALSE,
            "average_tokens_across_devices": _FALSE,
            "sortish_sampler": _FALSE,
        },
    ),
    RefusedFlags(
        "overwrite_cache preprocessing_num_workers",
        "samples are tokenised once, before anything is timed, and cached by their content, so "
        "that no cached copy can be stale",
        means={"overwrite_cache": _FALSE},
    ),
    RefusedFlags(
        "use_fast_tokenizer",
        "tokens are made before anything is timed, by the fast tokenizer where there is one",
        means={"use_fast_tokenizer": _TRUE},
    ),
    RefusedFlags(
        "ignore_mismatched_sizes",
        "a head of another size is always drawn from the seed, and a note says so",
        means={"ignore_mismatched_sizes": _TRUE},
    ),
    RefusedFlags(
        "return_entity_level_metrics",
        "the metrics are those of all entities together",
        means={"return_entity_level_metrics": _FALSE},
    ),
    RefusedFlags(
        "ignore_pad_token_for_loss",
        "the loss is that of the text, without its padding",
        means={"ignore_pad_token_for_loss": _TRUE},
    ),
    RefusedFlags(
        "val_max_target_length generation_max_length",
        "translations are generated up to the length that they are trained with",
        "--max-target-length, for both",
    ),
    RefusedFlags(
        "generation_num_beams generation_config",
        "of what decides how text is generated, only the number of beams is a setting here",
        "--num-beams",
    ),
    RefusedFlags(
        "forced_bos_token",
        "it chooses the language of a multilingual BART, and no such model is trained here",
    ),
)


class _Refusal(argparse.Action):
    """Raises BenchError, unless the value says what happens anyway."""

    def __init__(self, *, why: RefusedFlags, means: Sequence[str], **given: Any) -> None:
        super().__init__(**given)
        self.why, self.means = why, means

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        told = str(option_string)
        for value in values or ["true"]:
            said = {True: "true", False: "false"}.get(TRUTH.get(value.lower()), value)  # type: ignore[arg-type]
            if said in self.means or value in self.means:
                continue
            raise BenchError(
                f"is not taken: {self.why.reason}",
                place=told if told.endswith("token") else " ".join([told, *values]),
                fix=self.why.fix
                + (f"; {told} {' or '.join(self.means)} is taken" if self.means else ""),
            )


def add_refused(parser: argparse.ArgumentParser) -> None:
    """Let a parser refuse these flags, each with its reason; --help does not show them."""
    for why in REFUSED:
        for name in why.flags.split():
            means = why.means.get(name, ())
            parser.add_argument(
                with_dashes([f"--{name}"])[0],
                dest=argparse.SUPPRESS,
                action=_Refusal,
                nargs="*",
                why=why,
                means=means,
                help=argparse.SUPPRESS,
            )
            if means == _TRUE:  # the scripts' own spelling of `false`
                parser.add_argument(
                    with_dashes([f"--no_{name}"])[0],
                    dest=argparse.SUPPRESS,
                    action=_Refusal,
                    nargs=0,
                    why=why,
                    means=(),
                    help=argparse.SUPPRESS,
                )
