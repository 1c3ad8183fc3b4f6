"""report readme: rewrite the tables and plots in Markdown files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError
from report.commands.common import add_results, say_problems

if TYPE_CHECKING:
    from report.commands.common import Commands
    from report.loading.runs import Run


def register(commands: Commands) -> None:
    """Add this command."""
    readme = commands.add_parser(
        "readme",
        help="rewrite the tables and plots in Markdown files",
        description="Rewrite what stands between `<!-- table: RUN … [view=gains] [footer=no] -->` "
        "and `<!-- /table -->`, and between `<!-- plot: RUN … kind=gains file=gains.svg -->` and "
        "`<!-- /plot -->` with the file that it names, no more.",
    )
    readme.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="a Markdown file; default: README.md, those of the results and of each run, docs/",
    )
    readme.add_argument(
        "--check",
        action="store_true",
        help="rewrite nothing; exit with 1 if a table or plot is stale",
    )
    add_results(readme)
    readme.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from report.tables.markdown_files import documents, refresh

    files = options.files or documents(Path(), options.results)
    stale, problems = refresh(files, options.results, check=options.check, draw=draw)
    for path in stale:
        print(f"{path}: {'stale: run `report readme` on it' if options.check else 'rewritten'}")
    return max(say_problems(problems), int(options.check and bool(stale)))


def draw(runs: Sequence[Run], kind: str) -> tuple[str, str]:
    """One plot of runs: what it shows in words, and its SVG file. BenchError: there is not one."""
    from report.plots import drawings
    from report.plots.style import to_svg_file

    drawn = [drawing for _, _, drawing in drawings(runs, [kind])]
    if len(drawn) != 1 or drawn[0].figure is None:
        raise BenchError(
            f"{len(drawn)} plots of this kind, or nothing to draw",
            place=kind,
            fix="name runs and a kind that make one plot",
        )
    return drawn[0].alt, to_svg_file(drawn[0].figure)
