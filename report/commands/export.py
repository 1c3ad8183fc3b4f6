"""report export: runs in the formats of other tools."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from report.commands.common import add_runs, say_problems

if TYPE_CHECKING:
    from report.commands.common import Commands

FORMATS = (
    "bmf",
    "github",
    "otava",
    "pyperf",
    "parquet",
    "csv",
)  # named here too, for a fast --help; a test compares


def register(commands: Commands) -> None:
    """Add this command."""
    export = commands.add_parser(
        "export",
        help="write runs in the formats of other tools",
        description="Write runs for Bencher (bmf), github-action-benchmark (github), Apache Otava "
        "(otava), pyperf, or "
        "as Parquet or CSV. Values that are missing and gains that are not valid are left out.",
    )
    add_runs(export)
    export.add_argument(
        "--format",
        required=True,
        metavar="NAME",
        help=f"{', '.join(FORMATS)}, or what an installed package brings",
    )
    export.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE_OR_DIR",
        help="a file (bmf, pyperf, csv; - is standard output) or a folder",
    )
    export.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from report.exports.registry import export
    from report.loading.runs import find_run, load_runs

    runs, problems = load_runs(find_run(name, options.results) for name in options.runs)
    for path in export(runs, options.format, options.out):
        print(path)
    return say_problems(problems)
