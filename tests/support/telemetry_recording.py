"""Record raw readings of this host's cards, every field at every tick, as a series that
`telemetry_replay` plays back. The recordings in tests/support/data/telemetry were made with this
program.

Usage: python tests/support/telemetry_recording.py --seconds N --output FILE.jsonl|FILE.parquet
                                           [--gpus 0] [--interval 0.1] [--job PID]

A reading that a card refuses is in the file as an `unreadable` line. The exit status is 2 if no
card answers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.telemetry.nvml import NvmlSource
from harness.telemetry.processes import ProcessTree
from harness.telemetry.sampler import INTERVAL_S, Line, Sampler, StdinClock
from harness.telemetry.series import TelemetrySeries


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="telemetry_recording.py", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True, help="*.jsonl or *.parquet")
    parser.add_argument("--gpus", default=None, help="as CUDA_VISIBLE_DEVICES; default: all")
    parser.add_argument("--interval", type=float, default=INTERVAL_S, help="seconds")
    parser.add_argument(
        "--job",
        type=int,
        default=None,
        help="process id of what runs on the card: it and all below",
    )
    options = parser.parse_args(arguments)
    source = NvmlSource(options.gpus)
    for problem in source.problems:
        print(problem, file=sys.stderr)
    if not source.gpus:
        return 2
    series = TelemetrySeries()

    def write(line: Line) -> None:
        series.add(line)

    roots = [options.job] if options.job is not None else []
    clock = StdinClock(stdin=-1, seconds=options.seconds)
    # slow_s 0: every reading at every tick, so that a replay can choose its own intervals
    Sampler(
        source, ProcessTree(roots), clock, write, interval_s=options.interval, slow_s=0, roots=roots
    ).run()
    source.close()
    if options.output.suffix == ".parquet":
        options.output.write_bytes(series.to_parquet())
    else:
        options.output.write_text("\n".join(series.to_lines()) + "\n")
    print(f"{len(series.ticks)} ticks of {len(source.gpus)} card(s) in {options.output}")
    for entry in series.unreadable:
        print(f"not readable: card {entry['gpu']}, {entry['field']}: {entry['reason']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
