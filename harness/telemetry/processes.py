"""CPU share and memory of the host and of a job's process tree, from /proc by way of psutil."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import psutil


class ProcessTree:
    """All processes below `roots`, roots included; a process is found at the first `tree()` after its start."""

    def __init__(self, roots: Sequence[int]) -> None:
        self.cores = psutil.cpu_count() or 1
        self._roots = list(roots)
        self._processes: list[psutil.Process] = []
        # Last CPU time seen of every process there ever was: a sum over these never falls when one ends.
        self._cpu_s: dict[tuple[int, float], float] = {}

    def tree(self) -> list[int]:
        found: dict[int, psutil.Process] = {}
        for pid in self._roots:
            try:
                root = psutil.Process(pid)
                found |= {process.pid: process for process in (root, *root.children(recursive=True))}
            except psutil.Error:
                continue
        known = {process.pid: process for process in self._processes}
        # equal means same pid and start: keep the object, which remembers its start time
        self._processes = [known[pid] if known.get(pid) == new else new for pid, new in found.items()]
        return sorted(found)

    def job(self) -> tuple[float, int]:
        resident = 0
        for process in self._processes:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    resident += process.memory_info().rss
                    self._cpu_s[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:
                continue
        return sum(self._cpu_s.values()), resident

    def host(self) -> tuple[float, float]:
        times = psutil.cpu_times()
        # guest time is part of user time, and waiting for a disk is no work
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        return total - times.idle - getattr(times, "iowait", 0.0), total

    def hidden(self, pids: Iterable[int]) -> list[int]:
        return [pid for pid in pids if not psutil.pid_exists(pid)]
