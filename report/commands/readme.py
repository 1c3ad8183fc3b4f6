"""report readme: rewrite the tables in Markdown files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from report.commands.common import add_results, say_problems

if TYPE_CHECKING:
    from report.commands.common import Commands


def register(commands: Commands) -> None:
    """Add this command."""
    readme = commands.add_parser(
        "readme",
        help="rewrite the tables in Markdown files",
        description="Rewrite what stands between `<!-- table: RUN … [view=gains] -->` and `<!-- "
        "/table -->`, no more.",
    )
    readme.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="a Markdown file; default: README.md, that of the results, docs/",
    )
    readme.add_argument(
        "--check", action="store_true", help="rewrite nothing; exit with 1 if a table is stale"
    )
    add_results(readme)
    readme.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    from report.tables.markdown_files import refresh

    ours = [Path("README.md"), options.results / "README.md", *sorted(Path("docs").glob("**/*.md"))]
    files = options.files or [path for path in ours if path == ours[0] or path.exists()]
    stale, problems = refresh(files, options.results, check=options.check)
    for path in stale:
        print(f"{path}: {'stale: run `report readme` on it' if options.check else 'rewritten'}")
    return max(say_problems(problems), int(options.check and bool(stale)))
