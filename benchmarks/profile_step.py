"""Why a gain is what it is: kernels, GPU busy time and wall time per training step of each arm of a
workload.

    python benchmarks/profile_step.py configs/glue-sst2-b128.yaml roberta-base-sst2 --json
    profile.json

Each arm of the harness's own stack trains alone in a fresh process, by the harness's own worker
code; `torch.profiler` (CUPTI) sees every kernel of the process, ONNX Runtime's too. Busy is the
union of kernel and copy intervals, so overlapping streams do not count twice. Kernels are told
apart into kinds by their names, so that the time by kind sums up to the time of all kernels. Wall
time is taken from steps before the profiler started: it slows the host down. Needs a GPU.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
BEFORE, PROFILED = 40, 10  # steps


# The first pattern that a kernel's name holds, without regard to case, is its kind.
KINDS = {
    "copies and casts": r"memcpy|memset|copy_kernel|copy_device|cast",
    "optimizer": r"multi_tensor_apply|foreach|adam",
    "attention, softmax": r"flash|fmha|attention|softmax",
    "matrix products": r"gemm|cutlass|xmma|cublas|nvjet|splitk",
    "normalization": r"layer_?norm",
    "dropout": r"dropout|philox",
    "compiled (Triton)": r"^triton_",
    "reductions": r"reduce",
    "elementwise": r"elementwise|vectorized|unrolled|gelu|bias",
}


def kind_of(kernel: str) -> str:
    """The kind of a kernel or copy, by its name."""
    for kind, pattern in KINDS.items():
        if re.search(pattern, kernel, re.IGNORECASE):
            return kind
    return "other"


class Silent:
    """A channel that nobody listens to."""

    def send(self, event: str, **fields: Any) -> None:
        pass


def busy_us(intervals: list[tuple[float, float]]) -> float:
    """Length of the union of (begin, end) intervals."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def profile_here(spec_file: Path) -> dict[str, Any]:
    """Train one job in this process and profile its last steps."""
    import os

    from harness.schema.job import JobSpec
    from harness.worker import backends

    spec = JobSpec.model_validate_json(spec_file.read_text())
    backend = backends.get(spec.arm.backend)(spec)
    os.environ.update(backend.environment())
    import torch
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile
    from transformers import TrainerCallback

    from harness.worker.job import Built, Job, Loaded, Prepared

    class Profiler(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.profile: Any = None

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == BEFORE:
                torch.cuda.synchronize()
                self.profile = profile(activities=[ProfilerActivity.CUDA])
                self.profile.start()
            elif state.global_step == BEFORE + PROFILED:
                torch.cuda.synchronize()
                self.profile.stop()

    class Profiled(Job):
        def prepare(self, loaded: Loaded, built: Built, folder: Path) -> Prepared:
            prepared = super().prepare(loaded, built, folder)
            self.profiler = Profiler()
            prepared.trainer.add_callback(self.profiler)
            return prepared

    job = Profiled(spec, backend, Silent())  # type: ignore[arg-type]
    job.run()
    assert job.prepared is not None
    durations = job.prepared.clock.durations_s()[BEFORE // 2 : BEFORE]
    events = [e for e in job.profiler.profile.events() if e.device_type == DeviceType.CUDA]
    busy = busy_us([(e.time_range.start, e.time_range.end) for e in events])
    seconds: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for e in events:
        milliseconds = e.time_range.elapsed_us() / 1e3 / PROFILED
        seconds[e.name[:90]] += milliseconds
        kinds[kind_of(e.name)] += milliseconds
    return {
        "arm": spec.arm.name,
        "wall_ms_per_step": 1e3 * sum(durations) / len(durations),
        "gpu_busy_ms_per_step": busy / 1e3 / PROFILED,
        "kernels_and_copies_per_step": len(events) / PROFILED,
        "kinds_ms_per_step": dict(kinds.most_common()),
        "top_ms_per_step": dict(seconds.most_common(12)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", type=Path)
    parser.add_argument("workload", nargs="?")
    parser.add_argument("--arms", help="comma-separated; default: all")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.workload is None:  # the child
        print(json.dumps(profile_here(arguments.suite)))
        return
    from harness.config import load_suite
    from harness.paths import cache_root
    from harness.planning.plan import make_plan

    alone = ["measurement.replicates=1", "measurement.adaptive=null", "measurement.parity=null"]
    suite = load_suite(arguments.suite, alone)
    plan = make_plan(suite, device="cuda", cache_dir=cache_root())
    found = []
    for job in plan.jobs:
        if job.workload.name != arguments.workload or job.parity_run or job.arm.stack != "ort":
            continue
        if arguments.arms and job.arm.name not in arguments.arms.split(","):
            continue
        ready = job.alone().with_sources(data="synthetic", weights="random")
        training = ready.workload.training.replace(max_steps=BEFORE + PROFILED)
        ready = ready.replace(workload=ready.workload.replace(training=training))
        with tempfile.NamedTemporaryFile("w", suffix=".json") as spec:
            spec.write(ready.model_dump_json())
            spec.flush()
            done = subprocess.run(
                [sys.executable, __file__, spec.name], stdout=subprocess.PIPE, text=True, check=True
            )
        found.append(json.loads(done.stdout.strip().splitlines()[-1]))
        one = found[-1]
        print(
            f"{one['arm']:>16}: {one['wall_ms_per_step']:7.2f} ms wall, "
            f"{one['gpu_busy_ms_per_step']:7.2f} ms GPU busy, "
            f"{one['kernels_and_copies_per_step']:6.0f} kernels and copies per step",
            flush=True,
        )
    if not found:
        sys.exit(f"no workload {arguments.workload!r} in {arguments.suite}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
