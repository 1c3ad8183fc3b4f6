"""The channels by name. A new one is a module and a line here."""

from __future__ import annotations

from report.alerts.channels.annotations import Annotations
from report.alerts.channels.base import AlertChannel
from report.alerts.channels.email import Email
from report.alerts.channels.issues import Issues
from report.alerts.channels.json_file import JsonFile
from report.alerts.channels.slack import Slack
from report.alerts.channels.summary import Summary
from report.alerts.delivery import PROXIES
from report.alerts.secrets import SECRETS

CHANNELS: dict[str, type[AlertChannel]] = {
    "summary": Summary,
    "annotations": Annotations,
    "issues": Issues,
    "slack": Slack,
    "email": Email,
    "json": JsonFile,
}


def variables() -> tuple[str, ...]:
    """Every environment variable that alerts read, of whatever channel. None belongs into a record
    or to a job; only the proxies are for both.
    """
    of_channels = (name for channel in CHANNELS.values() for name in channel.variables)
    return tuple(dict.fromkeys((*SECRETS, *of_channels, *PROXIES)))
