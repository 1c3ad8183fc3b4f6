"""report page: runs as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from report.commands.common import add_runs, say_problems
from report.commands.plot import more_kinds

if TYPE_CHECKING:
    from report.commands.common import Commands


def register(commands: Commands) -> None:
    """Add this command."""
    page = commands.add_parser(
        "page",
        help="write runs as one HTML page",
        description="One HTML file that needs no network: gains, tables, plots, what differs "
        "between arms and runs.",
    )
    add_runs(page)
    page.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("page.html"),
        metavar="FILE",
        help="default: %(default)s",
    )
    page.add_argument(
        "--no-plots", action="store_true", help="leave the plots out: quicker to make and to load"
    )
    page.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from harness.errors import BenchError
    from harness.files import write_text
    from report.html.build import make_page
    from report.loading.runs import find_run, load_runs
    from report.plots import render

    runs, problems = load_runs(find_run(name, options.results) for name in options.runs)
    pictures = [] if options.no_plots else render(runs, more=more_kinds())
    made = make_page(runs, options.out, problems=problems, pictures=pictures)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        # A path in bytes that are no text may stand in a problem; the page itself is always UTF-8.
        write_text(options.out, made)
    except OSError as error:
        raise BenchError(
            f"cannot be written: {error.strerror}",
            place=str(options.out),
            fix="name another file with -o",
        ) from None
    print(options.out)
    return say_problems(problems)
