"""report index: all runs as a static site."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from report.commands.common import say_problems
from report.commands.page import add_page_options, check_commit_url

if TYPE_CHECKING:
    from report.commands.common import Commands

EPILOG = (
    "exit status: 0 all runs are in it, 1 some were set aside (named on stderr and in the index), "
    "2 bad input or a folder that cannot be written"
)


def register(commands: Commands) -> None:
    """Add this command."""
    index = commands.add_parser(
        "index",
        help="write all runs as a static site: a page for each, and an index of them",
        description="A page for each run, one for each suite with several nights on a host, and "
        "an index with suite, host, date and headline. Needs a web server for nothing: the folder "
        "can be opened from disk, or published as it is. Pages of runs that did not change since "
        "the last call are kept, those of runs that are gone are removed.",
        epilog=EPILOG,
    )
    index.add_argument(
        "results",
        nargs="*",
        type=Path,
        default=[Path("results")],
        metavar="RESULTS",
        help="folders of runs; folders of runs within them count too (default: results)",
    )
    index.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("site"),
        metavar="DIR",
        help="the site's folder (default: %(default)s)",
    )
    add_page_options(index)
    index.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from report.html.site import INDEX, SiteOptions, make_site

    check_commit_url(options.commit_url)
    made_for = SiteOptions(plots=not options.no_plots, commit_url=options.commit_url)
    site = make_site(options.results, options.out, made_for)
    removed = f", {site.removed} removed" if site.removed else ""
    print(f"{options.out / INDEX}: {site.made} pages made, {site.kept} kept{removed}")
    return say_problems(site.problems)
