"""A message as plain text and as an e-mail with its plot attached."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from harness.errors import BenchError
from report.alerts.escape import one_line
from report.alerts.message import Message
from report.alerts.plot import png

WIDTH = 78
ADDRESSES = FROM, TO = "BENCH_EMAIL_FROM", "BENCH_EMAIL_TO"
DOMAIN = "training-backend-bench.invalid"  # reserved for names that resolve nowhere (RFC 2606)


def message_text(message: Message) -> str:
    """The message for a terminal or a mail's body."""
    parts = [textwrap.fill(message.summary, WIDTH)]
    if message.cause:
        parts.append(textwrap.fill(f"Probable cause: {message.cause}", WIDTH))
    if message.judged:
        parts.append(textwrap.fill(f"Judged: {message.judged}", WIDTH))
    if message.numbers:
        parts.append("\n".join(
            f"{number.series:<22}{number.before:>12} -> {number.now:>12}  {number.change:>8}  "
            f"({number.nights} nights)"
            for number in message.numbers
        ))  # fmt: skip
    if message.bars:
        width = max(len(name) for name, _ in message.bars)
        parts.append("\n".join(f"{name:<{width}}  {text}" for name, text in message.bars))
    if message.changed:
        since = (
            f" since {message.changed_since}, the last good run" if message.changed_since else ""
        )
        changed = (
            textwrap.fill(text, WIDTH, initial_indent="- ", subsequent_indent="  ")
            for text in message.changed
        )
        parts.append("\n".join([f"What changed{since}:", *changed]))
    elif message.event.kind.is_change:
        parts.append("What changed: nothing that is recorded (packages, driver, commit, config).")
    if message.reproduce:
        parts.append("Measure it again:\n" + textwrap.indent(message.reproduce, "    "))
    where = "; ".join(
        filter(
            None, (f"run {message.finding.run}", message.finding.host, f"alert {message.identity}")
        )
    )
    return "\n\n".join([*parts, "-- \n" + one_line(where)]) + "\n"


def message_email(message: Message, environ: Mapping[str, str]) -> EmailMessage:
    """An e-mail ready for `sendmail -t`; the same message gives the same bytes. Raises BenchError
    for a bad address.
    """
    mail = EmailMessage()
    mail["Subject"] = f"[bench] {message.title}"
    for header, name, default in (
        ("From", FROM, f"Training Backend Bench <bench@{DOMAIN}>"),
        ("To", TO, ""),
    ):
        if address := environ.get(name, default).strip():
            try:
                mail[header] = address
            except ValueError:  # a line break in it would begin another header
                raise BenchError(
                    f"${name} is no address", fix="write it as name@example.org"
                ) from None
    mail["Date"] = format_datetime(_time(message))
    # Receivers that keep it show a repeated message once, and all of a subject's as one thread.
    mail["Message-ID"] = f"<{message.identity}@{DOMAIN}>"
    mail["References"] = f"<{message.event.subject}@{DOMAIN}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Bench-Alert"] = message.identity
    mail.set_content(message_text(message), cte="quoted-printable")
    if message.course:
        picture = png(message.finding, message.course)
        mail.add_attachment(
            picture, maintype="image", subtype="png", filename=f"history-{message.identity}.png"
        )
        # The standard library would draw one at random.
        mail.set_boundary(f"=-{message.identity}-=")
    return mail


def _time(message: Message) -> datetime:
    try:
        time = datetime.fromisoformat(message.event.created_at)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
