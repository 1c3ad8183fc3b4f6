"""Counters that tell why a step was slow, read from the real kernel under real pressure."""

import json
import subprocess
import sys
import time

import pytest

from harness.worker.instruments import os_counters

STAT = (
    "cpu  9 9 9 9 9 9 9 70 9 9\ncpu0 9 9 9 9 9 9 9 20 9 9\ncpu1 9 9 9 9 9 9 9 50 9 9\nintr 1 2 3\n"
)


def test_steal_is_of_the_cpus_asked_for() -> None:
    assert os_counters.steal_s(STAT, {1}) == 50 / os_counters.TICKS_PER_S
    assert os_counters.steal_s(STAT, {0, 1}) == 70 / os_counters.TICKS_PER_S


@pytest.mark.parametrize("where", ["main", "other"])
def test_a_rival_on_the_same_core_shows_as_run_delay(where: str) -> None:
    """In a process of its own, for affinity and counters are the process'."""
    code = """
import json, os, sys, threading, time
from harness.worker.instruments import os_counters as pressure
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
before, begin = pressure.read(), time.monotonic()
if os.fork() == 0:
    while time.monotonic() - begin < 0.6: pass
    os._exit(0)
def work():
    while time.monotonic() - begin < 0.6: pass
if sys.argv[1] == "main":
    work()
else:  # which stays: an ended thread takes its counters along
    threading.Thread(target=lambda: (work(), time.sleep(9)), daemon=True).start()
    time.sleep(0.65)
print(json.dumps({**pressure.between(before, pressure.read()), "wall_s": time.monotonic() - begin}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, where], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    if "run_delay_s" not in found:
        pytest.skip("this kernel keeps no scheduler statistics")
    # Two busy processes on one core: what was not computed was waited for.
    assert found["run_delay_s"] > 0.15
    assert found["cpu_s"] + found["run_delay_s"] == pytest.approx(found["wall_s"], rel=0.25)
    assert found["involuntary_switches"] > 0
    of_main = found["main_run_delay_s"] / found["run_delay_s"]
    assert of_main > 0.9 if where == "main" else of_main < 0.1


def test_an_idle_process_waits_for_nothing() -> None:
    before = os_counters.read()
    time.sleep(0.05)
    found = os_counters.between(before, os_counters.read())
    assert set(found) == set(before)
    assert found["cpu_s"] < 0.05
    assert all(value >= 0 for value in found.values())
