"""report plot: runs as pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from report.commands.common import add_runs, say_problems
from report.plots import FORMATS
from report.plots import KINDS as KINDS_OF_RUNS

if TYPE_CHECKING:
    from report.commands.common import Commands
    from report.plots import Draw

KINDS = (*KINDS_OF_RUNS, "history")  # a test compares it with more_kinds


def register(commands: Commands) -> None:
    """Add this command."""
    plot = commands.add_parser(
        "plot",
        help="draw runs",
        description="Draws runs, a file per plot, and prints the files. What cannot be drawn is "
        "said on stderr.",
    )
    add_runs(plot)
    plot.add_argument(
        "--kind",
        default=",".join(KINDS),
        metavar="KIND,…",
        help=f"what to draw, of: {', '.join(KINDS)} (default: all)",
    )
    plot.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="default: %(default)s")
    plot.add_argument(
        "--out", type=Path, default=Path("plots"), metavar="DIR", help="default: %(default)s"
    )
    plot.set_defaults(run=run)


def more_kinds() -> dict[str, Draw]:
    """The kinds of plots that are drawn of several nights, not of runs alone."""
    from report.regressions.plot import draw

    return {"history": draw}


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from report.loading.runs import find_run, load_runs
    from report.plots import write

    runs, problems = load_runs(find_run(name, options.results) for name in options.runs)
    kinds = [kind.strip() for kind in options.kind.split(",")]
    for path, drawing in write(runs, options.out, kinds, options.format, more_kinds()):
        if drawing.figure:
            print(path, flush=True)
        else:
            print(f"report: {drawing.title}: {drawing.caption}", file=sys.stderr)
        problems += [said for said in drawing.problems if said not in problems]
    return say_problems(problems)
