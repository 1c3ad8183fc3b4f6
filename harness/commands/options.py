"""What several subcommands have in common on the command line. Imports nothing that takes time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# 1 says something about results. A fault of this program or a full disk never ends with it.
NO_RESULT = (
    "2 bad input, a host or disk that cannot be used, or a fault of this program; 130 interrupted"
)


def suite_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "suite",
        nargs="?",
        metavar="SUITE",
        help="YAML file or name in configs/ (default: what fits the host)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override, e.g. training.batch_size=16",
    )
    parser.add_argument(
        "--pairs",
        action="append",
        default=[],
        metavar="WORKLOAD:BASELINE:CANDIDATE",
        help="only this pair; repeatable",
    )
    parser.add_argument(
        "--stack",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="the interpreter of a stack; repeatable",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="default: cuda where a driver answers",
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="default: results"
    )


def suite_words(arguments: argparse.Namespace) -> list[str]:
    """The options of `suite_arguments` that choose what a suite means, as words of another command
    line.
    """
    words = [word for override in arguments.set for word in ("--set", override)]
    return words + [word for stack in arguments.stack for word in ("--stack", stack)]


def print_tables(folder: Path, options: Sequence[str] = ()) -> None:
    """Print the tables of a run. The report is a program of its own, which reads what was
    written.
    """
    import subprocess
    import sys

    sys.stdout.flush()
    subprocess.run(
        [sys.executable, "-m", "report.cli", "tables", str(folder), *options], check=False
    )
