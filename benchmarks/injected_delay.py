"""Does a measured gain hold the delay that was put into an arm?

    harness run configs/injected-delay.yaml --run delay
    python benchmarks/injected_delay.py results/delay --json delay.json

For every pair whose candidate sleeps before each batch: the delay per step that follows from the
pair's steady gain and its interval, beside the sleep as the arm measured it around itself. With
`step` the baseline's mean step and d the mean log ratio, the delay is step · (exp(−d) − 1).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.planning.stopping import times
from harness.schema.record import JobRecord, Pair, State
from harness.schema.record_io import read_line
from harness.schema.stats import turn_interval


def slept_ms(records: list[JobRecord]) -> float:
    """Mean sleep before a batch, of all turns that count."""
    sleeps: list[float] = []
    for record in records:
        turns = record.turns
        if turns is None or "injected_sleep_s" not in turns.host:
            sys.exit(f"{record.arm.name}: its turns do not tell how long the arm slept")
        batches = [turns.lead_in_steps + steps for steps in turns.steps]
        sleeps += [
            seconds / count
            for seconds, count in zip(turns.host["injected_sleep_s"], batches, strict=True)
        ][turns.pilot :]
    return 1e3 * statistics.fmean(sleeps)


def of_pair(pair: Pair, records: list[JobRecord]) -> dict[str, Any]:
    replicates = times(pair, records, "steady_state")
    estimate = turn_interval(replicates)
    counted = [record for record in records if record.state is State.OK and not record.parity_run]
    step_s = [r.timing.steady_step_s for r in counted if r.arm.name == pair.baseline]
    step_ms = 1e3 * statistics.fmean(step for step in step_s if step is not None)
    delayed = [record for record in counted if record.arm.name == pair.candidate]

    def delay_ms(log_ratio: float | None) -> float | None:
        return None if log_ratio is None else step_ms * math.expm1(-log_ratio)

    return {
        "workload": pair.workload,
        "baseline": pair.baseline,
        "candidate": pair.candidate,
        "replicates": estimate.n,
        "asked_ms": delayed[0].arm.injected_delay_ms,
        "slept_ms": slept_ms(delayed),
        "found_ms": delay_ms(estimate.mean),
        "found_low_ms": delay_ms(estimate.high),
        "found_high_ms": delay_ms(estimate.low),
        "baseline_step_ms": step_ms,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    lines = (arguments.run / "jobs.jsonl").read_bytes().splitlines()
    records = [read_line(line) for line in lines if line.strip()]
    delayed = {record.arm.name for record in records if record.arm.injected_delay_ms}
    pairs = [Pair(**pair) for pair in json.loads((arguments.run / "run.json").read_text())["pairs"]]
    found = [of_pair(pair, records) for pair in pairs if pair.candidate in delayed]
    if not found:
        sys.exit(f"{arguments.run}: no candidate has an injected delay")
    for one in found:
        print(
            f"{one['candidate']} over {one['baseline']}: {one['found_ms']:.3f} ms "
            f"({one['found_low_ms']:.3f} to {one['found_high_ms']:.3f}) found, "
            f"{one['slept_ms']:.3f} ms slept, {one['asked_ms']:g} ms asked for, "
            f"n = {one['replicates']}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
