"""What `report check` says of who changed, against who did: each cause injected into nights of
recorded noise.

The noise of a night is drawn from the replicates of recorded pairs (report.regressions.rehearsal),
baseline and candidate together, so what disturbs both does so here. A history is 40 nights, and
from the next night on one arm's time, or both, is so much longer or shorter; each of these nights
has a second run. What counts is the first alarm within three nights, as `report check` words it.

    python benchmarks/causes.py --json benchmarks/causes.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.schema.verdict import Cause, FindingState, Point
from report.loading.runs import load_runs
from report.regressions.judge import judge
from report.regressions.nights import histories, nights_among
from report.regressions.rehearsal import Noise, binomial_interval, noise_of
from report.regressions.thresholds import CheckConfig, Thresholds, load_config

tabulate.MIN_PADDING = 0  # a column is as wide as its widest cell
ROOT = Path(__file__).resolve().parents[1]
# One on an H100 80GB, four replicates that took turns; one on the CPU of a small host, twelve.
RECORDED = ("glue-sst2-blocks-20261123-055130", "aa-smoke-20261123-130234")
PAIRS = ("roberta-base-b8", "bert-tiny-sst2")
BEFORE, WITHIN = 40, 3  # nights
SIZES = (0.05, 0.10)
NOTHING = "nothing"
# What of (baseline, candidate) changes, and to which side: 1 is slower.
INJECTED: dict[str, tuple[int, int]] = {
    Cause.CANDIDATE_REGRESSED: (0, 1),
    Cause.CANDIDATE_IMPROVED: (0, -1),
    Cause.BASELINE_REGRESSED: (1, 0),
    Cause.BASELINE_IMPROVED: (-1, 0),
    f"{Cause.HOST}, slower": (1, 1),
    f"{Cause.HOST}, faster": (-1, -1),
    NOTHING: (0, 0),
}
TOLD = (*INJECTED, Cause.UNCLEAR)


def noises(results: Path, config: CheckConfig) -> dict[str, Noise]:
    """Of each recorded pair, by name."""
    found = {}
    for name, workload in zip(RECORDED, PAIRS, strict=True):
        runs, _ = load_runs([results / name])
        for key, nights in histories(nights_among(runs), "steady_state", config.comparable).items():
            if key[0] == workload:
                found[f"{name}: {workload}"] = noise_of(nights, config.thresholds)
    return found


def told_of(logs: np.ndarray[Any, np.dtype[np.float64]], thresholds: Thresholds) -> str:
    """What is told of one history. `logs`: (2, nights, 2), first and second runs, of both arms."""
    first, again = (
        [
            Point(run=str(night), created_at="", baseline_s=one, candidate_s=other)
            for night, (one, other) in enumerate(np.exp(run).tolist())
        ]
        for run in logs
    )
    for night in range(BEFORE, BEFORE + WITHIN):
        found = judge(first[: night + 1], thresholds, again[night])
        if found.state.is_change:
            if found.cause is Cause.HOST:
                slower = found.state is FindingState.REGRESSION
                return f"{Cause.HOST}, {'slower' if slower else 'faster'}"
            return found.cause
    return NOTHING


def score(
    noise: Noise, size: float, count: int, seed: int, thresholds: Thresholds
) -> dict[str, Counter[str]]:
    """What is told, by what was injected, `count` histories each."""
    told: dict[str, Counter[str]] = {}
    for number, (cause, sides) in enumerate(INJECTED.items()):
        rng = np.random.default_rng([seed, number])
        logs = noise.draw(rng, (count, 2, BEFORE + WITHIN))
        logs[:, :, BEFORE:] += np.log1p(size) * np.array(sides)
        told[cause] = Counter(told_of(one, thresholds) for one in logs)
    return told


def printed(told: dict[str, Counter[str]]) -> str:
    """The table of one recorded pair and size, in Markdown."""
    seen = [one for one in TOLD if any(row[one] for row in told.values())]
    return tabulate.tabulate(
        [[cause, *(row[one] or "" for one in seen)] for cause, row in told.items()],
        headers=["injected", *(f"told: {one}" for one in seen)],
        tablefmt="github",
    )


def right(told: dict[str, Counter[str]]) -> dict[str, Any]:
    """Of the alarms of real changes: the share that names the cause, with its 95% interval."""
    alarms = [
        (cause, one, count)
        for cause, row in told.items()
        for one, count in row.items()
        if NOTHING not in (cause, one)
    ]
    named = sum(count for cause, one, count in alarms if cause == one)
    of = sum(count for _, _, count in alarms)
    low, high = binomial_interval(named, of) if of else (0.0, 1.0)
    return {
        "alarms": of,
        "named": named,
        "share": named / of if of else 0.0,
        "interval": [low, high],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=1000, help="per cause and size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "check.yaml")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    config = load_config(options.config)
    tables = []
    for name, noise in noises(options.results, config).items():
        for size in SIZES:
            told = score(noise, size, options.histories, options.seed, config.thresholds)
            table = {
                "recorded": name,
                "noise_percent": [round(value, 3) for value in noise.percent],
                "size": size,
                "told": {cause: dict(row) for cause, row in told.items()},
                **right(told),
            }
            tables.append(table)
            baseline, candidate, ratio = noise.percent
            print(
                f"{name}, noise of a night {baseline:.2f}% and {candidate:.2f}%, ratio "
                f"{ratio:.2f}%; {size:.0%}: {table['share']:.1%} of {table['alarms']} alarms name "
                f"the cause\n\n{printed(told)}\n"
            )
    print(f"{time.monotonic() - began:.0f} s")
    if options.json:
        content = {
            "settings": {"histories": options.histories, "seed": options.seed, "before": BEFORE},
            "thresholds": config.thresholds.model_dump(),
            "tables": tables,
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
