"""report page: runs as one HTML page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from report.commands.common import add_runs, say_problems

if TYPE_CHECKING:
    from report.commands.common import Commands


def register(commands: Commands) -> None:
    """Add this command."""
    page = commands.add_parser(
        "page",
        help="write runs as one HTML page",
        description="One HTML file that needs no network: the verdict, the gains as a forest "
        "plot, and folded below them tables, plots, replicates, and what differs between arms and "
        "runs. Of several nights of a suite the verdict on the last one and its history come "
        "first.",
    )
    add_runs(page)
    page.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("page.html"),
        metavar="FILE",
        help="default: %(default)s; - is standard output",
    )
    add_page_options(page)
    page.set_defaults(run=run)


def add_page_options(parser: argparse.ArgumentParser) -> None:
    """What every command that makes pages takes."""
    parser.add_argument(
        "--no-plots", action="store_true", help="leave the plots out: quicker to make and to load"
    )
    parser.add_argument(
        "--commit-url",
        default="",
        metavar="URL",
        help="where a commit is to be seen, with {commit} in its place, as in "
        "https://github.com/OWNER/NAME/commit/{commit}",
    )


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from report.html.build import PageOptions, make_page
    from report.html.files import pictures_of, rules_beside, write_page
    from report.loading.runs import find_run, load_runs

    check_commit_url(options.commit_url)
    runs, problems = load_runs(find_run(name, options.results) for name in options.runs)
    made_for = PageOptions(rules_beside(runs), options.commit_url)
    pictures = [] if options.no_plots else pictures_of(runs, made_for.rules)
    to_stdout = options.out == Path("-")
    # What is printed stands in the folder that the command is called in.
    page = Path("page.html") if to_stdout else options.out
    made = make_page(runs, page, problems=problems, pictures=pictures, options=made_for)
    if to_stdout:
        sys.stdout.write(made)
    else:
        write_page(options.out, made)
        print(options.out)
    return say_problems(problems)


def check_commit_url(address: str) -> None:
    """BenchError for an address that no commit can be seen at."""
    from harness.errors import BenchError

    if address and not (address.startswith(("https://", "http://")) and "{commit}" in address):
        raise BenchError(
            "is no web address with {commit} in it",
            place=f"--commit-url {address}",
            fix="for example https://github.com/OWNER/NAME/commit/{commit}",
        )
