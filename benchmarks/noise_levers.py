"""What each lever against noise gives: one resident group of identical arms is taken through all of
them, in rounds, drawn order.

    python benchmarks/noise_levers.py configs/aa.yaml roberta-base-b8 --seconds 300 --json
    levers.json

The processes stay the same, so levers are compared on one replicate: turn lengths, lead-in steps,
which cores the jobs may use (the same few, cores of their own, all of them), real-time priority,
cores that never halt, other cores that are busy. A round gives each arm a turn, in the rows of a
Williams design. For each lever: the half-width that 60 s of measuring would give (batch means of
four neighbouring rounds; mean over all pairs of arms), sd of a pair's log ratio, how often a turn
was slow (over 1.5 times its arm's median per step), what the first step of a turn takes more than
those after it, how long it takes to hand over from one arm to the next, how far neighbouring turns
and the ends of a turn correlate, and what the kernel's counters say of slow and of other turns.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from harness.config import load_suite
from harness.interleaved import pinning
from harness.interleaved.group import cost_of_switching
from harness.interleaved.monitor import Monitor, Observers, ResidentJob
from harness.interleaved.turns import MeasuredTurn, williams_design
from harness.launcher.process import RunningJob
from harness.paths import cache_root
from harness.planning.hub import Hub
from harness.planning.plan import make_plan
from harness.runner.hub_or_builtin import resolve
from harness.schema.measurement import Interleaved

PRECISION_AT_S = 60.0
BATCH = 4  # neighbouring rounds
SLOW = 1.5


@dataclass(frozen=True)
class Lever:
    name: str
    steps: int = 1
    lead_in: int = 1
    cores: int = 2  # 0: all
    same_cores: bool = True
    realtime: bool = False
    awake: bool = False
    neighbours_busy: bool = False  # all cores that the jobs do not use
    alike: bool = True  # all main threads on the first core, all other threads on the rest


LEVERS = (
    Lever("1 step"),
    Lever("2 steps", steps=2),
    Lever("4 steps", steps=4),
    Lever("1 step without lead-in", lead_in=0),
    Lever("2 steps without lead-in", steps=2, lead_in=0),
    Lever("4 steps without lead-in", steps=4, lead_in=0),
    Lever("main threads on either core", alike=False),
    Lever("cores of their own", same_cores=False),
    Lever("cores of their own without lead-in", same_cores=False, lead_in=0),
    Lever("one core", cores=1),
    Lever("four cores", cores=4),
    Lever("not pinned", cores=0, alike=False),
    Lever("real-time", realtime=True),
    Lever("awake", awake=True),
    Lever("neighbours busy", neighbours_busy=True),
)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", type=Path, help="of the interleaved protocol")
    parser.add_argument("workload")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as for `harness run`"
    )
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="measured, all levers together"
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--levers", help="comma-separated names; default: all")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--json", type=Path, help="file that takes the figures")
    parser.add_argument("--turns", type=Path, help="file that takes every turn, as JSON")
    return parser.parse_args()


def processes_below(pid: int) -> list[psutil.Process]:
    """A supervisor and its worker; the worker's own children load data, on other cores."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children()]
    except psutil.Error:
        return []


def threads_below(pid: int) -> Iterator[int]:
    """Every thread of a supervisor and of its worker."""
    with contextlib.suppress(psutil.Error):
        for one in processes_below(pid):
            yield from (thread.id for thread in one.threads())


def pull(lever: Lever, arms: list[ResidentJob], device: str) -> str:
    """Apply a lever to all jobs; why it could not be, or nothing."""
    settings = Interleaved(cores=lever.cores, same_cores=lever.same_cores)
    everything = sorted(os.sched_getaffinity(0))
    refused = ""
    for arm, cores in zip(arms, pinning.assign(settings, device, len(arms)), strict=True):
        main_threads = {process.pid for process in processes_below(arm.running.pid)}
        for thread in threads_below(arm.running.pid):
            allowed = cores or everything
            if lever.alike and len(allowed) > 1:
                allowed = allowed[:1] if thread in main_threads else allowed[1:]
            policy, priority = (os.SCHED_FIFO, 1) if lever.realtime else (os.SCHED_OTHER, 0)
            try:
                os.sched_setaffinity(thread, allowed)
                os.sched_setscheduler(thread, policy, os.sched_param(priority))
            except ProcessLookupError:
                continue
            except OSError as error:
                refused = error.strerror or str(error)
    return refused


