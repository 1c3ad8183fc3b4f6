"""The channels by name. A new one is a module and a line here (and its name in report.commands.alert, for --help)."""

from __future__ import annotations

from report.alerts.channels.annotations import Annotations
from report.alerts.channels.base import Channel
from report.alerts.channels.email import Email
from report.alerts.channels.issues import Issues
from report.alerts.channels.json_file import JsonFile
from report.alerts.channels.summary import Summary
from report.alerts.channels.webhook import Webhook

CHANNELS: dict[str, type[Channel]] = {
    "summary": Summary,
    "annotations": Annotations,
    "issues": Issues,
    "slack": Webhook,
    "email": Email,
    "json": JsonFile,
}
