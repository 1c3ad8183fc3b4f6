"""What subcommands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_runs(parser: argparse.ArgumentParser) -> None:
    """The runs a command is about, as `runs`, and where they are by name."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="a run's folder or its name, or a folder of runs"
    )
    add_results(parser)


def add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="folder in which a run is looked up by its name (default: %(default)s)",
    )


def say_problems(problems: Sequence[str]) -> int:
    """Print what was set aside; the exit status that goes with it."""
    for problem in problems:
        print(f"report: {problem}", file=sys.stderr)
    return 1 if problems else 0
