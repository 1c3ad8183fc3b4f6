"""What the subcommands of `harness` do."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Literal

from harness.config import Suite, load_suite
from harness.config.selection import only_pairs
from harness.errors import BenchError
from harness.files import write_text
from harness.guard import fix_of_lost
from harness.plan import Plan, check_lengths, make_plan
from harness.setup.stack import cache_root
from harness.stacks import interpreters
from harness.telemetry.nvml import look_at_cards

CHECKOUT = Path(__file__).resolve().parents[1]
Device = Literal["cpu", "cuda"]
VISIBLE = "CUDA_VISIBLE_DEVICES"
MOST_MINUTES = 366 * 24 * 60  # of a night: what is longer is a slip of the keyboard


def find_suite(given: str | None, device: Device) -> Path:
    """The file of a suite: a path, or a name in configs/ here or in the checkout. Default: what fits the device.

    A name that is no file's may lack its end, -cpu or -gpu by the device: `matrix` is matrix-cpu.yaml on a CPU.
    """
    name = given or ("glue-sst2" if device == "cuda" else "smoke")
    candidates = [Path(name)] if name.endswith((".yaml", ".yml")) or "/" in name else []
    names = (Path(name).stem, f"{Path(name).stem}-{'gpu' if device == 'cuda' else 'cpu'}")
    candidates += [folder / f"{stem}.yaml" for stem in names for folder in (Path("configs"), CHECKOUT / "configs")]
    only_the_path = given is not None and "/" in given
    return next((c for c in candidates[: 1 if only_the_path else None] if c.is_file()), candidates[0])


def find_device(asked: str, must_answer: bool = True) -> Device:
    """`auto` is cuda where a card answers that CUDA_VISIBLE_DEVICES shows, and cpu where there is
    no card, or the variable hides all of them.

    BenchError: `cuda` must answer and does not; of `auto` too, if no visible card answers although
    there should be one: what is meant for a GPU must not quietly become a run on the CPU.
    """
    if asked == "cpu" or (asked == "cuda" and not must_answer):
        return asked  # type: ignore[return-value]  # narrowed by argparse's choices
    visible = os.environ.get(VISIBLE)
    seen = look_at_cards(visible)
    if seen.gpus:
        return "cuda"
    place, on_cpu = f"--device {asked}", "or --device cpu"
    if seen.lost:
        fix = f"{fix_of_lost(seen.lost[0], look_at_cards(None).gpus)}; {on_cpu}"
        raise BenchError("; ".join(map(str, seen.lost)), place=place, fix=fix)
    if seen.failure:
        fix = f"`nvidia-smi` must list the cards: load the driver anew, or restart the host; {on_cpu}"
        raise BenchError(f"the NVIDIA driver tells of no card: {seen.failure}", place=place, fix=fix)
    if unknown := [problem for problem in seen.problems if seen.driver and visible]:
        there = ", ".join(str(gpu.index) for gpu in look_at_cards(None).gpus)
        fix = f"a card that is there ({there or 'none is'}), or unset {VISIBLE}; {on_cpu}"
        said = "; ".join(problem.removeprefix(f"{VISIBLE}: ") for problem in unknown)
        raise BenchError(said, place=f"{VISIBLE}={visible}", fix=fix)
    if asked == "cuda":
        why = f"{VISIBLE} is {visible!r}, which hides every card" if seen.hidden else "; ".join(seen.problems)
        fix = f"unset {VISIBLE}" if seen.hidden else "`nvidia-smi` must list one"
        raise BenchError(f"no NVIDIA GPU answers on this host ({why})", place=place, fix=fix)
    return "cpu"


def _missing_cards() -> list[str]:
    """What to say of cards that do not answer, or are not there, although others are."""
    seen = look_at_cards(os.environ.get(VISIBLE))
    said = [f"{gpu} ({fix_of_lost(gpu, seen.gpus)})" for gpu in seen.lost]
    said += [f"{gpu} ({VISIBLE} leaves it out)" for gpu in seen.lost_elsewhere]
    return said + [problem for problem in seen.problems if problem.startswith(f"{VISIBLE}: ")]


def _load(arguments: argparse.Namespace, must_answer: bool = True) -> tuple[Suite, Plan, Path]:
    device = find_device(arguments.device, must_answer)
    file = find_suite(arguments.suite, device)
    suite = load_suite(file, arguments.set)
    if arguments.pairs:
        suite = only_pairs(suite, arguments.pairs)
    stacks = interpreters(suite, arguments.stack, must_exist=must_answer)
    planned = make_plan(suite, device=device, cache_dir=cache_root(), stacks=stacks)
    check_lengths(planned)
    return suite, planned, file


def run(arguments: argparse.Namespace) -> int:
    """Run or resume a suite, then print its tables. 0: every pair has a result; 1: not every pair has."""
    _, plan, _ = _load(arguments)
    if reason := _what_this_device_cannot(plan):
        raise BenchError(
            reason,
            place=plan.suite,
            fix="fp32 there (--set training.precision=fp32), or a host whose NVIDIA driver answers",
        )
    from harness import runner

    outcome = runner.run(
        plan,
        arguments.results,
        run_name=arguments.run_name,
        fresh=arguments.new,
        retry_failed=arguments.retry_failed,
        resume_command=_resume_command(arguments),
        allow_shared_gpu=arguments.allow_shared_gpu,
    )
    if not arguments.no_tables and not outcome.interrupted:
        print()
        sys.stdout.flush()
        # The report is a program of its own: it reads what was written, and knows nothing of the harness.
        view = ["--view", arguments.view] if arguments.view else []
        subprocess.run([sys.executable, "-m", "report.cli", "tables", str(outcome.folder), *view], check=False)
    return outcome.exit_code


def submit(arguments: argparse.Namespace) -> int:
    """Submit a suite to a cluster. 0: submitted, or every part complete where that was waited for; 1: not all are."""
    from harness.slurm import submit as submit_plan

    slurm = arguments.executor == "slurm"
    if arguments.device == "auto" and slurm:
        arguments.device = "cuda"  # the node that submits has no card to look at
    _, plan, file = _load(arguments, must_answer=not slurm)
    _check_folders(arguments)
    words = ["run", str(file.resolve()), "--device", plan.jobs[0].device]
    words += [word for override in arguments.set for word in ("--set", override)]
    words += [word for stack in arguments.stack for word in ("--stack", stack)]
    words += ["--allow-shared-gpu"] if arguments.allow_shared_gpu else []
    options = dict(_key_value(option) for option in arguments.slurm)
    folder, complete = submit_plan(
        plan,
        arguments.results,
        words,
        executor=arguments.executor,
        run_name=arguments.run_name,
        fresh=arguments.new,
        wait=arguments.wait,
        minutes=arguments.minutes,
        options=options,
    )
    if complete:
        sys.stdout.flush()
        subprocess.run([sys.executable, "-m", "report.cli", "tables", str(folder)], check=False)
    elif slurm and not arguments.wait:
        print(f"results: {folder}; the same command goes on with what does not finish")
        return 0
    else:
        print(f"{folder}: not every part is complete; the same command goes on with them")
    return 0 if complete else 1


def _check_folders(arguments: argparse.Namespace) -> None:
    """Raises BenchError if what the command itself writes to cannot be written; the runner looks at all of it."""
    from harness import guard

    guard.enforce(guard.unwritable(guard.places(arguments.results, "--results", cache_root(), "cpu")))


def _key_value(option: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals or not key:
        raise BenchError("needs KEY=VALUE", place=f"--slurm {option}", fix="for example --slurm partition=gpu")
    return key.replace("-", "_"), value


def nightly(arguments: argparse.Namespace) -> int:
    """One night. 0: nothing worse; 1: a regression; 2: could not judge or deliver; 130: interrupted."""
    from harness.nightly.lock import night_lock
    from harness.nightly.night import Settings, run_nights
    from harness.runner import Stop

    if not 0 < arguments.budget_minutes <= MOST_MINUTES:
        place = f"--budget-minutes {arguments.budget_minutes:g}"
        raise BenchError(f"needs a number above 0, {MOST_MINUTES} at most", place=place, fix="480")
    suite, planned, _ = _load(arguments, must_answer=False)
    _check_folders(arguments)
    options = [arguments.suite] if arguments.suite else []
    options += [word for override in arguments.set for word in ("--set", override)]
    options += [word for stack in arguments.stack for word in ("--stack", stack)]
    settings = Settings(
        results=arguments.results,
        suite=suite.suite,
        config_sha256=planned.config_sha256,
        bench_options=[*options, "--device", arguments.device],
        channels=arguments.channel or ["email"],
        budget_minutes=arguments.budget_minutes,
        pairs=arguments.pairs,
        check_options=["--acknowledged", str(arguments.acknowledged)] if arguments.acknowledged else [],
    )
    with Stop() as stop, night_lock(arguments.lock or cache_root() / "nightly.lock") as lock_fd:
        return run_nights(settings, stop, lock_fd)


def _resume_command(arguments: argparse.Namespace) -> str:
    words = ["harness", "run", *([arguments.suite] if arguments.suite else [])]
    for override in arguments.set:
        words += ["--set", override]
    for pair in arguments.pairs:
        words += ["--pairs", pair]
    for stack in arguments.stack:
        words += ["--stack", stack]
    for option, value, default in (
        ("--device", arguments.device, "auto"),
        ("--results", str(arguments.results), "results"),
        ("--run", arguments.run_name, None),
    ):
        words += [option, value] if value != default else []
    return shlex.join([*words, *(["--allow-shared-gpu"] if arguments.allow_shared_gpu else [])])


def _what_this_device_cannot(plan: Plan) -> str:
    """Why no job of the plan's kind can work on its device; empty if they can."""
    for job in plan.jobs:
        precision = job.workload.training.precision
        if job.device == "cpu" and precision != "fp32":
            return f"workload {job.workload.name} trains in {precision}, which needs a GPU"
        if job.device == "cpu" and job.inference is not None and job.inference.precision == "fp16":
            return "measurement.inference.precision is fp16, which needs a GPU"
    return ""


