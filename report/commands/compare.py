"""report compare: one run against another."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from report.commands.common import add_results, say_problems

if TYPE_CHECKING:
    from report.commands.common import Commands

FORMATS = ("markdown", "terminal", "json")  # named here too, for a fast --help; a test compares


def register(commands: Commands) -> None:
    """Add this command."""
    compare = commands.add_parser(
        "compare",
        help="one run against another: what moved, and what changed",
        description="Which gains and times of run B moved against run A, beyond their joint "
        "interval or not, and what "
        "differs between the runs: GPU, driver, packages, config, code, environment, host, data.",
    )
    compare.add_argument("a", metavar="A", help="a run's folder or its name")
    compare.add_argument("b", metavar="B", help="another")
    compare.add_argument(
        "--format",
        choices=FORMATS,
        help="default: terminal where it is printed to one, else markdown",
    )
    add_results(compare)
    compare.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from report.analysis.compare import compare
    from report.loading.runs import find_run, load_run
    from report.tables.comparison import FORMATS as TEXTS

    form = options.format or ("terminal" if sys.stdout.isatty() else "markdown")
    a, b = (load_run(find_run(name, options.results)) for name in (options.a, options.b))
    sys.stdout.write(TEXTS[form](compare(a, b)))
    return say_problems([*a.problems, *b.problems])
