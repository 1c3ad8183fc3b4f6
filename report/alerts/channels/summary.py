"""The job summary of GitHub Actions, or any Markdown file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.files import append_bytes
from harness.schema.verdict import Verdict
from report.alerts.channels.base import AlertChannel, file_from
from report.alerts.message import Message
from report.alerts.render_markdown import message_markdown, overview_markdown

FILE = "GITHUB_STEP_SUMMARY"


class Summary(AlertChannel):
    """Appends to $GITHUB_STEP_SUMMARY, or to its target. A hidden marker keeps a text from being
    there twice.
    """

    name = "summary"
    about = "Markdown appended to $GITHUB_STEP_SUMMARY, or to the file TARGET"
    variables = (FILE,)

    def prepare(self) -> None:
        file_from(self, FILE)

    def deliver(self, message: Message) -> str:
        return self._append(f"bench-alert {message.identity}", message_markdown(message))

    def overview(self, verdict: Verdict) -> str:
        # Whole, for nights of one suite differ in the end of their names alone.
        night = hashlib.sha256(verdict.run.encode()).hexdigest()
        return self._append(f"bench-night {night}", overview_markdown(verdict))

    def shown(self, message: Message) -> str:
        return message_markdown(message)

    def _append(self, mark: str, text: str) -> str:
        path = file_from(self, FILE)
        path.parent.mkdir(parents=True, exist_ok=True)
        # The marker comes last: a text torn by a kill has none, and is written again.
        marker = f"<!-- {mark} -->\n"
        if path.exists() and marker in path.read_text(encoding="utf-8", errors="replace"):
            return "already there"
        append(path, f"\n{text}\n{marker}")
        return "written"


def append(path: Path, text: str) -> None:
    """Add text to a file, all or none of it, on disk before this returns."""
    append_bytes(path, text.encode("utf-8", "replace"))