def plan(arguments: argparse.Namespace) -> int:
    """Print what a suite would run, in order, and about how long it takes."""
    from harness.estimate import estimate_s
    from harness.outline import outline

    suite, planned, file = _load(arguments, must_answer=False)
    if arguments.json:
        for job in planned.jobs:
            print(job.model_dump_json(exclude={"cache_dir"}))
        return 0
    print(f"{suite.suite} ({file}): {suite.description}")
    print(outline(planned, suite.measurement))
    for said in _missing_cards() if planned.jobs[0].device == "cuda" else ():
        print(f"\nwarning: {said}")
    if reason := _what_this_device_cannot(planned):
        print(f"\nthis device cannot run it: {reason}")
        return 0
    seconds, from_runs, count = estimate_s(planned.jobs, arguments.results, suite.suite, planned.blocks.seconds)
    basis = f"{from_runs} of {count} jobs from earlier runs" if from_runs else "a rough guess: no earlier run here"
    at_most = "at most " if planned.adaptive is not None else ""
    print(f"\nestimated time: {at_most}{_duration(seconds)} ({basis})")
    return 0


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60:02} min" if hours else f"{rest // 60} min {rest % 60:02} s"


def doctor(arguments: argparse.Namespace) -> int:
    """Print every check as it is made. 0: ready (warnings may stand); 1: some check failed."""
    from harness.doctor import examine
    from harness.host import describe_host

    marks = {"ok": "ok     ", "warning": "WARNING", "failure": "FAILURE"}
    failed = False
    for check in examine(describe_host(), arguments.results):
        failed |= check.level == "failure"
        print(f"{marks[check.level]}  {check.name}: {check.detail}", flush=True)
        if check.fix:
            print(f"           fix: {check.fix}")
    return 1 if failed else 0


def schema(arguments: argparse.Namespace) -> int:
    """Print or write the JSON schema of suites (draft 2020-12)."""
    from harness.config.schema import suite_schema

    text = json.dumps(suite_schema(), indent=2) + "\n"
    if arguments.output:
        write_text(arguments.output, text)
    else:
        print(text, end="")
    return 0


def train(arguments: argparse.Namespace) -> int:
    """One job by hand."""
    from harness.by_hand import train as train_by_hand

    return train_by_hand(arguments, find_device(arguments.device), cache_root())
