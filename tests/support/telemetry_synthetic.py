"""A plainly synthetic recording in the sampler's format: round figures of cards that do not
exist.
"""

from __future__ import annotations

from typing import Any

from harness.telemetry.series import TelemetrySeries

T0 = 5_000_000_000_000  # ns
JOB, CHILD, STRANGER = 100, 101, 900


def tick_ns(number: int, interval_s: float = 0.1) -> int:
    return T0 + round(number * interval_s * 1e9)


def card(index: int, **changes: Any) -> dict[str, Any]:
    fields = {"index": index, "uuid": f"GPU-synthetic-{index}", "name": "Synthetic Card"}
    return {
        **fields,
        "memory_total_bytes": 1000,
        "power_limit_w": 400.0,
        "mig_mode": 0,
        "persistence_mode": 1,
        **changes,
    }


def recording(ticks: int = 101, cards: int = 1, slow_every: int = 10) -> TelemetrySeries:
    """A tick each 100 ms. Power is 200 W and the energy counter agrees; utilization goes 0, 1, …
    99, 0, …; memory grows by one byte a tick; the job uses one of four CPUs from the first tick on;
    half of the host is busy.
    """
    series = TelemetrySeries(
        start={
            "kind": "start",
            "t_ns": T0 - 1000,
            "version": 1,
            "interval_s": 0.1,
            "slow_s": 0.1 * slow_every,
            "roots": [JOB],
            "cores": 4,
            "gpus": [card(i) for i in range(cards)],
        }
    )
    for number in range(ticks):
        fields: dict[str, Any] = {
            "utilization_gpu": number % 100,
            "utilization_memory": 30,
            "memory_used_bytes": 100 + number,
            "power_w": 200.0,
            "energy_mj": 7_000_000 + 20_000 * number,
            "sm_clock_mhz": 1500,
            "clock_reasons": 0,
        }
        tick: dict[str, Any] = {"kind": "tick", "t_ns": tick_ns(number), "gpus": {}}
        if number % slow_every == 0:
            fields |= {"memory_clock_mhz": 2000, "temperature_c": 50 + number // slow_every}
            fields |= {"pids": [CHILD] if number else []}
            tick |= {
                "tree": [JOB, CHILD],
                "hidden": [],
                "host_busy_s": 0.2 * number,
                "host_total_s": 0.4 * number,
            }
        for index in range(cards):
            tick["gpus"][str(index)] = dict(fields)
        tick |= {"job_cpu_s": 0.1 * number, "job_rss_bytes": 5000 + number}
        series.ticks.append(tick)
    series.end = {"kind": "end", "t_ns": tick_ns(ticks), "missed": 0}
    return series


def forget(series: TelemetrySeries, *fields: str) -> None:
    """Take fields out of every tick, as if no card told them."""
    for tick in series.ticks:
        for values in tick["gpus"].values():
            for field in fields:
                values.pop(field, None)


def unreadable(number: int, gpu: int | None, field: str, reason: str) -> dict[str, Any]:
    """The sampler's line for a failure during a tick."""
    return {
        "kind": "unreadable",
        "t_ns": tick_ns(number) + 1000,
        "gpu": gpu,
        "field": field,
        "reason": reason,
    }
