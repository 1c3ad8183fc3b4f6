"""The real nvidia-ml-py over a small C library in the place of the driver's: the calls are the real
ones.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from folders import SUPPORT

from harness.telemetry.session import Sampling

SOURCE = SUPPORT / "fake_nvml.c"
RECORDING = SUPPORT / "telemetry_recording.py"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler for the stand-in of NVML")
    folder = tmp_path_factory.mktemp("nvml")
    command = [compiler, "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(SOURCE)]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def driver(library, monkeypatch):
    """Children of this test find the stand-in."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library))
    return monkeypatch


def sample(roots=(), gpus=None, lines=6):
    with Sampling(roots or [os.getpid()], gpus=gpus, interval_s=0.05) as sampling:
        deadline = time.monotonic() + 20
        while sampling.lines_so_far() < lines:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert sampling.problem == ""
    return sampling.series()


def test_every_field_of_a_card(driver):
    driver.setenv("FAKE_NVML_PID", str(os.getpid()))
    series = sample()
    assert [card["uuid"] for card in series.start["gpus"]] == ["GPU-fake-0", "GPU-fake-1"]
    assert series.start["gpus"][0] == {
        "index": 0,
        "uuid": "GPU-fake-0",
        "name": "Fake Card",
        "memory_total_bytes": 1000,
        "power_limit_w": 400.0,
        "persistence_mode": 0,
    }
    assert [(e["gpu"], e["field"], e["reason"]) for e in series.unreadable] == [
        (0, "mig_mode", "Not Supported"),
        (1, "mig_mode", "Not Supported"),
    ]
    fast = {
        "utilization_gpu": 90,
        "utilization_memory": 40,
        "memory_used_bytes": 200,  # without the 100 that the driver reserves
        "power_w": 123.456,
        "energy_mj": 5_000_000_000,
        "sm_clock_mhz": 1410,
        "clock_reasons": 4,
    }
    slow = {"memory_clock_mhz": 1593, "temperature_c": 61, "pids": [os.getpid()]}
    assert series.ticks[0]["gpus"]["0"] == {**fast, **slow}
    assert series.ticks[0]["gpus"]["1"] == {**fast, **slow, "utilization_gpu": 91, "pids": []}
    assert series.ticks[1]["gpus"]["0"] == fast
    assert series.ticks[0]["hidden"] == []


def test_only_the_cards_that_the_job_sees(driver):
    assert [card["index"] for card in sample(gpus="1").start["gpus"]] == [1]
    assert [card["index"] for card in sample(gpus="GPU-fake-0").start["gpus"]] == [0]
    nothing = sample(gpus="")
    assert (nothing.start["gpus"], nothing.unreadable) == ([], [])
    unknown = sample(gpus="5")
    assert [e["reason"] for e in unknown.unreadable] == ["CUDA_VISIBLE_DEVICES: no card 5"]


def test_a_field_the_card_does_not_have(driver):
    driver.setenv("FAKE_NVML_UNSUPPORTED", "energy")
    series = sample(gpus="0")
    assert ("energy_mj", "Not Supported") in [(e["field"], e["reason"]) for e in series.unreadable]
    assert all("energy_mj" not in tick["gpus"]["0"] for tick in series.ticks)
    assert all("power_w" in tick["gpus"]["0"] for tick in series.ticks)


def test_an_old_driver_counts_what_it_reserves(driver):
    driver.setenv("FAKE_NVML_UNSUPPORTED", "memory_v2")
    assert sample(gpus="0").ticks[0]["gpus"]["0"]["memory_used_bytes"] == 300


def test_a_card_lost_in_the_middle(driver):
    driver.setenv("FAKE_NVML_LOSE", "3")
    series = sample(lines=12)
    assert (1, "*", "GPU is lost") in [
        (e["gpu"], e["field"], e["reason"]) for e in series.unreadable
    ]
    assert "1" in series.ticks[1]["gpus"]
    assert "1" not in series.ticks[-1]["gpus"]
    assert "power_w" in series.ticks[-1]["gpus"]["0"]
    assert series.end is not None


def test_a_recording_replays(driver, tmp_path):
    from telemetry_replay import replay

    from harness.telemetry.series import load

    file = tmp_path / "cards.jsonl"
    command = [
        sys.executable,
        str(RECORDING),
        "--seconds",
        "0.6",
        "--output",
        str(file),
    ]
    answer = subprocess.run(
        [*command, "--interval", "0.1"], capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    assert "not readable: card 0, mig_mode: Not Supported" in answer.stdout
    recorded = load(file)
    assert len(recorded.ticks) >= 3
    assert all(
        "temperature_c" in tick["gpus"]["0"] for tick in recorded.ticks
    )  # every field at every tick
    assert replay(recorded).ticks == recorded.ticks
    slower = replay(recorded, slow_s=1.0)
    assert [("temperature_c" in tick["gpus"]["0"]) for tick in slower.ticks][:3] == [
        True,
        False,
        False,
    ]


def test_the_recorder_says_when_there_is_nothing_to_record(driver, tmp_path):
    command = [sys.executable, str(RECORDING), "--seconds", "1", "--gpus", "7"]
    answer = subprocess.run(
        [*command, "--output", str(tmp_path / "a.jsonl")], capture_output=True, text=True
    )
    assert answer.returncode == 2
    assert "no card 7" in answer.stderr
    assert not (tmp_path / "a.jsonl").exists()


def test_preflight_reads_the_same_card(driver):
    driver.setenv("FAKE_NVML_PID", str(os.getpid()))
    code = "import json; from harness.runner.preflight import inspect\n"
    code += "print(json.dumps([(f.severity, f.message) for f in inspect('cuda', visible='0')]))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    found = [
        (severity, message) for severity, message in json.loads(answer.stdout) if "GPU 0" in message
    ]
    assert len(found) == 2
    severity, message = found[0]
    assert severity == "error"
    assert f"pids {os.getpid()}" in message
    assert "python" in message or "pytest" in message
    assert "test_telemetry" not in message  # the program's name, never its arguments
    assert found[1][0] == "warning"
    assert "persistence mode off" in found[1][1]
