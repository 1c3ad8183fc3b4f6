"""Slack's incoming webhook, and those that take the same JSON (Mattermost, Rocket.Chat, Discord's
/slack).
"""

from __future__ import annotations

import json

from harness.errors import BenchError
from report.alerts.channels.base import AlertChannel
from report.alerts.delivery import Http
from report.alerts.message import Message
from report.alerts.render_slack import message_slack
from report.alerts.secrets import WEBHOOK, split_address


class Slack(AlertChannel):
    """One POST per alert.

    A webhook cannot be asked what it has. If the process is killed, or the answer lost, between the
    receiver's taking a message and the note of it in the state file, the next attempt repeats it:
    at least once, seldom twice.
    """

    name = "slack"
    about = "$BENCH_SLACK_WEBHOOK, Slack's incoming webhook or a compatible one"
    variables = (WEBHOOK,)

    def prepare(self) -> None:
        scheme, host, _ = split_address(self.context.secrets.get(WEBHOOK))
        if scheme not in ("http", "https") or not host:
            raise BenchError(
                f"${WEBHOOK} is no http address",
                place=self.name,
                fix="copy it from the receiver whole",
            )

    def deliver(self, message: Message) -> str:
        http, patience = Http(self.context.secrets, self.context.patience), self.context.patience
        url, content = self.context.secrets.get(WEBHOOK), message_slack(message)
        patience.run(lambda: http.request("POST", url, content=content))
        return "posted"

    def shown(self, message: Message) -> str:
        return json.dumps(message_slack(message), indent=2, ensure_ascii=False)
