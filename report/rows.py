"""One row per arm and one per gain, in raw, unrounded numbers: what CSV and JSON hold and what Markdown displays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.record import JobRecord
from report.gains import gains_of
from report.launches import OK, arms_of, count_verdicts, verdict
from report.load import Run
from report.published import printed_gains
from report.stats import Estimate, mean_interval, usable

Value = str | int | float | bool | list[str] | None
Row = dict[str, Value]

BACKEND_LABELS = {"pytorch": "PyTorch", "onnxruntime": "ONNX Runtime", "torch-compile": "torch.compile"}

KEYS = {
    "run": "name of the run",
    "workload": "name of the workload within the run",
    "model": "label of the model",
    "task": "label of the task",
    "precision": "fp32, fp16 or bf16",
    "batch_size": "training samples per device and step (null: not published, or the arms of the pair differ in it)",
    "arm": "name of the arm within the run",
    "backend": "label of the arm's backend",
    "attention": "the arm's attention implementation",
    "device": "cpu, or the GPU's name",
    "source": "measured, or published (taken from a publication)",
    "launches": "launches recorded, whatever became of them (null: not published)",
    "n": "launches that count: of the arm, or of both arms of the pair (null: not published)",
    "runtime_s": "end-to-end training time in seconds, mean over the launches that count",
    "train_samples_per_s": "end-to-end training samples per second, mean",
    "setup_s": "seconds from the call of train() to the end of the first step, mean",
    "steady_step_s": "seconds per step after the warm-up, mean",
    "steady_samples_per_s": "training samples per second after the warm-up, mean",
    "gpu_utilization_percent": "NVML's GPU utilization in the steady window, mean over cards and launches",
    "gpu_utilization_p10_percent": "its 10th percentile over the samples of a window, mean over cards and launches",
    "gpu_memory_peak_bytes": "peak of the whole card's memory in use by NVML, of the fullest card, mean over launches",
    "torch_peak_allocated_bytes": "peak that torch's allocator had handed out, mean over launches",
    "torch_peak_reserved_bytes": "peak that torch's allocator had taken from the card, mean over launches",
    "power_w": "power in the steady window, all cards together, mean over launches",
    "joules_per_sample": "energy of all cards per training sample in the steady window, mean over launches",
    "model_flops_utilization": "the model's FLOPs over the card's dense peak, as a fraction, mean over launches",
    "sm_clock_mhz": "median SM clock in the steady window, mean over cards and launches",
    "kernels": "native, or ptx if the driver compiled ONNX Runtime's kernels for this card",
    "job_cpu_share": "CPU time of the job's processes over that of all cores in the steady window, as a fraction, mean",
    "host_cpu_share": "CPU time of all processes over that of all cores in the steady window, as a fraction, mean",
    "peak_rss_bytes": "peak resident memory of the job's process, mean over launches",
    "job_rss_peak_bytes": "peak resident memory summed over the job's processes (shared pages twice), mean",
    "baseline": "arm that the candidate is compared with",
    "candidate": "arm whose gain this is",
    "baseline_attention": "the baseline's attention implementation",
    "candidate_attention": "the candidate's attention implementation",
    "measure": "end_to_end or steady_state: the time that is compared",
    "log_ratio": "mean of ln T_baseline - ln T_candidate over the launches that count",
    "latency_gain": "1 - T_candidate / T_baseline, as a fraction, from unrounded times",
    "throughput_gain": "T_baseline / T_candidate - 1, as a fraction, from unrounded times",
    "published_latency_gain": "the gain as printed in the publication (published runs only)",
    "published_throughput_gain": "the gain as printed in the publication (published runs only)",
    "differs": "declared differences of the pair besides the backend",
    "left_out": "why some launches do not count",
    "state": "ok, or why there is no result",
}
INTERVAL_KEYS = {"_low": "lower end of the 95% Student t interval", "_high": "upper end of the 95% Student t interval"}


def describe_key(key: str) -> str:
    """What a key of a row means. KeyError for a key that no row has."""
    if key in KEYS:
        return KEYS[key]
    stem, end = key.rsplit("_", 1)
    return f"{INTERVAL_KEYS['_' + end]} of {stem} (null where n < 2)" if stem in KEYS else KEYS[key]


@dataclass(frozen=True)
class Figure:
    """A figure of an arm: its key and how it is read from a record. `interval`: a time or rate, with a t interval."""

    key: str
    read: Callable[[JobRecord], float | None]
    interval: bool = False


END_TO_END = (
    Figure("runtime_s", lambda job: job.timing.train_runtime_s, interval=True),
    Figure("train_samples_per_s", lambda job: job.timing.train_samples_per_s, interval=True),
)
STEADY_STATE = (
    Figure("setup_s", lambda job: job.timing.setup_s, interval=True),
    Figure("steady_step_s", lambda job: job.timing.steady_step_s, interval=True),
    Figure("steady_samples_per_s", lambda job: job.timing.steady_samples_per_s, interval=True),
)


def known(job: JobRecord, name: str, value: Value) -> Value:
    """`value` of the field `name` (dotted), or None where the publication leaves it out."""
    return None if name in job.unpublished else value


def arm_rows(
    run: Run, figures: Sequence[Figure], more: Callable[[Sequence[JobRecord]], Row] = lambda counted: {}
) -> list[Row]:
    """One row per arm of every workload, those without a result included. Keys: KEYS.

    Every figure is its mean over the launches that count and have it; `more` adds what is no mean, from those launches.
    """
    rows: list[Row] = []
    arms = arms_of(run)
    for (workload, arm), launches in arms.launches.items():
        jobs = list(launches.values())
        verdicts = [verdict(job) for job in jobs]
        counted = [job for job, said in zip(jobs, verdicts, strict=True) if said == OK]
        row: Row = {
            "run": run.info.run,
            **_identity(jobs or arms.of_workload(workload), workload),
            "arm": arm,
            "backend": backend_label(jobs, arm),
            "attention": _attention(jobs),
            "device": _devices(jobs),
            "source": jobs[0].source if jobs else "measured",
            "launches": known(jobs[0], "launch", len(jobs)) if jobs else 0,
            "n": known(jobs[0], "launch", len(counted)) if jobs else 0,
        }
        for figure in figures:
            read = [value for job in counted if (value := figure.read(job)) is not None]
            if figure.interval:
                values = [value for value in read if usable(value)]
                row |= _with_interval(figure.key, mean_interval(values) if values else None)
            else:
                row[figure.key] = _finite(math.fsum(read) / len(read)) if read else None
        failures = count_verdicts(verdicts)
        state = OK if counted else failures or "no job recorded"
        rows.append({**row, **more(counted), "left_out": failures if counted else "", "state": state})
    return rows


def gain_rows(run: Run) -> list[Row]:
    """One row per declared pair and measure, those without a gain included. Keys: KEYS."""
    rows: list[Row] = []
    arms = arms_of(run)
    published = {(printed.workload, printed.baseline, printed.candidate): printed for printed in printed_gains(run)}
    for gain in gains_of(run, arms):
        pair = gain.pair
        jobs = [job for arm in (pair.baseline, pair.candidate) for job in arms.launches[pair.workload, arm].values()]
        printed = published.get((pair.workload, pair.baseline, pair.candidate))
        row: Row = {
            "run": run.info.run,
            **_identity(jobs, pair.workload),
            "baseline": pair.baseline,
            "candidate": pair.candidate,
            "baseline_attention": _attention(list(arms.launches[pair.workload, pair.baseline].values())),
            "candidate_attention": _attention(list(arms.launches[pair.workload, pair.candidate].values())),
            "device": _devices(jobs),
            "measure": gain.measure.key,
            "source": jobs[0].source if jobs else "measured",
            "launches": known(jobs[0], "launch", gain.launches) if jobs else 0,
            "n": known(jobs[0], "launch", gain.ratio.n if gain.ratio else 0) if jobs else 0,
            **_with_interval("log_ratio", gain.ratio),
        }
        for key, (value, low, high) in (("latency_gain", gain.latency), ("throughput_gain", gain.throughput)):
            row |= {key: _finite(value), f"{key}_low": _finite(low), f"{key}_high": _finite(high)}
        row["published_latency_gain"] = printed.latency_gain if printed else None
        row["published_throughput_gain"] = printed.throughput_gain if printed else None
        rows.append({**row, "differs": list(pair.differs), "left_out": gain.left_out, "state": gain.state})
    return rows


def backend_label(jobs: Sequence[JobRecord], arm: str) -> str:
    """How tables name an arm's backend; the arm's own name where no job tells the backend."""
    return BACKEND_LABELS.get(jobs[0].arm.backend, jobs[0].arm.backend) if jobs else BACKEND_LABELS.get(arm, arm)


def _identity(jobs: Sequence[JobRecord], workload: str) -> Row:
    """A workload nobody ran is known by its name alone."""
    if not jobs:
        return {"workload": workload, "model": workload, "task": None, "precision": None, "batch_size": None}
    of = jobs[0].workload
    sizes = {known(job, "workload.training.batch_size", job.workload.training.batch_size) for job in jobs}
    return {
        "workload": workload,
        "model": of.model.name,
        "task": of.task.name,
        "precision": known(jobs[0], "workload.training.precision", of.training.precision),
        "batch_size": sizes.pop() if len(sizes) == 1 else None,
    }


def _attention(jobs: Sequence[JobRecord]) -> Value:
    return known(jobs[0], "arm.attention", jobs[0].arm.attention) if jobs else None


def _devices(jobs: Sequence[JobRecord]) -> str:
    return ", ".join(sorted({job.device for job in jobs}))


def _with_interval(key: str, estimate: Estimate | None) -> Row:
    if estimate is None:
        return {key: None, f"{key}_low": None, f"{key}_high": None}
    return {key: estimate.mean, f"{key}_low": _finite(estimate.low), f"{key}_high": _finite(estimate.high)}


def _finite(value: float | None) -> float | None:
    """JSON has no infinity: an end of an interval that overflowed is as good as none."""
    return value if value is not None and math.isfinite(value) else None
