"""CPU share and memory of the host and of a job's process tree, from /proc by way of psutil."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Columns of a CPU's line in /proc/stat, its name left out (proc_stat(5)); guest time, after these,
# is in user time.
COUNTED, IDLE, IO_WAIT = 8, 3, 4


def cpu_seconds(stat: Path = Path("/proc/stat")) -> dict[int, tuple[float, float]]:
    """Busy and total seconds since boot of each CPU by its number; what a hypervisor took is busy.
    Empty: not told.
    """
    found: dict[int, tuple[float, float]] = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in stat.read_text().splitlines():
            name, *words = line.split()
            if name.startswith("cpu") and name[3:].isdigit():
                ticks = [int(word) for word in words[:COUNTED]]
                total = sum(ticks)
                found[int(name[3:])] = (
                    (total - ticks[IDLE] - ticks[IO_WAIT]) / TICKS_PER_S,
                    total / TICKS_PER_S,
                )
    return found


class _Spinner:
    """A process that keeps one CPU awake, and what was last seen of it."""

    def __init__(self, pid: int) -> None:
        self._process: psutil.Process | None = None
        self._cpu, self._seconds = -1, 0.0
        with contextlib.suppress(psutil.Error):
            self._process = psutil.Process(pid)

    def look(self) -> tuple[int, float]:
        """The CPU that it is pinned to, -1 before it is, and the CPU seconds that it has used."""
        with contextlib.suppress(psutil.Error, OSError):
            if self._process is not None and self._process.is_running():  # and is no other one
                times = self._process.cpu_times()
                self._seconds = times.user + times.system
                pinned = self._process.cpu_affinity() or []
                if self._cpu < 0 and len(pinned) == 1:
                    self._cpu = pinned[0]
        return self._cpu, self._seconds


class ProcessTree:
    """All processes below `roots`, roots included; a process is found at the first `tree()` after
    its start.

    `spinners` are processes that only keep cores awake and yield to everything else: their CPU time
    counts as idle, on the host and on the job's cores.
    """

    def __init__(self, roots: Sequence[int], spinners: Sequence[int] = ()) -> None:
        self.cores = psutil.cpu_count() or 1
        self._roots = list(roots)
        self._processes: list[psutil.Process] = []
        # Last CPU time seen of every process there ever was: a sum over these never falls when one
        # ends.
        self._cpu_s: dict[tuple[int, float], float] = {}
        # Busy and total seconds of each CPU when last read, and their sums over the CPUs that were
        # the job's meanwhile.
        self._cpus: dict[int, tuple[float, float]] = {}
        self._busy_s = self._total_s = 0.0
        self._stopped = False
        self._spinners = [_Spinner(pid) for pid in spinners]

    def tree(self) -> list[int]:
        found: dict[int, psutil.Process] = {}
        for pid in self._roots:
            try:
                root = psutil.Process(pid)
                found |= {
                    process.pid: process for process in (root, *root.children(recursive=True))
                }
            except psutil.Error:
                continue
        known = {process.pid: process for process in self._processes}
        # equal means same pid and start: keep the object, which remembers its start time
        self._processes = [
            known[pid] if known.get(pid) == new else new for pid, new in found.items()
        ]
        return sorted(found)

    def job(self) -> tuple[float, int]:
        # At every tick: those that end take what they used with them.
        self._spun_s()
        resident, self._stopped = 0, False
        for process in self._processes:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    resident += process.memory_info().rss
                    self._cpu_s[process.pid, process.create_time()] = times.user + times.system
                    if process.pid not in self._roots and process.status() in STOPPED:
                        self._stopped = True
            except psutil.Error:
                continue
        return sum(self._cpu_s.values()), resident

    def stopped(self) -> bool:
        return self._stopped

    def job_cores(self) -> tuple[int, float, float] | None:
        before, spun_s = self._cpus, self._spun_s()
        self._cpus = {
            cpu: (busy_s - spun_s.get(cpu, 0.0), total_s)
            for cpu, (busy_s, total_s) in cpu_seconds().items()
        }
        mine = self._allowed() & self._cpus.keys()
        for cpu in mine & before.keys():
            self._busy_s += max(0.0, self._cpus[cpu][0] - before[cpu][0])
            self._total_s += max(0.0, self._cpus[cpu][1] - before[cpu][1])
        return (len(mine), self._busy_s, self._total_s) if mine else None

    def _allowed(self) -> set[int]:
        """The CPUs that the job's processes may use; of their roots, which only wait, where there
        is nothing else.
        """
        found: dict[bool, set[int]] = {True: set(), False: set()}
        for process in self._processes:
            with contextlib.suppress(psutil.Error, OSError):
                found[process.pid in self._roots].update(process.cpu_affinity() or ())
        return found[False] or found[True]

    def host(self) -> tuple[float, float]:
        times = psutil.cpu_times()
        # guest time is part of user time, and waiting for a disk is no work
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        busy = total - times.idle - getattr(times, "iowait", 0.0)
        return busy - sum(self._spun_s().values()), total

    def _spun_s(self) -> dict[int, float]:
        """Seconds so far that CPUs were kept awake, by CPU."""
        found: dict[int, float] = {}
        for spinner in self._spinners:
            cpu, seconds = spinner.look()
            found[cpu] = found.get(cpu, 0.0) + seconds
        return found

    def hidden(self, pids: Iterable[int]) -> list[int]:
        return [pid for pid in pids if not psutil.pid_exists(pid)]
