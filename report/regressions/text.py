"""A verdict for a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterator

from harness.schema.verdict import Finding, FindingState, Verdict

# The worst first.
ORDER = (
    FindingState.REGRESSION,
    FindingState.MISSING,
    FindingState.IMPROVEMENT,
    FindingState.WATCH,
    FindingState.NOT_ENOUGH_NIGHTS,
    FindingState.STEADY,
)


def as_text(verdict: Verdict) -> str:
    """The verdict in plain text, the worst first; a steady pair is one line."""
    findings = sorted(verdict.findings, key=lambda finding: ORDER.index(finding.state))
    lines = [f"{verdict.run} ({verdict.created_at})"]
    for finding in findings:
        lines += ["", *_lines(finding)]
    counted = {state: sum(finding.state == state for finding in findings) for state in ORDER}
    summary = (
        ", ".join(f"{count} {state}" for state, count in counted.items() if count) or "no pair"
    )
    return "\n".join([*lines, "", f"{summary}; exit status {verdict.exit_code}"]) + "\n"


def _lines(finding: Finding) -> Iterator[str]:
    what = finding.state + (f", {finding.cause}" if finding.cause else "")
    # Inference says so in its name.
    measure = " (end to end)" if finding.measure == "end_to_end" else ""
    yield f"{finding.workload}: {finding.candidate} over {finding.baseline}{measure}: {what}"
    yield f"  {finding.reason}"
    if finding.state is FindingState.STEADY:
        return
    if finding.host:
        yield f"  host: {finding.host}"
    if finding.since:
        yield f"  since {finding.since}; last good: {finding.last_good}"
    elif finding.last_good:
        yield f"  last result: {finding.last_good}"
    if finding.different:
        yield "  different since then:"
        yield from (f"    {one}" for one in finding.different)
    if finding.measure_again:
        yield "  measure it again tonight to confirm (report check --again RUN):"
        yield f"    {finding.reproduce}"
    elif finding.state.is_change or finding.state is FindingState.MISSING:
        yield f"  measure it again: {finding.reproduce}"
