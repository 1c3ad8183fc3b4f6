"""`harness submit`: a suite spread over a cluster by SLURM."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.options import NO_RESULT, SuiteRequest, print_answer, suite_arguments
from harness.errors import BenchError, run_command

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
    suite_arguments(
        parser, device="default: cuda; with --executor local or debug, as for `harness run`"
    )
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


@dataclass(frozen=True)
class PartRun:
    """Runs a part of the suite on the node that it was submitted to: an ordinary run of its pairs
    in a folder of its own. Pickled by submitit.
    """

    request: SuiteRequest
    allow_shared_gpu: bool

    def __call__(self, pairs: Sequence[str], parts: Path, name: str) -> int:
        """The exit status of `harness run` with these pairs, for the run `name` below `parts`."""
        request = replace(self.request, pairs=tuple(pairs), results=parts)
        return run_command("harness", lambda: self._run(request, name))

    def _run(self, request: SuiteRequest, name: str) -> int:
        from harness.commands.run import run_suite

        outcome = run_suite(request, run_name=name, allow_shared_gpu=self.allow_shared_gpu)
        return outcome.exit_code


def run(arguments: argparse.Namespace) -> int:
    """Submit a suite to a cluster. 0: submitted, or every part complete where that was waited for;
    1: not all are.
    """
    from harness.commands.resolve import check_folders, load_plan
    from harness.runner.slurm import SubmitOptions
    from harness.runner.slurm import submit as submit_plan

    slurm = arguments.executor == "slurm"
    request = SuiteRequest.of(arguments)
    if request.device == "auto" and slurm:
        # The node that submits has no card to look at.
        request = replace(request, device="cuda")
    _, plan, file = load_plan(request, must_answer=not slurm)
    check_folders(request.results)
    request = replace(request, suite=str(file.resolve()), device=plan.jobs[0].device)
    words = [request.suite or "", "--device", request.device, *request.meaning()]
    words += ["--allow-shared-gpu"] if arguments.allow_shared_gpu else []
    options = SubmitOptions(
        executor=arguments.executor,
        run_name=arguments.run_name,
        fresh=arguments.new,
        wait=arguments.wait,
        minutes=arguments.minutes,
        sbatch=dict(_key_value(option) for option in arguments.slurm),
        command=("harness", "submit", *words),
    )
    run_part = PartRun(request, allow_shared_gpu=arguments.allow_shared_gpu)
    folder, complete = submit_plan(plan, request.results, run_part, options)
    if complete:
        print_answer(folder)
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
