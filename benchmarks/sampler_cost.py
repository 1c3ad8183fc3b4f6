"""What the telemetry sampler costs a training loop: step time with the sampler on against off, in
turn, in one process.

Each replicate is a fresh process that trains one model with random weights on one synthetic batch,
at each of the batch sizes in turn. It runs short blocks of steps in ABBA order (off on on off, the
first order drawn by seed), with the sampler process stopped (SIGSTOP) in the off blocks.
Neighbouring blocks form a pair; a pair's value is ln(time on) - ln(time off). `--cores` pins the
training process, not the sampler, so that the operating system's moving it about does not drown
what is sought.

Printed: the median ratio over all pairs with its distribution-free interval (order statistics);
and, with replicates as the independent units, the mean over replicates of each replicate's mean log
ratio, with Student's 95% interval, both transformed through exp.

    python benchmarks/sampler_cost.py --model roberta-base --batch-size 8,512 --seconds 60 --json
    out.json
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.telemetry.session import Sampling

WARMUP_STEPS = 10


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", default="roberta-base", help="a built-in shape, e.g. roberta-tiny"
    )
    parser.add_argument("--batch-size", default="64", help="one, or several separated by commas")
    parser.add_argument("--sequence-length", type=int, default=128)
    parser.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="timed, per batch size, over all replicates together",
    )
    parser.add_argument("--cores", help="of the training process, such as 2,3; default: all")
    parser.add_argument("--replicates", type=int, default=4)
    parser.add_argument("--block-seconds", type=float, default=0.5, help="length of a block, about")
    parser.add_argument("--interval", type=float, default=0.1, help="of the sampler, in seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--replicate", type=int, help=argparse.SUPPRESS
    )  # set in the processes that measure
    return parser.parse_args()


def training_step(options: argparse.Namespace) -> tuple[Any, Any, str]:
    """A function that takes a batch size and gives one that trains a step; one that waits for the
    device; its name.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from harness.schema.shapes import SHAPES

    torch.manual_seed(options.seed)
    shape = dict(SHAPES[options.model])
    config = AutoConfig.for_model(shape.pop("model_type"), **shape)
    model = AutoModelForSequenceClassification.from_config(
        config, attn_implementation="eager"
    ).train()
    cuda = torch.cuda.is_available()
    device = "cuda" if cuda else "cpu"
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
    scaler = torch.amp.GradScaler(device, enabled=cuda)

    def of_size(batch: int) -> Any:
        size = (batch, options.sequence_length)
        ids = torch.randint(5, config.vocab_size, size, device=device)
        mask = torch.ones_like(ids)
        labels = torch.randint(0, 2, size[:1], device=device)

        def step() -> None:
            with torch.autocast(device, dtype=torch.float16, enabled=cuda):
                loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()

        return step

    return (
        of_size,
        torch.cuda.synchronize if cuda else lambda: None,
        torch.cuda.get_device_name() if cuda else "cpu",
    )


