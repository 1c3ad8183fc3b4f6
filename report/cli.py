"""The command line of the report. Exit code 0: done; 1: something was set aside or is stale; 2: bad input."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from harness.errors import BenchError
from report.commands import alert, check, compare, export, history, page, plot, readme, rehearse, tables

# In the order of --help; heavy imports are inside their handlers.
COMMANDS = (tables, readme, page, plot, export, compare, check, history, alert, rehearse)


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="report",
        description="Tabulates recorded runs. Reads results and never runs anything.",
        epilog="exit code: 0 done, 1 something damaged was set aside (named on stderr) or is stale, 2 bad input",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for module in COMMANDS:
        module.register(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
