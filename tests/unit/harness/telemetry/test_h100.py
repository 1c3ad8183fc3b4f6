"""A real H100, recorded, through the same code: while ORT's kernels are compiled, and while a job
trains.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import DATA
from telemetry_replay import replay

from harness.schema.record import Timing
from harness.telemetry.series import load
from harness.telemetry.summary import contamination, summarise

FOLDER = DATA / "telemetry"
COMPILING = FOLDER / "h100-compiling-ptx.jsonl"  # 30 s: the job waits for the driver
TRAINING = (
    FOLDER / "h100-training.jsonl"
)  # 20 s: roberta-base, batch 8, fp16; the end of one job, the next from its start


@pytest.mark.parametrize(("file", "ticks"), [(COMPILING, 300), (TRAINING, 200)])
def test_the_sampler_repeats_the_recording(file: Path, ticks: int) -> None:
    series = load(file)
    assert len(series.ticks) == ticks
    assert replay(series).ticks == series.ticks


def test_the_summary_agrees_with_the_raw_readings() -> None:
    series = replay(load(COMPILING))
    first, last = series.ticks[10], series.ticks[-10]
    window = Timing(steady_begin_ns=first["t_ns"], steady_end_ns=last["t_ns"], steady_steps=10)
    telemetry = summarise(series, window)
    (card,) = telemetry.gpus
    assert card.name == "NVIDIA H100 80GB HBM3"
    joules = (last["gpus"]["0"]["energy_mj"] - first["gpus"]["0"]["energy_mj"]) / 1e3
    assert card.energy_j == pytest.approx(joules, rel=1e-3)
    assert card.energy_source == "counter"
    assert telemetry.window_s is not None
    assert card.power_mean_w == pytest.approx(
        joules / telemetry.window_s, rel=0.01
    )  # two instruments of one card
    assert card.utilization_mean == 0.0  # the driver compiles on the CPU: one busy core of 16
    assert telemetry.job_cpu_share_mean == pytest.approx(1 / 16, rel=0.2)
    assert (card.foreign_processes, contamination(telemetry)) == (0, "")


def test_a_training_job_shows_on_the_card() -> None:
    series = replay(load(TRAINING))
    busy = [tick for tick in series.ticks if tick["gpus"]["0"]["utilization_gpu"] > 0]
    begin, end = busy[0]["t_ns"], busy[-1]["t_ns"]
    telemetry = summarise(
        series, Timing(steady_begin_ns=begin, steady_end_ns=end, steady_steps=100)
    )
    (card,) = telemetry.gpus
    within = [tick["gpus"]["0"] for tick in series.ticks if begin <= tick["t_ns"] <= end]
    mean = sum(reading["utilization_gpu"] for reading in within) / len(within)
    assert card.utilization_mean == pytest.approx(mean, rel=1e-6)
    assert 0 < mean < 50  # batch 8: the card waits for the host most of the time
    assert card.memory_peak_bytes == max(
        tick["gpus"]["0"]["memory_used_bytes"] for tick in series.ticks
    )
    assert card.energy_j == pytest.approx(
        (within[-1]["energy_mj"] - within[0]["energy_mj"]) / 1e3, rel=1e-3
    )
    assert (card.foreign_processes, contamination(telemetry)) == (0, "")
