"""How long `report tables` takes over years of results: wall time and memory on two cores.

    python benchmarks/many_runs.py --runs 1000 --records 100 --json many_runs.json

Writes a tree of runs made from a committed run's records (every record keeps its size and shape;
launch numbers, ids, dates and times are its own; times vary by 1% around the recorded ones, drawn
by seed), then tabulates it in fresh processes, with the files in the page cache. Printed per
command: wall seconds (best, median and worst of the repetitions), CPU seconds, and the peak
resident memory of the process and its children together (each one's own peak, shared pages twice).
On a host with other work the wall time is theirs as well: `load_before` is its load average.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "results" / "glue-sst2-steady-20261123-003540"
SPREAD = 0.01  # standard deviation of a job's times, relative; one factor a job
FIRST_NIGHT = datetime.datetime(2024, 1, 1, 2, 0, tzinfo=datetime.UTC)
TIMES = ("setup_s", "steady_step_s", "steady_step_median_s", "train_runtime_s", "wall_s")
RATES = ("steady_samples_per_s", "train_samples_per_s")
COMMANDS = {"usual": (), "gains": ("--view", "gains"), "csv": ("--format", "csv")}


def generate(source: Path, tree: Path, runs: int, records: int, seed: int) -> int:
    """Write `runs` runs of `records` records each under `tree`; returns the bytes of all records."""
    info = json.loads((source / "run.json").read_bytes())
    originals = [json.loads(line) for line in (source / "jobs.jsonl").read_bytes().splitlines()]
    per_arm: dict[tuple[str, str], int] = {}
    for job in originals:
        key = job["workload"]["name"], job["arm"]["name"]
        per_arm[key] = max(per_arm.get(key, 0), job["launch"] + 1)
    draw, written = random.Random(seed), 0
    for night in range(runs):
        began = FIRST_NIGHT + datetime.timedelta(days=night)
        name = f"{info['suite']}-{began:%Y%m%d-%H%M%S}"
        folder = tree / name
        folder.mkdir(parents=True)
        made = {**info, "run": name, "created_at": began.isoformat(), "status": "complete"}
        (folder / "run.json").write_text(json.dumps(made, indent=2))
        with (folder / "jobs.jsonl").open("w") as file:
            for position in range(records):
                job = originals[position % len(originals)]
                again = (
                    position
                    // len(originals)
                    * per_arm[job["workload"]["name"], job["arm"]["name"]]
                )
                written += file.write(
                    json.dumps(_of_night(job, name, began, position, again, draw)) + "\n"
                )
    return written


def _of_night(
    job: dict[str, Any],
    run: str,
    began: datetime.datetime,
    position: int,
    again: int,
    draw: random.Random,
) -> dict[str, Any]:
    slower = draw.gauss(1.0, SPREAD)
    timing = dict(job["timing"])
    for keys, factor in ((TIMES, slower), (RATES, 1 / slower)):
        timing.update({key: timing[key] * factor for key in keys if timing.get(key) is not None})
    return {
        **job,
        "timing": timing,
        "run": run,
        "id": hashlib.sha256(f"{run} {position}".encode()).hexdigest()[:16],
        "launch": job["launch"] + again,
        "position": position,
        "started_at": (began + datetime.timedelta(minutes=position)).isoformat(),
    }


class Measured(NamedTuple):
    """One execution of a command."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    lines: int


def tabulate(tree: Path, arguments: tuple[str, ...], cores: set[int]) -> Measured:
    """`report tables` on `tree` in a fresh process: times and memory of it and its children, lines
    printed.
    """
    command = [sys.executable, "-m", "report.cli", "tables", str(tree), *arguments]
    peaks: dict[int, int] = {}
    with tempfile.TemporaryFile() as out:
        before, begin = _cpu_of_children(), time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=out, preexec_fn=lambda: os.sched_setaffinity(0, cores)
        )
        while process.poll() is None:
            _note_peaks(process.pid, peaks)
            time.sleep(0.02)
        seconds = time.perf_counter() - begin
        out.seek(0)
        lines = sum(1 for _ in out)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Measured(seconds, _cpu_of_children() - before, sum(peaks.values()), lines)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _note_peaks(root: int, peaks: dict[int, int]) -> None:
    """The kernel's own peak (VmHWM) of every process of the tree, so that sampling misses little."""
    try:
        for process in (parent := psutil.Process(root), *parent.children(recursive=True)):
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peaks[process.pid] = max(peaks.get(process.pid, 0), int(line.split()[1]) * 1024)
    except (psutil.NoSuchProcess, OSError):
        return  # it ended meanwhile


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", type=Path, default=SOURCE, help="the run whose records are multiplied"
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--records", type=int, default=100, help="per run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--tree",
        type=Path,
        help="keep the tree here, or use the one that is (default: a temporary)",
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cores = set(sorted(os.sched_getaffinity(0))[: options.cores])
    with tempfile.TemporaryDirectory() as temporary:
        tree = options.tree or Path(temporary) / "results"
        if not tree.exists():
            generate(options.source, tree, options.runs, options.records, options.seed)
        files = list(tree.glob("*/jobs.jsonl"))
        result: dict[str, Any] = {
            "runs": len(files),
            "records": sum(
                path.read_bytes().count(b"\n") for path in files
            ),  # and the files are in the page cache
            "bytes": sum(path.stat().st_size for path in files),
            "source": options.source.name,
            "cores": len(cores),
            "python": platform.python_version(),
            "msgspec": metadata.version("msgspec")
            if find_spec("msgspec")
            else None,  # report.loading.lean is faster with it
            "load_before": os.getloadavg()[0],
            "repetitions": options.repeat,
            "commands": {},
        }
        for name, arguments in COMMANDS.items():
            measured = [tabulate(tree, arguments, cores) for _ in range(options.repeat)]
            result["commands"][name] = {
                "arguments": ["tables", "TREE", *arguments],
                "best_s": min(one.wall_s for one in measured),
                "median_s": statistics.median(one.wall_s for one in measured),
                "worst_s": max(one.wall_s for one in measured),
                "median_cpu_s": statistics.median(one.cpu_s for one in measured),
                "peak_rss_mb": max(one.peak_bytes for one in measured) / 1e6,
                "lines": measured[0].lines,
            }
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
