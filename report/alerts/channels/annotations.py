"""Annotations of GitHub Actions: ::error:: and ::notice:: on standard output."""

from __future__ import annotations

import sys
from pathlib import Path

from report.alerts.channels.base import AlertChannel
from report.alerts.channels.summary import append
from report.alerts.escape import cut, workflow_data, workflow_property
from report.alerts.message import Message

# characters; GitHub shows ten annotations of each level per step, and cuts long ones
MOST_TEXT = 2000


class Annotations(AlertChannel):
    """One line per alert. Standard output forgets: killed right after a line, the next call prints
    it again.
    """

    name = "annotations"
    about = "::error:: and ::notice:: lines on standard output, or in the file TARGET"

    def deliver(self, message: Message) -> str:
        line = self._line(message)
        if not self.target:
            sys.stdout.write(line)
            sys.stdout.flush()
            return "printed"
        path = Path(self.target)
        if path.exists() and line in path.read_text(encoding="utf-8"):
            return "already there"
        append(path, line)
        return "written"

    def shown(self, message: Message) -> str:
        return self._line(message)

    def _line(self, message: Message) -> str:
        parts = [
            message.summary,
            message.cause,
            f"Measure it again: {message.reproduce}" if message.reproduce else "",
        ]
        text = cut("\n".join(filter(None, parts)), MOST_TEXT)
        title = workflow_property(message.title)
        return (
            f"::{message.level} "
            f"title={title}::{workflow_data(f'{text} [alert {message.identity}]')}\n"
        )
