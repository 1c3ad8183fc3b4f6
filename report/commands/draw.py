"""report draw: step times as pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from report.commands.common import add_results

if TYPE_CHECKING:
    from report.commands.common import Commands


def register(commands: Commands) -> None:
    """Add this command."""
    draw = commands.add_parser(
        "draw",
        help="draw step times",
        description="A PNG a workload: the step times of a run's jobs and where each one's warm-up ends.",
    )
    draw.add_argument("run_name", metavar="RUN", help="a run's folder or its name")
    draw.add_argument("--out", type=Path, default=Path("plots"), metavar="DIR", help="default: %(default)s")
    add_results(draw)
    draw.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    from report.draw import draw_steps
    from report.load import find_run

    for path in draw_steps(find_run(options.run_name, options.results), options.out):
        print(path)
    return 0
