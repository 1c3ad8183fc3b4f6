"""What a column is sorted by: the raw number behind a cell, so that rounding makes no two rows
equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from report.tables.columns import Column, as_number
from report.tables.rows import Row

_NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")

Raw = Callable[[Row], float | None]


def _of(*keys: str) -> Raw:
    """The first of `keys` (report.tables.keys) that the row has a number for."""
    return lambda row: next(
        (value for key in keys if (value := as_number(row.get(key))) is not None), None
    )


def _width(key: str) -> Raw:
    def raw(row: Row) -> float | None:
        value, high = as_number(row.get(key)), as_number(row.get(f"{key}_high"))
        return None if value is None or high is None else high - value

    return raw


# By a column's title (report.tables.registry); one that is not here is sorted by the number that it
# displays.
RAW: dict[str, Raw] = {
    "n": _of("n"),
    "Batch": _of("batch_size"),
    "Runtime(s)": _of("runtime_s"),
    "Runtime ±95%": _width("runtime_s"),
    "Train samples(/s)": _of("train_samples_per_s"),
    "Set-up(s)": _of("setup_s"),
    "Steady step(ms)": _of("steady_step_s"),
    "Step ±95%": _width("steady_step_s"),
    "Steady samples(/s)": _of("steady_samples_per_s"),
    "Latency": _of("latency_gain"),
    "Throughput": _of("throughput_gain"),
    "Throughput 95%": _of("throughput_gain_low"),
    "As published": _of("published_latency_gain"),
    "A/A": _of("noise_floor_throughput_gain_high"),
    "Break-even": _of("break_even_step"),
    "Util(%)": _of("gpu_utilization_percent"),
    "GPU util(%)": _of("gpu_utilization_percent"),
    "p10(%)": _of("gpu_utilization_p10_percent"),
    "NVML GiB": _of("gpu_memory_peak_bytes"),
    "Torch GiB": _of("torch_peak_allocated_bytes"),
    "Power(W)": _of("power_w"),
    "J/sample": _of("joules_per_sample"),
    "MFU(%)": _of("model_flops_utilization"),
    "SM(MHz)": _of("sm_clock_mhz"),
    "CPU, job(%)": _of("job_cpu_share"),
    "CPU, host(%)": _of("host_cpu_share"),
    "Peak RSS(GiB)": _of("peak_rss_bytes"),
    "Inference batch": _of("inference_batch_size"),
    "PyTorch(ms) mean/p50/p95": _of("torch_latency_s"),
    "ONNX Runtime(ms) mean/p50/p95": _of("onnxruntime_latency_s"),
    "PyTorch samples(/s)": _of("torch_samples_per_s"),
    "ONNX Runtime samples(/s)": _of("onnxruntime_samples_per_s"),
    "Max Δlogit": _of("logit_difference"),
}


def sort_key(column: Column, row: Row, cell: str) -> str:
    """The number that `cell` of `row` is sorted by, as text; empty where there is none: such rows
    go last.

    Only columns of numbers have keys; others are sorted by the text that they display.
    """
    if not cell:
        return ""
    read = RAW.get(column.title)
    raw = read(row) if read else None
    if raw is not None and math.isfinite(raw):
        return repr(raw)
    shown = _NUMBER.search(cell)
    return shown[0].replace("−", "-") if shown else ""
