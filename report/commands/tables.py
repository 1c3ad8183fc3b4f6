"""report tables: print the tables of runs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from report.commands.common import add_results, say_problems

if TYPE_CHECKING:
    from report.commands.common import Commands

FORMATS = ("markdown", "csv", "json")  # named here too, so that --help need not import them; a test compares
VIEWS = ("runtimes", "steady", "gains", "gpu", "comparison")


def register(commands: Commands) -> None:
    """Add this command."""
    tables = commands.add_parser("tables", help="print the tables of runs", description="Print the tables of runs.")
    tables.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder or its name, or a folder of runs")
    tables.add_argument("--format", choices=FORMATS, default="markdown", help="default: markdown")
    tables.add_argument(
        "--view", choices=VIEWS, help="only this table (default: all that the runs have something for, but comparison)"
    )
    add_results(tables)
    tables.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    from report.load import find_run, load_runs
    from report.tables import render

    runs, problems = load_runs(find_run(name, options.results) for name in options.runs)
    sys.stdout.write(render(runs, options.format, options.view))
    return say_problems(problems)
