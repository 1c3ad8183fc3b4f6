"""`harness nightly`: one night, from the suite to the alerts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.options import SuiteRequest, suite_arguments
from harness.errors import BenchError

if TYPE_CHECKING:
    from harness.commands.options import Commands

MOST_MINUTES = 366 * 24 * 60  # of a night: what is longer is a slip of the keyboard


def register(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        "nightly",
        help="one night: run a suite, check it against earlier nights, run alarmed pairs again, "
        "check, alert",
        description="Runs a suite, checks it against the nights before, measures alarmed pairs "
        "once more, checks again "
        "and alerts. Killed at any moment, the same command goes on from there. State and logs: "
        "RESULTS/nightly/.",
        epilog="exit status: 0 nothing worse; 1 a regression; 2 no judgement (bad input, a "
        "full disk, "
        "a runner or a check that died), or alerts not delivered; 130 interrupted",
    )
    suite_arguments(parser)
    add = parser.add_argument
    add(
        "--channel", action="append", default=[], metavar="NAME[=TARGET]",
        help="where to alert, as in `report alert --help`; repeatable (default: email, "
             "which prints)",
    )  # fmt: skip
    add(
        "--budget-minutes", type=float, default=480, metavar="N",
        help="no training after that (default: %(default)s); check and alert follow, each 10 "
             "minutes at most",
    )  # fmt: skip
    add(
        "--acknowledged",
        type=Path,
        metavar="FILE",
        help="accepted changes, as in `report check --help`",
    )
    add(
        "--lock",
        type=Path,
        metavar="FILE",
        help="held all night (default: nightly.lock in the user's cache)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """One night. 0: nothing worse; 1: a regression; 2: could not judge or deliver; 130:
    interrupted.
    """
    from harness.commands.resolve import check_folders, load_plan
    from harness.nightly.night import Settings, run_nights
    from harness.nightly.state import night_lock
    from harness.paths import cache_root
    from harness.runner.signals import Stop

    if not 0 < arguments.budget_minutes <= MOST_MINUTES:
        place = f"--budget-minutes {arguments.budget_minutes:g}"
        raise BenchError(f"needs a number above 0, {MOST_MINUTES} at most", place=place, fix="480")
    request = SuiteRequest.of(arguments)
    suite, planned, _ = load_plan(request, must_answer=False)
    check_folders(request.results)
    options = [arguments.suite] if arguments.suite else []
    options += request.meaning()
    settings = Settings(
        results=arguments.results,
        suite=suite.suite,
        config_sha256=planned.config_sha256,
        bench_options=[*options, "--device", arguments.device],
        channels=arguments.channel or ["email"],
        budget_minutes=arguments.budget_minutes,
        pairs=arguments.pairs,
        check_options=["--acknowledged", str(arguments.acknowledged)]
        if arguments.acknowledged
        else [],
    )
    with Stop() as stop, night_lock(arguments.lock or cache_root() / "nightly.lock") as lock_fd:
        return run_nights(settings, stop, lock_fd)
