"""`harness submit`: a suite spread over a cluster by SLURM."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.commands.options import NO_RESULT, print_tables, suite_arguments, suite_words
from harness.errors import BenchError

if TYPE_CHECKING:
    from harness.commands.options import Commands


def register(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        "submit",
        help="spread a suite over a cluster by SLURM: an array element for every pair, results "
        "in one run",
        description="Submits an array element for every pair (pairs of a workload that share an "
        "arm go together). The "
        "same command goes on with what was killed: docs/several-gpus.md.",
        epilog="exit status: 0 submitted, or complete where that was waited for; 1 not complete; "
        f"{NO_RESULT}",
    )
    suite_arguments(parser)
    add = parser.add_argument
    add(
        "--run",
        dest="run_name",
        metavar="NAME",
        help="name of the run folder (default: SUITE-TIME)",
    )
    add(
        "--new", action="store_true", help="begin anew even if an unfinished submission could go on"
    )
    add(
        "--allow-shared-gpu",
        action="store_true",
        help="measure although others use the card; says so",
    )
    add(
        "--executor", choices=("slurm", "local", "debug"), default="slurm",
        help="local: one element after another on this host; debug: in this process "
             "(default: slurm)",
    )  # fmt: skip
    add(
        "--slurm",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="for sbatch, e.g. partition=gpu; repeatable",
    )
    add(
        "--minutes",
        type=int,
        default=720,
        metavar="N",
        help="time limit of an element (default: %(default)s)",
    )
    add("--wait", action="store_true", help="until the elements have ended; then print the tables")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Submit a suite to a cluster. 0: submitted, or every part complete where that was waited for;
    1: not all are.
    """
    from harness.commands.resolve import check_folders, load_plan
    from harness.runner.slurm import submit as submit_plan

    slurm = arguments.executor == "slurm"
    if arguments.device == "auto" and slurm:
        arguments.device = "cuda"  # the node that submits has no card to look at
    _, plan, file = load_plan(arguments, must_answer=not slurm)
    check_folders(arguments)
    words = ["run", str(file.resolve()), "--device", plan.jobs[0].device]
    words += suite_words(arguments)
    words += ["--allow-shared-gpu"] if arguments.allow_shared_gpu else []
    options = dict(_key_value(option) for option in arguments.slurm)
    folder, complete = submit_plan(
        plan,
        arguments.results,
        words,
        executor=arguments.executor,
        run_name=arguments.run_name,
        fresh=arguments.new,
        wait=arguments.wait,
        minutes=arguments.minutes,
        options=options,
    )
    if complete:
        print_tables(folder)
    elif slurm and not arguments.wait:
        print(f"results: {folder}; the same command goes on with what does not finish")
        return 0
    else:
        print(f"{folder}: not every part is complete; the same command goes on with them")
    return 0 if complete else 1


def _key_value(option: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals or not key:
        raise BenchError(
            "needs KEY=VALUE", place=f"--slurm {option}", fix="for example --slurm partition=gpu"
        )
    return key.replace("-", "_"), value
