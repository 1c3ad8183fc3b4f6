"""A series joined to a job's steady window: record.Telemetry, and whether the window was
disturbed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from harness.schema.record import GpuTelemetry, Telemetry, Timing
from harness.telemetry.readings import THROTTLING, reason_names
from harness.telemetry.series import TelemetrySeries

# A card may have been throttled at so large a share of the window's samples, and at one sample at
# most besides, before the job counts as contaminated: at 1%, clocks lower by a third change the
# mean by 0.3%.
THROTTLED_SHARE = 0.01

# Intervals between two ticks from which on it counts as not seen what happened between them: a busy
# host holds the sampler up for some, and a reading each second (processes) must not be missed
# either.
GAP = 10

Window = tuple[int, int]
Tick = dict[str, Any]


def summarise(
    series: TelemetrySeries, timing: Timing, path: str | None = None, until_ns: int | None = None
) -> Telemetry:
    """The summary of a job; `path` is where its series lies. Without a steady window only peaks are
    filled in.

    `until_ns`: what comes later is no part of the training (inference), and has no part in the
    peaks.
    """
    window: Window | None = None
    if timing.steady_begin_ns is not None and timing.steady_end_ns is not None:
        window = (timing.steady_begin_ns, timing.steady_end_ns)
    unreadable = [
        f"{e['field']}: {e['reason']}" if e["field"] != "*" else e["reason"]
        for e in _of(series, None)
    ]
    if not series.ticks:
        return Telemetry(unreadable=unreadable or ["the sampler wrote nothing"])
    if series.end is None:
        unreadable.append("the sampler was cut off before the job ended")
    elif window is not None and not _covers(series.ticks, window, series.start["interval_s"]):
        unreadable.append("the series does not cover the whole steady window")
    gpus = [_card(series, card, window, until_ns) for card in series.start["gpus"]]
    return Telemetry(
        interval_s=series.start["interval_s"],
        window_s=None if window is None else (window[1] - window[0]) / 1e9,
        samples=len(_within(series.ticks, window)),
        missed_ticks=series.end["missed"] if series.end else None,
        cores=series.start["cores"],
        host_cpu_share_mean=_host_share(series.ticks, window),
        job_cpu_share_mean=_job_share(series, window),
        **_job_cores(series.ticks, window),
        stopped_s=_stopped_s(_until(series.ticks, until_ns)),
        covered_share=_covered(series, window),
        job_rss_peak_bytes=max(
            (tick["job_rss_bytes"] for tick in _until(series.ticks, until_ns)), default=None
        ),
        joules_per_sample=_joules_per_sample(gpus, timing, window),
        gpus=gpus,
        unreadable=unreadable,
        series=path,
    )


def contamination(telemetry: Telemetry | None, *, allow_shared_gpu: bool = False) -> str:
    """Why a job's steady window is no fair measurement, as one sentence; empty if nothing speaks
    against it.

    Contaminates: another process on the card (unless `allow_shared_gpu`), and a clock that heat or
    lack of power lowered (readings.THROTTLING) at more than THROTTLED_SHARE of the samples. What
    could not be read does not.
    """
    for gpu in telemetry.gpus if telemetry else ():
        card = f"GPU {gpu.index}"
        if gpu.foreign_processes and not allow_shared_gpu:
            return f"{gpu.foreign_processes} other process(es) on {card} during the steady window"
        for reason in THROTTLING:
            share = gpu.clock_limits.get(reason, 0.0)
            if share > THROTTLED_SHARE and round(share * gpu.samples) > 1:
                return f"{card} was throttled ({reason}) in {share:.1%} of the steady window"
    return ""


def _of(series: TelemetrySeries, gpu: int | None) -> list[dict[str, Any]]:
    return [entry for entry in series.unreadable if entry["gpu"] == gpu]


def _within(ticks: Sequence[Tick], window: Window | None) -> list[Tick]:
    return (
        [] if window is None else [tick for tick in ticks if window[0] <= tick["t_ns"] <= window[1]]
    )


def _until(ticks: Sequence[Tick], until_ns: int | None) -> Sequence[Tick]:
    return ticks if until_ns is None else [tick for tick in ticks if tick["t_ns"] <= until_ns]


def _covers(ticks: Sequence[Tick], window: Window, slack_s: float) -> bool:
    slack_ns = 2e9 * slack_s
    return bool(
        ticks
        and ticks[0]["t_ns"] <= window[0] + slack_ns
        and ticks[-1]["t_ns"] >= window[1] - slack_ns
    )


def _rise(points: Sequence[tuple[int, float]], window: Window, slack_s: float) -> float | None:
    """How much a counter rose over the window, interpolated to its borders; None if it was not read
    over all of it.
    """
    import numpy as np

    slack_ns = 2e9 * slack_s
    if (
        len(points) < 2
        or points[0][0] > window[0] + slack_ns
        or points[-1][0] < window[1] - slack_ns
    ):
        return None
    times, values = zip(*points, strict=True)
    # Relative to the window: nanoseconds since boot do not fit a float to the last digit.
    at = np.interp([0, window[1] - window[0]], [t - window[0] for t in times], values)
    return float(at[1] - at[0])


def _host_share(ticks: Sequence[Tick], window: Window | None) -> float | None:
    if window is None:
        return None
    slow = [tick for tick in ticks if "host_total_s" in tick]
    # Read each second: the rise between the readings around the window, or the window is too short
    # for any.
    inside = _around(slow, window)
    if len(inside) < 2:
        return None
    total = inside[-1]["host_total_s"] - inside[0]["host_total_s"]
    busy = inside[-1]["host_busy_s"] - inside[0]["host_busy_s"]
    return float(busy / total) if total > 0 else None


def _job_cores(ticks: Sequence[Tick], window: Window | None) -> dict[str, Any]:
    """What went on on the CPUs that the job may use, between the readings around the window (each
    second).
    """
    inside = (
        []
        if window is None
        else _around([tick for tick in ticks if "cores_total_s" in tick], window)
    )
    if len(inside) < 2:
        return {}
    first, last = inside[0], inside[-1]
    total, busy, job = (
        last[key] - first[key] for key in ("cores_total_s", "cores_busy_s", "job_cpu_s")
    )
    if total <= 0:
        return {}
    return {
        "job_cores": last["job_cores"],
        "job_cores_busy_mean": min(1.0, busy / total),
        "others_cpu_share_mean": max(0.0, busy - job) / total,
    }


def _stopped_s(ticks: Sequence[Tick]) -> float:
    """Seconds from each tick at which the job was stopped to the next."""
    return math.fsum(
        (b["t_ns"] - a["t_ns"]) / 1e9 for a, b in pairwise(ticks) if a.get("job_stopped")
    )


def _covered(series: TelemetrySeries, window: Window | None) -> float | None:
    """The share of the window in which no samples are missing: none where two ticks are GAP
    intervals apart.
    """
    if window is None or window[1] <= window[0]:
        return None
    times = [tick["t_ns"] for tick in series.ticks]
    borders = [window[0], *(t for t in times if window[0] < t < window[1]), window[1]]
    longest = GAP * 1e9 * series.start["interval_s"]
    gaps = sum(after - before for before, after in pairwise(borders) if after - before > longest)
    outside = not any(window[0] - longest <= t <= window[1] + longest for t in times)
    return 0.0 if outside else 1 - gaps / (window[1] - window[0])


def _around(ticks: Sequence[Tick], window: Window) -> list[Tick]:
    """The ticks within a window and the last before and the first after it."""
    inside = _within(ticks, window)
    before = [tick for tick in ticks if tick["t_ns"] < window[0]][-1:]
    after = [tick for tick in ticks if tick["t_ns"] > window[1]][:1]
    return [*before, *inside, *after]


def _job_share(series: TelemetrySeries, window: Window | None) -> float | None:
    if window is None:
        return None
    points = [(tick["t_ns"], tick["job_cpu_s"]) for tick in series.ticks]
    rise = _rise(points, window, series.start["interval_s"])
    seconds = (window[1] - window[0]) / 1e9
    return None if rise is None or seconds <= 0 else rise / (seconds * series.start["cores"])


def _card(
    series: TelemetrySeries, card: dict[str, Any], window: Window | None, until_ns: int | None
) -> GpuTelemetry:
    import numpy as np

    index = card["index"]
    every = [{"t_ns": tick["t_ns"], **tick["gpus"].get(str(index), {})} for tick in series.ticks]
    inside = [row for row in _within(every, window) if len(row) > 1]
    training = _until(every, until_ns)

    def values(name: str, rows: Sequence[Tick] = inside) -> list[float]:
        return [row[name] for row in rows if name in row]

    def mean(name: str) -> float | None:
        found = values(name)
        return float(np.mean(found)) if found else None

    def quantile(name: str, q: float, rows: Sequence[Tick] = inside) -> float | None:
        found = values(name, rows)
        return float(np.quantile(found, q)) if found else None

    energy_j, energy_source = _energy(every, window, series.start["interval_s"])
    masks = values("clock_reasons")
    named = [name for mask in masks for name in reason_names(int(mask))]
    return GpuTelemetry(
        index=index,
        uuid=card["uuid"],
        name=card["name"],
        memory_total_bytes=card.get("memory_total_bytes"),
        power_limit_w=card.get("power_limit_w"),
        samples=len(inside),
        utilization_mean=mean("utilization_gpu"),
        utilization_p10=quantile("utilization_gpu", 0.1),
        memory_utilization_mean=mean("utilization_memory"),
        memory_peak_bytes=max(
            (int(v) for v in values("memory_used_bytes", training)), default=None
        ),
        power_mean_w=mean("power_w"),
        energy_j=energy_j,
        energy_source=energy_source,
        sm_clock_median_mhz=quantile("sm_clock_mhz", 0.5),
        sm_clock_p10_mhz=quantile("sm_clock_mhz", 0.1),
        memory_clock_median_mhz=quantile("memory_clock_mhz", 0.5, _around_slow(every, window)),
        temperature_max_c=max(values("temperature_c", training), default=None),
        clock_limits={name: named.count(name) / len(masks) for name in sorted(set(named))},
        foreign_processes=_foreign(series, str(index), window),
        unreadable=[
            f"{'card' if e['field'] == '*' else e['field']}: {e['reason']}"
            for e in _of(series, index)
        ],
    )


def _around_slow(rows: Sequence[Tick], window: Window | None) -> list[Tick]:
    """Rows with slow readings; those around the window, for a short one may hold none."""
    return (
        []
        if window is None
        else _around([row for row in rows if "memory_clock_mhz" in row], window)
    )


def _energy(
    rows: Sequence[Tick], window: Window | None, interval_s: float
) -> tuple[float | None, Literal["counter", "power"] | None]:
    """Joules over the window: from the energy counter, else the integral of power (trapezoids)."""
    if window is None:
        return None, None
    counter = [(row["t_ns"], row["energy_mj"]) for row in rows if "energy_mj" in row]
    rise = _rise(counter, window, interval_s)
    if rise is not None:
        return rise / 1e3, "counter"
    integral, points = 0.0, list[tuple[int, float]]()
    before: tuple[int, float] | None = None
    for t_ns, power in ((row["t_ns"], row["power_w"]) for row in rows if "power_w" in row):
        if before is not None:
            integral += (t_ns - before[0]) / 1e9 * (power + before[1]) / 2
        before = (t_ns, power)
        points.append((t_ns, integral))
    rise = _rise(points, window, interval_s)
    return (None, None) if rise is None else (rise, "power")


def _foreign(series: TelemetrySeries, gpu: str, window: Window | None) -> int | None:
    """The most processes on the card at one time, in or just around the window, that are not the
    job's.

    A process that this pid namespace does not show (in a container NVML may list the host's pids)
    cannot be matched to the job: it counts as foreign if it was there at the first tick, before the
    job could reach the card, or if the job's own processes are listed under pids that can be
    matched; otherwise it is taken for the job.
    """
    listings = [tick for tick in series.ticks if "pids" in tick["gpus"].get(gpu, {})]
    if window is None or not listings:
        return None
    ever = {pid for tick in series.ticks for pid in tick.get("tree", ())}
    at_first = set(listings[0]["gpus"][gpu]["pids"])
    most = 0
    for tick in _around(listings, window):
        pids = set(tick["gpus"][gpu]["pids"])
        hidden = set(tick.get("hidden", ())) - ever
        unmatched = (pids & hidden) - at_first
        foreign = pids - ever - unmatched
        if pids & ever:
            foreign |= unmatched
        most = max(most, len(foreign))
    return most


def _joules_per_sample(
    gpus: Sequence[GpuTelemetry], timing: Timing, window: Window | None
) -> float | None:
    energies = [gpu.energy_j for gpu in gpus]
    if window is None or not energies or not timing.steady_samples_per_s or None in energies:
        return None
    samples = timing.steady_samples_per_s * (window[1] - window[0]) / 1e9
    return sum(e for e in energies if e is not None) / samples if samples > 0 else None
