"""A message as the JSON of an incoming webhook: Slack's Block Kit, and `text` for receivers that
know no blocks.
"""

from __future__ import annotations

from typing import Any

from report.alerts.escape import cut, slack
from report.alerts.message import Message

# Source: Slack's reference of Block Kit, "header" (150), "section" (3000) and blocks per message
# (50).
MOST_HEADER, MOST_SECTION, MOST_BLOCKS = 150, 3000, 50
# characters before escaping in a section: an escape makes four more of some of them
MOST_RAW = 2200

Block = dict[str, Any]


def message_slack(message: Message) -> dict[str, Any]:
    """The webhook's content."""
    blocks: list[Block] = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": cut(message.title, MOST_HEADER), "emoji": False},
        },
        _section(slack(message.summary)),
    ]
    if message.cause:
        blocks.append(_section(f"*Probable cause.* {slack(message.cause)}"))
    if message.judged:
        blocks.append(_section(f"*Judged.* {slack(message.judged)}"))
    rows = [f"{n.series:<22}{n.before:>12} → {n.now:>12}  {n.change:>8}" for n in message.numbers]
    width = max((len(name) for name, _ in message.bars), default=0)
    rows += [f"{name:<{width}}  {text}" for name, text in message.bars]
    if rows:
        blocks.append(_code("\n".join(rows)))
    if message.changed:
        since = f" since {slack(message.changed_since)}" if message.changed_since else ""
        blocks.append(
            _section(
                "\n".join(
                    [f"*What changed{since}*", *(f"• {slack(text)}" for text in message.changed)]
                )
            )
        )
    if message.reproduce:
        blocks += [_section("*Measure it again*"), _code(message.reproduce)]
    where = "; ".join(
        filter(
            None, (f"run {message.finding.run}", message.finding.host, f"alert {message.identity}")
        )
    )
    context = {"type": "mrkdwn", "text": _short(slack(where), 300), "verbatim": True}
    blocks.append({"type": "context", "elements": [context]})
    return {
        "text": _short(slack(f"{message.title}\n{message.summary}")),
        "blocks": blocks[:MOST_BLOCKS],
    }


def _section(text: str) -> Block:
    # verbatim: names stay text, nothing is turned into a link, a channel or a mention.
    return {"type": "section", "text": {"type": "mrkdwn", "text": _short(text), "verbatim": True}}


def _code(text: str) -> Block:
    return _section(f"```\n{slack(cut(text, MOST_RAW // 2))}\n```")


def _short(text: str, most: int = MOST_SECTION) -> str:
    """At most this many characters, never ending inside an entity."""
    if len(text) <= most:
        return text
    kept = text[: most - 1]
    start = kept.rfind("&", -5)
    return (kept if start < 0 or ";" in kept[start:] else kept[:start]) + "…"
