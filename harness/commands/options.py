"""What several subcommands have in common on the command line. Imports nothing that takes time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# 1 says something about results. A fault of this program or a full disk never ends with it.
NO_RESULT = (
    "2 bad input, a host or disk that cannot be used, or a fault of this program; 130 interrupted"
)


# The suite of a command line that names none, by device.
DEFAULT_SUITES = {"cuda": "glue-sst2", "cpu": "smoke"}
DEVICE = (
    "default (auto): cuda where a card answers, cpu where there is none; a card that should answer "
    "and does not is an error"
)


def suite_arguments(parser: argparse.ArgumentParser, *, device: str = DEVICE) -> None:
    """Add the options that SuiteRequest holds.

    Args:
        parser: The subcommand's.
        device: What --device does when it is not given.
    """
    parser.add_argument(
        "suite",
        nargs="?",
        metavar="SUITE",
        help="YAML file or name in configs/ "
        f"(default: {DEFAULT_SUITES['cuda']} on a GPU, {DEFAULT_SUITES['cpu']} without one)",
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
        help=device,
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="folder in which runs are made, and looked up by name (default: %(default)s)",
    )


# What stands at the end of a run: the answer in words, then the tables in the form that Optimum
# published, with predicted runtimes where the jobs took turns on the device.
AT_THE_END = ("headline", "runtimes", "predicted", "gains")


@dataclass(frozen=True)
class SuiteRequest:
    """The suite that a command line asks for, with where it is to run: `suite_arguments` as values.

    Attributes:
        suite: YAML file or name in configs/; None: the default of the device.
        overrides: Settings that replace the suite's, as KEY=VALUE.
        pairs: The only ones wanted, as WORKLOAD:BASELINE:CANDIDATE; empty: all.
        stacks: Interpreters, as NAME=PATH.
        device: auto, cpu or cuda.
        results: The folder of the runs.
    """

    suite: str | None
    overrides: tuple[str, ...]
    pairs: tuple[str, ...]
    stacks: tuple[str, ...]
    device: str
    results: Path

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> SuiteRequest:
        """What the options of `suite_arguments` ask for."""
        return cls(
            suite=arguments.suite,
            overrides=tuple(arguments.set),
            pairs=tuple(arguments.pairs),
            stacks=tuple(arguments.stack),
            device=arguments.device,
            results=arguments.results,
        )

    def meaning(self) -> list[str]:
        """The options that choose what the suite means, as words of another command line."""
        words = [word for override in self.overrides for word in ("--set", override)]
        return words + [word for stack in self.stacks for word in ("--stack", stack)]


def print_answer(folder: Path, views: Sequence[str] = ()) -> None:
    """Print what a run came to, and how to see the rest of it. The report is a program of its own,
    which reads what was written.

    Args:
        folder: The run's.
        views: Views of `report tables`; none: AT_THE_END.
    """
    import shlex
    import subprocess
    import sys

    sys.stdout.flush()
    words = [word for view in views or AT_THE_END for word in ("--view", view)]
    subprocess.run([sys.executable, "-m", "report.cli", "tables", str(folder), *words], check=False)
    name = shlex.quote(str(folder))
    print(f"\nall tables: report tables {name}; one page: report page {name} -o page.html")
