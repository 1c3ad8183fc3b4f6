"""report tables: print the tables of runs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from report.commands.common import add_runs, say_problems

if TYPE_CHECKING:
    from report.commands.common import Commands

# Named here too, so that --help need not import them; a test compares.
FORMATS = ("markdown", "terminal", "latex", "csv", "json")
VIEWS = (
    "runtimes",
    "steady",
    "gains",
    "metrics",
    "gpu",
    "cards",
    "scaling",
    "inference",
    "matrix",
    "answer",
    "comparison",
    "full",
    "prediction",
    "summary",
)
GROUPS = ("model", "task", "backend", "gpu", "run")


def register(commands: Commands) -> None:
    """Add this command."""
    tables = commands.add_parser(
        "tables", help="print the tables of runs", description="Print the tables of runs."
    )
    add_runs(tables)
    tables.add_argument(
        "--format",
        choices=FORMATS,
        help="default: terminal where it is printed to one, else markdown",
    )
    which = tables.add_mutually_exclusive_group()
    which.add_argument(
        "--view",
        choices=VIEWS,
        help="only this table (default: all that the runs have something for, but answer, "
        "comparison, full, prediction and summary; of more than 30 runs the summary, except as "
        "csv or json)",
    )
    which.add_argument(
        "--full",
        action="store_const",
        const="full",
        dest="view",
        help="all of every gain in one table: --view full",
    )
    for kind in GROUPS:
        tables.add_argument(
            f"--{kind}",
            dest=f"only_{kind}",  # `run` is the handler
            action="append",
            default=[],
            metavar="PATTERN",
            help=f"only of this {kind}: a name or a shell pattern, any case; may be given again",
        )
    tables.add_argument("--group-by", choices=GROUPS, help="a table for each of them")
    tables.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    from report.loading.filters import Selection
    from report.loading.runs import collector_paused, find_run, load_runs
    from report.tables.registry import build
    from report.tables.render import DISPLAYS, written

    form = options.format or ("terminal" if sys.stdout.isatty() else "markdown")
    selection = Selection(**{kind: tuple(getattr(options, f"only_{kind}")) for kind in GROUPS})
    with collector_paused():  # it would walk over all records again and again
        runs, problems = load_runs(find_run(name, options.results) for name in options.runs)
        document = build(
            runs,
            options.view,
            brief=form in DISPLAYS,
            selection=selection,
            group_by=options.group_by,
        )
        sys.stdout.write(written(document, form))
    return say_problems(problems)
