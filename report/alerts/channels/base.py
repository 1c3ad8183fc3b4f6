"""What a channel is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from harness.errors import BenchError
from harness.schema.verdict import Verdict
from report.alerts.delivery import Patience
from report.alerts.events import Told
from report.alerts.message import Message
from report.alerts.secrets import Secrets


@dataclass(frozen=True)
class Context:
    """What a channel may use: its variables of the environment, the secrets, and how long it may
    take.
    """

    environ: Mapping[str, str]
    secrets: Secrets
    patience: Patience


class AlertChannel:
    """One place where alerts go. `target` is what follows the = of --channel NAME=TARGET, or
    empty.
    """

    name: ClassVar[str]
    about: ClassVar[str]  # for `report alert --help`, one line or more
    # Of the environment, all that it reads: it is shown no other.
    variables: ClassVar[tuple[str, ...]] = ()

    def __init__(self, target: str, context: Context) -> None:
        self.target, self.context = target, context

    def prepare(self) -> None:
        """Raise BenchError if a setting is missing. Sends and writes nothing."""

    def remembered(self) -> dict[str, Told]:
        """What this channel knows by itself to have been told of, by subject. Raises
        Undelivered.
        """
        return {}

    def deliver(self, message: Message) -> str:
        """Tell it, unless this channel has that identity already; returns what was done, for the
        log.

        Safe to repeat. Raises Undelivered or OSError.
        """
        raise NotImplementedError

    def overview(self, verdict: Verdict) -> str:
        """Tell how the whole night went, where the channel has room for it; returns what was
        done.
        """
        return ""

    def shown(self, message: Message) -> str:
        """What `deliver` would send, for --dry-run."""
        raise NotImplementedError


def file_from(channel: AlertChannel, variable: str = "") -> Path:
    """The target as a file whose folder exists, or else the file that an environment variable
    names.
    """
    named = channel.target or (channel.context.environ.get(variable, "") if variable else "")
    if not named:
        hint = f"${variable} is not set: " if variable else ""
        raise BenchError(
            f"{hint}no file to write to", place=channel.name, fix=f"--channel {channel.name}=FILE"
        )
    return Path(named)
