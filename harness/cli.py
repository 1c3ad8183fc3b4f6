"""The command line `harness`. Every subcommand imports what it needs when it runs, so that --help
is instant.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from harness import __version__
from harness.commands import doctor, nightly, plan, run, schema, submit, train
from harness.commands.options import NO_RESULT
from harness.errors import BenchError, is_text, run_command, use_utf8

COMMANDS = (run, submit, nightly, plan, doctor, schema, train)
EPILOG = (
    "exit status: 0 done, and every pair has a result; 1 some pair has none; "
    f"{NO_RESULT} (COMMAND --help says what 0 and 1 mean there)"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (see EPILOG)."""
    if argv is None:
        use_utf8()
    return run_command("harness", lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(train.spelled(words))
    if arguments.command is None:
        parser.print_help()
        return 2
    for word in words:
        if not is_text(word):  # it would be a value or a path in a record
            raise BenchError("is not UTF-8 text", place=word, fix="write or name it in UTF-8")
    status: int = arguments.run(arguments)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness",
        description="Paired benchmarks of PyTorch and ONNX Runtime training.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command in COMMANDS:
        command.register(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
