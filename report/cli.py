"""The command line of the report. Exit status 0: done; 1: something was set aside or is stale; 2:
no answer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from harness.errors import run_command, use_utf8
from report.commands import (
    alert,
    check,
    compare,
    export,
    history,
    index,
    page,
    plot,
    readme,
    rehearse,
    tables,
)

# In the order of --help; heavy imports are inside their handlers.
COMMANDS = (tables, readme, page, index, plot, export, compare, check, history, alert, rehearse)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    if arguments is None:
        use_utf8()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(
            encoding="utf-8"
        )  # tables hold names in any script, whatever the locale
    return run_command("report", lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    code: int = options.run(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="report",
        description="Tabulates recorded runs. Reads results and never runs anything.",
        epilog="exit status: 0 done, 1 something damaged was set aside (named on stderr) or "
        "is stale, "
        "2 bad input, a disk or folder that cannot be used, output that nobody reads, or a "
        "fault of "
        "this program; 130 interrupted (check, alert and rehearse --help say what 1 means there)",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for module in COMMANDS:
        module.register(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