def take_turns(
    lever: Lever, arms: list[ResidentJob], monitor: Monitor, seconds: float, draw: random.Random
) -> list[list[dict[str, Any]]]:
    """Rounds of turns, for so many seconds of steps; of each, what every arm did."""
    rounds: list[list[dict[str, Any]]] = []
    rows: list[tuple[int, ...]] = []
    spent = 0.0
    while spent < seconds or rows:
        if not rows:
            rows = williams_design(len(arms))
            draw.shuffle(rows)
        for index in rows.pop():
            arm = arms[index]
            arm.go(lever.lead_in, lever.steps, counts=True)
            monitor.until(partial(has_had_its_turn, arm))
        found = []
        for arm in arms:
            assert arm.turn is not None
            turn = {"lead_in_s": list(arm.turn.lead_in_s), "timed_s": list(arm.turn.timed_s)}
            found.append({**turn, **arm.host, "begin_ns": arm.begin_ns})
            spent += arm.turn.seconds
        rounds.append(found)
    return rounds


def has_had_its_turn(arm: ResidentJob) -> bool:
    return arm.turn is not None


def hand_over_s(rounds: list[list[dict[str, Any]]]) -> float:
    """Median seconds from the last step of a turn to the first step of the next."""
    turns = sorted((turn for found in rounds for turn in found), key=lambda turn: turn["begin_ns"])
    gaps = [
        (after["begin_ns"] - before["begin_ns"]) / 1e9
        - math.fsum(before["lead_in_s"] + before["timed_s"])
        for before, after in itertools.pairwise(turns)
    ]
    return statistics.median(gaps)


def half_width_pp(ratios: list[float], seconds: float) -> float:
    """Of the gain of equal arms after PRECISION_AT_S, from log ratios measured in `seconds`."""
    batches = [ratios[i : i + BATCH] for i in range(0, len(ratios) - BATCH + 1, BATCH)]
    if len(batches) < 2:
        return math.nan
    variance = statistics.variance(map(statistics.fmean, batches)) / len(batches)
    return 196 * math.sqrt(variance * seconds / PRECISION_AT_S)


def summarise(names: list[str], rounds: list[list[dict[str, Any]]]) -> dict[str, Any]:
    per_arm = [
        [math.log(math.fsum(found[arm]["timed_s"])) for found in rounds]
        for arm in range(len(names))
    ]
    seconds = math.fsum(
        math.fsum(turn["lead_in_s"] + turn["timed_s"]) for found in rounds for turn in found
    )
    pairs = {}
    for a, b in itertools.combinations(range(len(names)), 2):
        ratios = [x - y for x, y in zip(per_arm[a], per_arm[b], strict=True)]
        pairs[f"{names[b]} over {names[a]}"] = {
            "sd": statistics.stdev(ratios),
            "half_width_pp_at_60_s": half_width_pp(ratios, seconds),
            "gain_percent": 100 * math.expm1(statistics.fmean(ratios)),
        }
    found: dict[str, Any] = {
        "rounds": len(rounds),
        "seconds": seconds,
        "hand_over_ms": 1e3 * hand_over_s(rounds),
        "half_width_pp_at_60_s": statistics.fmean(
            pair["half_width_pp_at_60_s"] for pair in pairs.values()
        ),
        "sd_of_a_pair": statistics.fmean(pair["sd"] for pair in pairs.values()),
        "correlation": correlations(rounds),
        "pairs": pairs,
        "arms": {},
    }
    for index, name in enumerate(names):
        turns = [each[index] for each in rounds]
        steps = [statistics.fmean(turn["timed_s"]) for turn in turns]
        middle = statistics.median(steps)
        slow = [turn for turn, step in zip(turns, steps, strict=True) if step > SLOW * middle]
        other = [turn for turn, step in zip(turns, steps, strict=True) if step <= SLOW * middle]
        found["arms"][name] = {
            "mean_step_ms": 1e3 * statistics.fmean(steps),
            "median_step_ms": 1e3 * middle,
            "slow_share": len(slow) / len(turns),
            "switch": switch(turns),
            "slow": counters(slow),
            "other": counters(other),
        }
    return found


def correlations(rounds: list[list[dict[str, Any]]]) -> dict[str, float | None]:
    """How long the host stays fast or slow: correlation of the log seconds per step of neighbouring
    turns (of two arms, each about its mean), and of a turn's first and last step.
    """
    by_arm = list(zip(*rounds, strict=True))
    neighbours: list[tuple[int, float]] = []
    first: list[float] = []
    last: list[float] = []
    for turns in by_arm:
        steps = [[*turn["lead_in_s"], *turn["timed_s"]] for turn in turns]
        logs = [math.log(statistics.fmean(turn["timed_s"])) for turn in turns]
        middle = statistics.fmean(logs)
        neighbours += [
            (turn["begin_ns"], log - middle) for turn, log in zip(turns, logs, strict=True)
        ]
        if len(steps[0]) > 1:
            ends = [(math.log(each[0]), math.log(each[-1])) for each in steps]
            means = [statistics.fmean(column) for column in zip(*ends, strict=True)]
            first += [one - means[0] for one, _ in ends]
            last += [other - means[1] for _, other in ends]
    in_time = [log for _, log in sorted(neighbours)]
    return {
        "of_neighbouring_turns": statistics.correlation(in_time[:-1], in_time[1:]),
        "of_first_and_last_step": statistics.correlation(first, last) if first else None,
    }


