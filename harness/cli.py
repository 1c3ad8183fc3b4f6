"""The command line `harness`. Every subcommand imports what it needs when it runs, so that --help is instant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import __version__
from harness.errors import BenchError, is_text, run_command, use_utf8

# 1 says something about results. A fault of this program or a full disk never ends with it.
NO_RESULT = "2 bad input, a host or disk that cannot be used, or a fault of this program; 130 interrupted"
EPILOG = (
    "exit status: 0 done, and every pair has a result; 1 some pair has none; "
    f"{NO_RESULT} (COMMAND --help says what 0 and 1 mean there)"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (see EPILOG)."""
    if argv is None:
        use_utf8()
    return run_command("harness", lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 2
    for word in sys.argv[1:] if argv is None else argv:
        if not is_text(word):  # it would be a value or a path in a record
            raise BenchError("is not UTF-8 text", place=word, fix="write or name it in UTF-8")
    from harness import commands

    status: int = getattr(commands, arguments.command)(arguments)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness", description="Paired benchmarks of PyTorch and ONNX Runtime training.", epilog=EPILOG
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="run a suite (or resume its unfinished run) and print the tables",
        epilog=f"exit status: 0 every pair has a result; 1 some pair has none; {NO_RESULT}",
    )
    _suite_arguments(run)
    run.add_argument("--run", dest="run_name", metavar="NAME", help="name of the run folder (default: SUITE-TIME)")
    run.add_argument("--new", action="store_true", help="start a new run even if an unfinished one could be resumed")
    run.add_argument("--retry-failed", action="store_true", help="run failed jobs of the resumed run again")
    run.add_argument("--allow-shared-gpu", action="store_true", help="measure although others use the card; says so")
    run.add_argument("--no-tables", action="store_true", help="do not print the tables at the end")
    run.add_argument("--view", metavar="VIEW", help="print only this table at the end, as `report tables --view`")

    submit = commands.add_parser(
        "submit",
        help="spread a suite over a cluster by SLURM: an array element for every pair, results in one run",
        description="Submits an array element for every pair (pairs of a workload that share an arm go together). The "
        "same command goes on with what was killed: docs/several-gpus.md.",
        epilog=f"exit status: 0 submitted, or complete where that was waited for; 1 not complete; {NO_RESULT}",
    )
    _suite_arguments(submit)
    _submit_arguments(submit)

    nightly = commands.add_parser(
        "nightly",
        help="one night: run a suite, check it against earlier nights, run alarmed pairs again, check, alert",
        description="Runs a suite, checks it against the nights before, measures alarmed pairs once more, checks again "
        "and alerts. Killed at any moment, the same command goes on from there. State and logs: RESULTS/nightly/.",
        epilog="exit status: 0 nothing worse; 1 a regression; 2 no judgement (bad input, a full disk, "
        "a runner or a check that died), or alerts not delivered; 130 interrupted",
    )
    _suite_arguments(nightly)
    _nightly_arguments(nightly)

    plan = commands.add_parser(
        "plan",
        help="print what a suite would run and about how long it takes",
        epilog="exit status: 0 printed; 2 bad input",
    )
    _suite_arguments(plan)
    plan.add_argument("--json", action="store_true", help="the jobs as JSON lines")

    doctor = commands.add_parser(
        "doctor",
        help="check driver, cards, disk, stack and a real training step; say what to do",
        epilog=f"exit status: 0 ready (warnings may stand); 1 a check failed; {NO_RESULT}",
    )
    doctor.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")

    schema = commands.add_parser("schema", help="print the JSON schema of suites, for editors")
    schema.add_argument("--output", type=Path, metavar="FILE", help="write it there instead")

    train = commands.add_parser(
        "train",
        help="train one model with one backend, as transformers' example scripts do",
        epilog=f"exit status: 0 the job ended ok, and inference where asked for agrees; 1 it did not; {NO_RESULT}",
    )
    _train_arguments(train)
    return parser


def _suite_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "suite", nargs="?", metavar="SUITE", help="YAML file or name in configs/ (default: what fits the host)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override, e.g. training.batch_size=16"
    )
    parser.add_argument(
        "--pairs", action="append", default=[], metavar="WORKLOAD:BASELINE:CANDIDATE", help="only this pair; repeatable"
    )
    parser.add_argument(
        "--stack", action="append", default=[], metavar="NAME=PATH", help="the interpreter of a stack; repeatable"
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: cuda where a driver answers"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")


def _submit_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--run", dest="run_name", metavar="NAME", help="name of the run folder (default: SUITE-TIME)")
    add("--new", action="store_true", help="begin anew even if an unfinished submission could go on")
    add("--allow-shared-gpu", action="store_true", help="measure although others use the card; says so")
    add(
        "--executor", choices=("slurm", "local", "debug"), default="slurm",
        help="local: one element after another on this host; debug: in this process (default: slurm)",
    )  # fmt: skip
    add("--slurm", action="append", default=[], metavar="KEY=VALUE", help="for sbatch, e.g. partition=gpu; repeatable")
    add("--minutes", type=int, default=720, metavar="N", help="time limit of an element (default: %(default)s)")
    add("--wait", action="store_true", help="until the elements have ended; then print the tables")


def _nightly_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--channel", action="append", default=[], metavar="NAME[=TARGET]",
        help="where to alert, as in `report alert --help`; repeatable (default: email, which prints)",
    )  # fmt: skip
    add(
        "--budget-minutes", type=float, default=480, metavar="N",
        help="no training after that (default: %(default)s); check and alert follow, each 10 minutes at most",
    )  # fmt: skip
    add("--acknowledged", type=Path, metavar="FILE", help="accepted changes, as in `report check --help`")
    add("--lock", type=Path, metavar="FILE", help="held all night (default: nightly.lock in the user's cache)")


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model-name-or-path", required=True, help="hub id, local folder, or a built-in shape with random weights")
    add(
        "--task", default="glue", metavar="KIND",
        help="kind of task: glue (text classification), causal-lm, token-classification, or one that an installed "
        "package brings (default: %(default)s)",
    )  # fmt: skip
    add("--task-name", metavar="NAME", help="which of GLUE's tasks; of no other kind (default: sst2)")
    add(
        "--task-option", action="append", default=[], metavar="KEY=VALUE",
        help="setting of the kind of task, as `options` of a suite's task; repeatable",
    )  # fmt: skip
    add("--backend", default="pytorch", help="pytorch or onnxruntime (default: pytorch)")
    add("--attention", choices=("eager", "sdpa"), default="eager")
    add("--output-dir", type=Path, required=True, help="metrics, log and the trained model go there")
    add("--do-train", action="store_true")
    add("--do-eval", action="store_true")
    add(
        "--inference-with-ort", action="store_true",
        help="the model by PyTorch and by ONNX Runtime in turns: latency, throughput, and whether they agree",
    )  # fmt: skip
    add("--data", default="auto", metavar="auto|hub|synthetic|FOLDER", help="where the task's data comes from")
    add("--max-train-samples", type=int)
    add("--max-eval-samples", type=int)
    add("--max-seq-length", type=int, default=128)
    add("--per-device-train-batch-size", type=int, default=8)
    add("--per-device-eval-batch-size", type=int, default=8)
    add("--num-train-epochs", type=float, default=3.0)
    add("--max-steps", type=int)
    add("--learning-rate", type=float, default=2e-5)
    add("--optim", default="adamw_torch")
    add("--seed", type=int, default=42)
    add("--fp16", action="store_true")
    add("--bf16", action="store_true")
    add("--overwrite-output-dir", action="store_true")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")


if __name__ == "__main__":
    sys.exit(main())
