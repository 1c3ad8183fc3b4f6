"""`harness run`: run or resume a suite, then print its tables."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from harness.commands.options import NO_RESULT, print_tables, suite_arguments
from harness.errors import BenchError

if TYPE_CHECKING:
    from harness.commands.options import Commands


def register(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        "run",
        help="run a suite (or resume its unfinished run) and print the tables",
        epilog=f"exit status: 0 every pair has a result; 1 some pair has none; {NO_RESULT}",
    )
    suite_arguments(parser)
    parser.add_argument(
        "--run",
        dest="run_name",
        metavar="NAME",
        help="name of the run folder (default: SUITE-TIME)",
    )
    parser.add_argument(
        "--new",
        action="store_true",
        help="start a new run even if an unfinished one could be resumed",
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="run failed jobs of the resumed run again"
    )
    parser.add_argument(
        "--allow-shared-gpu",
        action="store_true",
        help="measure although others use the card; says so",
    )
    parser.add_argument(
        "--no-tables", action="store_true", help="do not print the tables at the end"
    )
    parser.add_argument(
        "--view", metavar="VIEW", help="print only this table at the end, as `report tables --view`"
    )

    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run or resume a suite, then print its tables. 0: every pair has a result; 1: not every pair
    has.
    """
    from harness.commands.resolve import load_plan, what_the_device_cannot

    _, plan, _ = load_plan(arguments)
    if reason := what_the_device_cannot(plan):
        raise BenchError(
            reason,
            place=plan.suite,
            fix="fp32 there (--set training.precision=fp32), or a host whose NVIDIA driver answers",
        )
    from harness.runner import runner

    outcome = runner.run(
        plan,
        arguments.results,
        run_name=arguments.run_name,
        fresh=arguments.new,
        retry_failed=arguments.retry_failed,
        resume_command=_resume_command(arguments),
        allow_shared_gpu=arguments.allow_shared_gpu,
    )
    if not arguments.no_tables and not outcome.interrupted:
        print()
        view = ["--view", arguments.view] if arguments.view else []
        print_tables(outcome.folder, view)
    return outcome.exit_code


def _resume_command(arguments: argparse.Namespace) -> str:
    words = ["harness", "run", *([arguments.suite] if arguments.suite else [])]
    for override in arguments.set:
        words += ["--set", override]
    for pair in arguments.pairs:
        words += ["--pairs", pair]
    for stack in arguments.stack:
        words += ["--stack", stack]
    for option, value, default in (
        ("--device", arguments.device, "auto"),
        ("--results", str(arguments.results), "results"),
        ("--run", arguments.run_name, None),
    ):
        words += [option, value] if value != default else []
    return shlex.join([*words, *(["--allow-shared-gpu"] if arguments.allow_shared_gpu else [])])