def switch(turns: list[dict[str, Any]]) -> dict[str, float] | None:
    """What the first step of a turn takes more than the others of the turn; null for turns of one
    step.
    """
    mean_s, error_s = cost_of_switching(
        [MeasuredTurn(turn["lead_in_s"], turn["timed_s"]) for turn in turns]
    )
    if mean_s is None or error_s is None:
        return None
    return {"ms": 1e3 * mean_s, "standard_error_ms": 1e3 * error_s}


def counters(turns: list[dict[str, Any]]) -> dict[str, float]:
    """Mean of each counter per turn."""
    names = sorted(
        {name for turn in turns for name, value in turn.items() if isinstance(value, float)}
    )
    return {name: statistics.fmean(turn.get(name, 0.0) for turn in turns) for name in names}


def main() -> None:
    options = parse()
    chosen = [
        lever
        for lever in LEVERS
        if options.levers is None or lever.name in options.levers.split(",")
    ]
    suite = load_suite(
        options.suite, [*options.set, "measurement.replicates=1", "measurement.parity=null"]
    )
    plan = make_plan(suite, device=options.device, cache_dir=cache_root())
    jobs = [job for job in plan.jobs if job.workload.name == options.workload and job.group]
    if len(jobs) < 2:
        sys.exit(f"{options.suite} has no interleaved group on a workload {options.workload!r}")
    names = [job.arm.name for job in jobs]
    sources = resolve(jobs, Hub(), None)
    draw = random.Random(0)
    measured: dict[str, list[list[dict[str, Any]]]] = {lever.name: [] for lever in chosen}
    refusals: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        arms = []
        for job in jobs:
            log = Path(folder) / f"{job.arm.name}.log"
            ready = sources.apply(job)
            arms.append(ResidentJob(ready, stack.enter_context(RunningJob(ready, log)), log))
        available = os.sched_getaffinity(0)
        shared = pinning.assign(Interleaved(), options.device, len(jobs))
        stack.enter_context(pinning.keep_off({core for cores in shared for core in cores or ()}))
        pairs = list(itertools.combinations(names, 2))
        observers = Observers(stop_reason=lambda: "", on_event=lambda job, event: None)
        limit_s = 600 + 3 * options.seconds
        monitor = stack.enter_context(Monitor(arms, pairs, limit_s, observers))
        for arm in arms:
            arm.begin()
        monitor.until(lambda: all(arm.levers is not None for arm in arms))
        for _ in range(options.rounds):
            for lever in draw.sample(chosen, len(chosen)):
                if refused := pull(lever, arms, options.device):
                    refusals[f"{lever.name}: {refused}"] += 1
                    continue
                share = options.seconds / len(chosen) / options.rounds
                cores = set(
                    pinning.assign(Interleaved(cores=lever.cores), options.device, 1)[0] or ()
                )
                busy = cores if lever.awake else set()
                if lever.neighbours_busy:
                    busy |= available - cores
                with pinning.kept_awake(busy) as spinners:
                    if refused := spinners.begin():
                        refusals[f"{lever.name}: {refused}"] += 1
                        continue
                    measured[lever.name] += take_turns(lever, arms, monitor, share, draw)
        for arm in arms:
            arm.finish()
        monitor.until(lambda: all(arm.running.done for arm in arms), together=False)
    result = {
        lever.name: {"lever": asdict(lever), **summarise(names, rounds)}
        for lever in chosen
        if (rounds := measured[lever.name])
    }
    for name, found in result.items():
        print(
            f"{name:>35}: ±{found['half_width_pp_at_60_s']:5.2f} pp after {PRECISION_AT_S:g} s, "
            f"sd of a pair {found['sd_of_a_pair']:.3f}, neighbouring turns correlate by "
            f"{found['correlation']['of_neighbouring_turns']:.2f}, "
            f"hand-over {found['hand_over_ms']:.1f} ms, "
            f"{found['rounds']} rounds in {found['seconds']:.1f} s, steps of "
            + " ".join(f"{arm['mean_step_ms']:.2f}" for arm in found["arms"].values())
            + " ms"
        )
    for refused, times in refusals.items():
        print(f"not possible, {times} times: {refused}")
    if options.json:
        settings = {
            "suite": options.suite.name,
            "workload": options.workload,
            "rounds": options.rounds,
        }
        answer = {"settings": settings, "levers": result, "refused": dict(refusals)}
        options.json.write_text(json.dumps(answer, indent=1) + "\n")
    if options.turns:
        options.turns.write_text(json.dumps(measured) + "\n")


if __name__ == "__main__":
    main()
