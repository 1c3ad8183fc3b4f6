"""The file that `report check` writes and `report alert` reads, as far as a night needs to know it.

It is JSON between programs (report/regressions/model.py has its schema): the harness does not
import the report.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.files import write_atomically
from harness.nightly.state import Night


def read(path: Path) -> dict[str, Any] | None:
    """The verdict; None if there is none or it is no verdict."""
    try:
        verdict = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return (
        verdict if isinstance(verdict, dict) and isinstance(verdict.get("findings"), list) else None
    )


def alarmed(verdict: dict[str, Any]) -> list[str]:
    """Pairs whose alarm wants a second look tonight, as WORKLOAD:BASELINE:CANDIDATE, each once.

    An alarm of inference wants the pair whose jobs measure it.
    """
    found = [
        finding.get("measured_by")
        or f"{finding['workload']}:{finding['baseline']}:{finding['candidate']}"
        for finding in verdict["findings"]
        if finding.get("measure_again")
    ]
    return list(dict.fromkeys(found))


def none_made(night: Night) -> dict[str, Any]:
    """What to alert with when nothing could be judged; `problems` are for `write_final` to add."""
    return {
        "run": night.night,
        "created_at": night.started_at.isoformat(timespec="seconds"),
        "findings": [],
        "problems": [],
        "exit_code": 2,
    }


def ended_in_order(run: Path) -> bool:
    """Whether the runner wrote its last word into run.json; one that was killed, or never began,
    did not.
    """
    try:
        info = json.loads((run / "run.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(info, dict) and info.get("status") not in ("running", "incomplete")


def write_final(path: Path, verdict: dict[str, Any], night: Night) -> None:
    """What goes to `report alert`: the verdict and what the night's own stages have to say.

    Where a runner died the exit code is 2, no judgement, whatever could be told from what it left.
    """
    added = [problem for problem in night.notes() if problem not in verdict["problems"]]
    final = {**verdict, "problems": [*verdict["problems"], *added]}
    if night.died:
        final["exit_code"] = 2
    write_atomically(path, json.dumps(final, indent=2, ensure_ascii=False).encode() + b"\n")
