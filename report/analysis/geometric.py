"""The geometric mean of the gains of two arms over their workloads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Row = TypeVar("Row", bound=Mapping[str, object])


def geometric_means(
    rows: Sequence[Row], arms: Callable[[Row], str]
) -> list[tuple[str, str, str, float | None, int, int]]:
    """(run, arms, measure, mean throughput ratio, valid gains, pairs) of every two arms that have
    several pairs.

    The mean is exp of the mean log ratio T_baseline / T_candidate over the pairs with a valid gain,
    losses included as they are (nothing is clipped at 1); None where no gain is valid. Ratios are
    averaged geometrically because only then does the result not depend on which arm is the
    baseline. Source: Fleming and Wallace, "How Not to Lie with Statistics: The Correct Way to
    Summarize Benchmark Results", Communications of the ACM 29 (1986) 218–221.
    """
    pairs: dict[tuple[str, str, str], list[float | None]] = {}
    for row in rows:
        if not row["a_a"]:  # identical arms gain nothing on any workload
            ratio = row["log_ratio"] if row["state"] == "ok" else None
            key = (str(row["run"]), arms(row), str(row["measure"]))
            pairs.setdefault(key, []).append(
                float(ratio) if isinstance(ratio, int | float) else None
            )
    means = []
    for (run, of, measure), ratios in pairs.items():
        valid = [ratio for ratio in ratios if ratio is not None]
        if len(ratios) > 1:
            mean = math.exp(math.fsum(valid) / len(valid)) if valid else None
            means.append((run, of, measure, mean, len(valid), len(ratios)))
    return means
