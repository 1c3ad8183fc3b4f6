"""A message as JSON, for everything that has no channel of its own."""

from __future__ import annotations

from typing import Any

from report.alerts.message import Message
from report.alerts.plot import svg


def message_json(message: Message) -> dict[str, Any]:
    """Texts as told, the finding with its raw numbers and history, and the plot as an SVG
    element.
    """
    event = message.event
    return {
        "id": event.identity,
        "subject": event.subject,
        "kind": event.kind,
        "level": message.level,
        "since": event.since,
        "created_at": event.created_at,
        "title": message.title,
        "summary": message.summary,
        "cause": message.cause,
        "judged": message.judged,
        "changed": list(message.changed),
        "reproduce": message.reproduce,
        "bars": dict(message.bars),
        "svg": svg(message.finding, message.course) if message.course else None,
        "finding": message.finding.model_dump(mode="json"),
    }
