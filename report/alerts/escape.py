"""Plain text in other formats, so that whatever a name or a version holds is shown and never
acts.
"""

from __future__ import annotations

import re
import unicodedata

# zero-width space: parts a mention or a command in two where the format has no escape for it
BREAK = "\u200b"
ELLIPSIS = "…"


def one_line(text: str, most: int = 10_000) -> str:
    """Text on one line, without control, direction and other unprintable characters, cut at `most`
    characters.
    """
    clean = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text)
    return cut(" ".join(clean.split()), most)


def lines(text: str, most: int = 10_000) -> str:
    """Text on the lines it has, each without unprintable characters, cut at `most` characters."""
    cleaned = ("".join(" " if unicodedata.category(letter)[0] == "C" else letter for letter in line)
               for line in text.splitlines())  # fmt: skip
    return cut("\n".join(cleaned).strip("\n"), most)


def cut(text: str, most: int) -> str:
    """At most so many characters of the text, the last one an ellipsis where some are left out."""
    return text if len(text) <= most else text[: most - 1] + ELLIPSIS


def markdown(text: str) -> str:
    """Text as GitHub's Markdown: no tag, link, emphasis, code, cell, mention (@name) or reference
    (#1) opens in it.
    """
    escaped = (
        re.sub(r"[\\`*_\[\]|~$]", r"\\\g<0>", one_line(text))
        .replace("&", "&amp;")
        .replace("<", "&lt;")
    )
    # At the start it would be a heading or a list.
    escaped = re.sub(r"^(\d*)([-+#=.)])", r"\1\\\2", escaped)
    # GitHub looks for mentions and references in the rendered text, where escapes are gone; a
    # comment parts them.
    return re.sub(r"[@#](?=\w)", r"\g<0><!-- -->", escaped.replace(">", "&gt;"))


def fenced(text: str, language: str = "") -> str:
    """Text as a block of code, its fence longer than any run of backticks in it."""
    content = lines(text)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", content)), default=0))
    return f"{fence}{language}\n{content}\n{fence}"


def slack(text: str) -> str:
    """Text as Slack's mrkdwn: its three control characters as entities; no mention, no code.

    Receivers that only look like Slack (Mattermost) notify on a bare @here, so the @ is parted from
    the name.
    """
    entities = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"@(?=\w)", f"@{BREAK}", entities).replace("`", "\u02cb")


def workflow_data(text: str) -> str:
    """Text as the message of a workflow command (GitHub's toolkit: escapeData)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def workflow_property(text: str) -> str:
    """Text as a property of a workflow command (GitHub's toolkit: escapeProperty)."""
    return workflow_data(text).replace(":", "%3A").replace(",", "%2C")


def terminal(text: str) -> str:
    """Text for a log that GitHub's runner reads: no line of it is a workflow command, of the old
    form or the new.
    """
    return re.sub(r"(?m)^(\s*):(?=:)", rf"\1:{BREAK}", text).replace("##[", f"##{BREAK}[")
