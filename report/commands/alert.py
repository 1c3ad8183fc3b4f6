"""report alert: tell what `report check` found."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError

if TYPE_CHECKING:
    from report.commands.common import Commands

_PLACE = "{channels}"  # of the list of channels, in the epilog
EPILOG = f"""\
channels, each NAME or NAME=TARGET:
{_PLACE}

exit status: 0 all was delivered (or there is nothing to tell), 1 a channel failed (named on stderr;
with --state the next call delivers what it missed), 2 bad input"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Lists the channels once help is asked for; until then they are not loaded."""

    def add_text(self, text: str | None) -> None:
        """Add a text to the help."""
        if text and _PLACE in text:
            from report.alerts.channels.registry import CHANNELS

            listed = (
                f"  {name:<13}" + kind.about.replace("\n", "\n" + 15 * " ")
                for name, kind in CHANNELS.items()
            )
            text = text.replace(_PLACE, "\n".join(listed))
        super().add_text(text)


def register(commands: Commands) -> None:
    """Add this command."""
    alert = commands.add_parser(
        "alert",
        help="tell what `report check` found",
        description="Tells what is slower or faster, stopped running or is steady again, once on "
        "each channel named.",
        epilog=EPILOG,
        formatter_class=_Help,
    )
    alert.add_argument(
        "verdict", type=Path, metavar="VERDICT.json", help="written by `report check --json`"
    )
    alert.add_argument(
        "--channel",
        action="append",
        required=True,
        metavar="NAME[=TARGET]",
        help="where to tell it; may be repeated",
    )
    alert.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="what was told and what is still to be told; without it every alert of the verdict "
        "is told by every call",
    )
    alert.add_argument(
        "--dry-run", action="store_true", help="print what would be told; send and write nothing"
    )
    alert.add_argument(
        "--patience",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long a channel may take, retries included: %(default)s",
    )
    alert.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    import os

    from report.alerts.pipeline import alert

    if not 0 < options.patience < float("inf"):
        raise BenchError(
            "not a number of seconds above 0", place="--patience", fix="for example --patience 60"
        )
    return alert(
        options.verdict,
        options.channel,
        options.state,
        options.patience,
        os.environ,
        dry_run=options.dry_run,
    )
