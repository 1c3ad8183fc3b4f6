"""report history: every pair over its nights."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from report.commands.check import add_history_options, rules_of, write_json
from report.commands.common import say_problems

if TYPE_CHECKING:
    from report.commands.common import Commands


def register(commands: Commands) -> None:
    """Add this command."""
    history = commands.add_parser(
        "history",
        help="every pair over its nights, with change points and acknowledged changes",
        description="Says what the last night came to, and lists each pair over the runs of a "
        "folder, by comparable host: times of both arms and their ratio as rows of bars with their "
        "ranges, where the level changed, and which changes were acknowledged.",
    )
    history.add_argument(
        "--pair", action="append", default=[], metavar="PATTERN",
        help="only pairs whose WORKLOAD, or WORKLOAD/CANDIDATE/over/BASELINE, fits this name or "
             "shell pattern",
    )  # fmt: skip
    history.add_argument(
        "--nights", type=int, default=60, metavar="N", help="bars shown: %(default)s, the newest"
    )
    history.add_argument(
        "--format", choices=("terminal", "markdown"), default="terminal",
        help="default: %(default)s",
    )  # fmt: skip
    history.add_argument(
        "--json", type=Path, metavar="FILE", help="write all of it there (- is standard output)"
    )
    history.add_argument(
        "--draw", type=Path, metavar="DIR", help="draw each history into this folder, as SVG"
    )
    add_history_options(history)
    history.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from harness.errors import BenchError
    from report.loading.runs import load_runs
    from report.regressions.check import check
    from report.regressions.history_text import as_markdown, as_text
    from report.regressions.time_series import as_json, courses_of, fits

    if options.nights < 1:
        raise BenchError("must be 1 or more", place="--nights", fix="say how many nights to show")
    runs, problems = load_runs([options.results])
    rules = rules_of(options)
    courses = [course for course in courses_of(runs, rules) if fits(course.pair, options.pair)]
    if options.pair and not courses:
        raise BenchError(
            "no pair fits", place=", ".join(options.pair), fix="`report history` lists all of them"
        )
    text = json.dumps([as_json(course) for course in courses], indent=2, ensure_ascii=False) + "\n"
    if options.json == Path("-"):
        sys.stdout.write(text)
        return say_problems(problems)
    if options.json:
        write_json(options.json, text)
    last = check(runs, rules) if courses else None
    as_said = as_markdown if options.format == "markdown" else as_text
    sys.stdout.write(as_said(courses, options.nights, last))
    if options.draw:
        from report.regressions.plot import write

        for path in write(courses, options.draw):
            print(path)
    return say_problems(problems)
