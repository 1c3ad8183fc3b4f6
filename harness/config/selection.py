"""A part of a suite: only some of its pairs."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import BenchError
from harness.schema.suite import PairEntry, Suite


def only_pairs(suite: Suite, wanted: Sequence[str]) -> Suite:
    """The suite with only the pairs `WORKLOAD:BASELINE:CANDIDATE` in `wanted`; workloads without a
    pair make no jobs.

    Raises BenchError for one that the suite does not have, with those that it has.
    """
    known = {
        f"{pair.workload}:{pair.baseline}:{pair.candidate}": pair for pair in suite.resolved_pairs()
    }
    for name in wanted:
        if name not in known:
            raise BenchError(
                "the suite has no such pair",
                place=f"--pairs {name}",
                fix="one of " + ", ".join(known),
            )
    chosen = [pair for name, pair in known.items() if name in wanted]
    entries = [
        PairEntry(
            baseline=pair.baseline,
            candidate=pair.candidate,
            differs=pair.differs,
            workloads=[pair.workload],
        )
        for pair in chosen
    ]
    return suite.replace(pairs=entries)
