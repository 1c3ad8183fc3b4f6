"""Where things stand on the page: ids that stay the same when the page is made anew, so that a link
to a pair can be passed on.
"""

from __future__ import annotations

import hashlib

from report.plots.style import slug


def run_id(run: str) -> str:
    """Of a run's panel."""
    return slug("run", run)


def pair_id(run: str, workload: str, candidate: str, baseline: str) -> str:
    """Of a pair's row; `run` is empty on the page of a single run."""
    return slug("pair", run, workload, candidate, "over", baseline)


def replicates_id(run: str, workload: str, candidate: str, baseline: str) -> str:
    """Of the replicates that a pair's gain comes from."""
    return _short("g", run, workload, candidate, baseline)


def jobs_id(run: str, workload: str, arm: str) -> str:
    """Of the jobs that an arm's numbers come from."""
    return _short("j", run, workload, arm)


def _short(kind: str, *parts: str) -> str:
    # Hundreds of numbers link to these: a name in full would be most of the page.
    return f"{kind}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:10]}"
