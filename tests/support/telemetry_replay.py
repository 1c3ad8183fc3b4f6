"""A recorded series as sources and clock: the same sampler code runs over it, at once and on any
machine.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from typing import Any

from harness.telemetry.readings import (
    ONCE,
    SLOW,
    CardLost,
    Gpu,
    LostGpu,
    Unreadable,
    Value,
    fields_of,
)
from harness.telemetry.sampler import Line, Sampler
from harness.telemetry.series import TelemetrySeries


class ReplayClock:
    """Stands at a tick of the recording; waiting moves it on; past the last tick the sampler is
    told to stop.
    """

    def __init__(self, series: TelemetrySeries) -> None:
        self._times = [tick["t_ns"] for tick in series.ticks]
        self._tolerance_ns = round(0.2e9 * series.start["interval_s"])
        self.position = 0

    def now_ns(self) -> int:
        return int(self._times[self.position])

    def horizon_ns(self) -> float:
        """What was recorded before this time belongs to the current tick."""
        after = self.position + 1
        return self._times[after] if after < len(self._times) else math.inf

    def wait_until(self, t_ns: int) -> bool:
        # Ticks of the recording come some milliseconds off the schedule, and so off the replay's.
        found = bisect.bisect_left(self._times, t_ns - self._tolerance_ns)
        self.position = min(max(found, self.position), len(self._times) - 1)
        return found < len(self._times)


class ReplayGpus:
    """Answers as the card did at the clock's tick, errors included."""

    def __init__(self, series: TelemetrySeries, clock: ReplayClock) -> None:
        self.gpus: Sequence[Gpu] = [
            Gpu(g["index"], g["uuid"], g["name"]) for g in series.start["gpus"]
        ]
        self.problems: Sequence[str] = [e["reason"] for e in series.unreadable if e["gpu"] is None]
        self.lost: Sequence[LostGpu] = []
        self._series, self._clock = series, clock
        self._once = {g["index"]: g for g in series.start["gpus"]}

    def read(self, gpu: Gpu, reading: str) -> dict[str, Value]:
        horizon = self._clock.horizon_ns()
        errors = {
            e["field"]: e["reason"]
            for e in self._series.unreadable
            if e["gpu"] == gpu.index and e["t_ns"] < horizon
        }
        if "*" in errors:
            raise CardLost(errors["*"])
        recorded = (
            self._once[gpu.index]
            if reading in ONCE
            else self._tick(reading)["gpus"].get(str(gpu.index), {})
        )
        fields = {name: recorded[name] for name in fields_of(reading) if name in recorded}
        if not fields:
            raise Unreadable(errors.get(reading, "not recorded"), permanent=False)
        return fields

    def _tick(self, reading: str) -> dict[str, Any]:
        """The current tick; for a slow reading the last tick that took slow readings."""
        ticks, position = self._series.ticks, self._clock.position
        while reading in SLOW and position > 0 and "tree" not in ticks[position]:
            position -= 1
        return ticks[position]


class ReplayHost:
    """CPU readings and process tree of the recording."""

    def __init__(self, series: TelemetrySeries, clock: ReplayClock) -> None:
        self.cores: int = series.start["cores"]
        self._series, self._clock = series, clock

    def _last(self, field: str, default: Any) -> Any:
        for tick in reversed(self._series.ticks[: self._clock.position + 1]):
            if field in tick:
                return tick[field]
        return default

    def tree(self) -> list[int]:
        return list(self._last("tree", []))

    def job(self) -> tuple[float, int]:
        return self._last("job_cpu_s", 0.0), self._last("job_rss_bytes", 0)

    def host(self) -> tuple[float, float]:
        return self._last("host_busy_s", 0.0), self._last("host_total_s", 0.0)

    def stopped(self) -> bool:
        return bool(self._series.ticks[self._clock.position].get("job_stopped", False))

    def job_cores(self) -> tuple[int, float, float] | None:
        cores = self._last("job_cores", None)
        return (
            None
            if cores is None
            else (cores, self._last("cores_busy_s", 0.0), self._last("cores_total_s", 0.0))
        )

    def hidden(self, pids: Iterable[int]) -> list[int]:
        recorded = self._last("hidden", [])
        return [pid for pid in pids if pid in recorded]


def replay(
    series: TelemetrySeries, interval_s: float | None = None, slow_s: float | None = None
) -> TelemetrySeries:
    """What the sampler makes of a recording, at its own interval unless another is given."""
    clock = ReplayClock(series)
    result = TelemetrySeries()

    def write(line: Line) -> None:
        result.add(line)

    Sampler(
        ReplayGpus(series, clock),
        ReplayHost(series, clock),
        clock,
        write,
        interval_s=interval_s if interval_s is not None else series.start["interval_s"],
        slow_s=slow_s if slow_s is not None else series.start["slow_s"],
        roots=series.start["roots"],
    ).run()
    return result
