"""`harness plan`: print what a suite would run, in order, and about how long it takes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.commands.options import SuiteRequest, suite_arguments

if TYPE_CHECKING:
    from harness.commands.options import Commands


def register(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        "plan",
        help="print what a suite would run and about how long it takes",
        description="Prints what a suite would run, in order, and about how long it takes.",
        epilog="exit status: 0 printed; 2 bad input",
    )
    suite_arguments(parser)
    parser.add_argument("--json", action="store_true", help="the jobs as JSON lines")

    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what a suite would run, in order, and about how long it takes."""
    from harness.commands.resolve import load_plan, missing_cards, what_the_device_cannot
    from harness.planning.estimate import estimate_s
    from harness.planning.outline import outline

    request = SuiteRequest.of(arguments)
    suite, planned, file = load_plan(request, must_answer=False)
    if arguments.json:
        for job in planned.jobs:
            print(job.model_dump_json(exclude={"cache_dir"}))
        return 0
    print(f"{suite.suite} ({file})" + (f": {suite.description}" if suite.description else ""))
    print(outline(planned))
    for said in missing_cards() if planned.jobs[0].device == "cuda" else ():
        print(f"\nwarning: {said}")
    if reason := what_the_device_cannot(planned):
        print(f"\nthis device cannot run it: {reason}")
        return 0
    turns = planned.measurement.interleaved
    seconds, from_runs, count = estimate_s(planned.jobs, request.results, suite.suite, turns)
    basis = (
        f"{from_runs} of {count} jobs from earlier runs"
        if from_runs
        else "a rough guess: no earlier run here"
    )
    at_most = ""
    if (adaptive := planned.measurement.adaptive) is not None:
        at_most = "at most "
        workloads = len({job.workload.name for job in planned.jobs})
        # A replicate that has begun within the budget ends after it.
        last = [job for job in planned.jobs if job.replicate == 0 and not job.parity_run]
        last_s, *_ = estimate_s(last, request.results, suite.suite, turns)
        seconds = min(seconds, 60 * adaptive.budget_minutes * workloads + last_s)
    print(f"\nestimated time: {at_most}{_duration(seconds)} ({basis})")
    return 0


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60:02} min" if hours else f"{rest // 60} min {rest % 60:02} s"
