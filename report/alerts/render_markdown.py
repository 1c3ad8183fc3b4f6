"""A message, and a night's overview, as GitHub's Markdown."""

from __future__ import annotations

from harness.schema.verdict import FindingState, Verdict
from report.alerts.escape import fenced, markdown
from report.alerts.events import EventKind
from report.alerts.message import Message, pair_name
from report.alerts.plot import mermaid
from report.text import OPEN, is_open_gain, signed_percent

# Of findings and of events; an event has the sign of the state that it is named after.
SIGNS: dict[str, str] = {
    FindingState.REGRESSION: "🔴",
    FindingState.IMPROVEMENT: "🟢",
    FindingState.WATCH: "🟡",
    FindingState.STEADY: "⚪",
    FindingState.MISSING: "⚫",
    FindingState.NOT_ENOUGH_NIGHTS: "⚪",
    EventKind.NO_JUDGEMENT: "⚫",
    EventKind.MOVED: "⚪",
    EventKind.USUAL: "🟠",
    EventKind.FLIPPING: "🟡",
}
MOST_ROWS = 300  # GitHub takes 1 MiB per step


def message_markdown(message: Message) -> str:
    """The whole message, a heading first."""
    return f"### {SIGNS[message.event.kind]} {markdown(message.title)}\n\n{body_markdown(message)}"


def body_markdown(message: Message) -> str:
    """The message without its title."""
    parts = [markdown(message.summary)]
    if message.cause:
        parts.append(f"**Probable cause.** {markdown(message.cause)}")
    if message.judged:
        parts.append(f"**Judged.** {markdown(message.judged)}")
    if message.numbers:
        rows = [
            f"| {number.series} | {number.before} | {number.now} | {number.change} | "
            f"{number.nights} |"
            for number in message.numbers
        ]
        parts.append(
            "\n".join(
                ["| Series | Before | Now | Change | Nights |", "|---|--:|--:|--:|--:|", *rows]
            )
        )
    if message.bars:
        width = max(len(name) for name, _ in message.bars)
        parts.append(fenced("\n".join(f"{name:<{width}}  {text}" for name, text in message.bars)))
    if message.course:
        parts += [
            fenced(mermaid(message.course), "mermaid"),
            "Orange: the candidate; blue: the baseline.",
        ]
    if message.changed:
        since = (
            f" since {markdown(message.changed_since)}, the last good run"
            if message.changed_since
            else ""
        )
        parts.append(f"**What changed{since}**")
        parts.append("\n".join(f"- {markdown(text)}" for text in message.changed))
    elif message.event.kind.is_change:
        parts.append(
            "**What changed**: nothing that is recorded (packages, driver, commit, config)."
        )
    if message.reproduce:
        parts += ["**Measure it again**", fenced(message.reproduce, "sh")]
    finding = message.finding
    where = [f"run {markdown(finding.run)}", *([markdown(finding.host)] if finding.host else [])]
    where += [finding.measure.replace("_", " "), f"alert {message.identity}"]
    parts.append(f"<sub>{'; '.join(where)}</sub>")
    return "\n\n".join(parts) + "\n"


def overview_markdown(verdict: Verdict) -> str:
    """Every pair of the night in one table, whether there is something to tell of it or not."""
    parts = [f"## Nightly check of run {markdown(verdict.run)}"]
    rows = []
    for finding in verdict.findings[:MOST_ROWS]:
        gain = "" if finding.gain is None else signed_percent(finding.gain)
        if is_open_gain(finding.gain, finding.gain_low, finding.gain_high):
            gain += f" ({OPEN})"
        elif finding.gain_low is not None and finding.gain_high is not None:
            gain += f" ({signed_percent(finding.gain_low)} to {signed_percent(finding.gain_high)})"
        cells = (
            f"{SIGNS[finding.state]} {finding.state}",
            markdown(pair_name(finding)),
            gain,
            finding.cause,
        )
        rows.append(f"| {' | '.join([*cells, markdown(finding.reason)])} |")
    if rows:
        head = [
            "| State | Pair | Throughput gain (95% interval) | Probable cause | |",
            "|---|---|---|---|---|",
        ]
        parts.append("\n".join([*head, *rows]))
    if len(verdict.findings) > MOST_ROWS:
        parts.append(f"{len(verdict.findings) - MOST_ROWS} more pairs are not shown.")
    if not verdict.findings:
        parts.append("No pair was judged.")
    if verdict.problems:
        parts.append("\n".join(f"- {markdown(problem)}" for problem in verdict.problems[:50]))
    return "\n\n".join(parts) + "\n"
