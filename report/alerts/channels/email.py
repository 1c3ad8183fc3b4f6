"""E-mails as text: a file per alert for `sendmail -t`, or standard output."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.files import write_atomically
from report.alerts.channels.base import AlertChannel
from report.alerts.escape import terminal
from report.alerts.message import Message
from report.alerts.render_text import ADDRESSES, message_email, message_text


class Email(AlertChannel):
    """TARGET/<identity>.eml, written whole and once; without a target subject and text go to
    standard output.
    """

    name = "email"
    about = (
        "one TARGET/<identity>.eml per alert ($BENCH_EMAIL_TO, $BENCH_EMAIL_FROM), or standard\n"
        "output"
    )
    variables = ADDRESSES

    def deliver(self, message: Message) -> str:
        if not self.target or self.target == "-":
            sys.stdout.write(self.shown(message) + "\n")
            sys.stdout.flush()
            return "printed"
        path = Path(self.target) / f"{message.identity}.eml"
        if path.exists():
            return f"{path.name} already there"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, message_email(message, self.context.environ).as_bytes())
        return f"{path.name} written"

    def shown(self, message: Message) -> str:
        return terminal(f"Subject: [bench] {message.title}\n\n{message_text(message)}")
