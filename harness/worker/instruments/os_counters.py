"""What the host does to a process between two moments: the counters that tell why a step was slow.
Standard library.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Collection
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STEAL = 8  # column of /proc/stat, the name included (proc_stat(5))


def read(proc: Path = Path("/proc")) -> dict[str, float]:
    """Counters of this process so far. What the kernel does not tell is left out.

    `run_delay_s`: seconds its threads were ready and waited for a core
    (/proc/PID/task/TID/schedstat, second field: Documentation/scheduler/sched-stats.rst);
    `main_run_delay_s`: the main thread's share of it. `steal_s`: seconds in which the hypervisor
    ran somebody else on the CPUs this process may use, in ticks of 10 ms. `cpu_s`: CPU time of all
    threads. `involuntary_switches`, `major_faults`, `minor_faults`: getrusage(2). Takes about 10 µs
    a thread: only between turns.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    counters = {
        "cpu_s": time.process_time(),
        "involuntary_switches": float(usage.ru_nivcsw),
        "major_faults": float(usage.ru_majflt),
        "minor_faults": float(usage.ru_minflt),
    }
    with contextlib.suppress(OSError, LookupError, ValueError):
        delays = {
            file.parent.name: _delay_s(file) for file in (proc / "self/task").glob("*/schedstat")
        }
        if delays:
            counters["run_delay_s"] = sum(delays.values())
            counters["main_run_delay_s"] = delays[
                str(os.getpid())
            ]  # KeyError: another PID namespace's numbers
    with contextlib.suppress(OSError, ValueError, IndexError):
        counters["steal_s"] = steal_s((proc / "stat").read_text(), os.sched_getaffinity(0))
    return counters


def _delay_s(schedstat: Path) -> float:
    return int(schedstat.read_text().split()[1]) / 1e9


def steal_s(stat: str, cpus: Collection[int]) -> float:
    """Seconds stolen from these CPUs since boot, of the text of /proc/stat."""
    rows = (line.split() for line in stat.splitlines() if line.startswith("cpu"))
    return (
        sum(int(row[STEAL]) for row in rows if row[0] in {f"cpu{number}" for number in cpus})
        / TICKS_PER_S
    )


def between(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What was added to each counter that both have; a thread that ended takes its delay along, so
    never below 0.
    """
    return {name: max(0.0, value - before[name]) for name, value in after.items() if name in before}
