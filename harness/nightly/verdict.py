"""The file that `report check` writes and `report alert` reads, as far as a night needs to know it.

It is JSON between programs (report/regressions/model.py has its schema): the harness does not import the report.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.nightly.state import Night
from harness.store import write_atomically


def read(path: Path) -> dict[str, Any] | None:
    """The verdict; None if there is none or it is no verdict."""
    try:
        verdict = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return verdict if isinstance(verdict, dict) and isinstance(verdict.get("findings"), list) else None


def alarmed(verdict: dict[str, Any]) -> list[str]:
    """Pairs whose alarm wants a second look tonight, as WORKLOAD:BASELINE:CANDIDATE, each once.

    An alarm of inference wants the pair whose jobs measure it.
    """
    found = [
        finding.get("measured_by") or f"{finding['workload']}:{finding['baseline']}:{finding['candidate']}"
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


def write_final(path: Path, verdict: dict[str, Any], problems: Sequence[str]) -> None:
    """What goes to `report alert`: the verdict and what the night's own stages have to say."""
    added = [problem for problem in problems if problem not in verdict["problems"]]
    final = {**verdict, "problems": [*verdict["problems"], *added]}
    write_atomically(path, json.dumps(final, indent=2, ensure_ascii=False).encode() + b"\n")
