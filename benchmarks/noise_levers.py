"""What each lever against noise gives: one resident pair of jobs is taken through all of them, in
rounds, drawn order.

    python benchmarks/noise_levers.py configs/aa.yaml roberta-base-b8 --seconds 120 --json
    levers.json

The processes stay the same, so levers are compared on one replicate: turn lengths, which cores both
jobs may use (the same few, cores of their own, all of them), real-time priority, cores that never
halt. For each: sd of a pair's log ratio, the half-width that three minutes would give (batch means
of four neighbouring pairs), how often a turn was slow (over 1.5 times its arm's median per step)
and what the kernel's counters say of slow and of other turns. The step times by turn length show
whether short and long turns agree, and `switch` what the first step of a turn takes more than
those after it. With `--alone` one of the two goes on when the other has ended, in the same process:
what the mere presence of a partner costs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from harness.config import load_suite
from harness.interleaved import pinning as levers
from harness.interleaved.monitor import ResidentJob, Watch
from harness.interleaved.pair_replicate import cost_of_switching
from harness.interleaved.turns import MeasuredTurn
from harness.launcher.process import RunningJob
from harness.paths import cache_root
from harness.planning.hub import Hub
from harness.planning.plan import make_plan
from harness.runner.hub_or_builtin import resolve
from harness.schema.measurement import Interleaved

PRECISION_AT_S = 180.0
BATCH = 4  # neighbouring pairs
ROLES = ("baseline", "candidate")
ALONE_ROUNDS, ALONE_STEPS = 3, 64
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
    alike: bool = False  # the main thread on the first core, all others on the rest, in both jobs
    spread: bool = False  # every other core: in case neighbours are threads of one


LEVERS = (
    Lever("1 step"),
    Lever("threads alike", alike=True),
    Lever("2 steps", steps=2),
    Lever("4 steps", steps=4),
    Lever("8 steps", steps=8),
    Lever("64 steps", steps=64),  # as good as never waiting
    Lever("64 steps not pinned", steps=64, cores=0),
    Lever("1 step without lead-in", lead_in=0),
    Lever("one core", cores=1),
    Lever("four cores", cores=4),
    Lever("cores of their own", same_cores=False),
    Lever("not pinned", cores=0),
    Lever("real-time", realtime=True),
    Lever("awake", awake=True),
    Lever("every other core", spread=True),
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
    parser.add_argument(
        "--alone", choices=ROLES, help="then this one goes on without the other, pinned and not"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--json", type=Path)
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


@contextlib.contextmanager
def kept_awake(cores: Collection[int]) -> Iterator[None]:
    """Let none of these cores go idle: on each a process spins that yields to everything else
    (SCHED_IDLE, sched(7)).

    A step on a GPU is a chain of short waits; a core that halts in each of them wakes up late.
    """
    spin = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\n"
    spin += (
        "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile os.getppid() > 1: pass"
    )
    spinners = [
        subprocess.Popen([sys.executable, "-I", "-S", "-c", spin, str(core)])
        for core in sorted(cores)
    ]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def pull(lever: Lever, arms: list[ResidentJob], device: str) -> str:
    """Apply a lever to both jobs; why it could not be, or nothing."""
    settings = Interleaved(cores=lever.cores, same_cores=lever.same_cores)
    pinning = levers.assign(settings, device)
    everything = sorted(os.sched_getaffinity(0))
    refused = ""
    chosen = [pinning.baseline, pinning.candidate]
    if lever.spread:
        chosen = [everything[-2 * lever.cores :: 2]] * 2
    for arm, cores in zip(arms, chosen, strict=False):  # one of them may have ended
        main_threads = {process.pid for process in processes_below(arm.running.pid)}
        for thread in threads_below(arm.running.pid):
            allowed = cores or everything
            if lever.alike:
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
    lever: Lever, arms: list[ResidentJob], watch: Watch, seconds: float, draw: random.Random
) -> list[dict[str, Any]]:
    pairs: list[dict[str, Any]] = []
    spent = 0.0
    while spent < seconds or len(pairs) < 2:
        order = arms if draw.random() < 0.5 else arms[::-1]
        for arm in order:
            arm.go(lever.lead_in, lever.steps, counts=True)
            watch.until(lambda arm=arm: arm.turn is not None)
        pair = {}
        for role, arm in zip(ROLES, arms, strict=True):
            assert arm.turn is not None
            pair[role] = {
                "lead_in_s": list(arm.turn.lead_in_s),
                "timed_s": list(arm.turn.timed_s),
                **arm.host,
            }
            pair[role]["begin_ns"] = arm.begin_ns
            spent += arm.turn.seconds
        pairs.append(pair)
    return pairs


def go_on_alone(
    role: str, arms: list[ResidentJob], watch: Watch, device: str
) -> dict[str, list[float]]:
    """Ends the other job; seconds of each step of this one afterwards, with two cores and with all
    of them.
    """
    one, other = arms if role == ROLES[0] else arms[::-1]
    other.finish()
    watch.until(lambda: other.running.done, together=False)
    found: dict[str, list[float]] = {"pinned": [], "not pinned": []}
    for _ in range(ALONE_ROUNDS):
        for name, steps_s in found.items():
            pull(Lever(name, cores=2 if name == "pinned" else 0), [one], device)
            one.go(1, ALONE_STEPS, counts=True)
            watch.until(lambda: one.turn is not None, together=False)
            assert one.turn is not None
            steps_s += one.turn.timed_s
    return found


def summarise(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    ratios = [
        math.log(sum(p["baseline"]["timed_s"]) / sum(p["candidate"]["timed_s"])) for p in pairs
    ]
    seconds = [sum(sum(p[r]["lead_in_s"] + p[r]["timed_s"]) for r in ROLES) for p in pairs]
    batches = [ratios[i : i + BATCH] for i in range(0, len(ratios) - BATCH + 1, BATCH)]
    means = [statistics.fmean(batch) for batch in batches]
    found: dict[str, Any] = {
        "pairs": len(pairs),
        "seconds": sum(seconds),
        "sd_of_a_pair": statistics.stdev(ratios),
    }
    if len(means) > 1:
        variance = statistics.variance(means) / len(means)  # of the mean over `seconds`
        found["half_width_pp_at_180_s"] = 196 * math.sqrt(variance * sum(seconds) / PRECISION_AT_S)
    found["gain_percent"] = 100 * math.expm1(statistics.fmean(ratios))
    for role in ROLES:
        steps = [statistics.fmean(p[role]["timed_s"]) for p in pairs]
        middle = statistics.median(steps)
        slow = [p[role] for p, step in zip(pairs, steps, strict=True) if step > SLOW * middle]
        other = [p[role] for p, step in zip(pairs, steps, strict=True) if step <= SLOW * middle]
        lead_in = [s for p in pairs for s in p[role]["lead_in_s"]]
        found[role] = {
            "mean_step_ms": 1e3 * statistics.fmean(s for p in pairs for s in p[role]["timed_s"]),
            "median_step_ms": 1e3 * middle,
            "mean_lead_in_ms": 1e3 * statistics.fmean(lead_in) if lead_in else None,
            "slow_share": len(slow) / len(pairs),
            "switch": switch([p[role] for p in pairs]),
            "slow": counters(slow),
            "other": counters(other),
        }
    return found


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
    if len(jobs) != 2:
        sys.exit(f"{options.suite} has no one interleaved pair on a workload {options.workload!r}")
    sources = resolve(jobs, Hub(), None)
    draw = random.Random(0)
    measured: dict[str, list[dict[str, Any]]] = {lever.name: [] for lever in chosen}
    refusals: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stack.enter_context(
            levers.keep_off(levers.assign(Interleaved(cores=4), options.device).all)
        )
        arms = []
        for job in jobs:
            log = Path(folder) / f"{job.arm.name}.log"
            ready = sources.apply(job)
            arms.append(ResidentJob(ready, stack.enter_context(RunningJob(ready, log))))
        watch = stack.enter_context(
            Watch(arms, 600 + 3 * options.seconds, lambda job, event: None, lambda: "", None)
        )
        watch.until(lambda: all(arm.levers is not None for arm in arms))
        for _ in range(options.rounds):
            for lever in draw.sample(chosen, len(chosen)):
                if refused := pull(lever, arms, options.device):
                    refusals[f"{lever.name}: {refused}"] += 1
                    continue
                share = options.seconds / len(chosen) / options.rounds
                awake = (
                    levers.assign(Interleaved(cores=lever.cores), options.device).all
                    if lever.awake
                    else set()
                )
                with kept_awake(awake):
                    measured[lever.name] += take_turns(lever, arms, watch, share, draw)
        alone = go_on_alone(options.alone, arms, watch, options.device) if options.alone else {}
        for arm in arms:
            arm.finish()
        watch.until(lambda: all(arm.running.done for arm in arms), together=False)
    result = {}
    for lever in chosen:
        if pairs := measured[lever.name]:
            found = result[lever.name] = {"lever": asdict(lever), **summarise(pairs)}
            half = found.get("half_width_pp_at_180_s", math.nan)
            steps = [found[role]["mean_step_ms"] for role in ROLES]
            print(
                f"{lever.name:>20}: ±{half:5.2f} pp at {PRECISION_AT_S:g} s, sd of a pair "
                f"{found['sd_of_a_pair']:.3f}, "
                f"slow {found['baseline']['slow_share']:.0%}, steps {steps[0]:.2f} and "
                f"{steps[1]:.2f} ms, "
                f"gain {found['gain_percent']:+.1f}%, {found['pairs']} pairs in "
                f"{found['seconds']:.1f} s"
                + "".join(
                    f", switch {cost['ms']:+.2f} ± {1.96 * cost['standard_error_ms']:.2f} ms"
                    for cost in (found["baseline"]["switch"], found["candidate"]["switch"])
                    if cost
                )
            )
    for name, steps_s in alone.items():
        print(f"{options.alone} alone, {name}: {1e3 * statistics.fmean(steps_s):.2f} ms")
    for refused, times in refusals.items():
        print(f"not possible, {times} times: {refused}")
    if options.json:
        settings = {
            "suite": options.suite.name,
            "workload": options.workload,
            "rounds": options.rounds,
        }
        answer = {
            "settings": settings,
            "levers": result,
            "refused": dict(refusals),
            "pairs": measured,
        }
        answer["alone"] = {"role": options.alone, "step_s": alone}
        options.json.write_text(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
