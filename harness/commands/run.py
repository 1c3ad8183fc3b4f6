"""`harness run`: run or resume a suite, then print its tables."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from harness.commands.options import NO_RESULT, SuiteRequest, print_answer, suite_arguments
from harness.errors import BenchError

if TYPE_CHECKING:
    from harness.commands.options import Commands
    from harness.runner.runner import RunOutcome


def register(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        "run",
        help="run a suite (or resume its unfinished run) and print the tables",
        description="Runs a suite, or goes on with its unfinished run, and prints the tables.",
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
        "--view",
        metavar="VIEW",
        help="print this table at the end, as `report tables --view` (default: the answer in "
        "words, the runtimes and the gains)",
    )

    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run or resume a suite, then print its tables. 0: every pair has a result; 1: not every pair
    has.
    """
    outcome = run_suite(
        SuiteRequest.of(arguments),
        run_name=arguments.run_name,
        fresh=arguments.new,
        retry_failed=arguments.retry_failed,
        allow_shared_gpu=arguments.allow_shared_gpu,
    )
    if not arguments.no_tables and not outcome.interrupted:
        print()
        print_answer(outcome.folder, [arguments.view] if arguments.view else ())
    return outcome.exit_code


def run_suite(
    request: SuiteRequest,
    *,
    run_name: str | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    allow_shared_gpu: bool = False,
) -> RunOutcome:
    """Run or resume a suite.

    Args:
        request: The suite, and where it is to run.
        run_name: As of harness.runner.runner.RunOptions, as are the others.

    Raises:
        BenchError: The suite cannot be run here.
    """
    from harness.commands.resolve import load_plan, what_the_device_cannot

    _, plan, _ = load_plan(request)
    if reason := what_the_device_cannot(plan):
        raise BenchError(
            reason,
            place=plan.suite,
            fix="fp32 there (--set training.precision=fp32), or a host whose NVIDIA driver answers",
        )
    from harness.runner import runner

    options = runner.RunOptions(
        run_name=run_name,
        fresh=fresh,
        retry_failed=retry_failed,
        allow_shared_gpu=allow_shared_gpu,
        resume_command=_resume_command(request, run_name, allow_shared_gpu=allow_shared_gpu),
    )
    return runner.run(plan, request.results, options)


def _resume_command(request: SuiteRequest, run_name: str | None, *, allow_shared_gpu: bool) -> str:
    words = ["harness", "run", *([request.suite] if request.suite else [])]
    words += [word for override in request.overrides for word in ("--set", override)]
    words += [word for pair in request.pairs for word in ("--pairs", pair)]
    words += [word for stack in request.stacks for word in ("--stack", stack)]
    for option, value, default in (
        ("--device", request.device, "auto"),
        ("--results", str(request.results), "results"),
        ("--run", run_name, None),
    ):
        words += [option, value] if value is not None and value != default else []
    return shlex.join([*words, *(["--allow-shared-gpu"] if allow_shared_gpu else [])])
