"""`harness train`: one job, by the flags of transformers' example scripts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.options import DEVICE, NO_RESULT
from harness.commands.script_flags import add_refused, truth, with_dashes

if TYPE_CHECKING:
    from harness.commands.options import Commands

NAME = "train"


def spelled(words: Sequence[str]) -> list[str]:
    """A command line whose flags are spelled as this parser has them, where it is this command's:
    the scripts write `--max_train_samples` too.
    """
    return with_dashes(words) if words and words[0] == NAME else list(words)


def register(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        NAME,
        help="train one model with one backend, as transformers' example scripts do",
        description="Trains one model on one task with one backend, in one job, by the flags of "
        "transformers' example scripts, which may be spelled with underscores too. Give "
        "--do-train, --do-eval or --inference-with-ort. A flag of the scripts that is not listed "
        "here is refused, with the reason (docs/usage.md).",
        epilog="exit status: 0 the job ended ok, and inference where asked for agrees; 1 it did "
        f"not; {NO_RESULT}",
    )
    _what_to_do(parser)
    _data(parser.add_argument_group("data"))
    _of_kinds(parser.add_argument_group("settings of some kinds of task"))
    _model(parser.add_argument_group("model"))
    _training(parser.add_argument_group("training"))
    add_refused(parser)
    parser.set_defaults(run=run)


def _flag(group: Any, name: str, help: str, **more: Any) -> None:
    """A flag that may stand alone, or have `true` or `false` after it."""
    group.add_argument(
        name, nargs="?", const=True, default=False, type=truth, metavar="BOOL", help=help, **more
    )


def _what_to_do(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
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
    _flag(parser, "--do-train", "train")
    _flag(parser, "--do-eval", "evaluate on the validation set, after training")
    _flag(
        parser,
        "--inference-with-ort",
        "the model by PyTorch and by ONNX Runtime in turns: latency, throughput, and whether they "
        "agree",
    )
    _flag(parser, "--overwrite-output-dir", "use --output-dir although it has files")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help=DEVICE)
    _flag(parser, "--use-cpu", "as --device cpu")
    _flag(parser, "--no-cuda", "as --device cpu")


def _data(group: Any) -> None:
    add = group.add_argument
    add(
        "--task", metavar="KIND",
        help="kind of task: glue, text-classification (own files, or any data set on the hub), "
        "causal-lm, token-classification, translation, or one that an installed package brings "
        "(default: glue, or text-classification where files or a data set are named)",
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
        "--data",
        metavar="auto|hub|synthetic|FOLDER",
        help="where the task's data comes from: the hub, the built-in stand-in or a folder in the "
        "hub's layout; auto: the hub where it has the data, else the stand-in (default: auto)",
    )
    add(
        "--train-file",
        type=Path,
        metavar="FILE",
        help="your own training samples: .csv, .json or .jsonl (JSON lines) or .parquet",
    )
    add(
        "--validation-file",
        type=Path,
        metavar="FILE",
        help="your own validation samples, in the format of --train-file",
    )
    add("--dataset-name", metavar="NAME", help="a data set on the hub")
    add("--dataset-config-name", metavar="NAME", help="its configuration")
    add(
        "--text-column-name", action="append", metavar="NAME",
        help="column of the text; given twice: of the two texts of a pair (default: sentence1 and "
        "sentence2 where both are there, else the first two columns beside the label, else the "
        "only one)",
    )  # fmt: skip
    add("--label-column-name", metavar="NAME", help="column of the label (default: label)")
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
        "--pad-to-max-length", nargs="?", const=True, type=truth, metavar="BOOL",
        help="pad every sample to --max-seq-length, and not to the longest of its batch (default: "
        "True)",
    )  # fmt: skip
    add("--no-pad-to-max-length", dest="pad_to_max_length", action="store_false", default=None,
        help="as --pad-to-max-length false")  # fmt: skip


def _of_kinds(group: Any) -> None:
    """Flags that are an option of some kinds of task; harness.runner.single_job says which."""
    add = group.add_argument
    add("--label-all-tokens", nargs="?", const=True, type=truth, metavar="BOOL",
        help="token-classification: all tokens of a word have its tag")  # fmt: skip
    add("--source-lang", metavar="LANG", help="translation: language of the sentences")
    add("--target-lang", metavar="LANG", help="translation: language they are translated into")
    add("--source-prefix", metavar="TEXT", help="translation: text before every sentence")
    add("--max-source-length", type=int, metavar="N", help="translation: as --max-seq-length")
    add("--max-target-length", type=int, metavar="N", help="translation: tokens of a translation")
    add("--num-beams", type=int, metavar="N", help="translation: beams when generating")
    add("--label-smoothing-factor", type=float, metavar="X",
        help="translation: share of a label that is spread over the vocabulary")  # fmt: skip
    add("--predict-with-generate", nargs="?", const=True, type=truth, metavar="BOOL",
        help="translation: generate translations when evaluating, and score them")  # fmt: skip


def _model(group: Any) -> None:
    add = group.add_argument
    add(
        "--model-name-or-path",
        required=True,
        metavar="MODEL",
        help="hub id, local folder, or a built-in shape with random weights",
    )
    add("--config-name", metavar="MODEL", help="hub id or folder of another configuration")
    add("--tokenizer-name", metavar="MODEL", help="hub id or folder of another tokenizer")
    add("--model-revision", metavar="REVISION", help="branch, tag or commit on the hub")
    add(
        "--cache-dir",
        type=Path,
        metavar="DIR",
        help="where models and data sets of the hub are kept (default: HF_HUB_CACHE and "
        "HF_DATASETS_CACHE)",
    )


def _training(group: Any) -> None:
    add = group.add_argument
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
    add(
        "--gradient-accumulation-steps",
        type=int,
        metavar="N",
        help="batches whose gradients make one optimizer step (default: 1)",
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
        "--lr-scheduler-type", metavar="NAME",
        help="linear, cosine, constant or constant_with_warmup (default: linear)",
    )  # fmt: skip
    add(
        "--warmup-ratio",
        type=float,
        metavar="X",
        help="share of the steps over which the learning rate rises (default: 0.0)",
    )
    add(
        "--warmup-steps",
        type=int,
        metavar="N",
        help="steps over which it rises, in place of --warmup-ratio (default: by the ratio)",
    )
    add("--weight-decay", type=float, metavar="X", help="of the optimizer (default: 0.0)")
    add("--max-grad-norm", type=float, metavar="X", help="gradients are cut to it (default: 1.0)")
    add(
        "--optim",
        metavar="NAME",
        help="adamw_torch, adamw_torch_fused, adamw_ort_fused (of ONNX Runtime, on a GPU), sgd or "
        "adafactor (default: adamw_torch)",
    )
    add("--adam-beta1", type=float, metavar="X", help="of AdamW (default: 0.9)")
    add("--adam-beta2", type=float, metavar="X", help="of AdamW (default: 0.999)")
    add("--adam-epsilon", type=float, metavar="X", help="of AdamW (default: 1e-08)")
    add("--seed", type=int, metavar="N", help="of weights and order of the data (default: 42)")
    _flag(group, "--fp16", "train in mixed fp16; needs a GPU (default: fp32)")
    _flag(group, "--bf16", "train in mixed bf16; needs a GPU (default: fp32)")
    add(
        "--dataloader-num-workers",
        type=int,
        metavar="N",
        help="processes that load data; 0: the job's own (default: 0)",
    )
    add(
        "--dataloader-pin-memory", nargs="?", const=True, type=truth, metavar="BOOL",
        help="batches in page-locked memory, which the card reads (default: True on a GPU)",
    )  # fmt: skip
    add(
        "--logging-steps",
        type=int,
        metavar="N",
        help="steps between two losses in the log (default: 500)",
    )


def run(arguments: argparse.Namespace) -> int:
    """One job by hand."""
    from harness.commands.resolve import find_device
    from harness.errors import BenchError
    from harness.paths import cache_root
    from harness.planning.hub import use_cache
    from harness.runner.single_job import train as train_by_hand

    asked = arguments.device
    if arguments.use_cpu or arguments.no_cuda:
        if asked == "cuda":
            raise BenchError(
                "the CPU and the card are both asked for",
                place="--use-cpu --device cuda",
                fix="leave one out",
            )
        asked = "cpu"
    if arguments.cache_dir is not None:
        if arguments.cache_dir.exists() and not arguments.cache_dir.is_dir():
            raise BenchError(
                "is a file, not a folder",
                place=f"--cache-dir {arguments.cache_dir}",
                fix="a folder, which need not be there yet",
            )
        use_cache(arguments.cache_dir.absolute())
    return train_by_hand(arguments, find_device(asked), cache_root())
