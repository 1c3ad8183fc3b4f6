"""The sampler: a process of its own that reads cards and CPU on an absolute schedule. Stdlib,
pynvml and psutil only.

Usage: python -m harness.telemetry.sampler --roots PID,PID [--gpus CUDA_VISIBLE_DEVICES]
[--spinners PID,PID] [--interval S] Without --gpus every card; with `--gpus ''` none. What spinners
use counts as idle. Ends when stdin closes or its parent dies.

stdout, JSON lines (times are CLOCK_MONOTONIC nanoseconds; a field that could not be read is
absent):
start       t_ns, version, interval_s, slow_s, roots, cores, gpus [{index, uuid, name, and the
            fields of readings.ONCE}]
unreadable  t_ns, gpu (null: all), field (* for the whole card), reason: once each
tick        t_ns, gpus {index: fields}, job_cpu_s, job_rss_bytes, job_stopped (only where it is
            true); with every slow tick also host_busy_s, host_total_s, job_cores (how many CPUs
            the job may use) and cores_busy_s, cores_total_s (of these, since the start), tree
            (pids of the job), hidden (pids on a card that this pid namespace does not show)
end         t_ns, missed
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from harness.launcher.supervisor import PR_SET_PDEATHSIG, prctl
from harness.telemetry.readings import (
    FAST,
    ONCE,
    SLOW,
    CardLost,
    Clock,
    Gpu,
    GpuSource,
    HostSource,
    Unreadable,
)

VERSION = 1
INTERVAL_S = 0.1
SLOW_S = 1.0
GIVE_UP_AFTER = 10  # failures in a row of a reading that might have recovered

Line = dict[str, Any]


class Sampler:
    """Reads `gpus` and `host` at every tick of `clock` and hands each line to `write`, until the
    clock says stop.
    """

    def __init__(
        self,
        gpus: GpuSource,
        host: HostSource,
        clock: Clock,
        write: Callable[[Line], None],
        *,
        interval_s: float = INTERVAL_S,
        slow_s: float = SLOW_S,
        roots: Sequence[int] = (),
    ) -> None:
        """`slow_s`: how often the SLOW readings are taken; 0 for every tick. `roots` is only
        noted.
        """
        self.source, self.host, self.clock, self.write = gpus, host, clock, write
        self.interval_s, self.slow_s, self.roots = interval_s, slow_s, list(roots)
        self._failures: dict[tuple[int, str], int] = {}
        self._given_up: set[tuple[int, str]] = set()
        self._told: set[tuple[int, str]] = set()
        self._cards = list(gpus.gpus)

    def run(self) -> None:
        interval_ns = round(self.interval_s * 1e9)
        slow_ticks = max(1, round(self.slow_s / self.interval_s))
        self._start()
        begin = self.clock.now_ns()
        number = missed = 0
        next_slow = 0
        while True:
            slow = number >= next_slow
            if slow:
                next_slow = number + slow_ticks
            self.write(self._tick(slow))
            number += 1
            late = (self.clock.now_ns() - begin) // interval_ns + 1
            if (
                late > number
            ):  # ticks that are past are not caught up with: their readings would crowd
                missed += late - number
                number = late
            if not self.clock.wait_until(begin + number * interval_ns):
                break
        self.write({"kind": "end", "t_ns": self.clock.now_ns(), "missed": missed})

    def _start(self) -> None:
        cards = [
            {"index": g.index, "uuid": g.uuid, "name": g.name, **self._read(g, ONCE)}
            for g in self._cards
        ]
        self.write(
            {
                "kind": "start",
                "t_ns": self.clock.now_ns(),
                "version": VERSION,
                "interval_s": self.interval_s,
                "slow_s": self.slow_s,
                "roots": self.roots,
                "cores": self.host.cores,
                "gpus": cards,
            }
        )
        for problem in self.source.problems:
            self._unreadable(None, "*", problem)

    def _tick(self, slow: bool) -> Line:
        line: Line = {"kind": "tick", "t_ns": self.clock.now_ns(), "gpus": {}}
        for gpu in list(self._cards):
            fields = self._read(gpu, FAST + SLOW if slow else FAST)
            if fields:
                line["gpus"][str(gpu.index)] = fields
        if slow:
            # After the cards: a process that a card lists is by now in the tree, if it is the
            # job's.
            line["tree"] = self.host.tree()
            listed = {pid for fields in line["gpus"].values() for pid in fields.get("pids", ())}
            line["hidden"] = self.host.hidden(sorted(listed))
            line["host_busy_s"], line["host_total_s"] = self.host.host()
            if (cores := self.host.job_cores()) is not None:
                line["job_cores"], line["cores_busy_s"], line["cores_total_s"] = cores
        line["job_cpu_s"], line["job_rss_bytes"] = self.host.job()
        if self.host.stopped():
            line["job_stopped"] = True
        return line

    def _read(self, gpu: Gpu, readings: Sequence[str]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for reading in readings:
            key = (gpu.index, reading)
            if key in self._given_up:
                continue
            try:
                fields |= self.source.read(gpu, reading)
                self._failures.pop(key, None)
            except CardLost as error:
                self._unreadable(gpu.index, "*", str(error))
                self._cards.remove(gpu)
                break
            except Unreadable as error:
                self._failures[key] = self._failures.get(key, 0) + 1
                if error.permanent or self._failures[key] >= GIVE_UP_AFTER:
                    self._given_up.add(key)
                if key not in self._told:
                    self._told.add(key)
                    self._unreadable(gpu.index, reading, str(error))
        return fields

    def _unreadable(self, gpu: int | None, field: str, reason: str) -> None:
        self.write(
            {
                "kind": "unreadable",
                "t_ns": self.clock.now_ns(),
                "gpu": gpu,
                "field": field,
                "reason": reason,
            }
        )


class StdinClock:
    """The real clock; stops the sampler when stdin closes, or after `seconds`."""

    def __init__(self, stdin: int = 0, seconds: float | None = None) -> None:
        self._stdin = stdin
        self._end_ns = None if seconds is None else time.monotonic_ns() + round(seconds * 1e9)

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def wait_until(self, t_ns: int) -> bool:
        if self._end_ns is not None and t_ns > self._end_ns:
            return False
        left = max(0.0, (t_ns - time.monotonic_ns()) / 1e9)
        if select.select([self._stdin] if self._stdin >= 0 else [], [], [], left)[0]:
            return bool(os.read(self._stdin, 4096))
        return True


def to_stream(stream: TextIO) -> Callable[[Line], None]:
    """A `write` that sends JSON lines; flushed with every slow tick, so that a kill loses about a
    second.
    """

    def write(line: Line) -> None:
        stream.write(json.dumps(line, separators=(",", ":")) + "\n")
        if line["kind"] != "tick" or "tree" in line:
            stream.flush()

    return write


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m harness.telemetry.sampler")
    parser.add_argument(
        "--roots", default="", help="process ids, by comma: these and all below are the job"
    )
    parser.add_argument(
        "--gpus", default=None, help="as CUDA_VISIBLE_DEVICES; empty for none; default: all"
    )
    parser.add_argument(
        "--spinners",
        default="",
        help="process ids, by comma: they only keep cores awake, their CPU time counts as idle",
    )
    parser.add_argument("--interval", type=float, default=INTERVAL_S, help="seconds")
    parser.add_argument(
        "--parent", type=int, default=None, help="end at once unless this is the parent's pid"
    )
    options = parser.parse_args(arguments)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the runner, which then closes stdin
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if options.parent is not None and os.getppid() != options.parent:
        return  # the parent died before prctl
    from harness.telemetry.nvml import NvmlSource
    from harness.telemetry.processes import ProcessTree

    roots, spinners = (
        [int(pid) for pid in pids.split(",") if pid] for pids in (options.roots, options.spinners)
    )
    source = NvmlSource(options.gpus)
    Sampler(
        source,
        ProcessTree(roots, spinners),
        StdinClock(),
        to_stream(sys.stdout),
        interval_s=options.interval,
        roots=roots,
    ).run()
    sys.stdout.flush()
    source.close()


if __name__ == "__main__":
    main()
