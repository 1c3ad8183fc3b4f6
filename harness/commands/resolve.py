"""From the words of a command line to the suite, the device and the plan that they mean."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from harness.commands.options import DEFAULT_SUITES, SuiteRequest
from harness.config import Suite, load_suite
from harness.config.selection import only_pairs
from harness.errors import BenchError
from harness.paths import CHECKOUT, cache_root
from harness.planning.plan import Plan, make_plan
from harness.runner.fitting import check_models
from harness.runner.preflight import fix_of_lost
from harness.schema.terms import suite_now
from harness.setup.stacks import interpreters
from harness.telemetry.nvml import look_at_cards

Device = Literal["cpu", "cuda"]
VISIBLE = "CUDA_VISIBLE_DEVICES"


def find_suite(given: str | None, device: Device) -> Path:
    """The file of a suite: a path, or a name in configs/ here or in the checkout. Default: the
    device's of DEFAULT_SUITES.

    A name that is no file's may lack its end, -cpu or -gpu by the device: `matrix` is
    matrix-cpu.yaml on a CPU. Of a suite that was renamed, the old name finds the new file, and a
    note on stderr says so.
    """
    name = given or DEFAULT_SUITES[device]
    if (now := suite_now(Path(name).stem)) != Path(name).stem and not Path(name).is_file():
        print(f"note: the suite `{Path(name).stem}` is called `{now}` now", file=sys.stderr)
        name = str(Path(name).with_name(now + Path(name).suffix))
    candidates = [Path(name)] if name.endswith((".yaml", ".yml")) or "/" in name else []
    names = (Path(name).stem, f"{Path(name).stem}-{'gpu' if device == 'cuda' else 'cpu'}")
    candidates += [
        folder / f"{stem}.yaml"
        for stem in names
        for folder in (Path("configs"), CHECKOUT / "configs")
    ]
    only_the_path = given is not None and "/" in given
    return next(
        (c for c in candidates[: 1 if only_the_path else None] if c.is_file()), candidates[0]
    )


def find_device(asked: str, *, must_answer: bool = True) -> Device:
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
        fix = (
            f"`nvidia-smi` must list the cards: load the driver anew, or restart the host; {on_cpu}"
        )
        raise BenchError(
            f"the NVIDIA driver tells of no card: {seen.failure}", place=place, fix=fix
        )
    if unknown := [problem for problem in seen.problems if seen.driver and visible]:
        there = ", ".join(str(gpu.index) for gpu in look_at_cards(None).gpus)
        fix = f"a card that is there ({there or 'none is'}), or unset {VISIBLE}; {on_cpu}"
        said = "; ".join(problem.removeprefix(f"{VISIBLE}: ") for problem in unknown)
        raise BenchError(said, place=f"{VISIBLE}={visible}", fix=fix)
    if asked == "cuda":
        why = (
            f"{VISIBLE} is {visible!r}, which hides every card"
            if seen.hidden
            else "; ".join(seen.problems)
        )
        fix = f"unset {VISIBLE}" if seen.hidden else "`nvidia-smi` must list one"
        raise BenchError(f"no NVIDIA GPU answers on this host ({why})", place=place, fix=fix)
    return "cpu"


def missing_cards() -> list[str]:
    """What to say of cards that do not answer, or are not there, although others are."""
    seen = look_at_cards(os.environ.get(VISIBLE))
    said = [f"{gpu} ({fix_of_lost(gpu, seen.gpus)})" for gpu in seen.lost]
    said += [f"{gpu} ({VISIBLE} leaves it out)" for gpu in seen.lost_elsewhere]
    return said + [problem for problem in seen.problems if problem.startswith(f"{VISIBLE}: ")]


def load_plan(request: SuiteRequest, *, must_answer: bool = True) -> tuple[Suite, Plan, Path]:
    """The suite, its plan, and the file that it stands in.

    Args:
        request: What is asked for.
        must_answer: Whether the device and the interpreters of the stacks must be there.

    Raises:
        BenchError: The suite, the device or a stack is none that can be used.
    """
    device = find_device(request.device, must_answer=must_answer)
    file = find_suite(request.suite, device)
    suite = load_suite(file, request.overrides)
    if request.pairs:
        suite = only_pairs(suite, request.pairs)
    stacks = interpreters(suite, request.stacks, must_exist=must_answer)
    planned = make_plan(suite, device=device, cache_dir=cache_root(), stacks=stacks)
    check_models(planned)
    return suite, planned, file


def check_folders(results: Path) -> None:
    """Raises BenchError if what the command itself writes to cannot be written; the runner looks at
    all of it.
    """
    from harness.runner import preflight

    preflight.enforce(
        preflight.unwritable(preflight.places(results, "--results", cache_root(), "cpu"))
    )


def what_the_device_cannot(plan: Plan) -> str:
    """Why no job of the plan's kind can work on its device; empty if they can."""
    for job in plan.jobs:
        precision = job.workload.training.precision
        if job.device == "cpu" and precision != "fp32":
            return f"workload {job.workload.name} trains in {precision}, which needs a GPU"
        if job.device == "cpu" and job.inference is not None and job.inference.precision == "fp16":
            return "measurement.inference.precision is fp16, which needs a GPU"
    return ""