def set_running(pid: int, running: bool) -> None:
    """Let the sampler go on, or stop it and wait until it has stopped."""
    os.kill(pid, signal.SIGCONT if running else signal.SIGSTOP)
    for _ in range(1000):
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        if (state == "T") != running:
            return
        time.sleep(0.001)
    raise RuntimeError("the sampler did not stop")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One replicate, in this process: `pairs` for each batch size."""
    of_size, synchronize, device = training_step(options)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") if device != "cpu" else ""
    gc.collect()
    gc.freeze()
    with Sampling([os.getpid()], gpus=visible, interval_s=options.interval) as sampling:
        while sampling.lines_so_far() < 3:
            time.sleep(0.05)
            if sampling.pid is None or not Path(f"/proc/{sampling.pid}").exists():
                raise RuntimeError("the sampler did not start")
        if options.cores:  # after the sampler's start: it keeps the whole host
            os.sched_setaffinity(0, {int(core) for core in options.cores.split(",")})
        set_running(sampling.pid, False)
        measured = {
            size: blocks(options, of_size(int(size)), synchronize, sampling.pid)
            for size in options.batch_size.split(",")
        }
        set_running(sampling.pid, True)
    series = sampling.series()
    for one in measured.values():
        begin, end = one.pop("window_ns")
        ticks = [tick for tick in series.ticks if begin <= tick["t_ns"] <= end]
        one["ticks_per_on_s"] = len(ticks) / one["on_s"]
        one["slow_ticks_per_on_s"] = sum("tree" in tick for tick in ticks) / one["on_s"]
    return {
        "device": device,
        "batch_sizes": measured,
        "fields": sorted(
            {name for tick in series.ticks for card in tick["gpus"].values() for name in card}
        ),
        "unreadable": [entry["reason"] for entry in series.unreadable],
    }


def blocks(
    options: argparse.Namespace, step: Any, synchronize: Any, sampler: int
) -> dict[str, Any]:
    """Pairs of blocks at one batch size, from a stopped sampler to a stopped or running one."""
    for _ in range(WARMUP_STEPS):
        step()
    synchronize()
    begin = time.perf_counter()
    for _ in range(WARMUP_STEPS):
        step()
    synchronize()
    steps = max(1, round(options.block_seconds / (time.perf_counter() - begin) * WARMUP_STEPS))
    first = random.Random(1000 * options.seed + options.replicate).random() < 0.5
    pairs: list[dict[str, float]] = []
    on_s = timed = 0.0
    before_ns = time.monotonic_ns()
    while timed < options.seconds / options.replicates or len(pairs) % 2:
        pair: dict[str, float] = {}
        for on in (first, not first) if len(pairs) % 2 == 0 else (not first, first):
            if not on:
                set_running(sampler, False)
            begin = time.perf_counter()
            if (
                on
            ):  # timed: a sampler that goes on reads at once, and that reading is part of its cost
                set_running(sampler, True)
            for _ in range(steps):
                step()
            synchronize()
            pair["on" if on else "off"] = (time.perf_counter() - begin) / steps
        pairs.append(pair)
        on_s += steps * pair["on"]
        timed += steps * (pair["on"] + pair["off"])
    after_ns = time.monotonic_ns()
    set_running(sampler, False)
    return {
        "steps_per_block": steps,
        "pairs": pairs,
        "on_s": on_s,
        "window_ns": (before_ns, after_ns),
    }


def summarise(replicates: list[dict[str, Any]]) -> dict[str, Any]:
    from scipy import stats

    logs = [[math.log(p["on"] / p["off"]) for p in replicate["pairs"]] for replicate in replicates]
    means = [statistics.fmean(values) for values in logs]
    every = sorted(x for values in logs for x in values)
    outside = max(
        0, int(stats.binom.ppf(0.025, len(every), 0.5)) - 1
    )  # interval of the median: order statistics
    result = {"median_ratio": math.exp(statistics.median(every))}
    result |= {"median_low": math.exp(every[outside]), "median_high": math.exp(every[-1 - outside])}
    result |= {
        "mean_ratio": math.exp(statistics.fmean(means)),
        "pairs": sum(map(len, logs)),
        "replicates": len(logs),
    }
    result["step_off_s"] = statistics.median(
        p["off"] for replicate in replicates for p in replicate["pairs"]
    )
    if len(means) > 1:
        half = stats.t.ppf(0.975, len(means) - 1) * statistics.stdev(means) / math.sqrt(len(means))
        middle = statistics.fmean(means)
        result |= {"low": math.exp(middle - half), "high": math.exp(middle + half)}
    return result


def main() -> None:
    options = parse()
    if options.replicate is not None:
        print("RESULT " + json.dumps(measure(options)))
        return
    replicates = []
    for number in range(options.replicates):
        command = [sys.executable, __file__, *sys.argv[1:], "--replicate", str(number)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        lines = [line for line in answer.stdout.splitlines() if line.startswith("RESULT ")]
        replicates.append(json.loads(lines[-1].removeprefix("RESULT ")))
        print(f"replicate {number + 1} of {options.replicates}: done", file=sys.stderr)
    first = replicates[0]
    print(
        f"{first['device']}; fields per card: {', '.join(first['fields']) or 'none'}; unreadable: "
        f"{first['unreadable']}"
    )
    results = {}
    for size in options.batch_size.split(","):
        runs = [replicate["batch_sizes"][size] for replicate in replicates]
        result = results[size] = summarise(runs)
        print(
            f"{options.model}, batch {size}, length {options.sequence_length}: "
            f"step {1e3 * result['step_off_s']:.2f} ms without sampler, "
            f"{runs[0]['steps_per_block']} steps per block, "
            f"{statistics.fmean(r['ticks_per_on_s'] for r in runs):.1f} readings per second of "
            "on time, "
            "of them with the slow fields "
            f"{statistics.fmean(r['slow_ticks_per_on_s'] for r in runs):.1f}"
        )
        interval = (
            f", 95% interval {result['low']:.4f} to {result['high']:.4f}" if "low" in result else ""
        )
        print(
            f"  time on / time off: median {result['median_ratio']:.4f} "
            f"(95%: {result['median_low']:.4f} to {result['median_high']:.4f}) over "
            f"{result['pairs']} pairs of blocks; "
            f"mean {result['mean_ratio']:.4f} over {result['replicates']} replicates{interval} "
            "(Student's t over replicates)"
        )
    if options.json:
        settings = {
            key: value for key, value in vars(options).items() if key not in ("json", "replicate")
        }
        options.json.write_text(
            json.dumps({"settings": settings, "batch_sizes": results, "runs": replicates}) + "\n"
        )


if __name__ == "__main__":
    main()
