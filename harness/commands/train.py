"""`harness train`: one job, by the flags of transformers' example scripts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.options import NO_RESULT

if TYPE_CHECKING:
    from harness.commands.options import Commands


def register(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        "train",
        help="train one model with one backend, as transformers' example scripts do",
        epilog="exit status: 0 the job ended ok, and inference where asked for agrees; 1 it did "
        f"not; {NO_RESULT}",
    )
    add = parser.add_argument
    add(
        "--model-name-or-path",
        required=True,
        help="hub id, local folder, or a built-in shape with random weights",
    )
    add(
        "--task", default="glue", metavar="KIND",
        help="kind of task: glue (text classification), causal-lm, token-classification, or one "
             "that an installed "
        "package brings (default: %(default)s)",
    )  # fmt: skip
    add(
        "--task-name",
        metavar="NAME",
        help="which of GLUE's tasks; of no other kind (default: sst2)",
    )
    add(
        "--task-option", action="append", default=[], metavar="KEY=VALUE",
        help="setting of the kind of task, as `options` of a suite's task; repeatable",
    )  # fmt: skip
    add("--backend", default="pytorch", help="pytorch or onnxruntime (default: pytorch)")
    add("--attention", choices=("eager", "sdpa"), default="eager")
    add(
        "--output-dir", type=Path, required=True, help="metrics, log and the trained model go there"
    )
    add("--do-train", action="store_true")
    add("--do-eval", action="store_true")
    add(
        "--inference-with-ort", action="store_true",
        help="the model by PyTorch and by ONNX Runtime in turns: latency, throughput, and whether "
             "they agree",
    )  # fmt: skip
    add(
        "--data",
        default="auto",
        metavar="auto|hub|synthetic|FOLDER",
        help="where the task's data comes from",
    )
    # Of these the models of harness.schema declare the defaults and the ranges.
    add("--max-train-samples", type=int)
    add("--max-eval-samples", type=int)
    add("--max-seq-length", type=int)
    add("--per-device-train-batch-size", type=int)
    add("--per-device-eval-batch-size", type=int)
    add("--num-train-epochs", type=float)
    add("--max-steps", type=int)
    add("--learning-rate", type=float)
    add("--optim")
    add("--seed", type=int)
    add("--fp16", action="store_true")
    add("--bf16", action="store_true")
    add("--overwrite-output-dir", action="store_true")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """One job by hand."""
    from harness.commands.resolve import find_device
    from harness.paths import cache_root
    from harness.runner.single_job import train as train_by_hand

    return train_by_hand(arguments, find_device(arguments.device), cache_root())
