"""`harness schema`: the JSON schema of suites, for editors."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.options import NO_RESULT

if TYPE_CHECKING:
    from harness.commands.options import Commands


def register(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        "schema",
        help="print the JSON schema of suites, for editors",
        description="Prints the JSON schema (draft 2020-12) of suites. An editor that knows it "
        "completes and checks configs/*.yaml while they are written; every key has its meaning "
        "and default there.",
        epilog=f"exit status: 0 done; {NO_RESULT}",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write it there (default: standard output)",
    )

    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print or write the JSON schema of suites (draft 2020-12)."""
    import json

    from harness.config.json_schema import suite_schema
    from harness.files import write_text

    text = json.dumps(suite_schema(), indent=2) + "\n"
    if arguments.output:
        write_text(arguments.output, text)
    else:
        print(text, end="")
    return 0
