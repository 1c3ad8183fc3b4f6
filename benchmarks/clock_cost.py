"""What the harness's clock costs: a bare `transformers.Trainer` and an instrumented job, same
workload, in turn.

    python benchmarks/clock_cost.py --pairs 12 --steps 60 --json clock.json

One process trains the same model on the same data again and again, bare and instrumented in ABBA
order (the first order drawn by seed); both are built by the worker's own code, and instrumented
means everything the worker adds: the step clock, raw losses, data order, progress events over a
real socket. Compared is `train_runtime` as Trainer prints it. Printed: the median ratio
instrumented / bare over pairs, and the mean ratio with Student's 95% interval over pairs.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import random
import socket
import statistics
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.config import load_suite
from harness.launcher.channel import Channel
from harness.paths import cache_root
from harness.planning.plan import make_plan
from harness.schema.job import JobSpec
from harness.worker import arguments, backends, tasks
from harness.worker.job import Job, Loaded


def drain(listener: socket.socket) -> None:
    """The runner's part: read whatever comes."""
    connection, _ = listener.accept()
    while connection.recv(1 << 16):
        pass


def train_bare(spec: JobSpec, loaded: Loaded, channel: Channel) -> float:
    """Seconds of a plain Trainer on the workload."""
    from transformers import Trainer

    backend = backends.get("pytorch")(spec)
    built = Job(spec, backend, channel).build_model(loaded)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=built.model,
            args=arguments.build(spec, backend, Path(folder)),
            train_dataset=loaded.data.train,
            data_collator=loaded.task.collator(loaded.data),
        )
        return float(trainer.train().metrics["train_runtime"])


def train_instrumented(spec: JobSpec, loaded: Loaded, channel: Channel) -> float:
    """Seconds of the same training as a job of the harness."""
    job = Job(spec, backends.get("pytorch")(spec), channel)
    built = job.build_model(loaded)
    with tempfile.TemporaryDirectory() as folder:
        job.prepared = job.prepare(loaded, built, Path(folder))
        return job.train(loaded, built, job.prepared).runtime_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    suite = load_suite(
        Path(__file__).resolve().parents[1] / "configs" / "smoke.yaml",
        [f"training.max_steps={options.steps}"],
    )
    plan = make_plan(suite, device=options.device, cache_dir=cache_root())
    spec = next(job for job in plan.jobs if job.arm.name == "pytorch")
    import torch

    if spec.threads:
        torch.set_num_threads(spec.threads)
    task = tasks.get(spec.workload.task.kind)(spec)
    loaded = Loaded(task, task.load())
    with tempfile.TemporaryDirectory() as folder:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"{folder}/channel")
        listener.listen()
        threading.Thread(target=drain, args=(listener,), daemon=True).start()
        channel = Channel(f"{folder}/channel")
        train_bare(spec, loaded, channel)  # warm-up of the process, not counted
        train_instrumented(spec, loaded, channel)
        draw, logs, first = random.Random(options.seed), [], True
        for pair in range(options.pairs):
            if pair % 2 == 0:
                first = draw.random() < 0.5
            bare_first = first if pair % 2 == 0 else not first
            seconds: dict[bool, float] = {}
            for bare in (bare_first, not bare_first):
                gc.collect()
                train = train_bare if bare else train_instrumented
                seconds[bare] = train(spec, loaded, channel)
            logs.append(math.log(seconds[False] / seconds[True]))
            print(
                f"pair {pair + 1}: bare {seconds[True]:.3f} s, instrumented {seconds[False]:.3f} s",
                flush=True,
            )
    from scipy import stats

    mean = statistics.mean(logs)
    half = float(stats.t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    result = {
        "median_ratio": math.exp(statistics.median(logs)),
        "mean_ratio": math.exp(mean),
        "interval_95": [math.exp(mean - half), math.exp(mean + half)],
        "pairs": len(logs),
        "steps": options.steps,
    }
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
