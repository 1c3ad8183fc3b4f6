"""`harness doctor`: whether this host is ready to measure, and what to do if it is not."""

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
        "doctor",
        help="check driver, cards, disk, stack and a real training step; say what to do",
        description="Checks driver, cards, disk, stack and a real training step, and says what to "
        "do.",
        epilog=f"exit status: 0 ready (warnings may stand); 1 a check failed; {NO_RESULT}",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="folder of runs, whose disk is checked (default: %(default)s)",
    )

    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print every check as it is made. 0: ready (warnings may stand); 1: some check failed."""
    from harness.results.host import describe_host
    from harness.runner.host_checks import examine

    marks = {"ok": "ok     ", "warning": "WARNING", "failure": "FAILURE"}
    failed = False
    for check in examine(describe_host(), arguments.results):
        failed |= check.level == "failure"
        print(f"{marks[check.level]}  {check.name}: {check.detail}", flush=True)
        if check.fix:
            print(f"           fix: {check.fix}")
    return 1 if failed else 0
