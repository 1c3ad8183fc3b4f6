"""`harness train`: one job, by the flags of transformers' example scripts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.options import DEVICE, NO_RESULT

if TYPE_CHECKING:
    from harness.commands.options import Commands


def register(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        "train",
        help="train one model with one backend, as transformers' example scripts do",
        description="Trains one model on one task with one backend, in one job, by the flags of "
        "transformers' example scripts. Give --do-train, --do-eval or --inference-with-ort.",
        epilog="exit status: 0 the job ended ok, and inference where asked for agrees; 1 it did "
        f"not; {NO_RESULT}",
    )
    add = parser.add_argument
    add(
        "--model-name-or-path",
        required=True,
        metavar="MODEL",
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
    add(
        "--backend",
        default="pytorch",
        metavar="NAME",
        help="pytorch, onnxruntime, torch-compile, or what an installed package brings "
        "(default: %(default)s)",
    )
    add(
        "--attention",
        choices=("eager", "sdpa"),
        default="eager",
        help="implementation of attention (default: %(default)s)",
    )
    add(
        "--output-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="metrics, log and the trained model go there",
    )
    add("--do-train", action="store_true", help="train")
    add("--do-eval", action="store_true", help="evaluate on the validation set, after training")
    add(
        "--inference-with-ort", action="store_true",
        help="the model by PyTorch and by ONNX Runtime in turns: latency, throughput, and whether "
             "they agree",
    )  # fmt: skip
    add(
        "--data",
        default="auto",
        metavar="auto|hub|synthetic|FOLDER",
        help="where the task's data comes from: the hub, the built-in stand-in or a folder in the "
        "hub's layout; auto: the hub where it has the data, else the stand-in "
        "(default: %(default)s)",
    )
    # Of these the models of harness.schema declare the defaults and the ranges; they stand in the
    # texts too, so that --help need not import pydantic, and a test compares.
    add(
        "--max-train-samples",
        type=int,
        metavar="N",
        help="train on at most so many samples (default: all)",
    )
    add(
        "--max-eval-samples",
        type=int,
        metavar="N",
        help="evaluate on at most so many samples (default: all)",
    )
    add("--max-seq-length", type=int, metavar="N", help="tokens of a sample (default: 128)")
    add(
        "--per-device-train-batch-size",
        type=int,
        metavar="N",
        help="samples of a training step (default: 8)",
    )
    add(
        "--per-device-eval-batch-size",
        type=int,
        metavar="N",
        help="samples of an evaluation step (default: 8)",
    )
    add("--num-train-epochs", type=float, metavar="N", help="passes over the data (default: 3.0)")
    add(
        "--max-steps",
        type=int,
        metavar="N",
        help="stop after so many optimizer steps, whatever the epochs say (default: the epochs)",
    )
    add("--learning-rate", type=float, metavar="X", help="at its peak (default: 2e-05)")
    add(
        "--optim",
        metavar="NAME",
        help="adamw_torch, adamw_torch_fused, sgd or adafactor (default: adamw_torch)",
    )
    add("--seed", type=int, metavar="N", help="of weights and order of the data (default: 42)")
    add("--fp16", action="store_true", help="train in mixed fp16; needs a GPU (default: fp32)")
    add("--bf16", action="store_true", help="train in mixed bf16; needs a GPU (default: fp32)")
    add(
        "--overwrite-output-dir", action="store_true", help="use --output-dir although it has files"
    )
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help=DEVICE)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """One job by hand."""
    from harness.commands.resolve import find_device
    from harness.paths import cache_root
    from harness.runner.single_job import train as train_by_hand

    return train_by_hand(arguments, find_device(arguments.device), cache_root())
