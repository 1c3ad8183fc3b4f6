"""Which arms leave padding out of what they compute, and how much padding there was."""

from __future__ import annotations

from collections.abc import Iterable

from harness.schema.record import JobRecord, Pair, leaves_padding_out
from report.analysis.metrics import PADDING_SHARE, mean
from report.analysis.replicates import arms_of, is_result
from report.loading.runs import Run


def skipping_side(run: Run, pair: Pair) -> str:
    """Which side of a pair, `baseline` or `candidate`, leaves out padding that the other computes;
    empty if neither does.
    """
    baseline, candidate = (_results(side.values()) for side in arms_of(run).of_pair(pair))
    if not baseline or not candidate or _skips(baseline) == _skips(candidate):
        return ""
    return "baseline" if _skips(baseline) else "candidate"


def padding_shares(run: Run) -> dict[tuple[str, str], float | None]:
    """The mean share of padding, 0 to 1, in the batches of every (workload, arm) that leaves it
    out; None where no replicate recorded it.
    """
    found: dict[tuple[str, str], float | None] = {}
    for key, replicates in arms_of(run).replicates.items():
        jobs = _results(replicates.values())
        if _skips(jobs):
            shares = [share for job in jobs if (share := PADDING_SHARE.read(job)) is not None]
            found[key] = mean(shares) if shares else None
    return found


def _results(jobs: Iterable[JobRecord]) -> list[JobRecord]:
    return [job for job in jobs if is_result(job)]


def _skips(jobs: Iterable[JobRecord]) -> bool:
    return any(leaves_padding_out(job) for job in jobs)
