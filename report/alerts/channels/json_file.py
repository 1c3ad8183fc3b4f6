"""A JSON file of all alerts, for everything that has no channel of its own."""

from __future__ import annotations

import json
from typing import Any

from harness.errors import BenchError
from harness.files import write_atomically
from report.alerts.channels.base import AlertChannel, file_from
from report.alerts.message import Message
from report.alerts.render_json import message_json

VERSION = 1


class JsonFile(AlertChannel):
    """{"version": 1, "alerts": [...]}, oldest first, each identity once; the file is replaced
    whole.
    """

    name = "json"
    about = "the file TARGET, alerts added to those it holds"

    def prepare(self) -> None:
        file_from(self)

    def deliver(self, message: Message) -> str:
        path = file_from(self)
        alerts = self._alerts()
        if any(alert.get("id") == message.identity for alert in alerts):
            return "already there"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"version": VERSION, "alerts": [*alerts, message_json(message)]}
        write_atomically(
            path,
            (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        )
        return "written"

    def shown(self, message: Message) -> str:
        return json.dumps(
            message_json(message) | {"svg": "(left out)"}, indent=2, ensure_ascii=False
        )

    def _alerts(self) -> list[dict[str, Any]]:
        path = file_from(self)
        if not path.exists():
            return []
        try:
            alerts = [dict(alert) for alert in json.loads(path.read_bytes())["alerts"]]
        except (ValueError, KeyError, TypeError):
            raise BenchError(
                "holds something else than alerts", place=str(path), fix="name another file"
            ) from None
        return alerts
