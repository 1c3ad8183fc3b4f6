"""The command line of the report. Exit code 0: done; 1: something was set aside or is stale; 2: bad input."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.errors import BenchError

FORMATS = ("markdown", "csv", "json")  # named here too, so that --help need not import them; a test compares
VIEWS = ("runtimes", "steady", "gains", "gpu", "comparison")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # tables hold names in any script, whatever the locale
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BenchError as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _tables(options: argparse.Namespace) -> int:
    from report.load import find_run, load_runs
    from report.tables import render

    runs, problems = load_runs(find_run(name, options.results) for name in options.runs)
    sys.stdout.write(render(runs, options.format, options.view))
    return _say_problems(problems)


def _readme(options: argparse.Namespace) -> int:
    from report.readme import refresh

    stale, problems = refresh(options.files, options.results, check=options.check)
    for path in stale:
        print(f"{path}: {'stale: run `report readme` on it' if options.check else 'rewritten'}")
    return max(_say_problems(problems), int(options.check and bool(stale)))


def _draw(options: argparse.Namespace) -> int:
    from report.draw import draw_steps
    from report.load import find_run

    for path in draw_steps(find_run(options.run_name, options.results), options.out):
        print(path)
    return 0


def _say_problems(problems: Sequence[str]) -> int:
    for problem in problems:
        print(f"report: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="report",
        description="Tabulates recorded runs. Reads results and never runs anything.",
        epilog="exit code: 0 done, 1 something damaged was set aside (named on stderr) or is stale, 2 bad input",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    tables = commands.add_parser("tables", help="print the tables of runs", description="Print the tables of runs.")
    tables.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder or its name, or a folder of runs")
    tables.add_argument("--format", choices=FORMATS, default="markdown", help="default: markdown")
    tables.add_argument(
        "--view", choices=VIEWS, help="only this table (default: all that the runs have something for, but comparison)"
    )
    tables.set_defaults(run=_tables)

    readme = commands.add_parser(
        "readme",
        help="rewrite the tables in Markdown files",
        description="Rewrite the tables between `<!-- table: RUN … [view=gains] -->` and `<!-- /table -->`.",
    )
    readme.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a Markdown file")
    readme.add_argument("--check", action="store_true", help="rewrite nothing; exit with 1 if a table is stale")
    readme.set_defaults(run=_readme)

    draw = commands.add_parser(
        "draw",
        help="draw step times",
        description="A PNG a workload: the step times of a run's jobs and where each one's warm-up ends.",
    )
    draw.add_argument("run_name", metavar="RUN", help="a run's folder or its name")
    draw.add_argument("--out", type=Path, default=Path("plots"), metavar="DIR", help="default: %(default)s")
    draw.set_defaults(run=_draw)

    for command in (tables, readme, draw):
        command.add_argument(
            "--results", type=Path, default=Path("results"), metavar="DIR", help="where runs are by name: %(default)s"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
