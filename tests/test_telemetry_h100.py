"""30 s of a real H100 under a job that waits for the driver to compile ORT's kernels, through the same code."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.record import Timing
from harness.telemetry.replay import replay
from harness.telemetry.series import load
from harness.telemetry.summary import contamination, summarise

FILE = Path(__file__).parent / "data" / "telemetry" / "h100-compiling-ptx.jsonl"


def test_the_sampler_repeats_the_recording() -> None:
    series = load(FILE)
    assert len(series.ticks) == 300
    assert replay(series).ticks == series.ticks


def test_the_summary_agrees_with_the_raw_readings() -> None:
    series = replay(load(FILE))
    first, last = series.ticks[10], series.ticks[-10]
    window = Timing(steady_begin_ns=first["t_ns"], steady_end_ns=last["t_ns"], steady_steps=10)
    telemetry = summarise(series, window)
    (card,) = telemetry.gpus
    assert card.name == "NVIDIA H100 80GB HBM3"
    joules = (last["gpus"]["0"]["energy_mj"] - first["gpus"]["0"]["energy_mj"]) / 1e3
    assert card.energy_j == pytest.approx(joules, rel=1e-3)
    assert card.energy_source == "counter"
    assert telemetry.window_s is not None
    assert card.power_mean_w == pytest.approx(joules / telemetry.window_s, rel=0.01)  # two instruments of one card
    assert card.utilization_mean == 0.0  # the driver compiles on the CPU: one busy core of 16
    assert telemetry.job_cpu_share_mean == pytest.approx(1 / 16, rel=0.2)
    assert (card.foreign_processes, contamination(telemetry)) == (0, "")
