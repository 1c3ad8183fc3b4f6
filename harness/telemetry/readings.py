"""What the sampler reads, and the interfaces that it reads by: implemented by nvml and processes,
and by tests that replay a recording.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

Value = int | float | list[int]

# Read at every tick, in this order: cheap, or needed as a curve.
FAST = ("utilization", "memory_used_bytes", "power_w", "energy_mj", "sm_clock_mhz", "clock_reasons")
# Read about once per second: slow to change, or slow to ask for.
SLOW = ("memory_clock_mhz", "temperature_c", "pids")
# Read once, at the start, and by the preflight checks.
ONCE = ("memory_total_bytes", "power_limit_w", "mig_mode", "persistence_mode")

# One driver call answers two fields.
FIELDS_OF = {"utilization": ("utilization_gpu", "utilization_memory")}


def fields_of(reading: str) -> tuple[str, ...]:
    """The fields that a reading of FAST, SLOW or ONCE fills."""
    return FIELDS_OF.get(reading, (reading,))


# Bits of nvmlDeviceGetCurrentClocksEventReasons (nvml.h: nvmlClocksEventReasons).
CLOCK_REASONS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
# The host failed the card: too hot, or too little power. Not here: sw_power_cap, the normal state
# of many cards at full load, which both arms meet alike; it is recorded.
THROTTLING = (
    "hw_slowdown",
    "sw_thermal_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
)


def reason_names(mask: int) -> list[str]:
    """Names of the bits set in a clock-reasons mask; a bit of a newer driver as `bit_0x…`."""
    known = [name for bit, name in CLOCK_REASONS.items() if mask & bit]
    rest = mask & ~sum(CLOCK_REASONS)
    return [*known, f"bit_{rest:#x}"] if rest else known


class Unreadable(Exception):
    """A reading failed. `permanent`: asking again is useless (not supported, no permission)."""

    def __init__(self, reason: str, *, permanent: bool = True) -> None:
        super().__init__(reason)
        self.permanent = permanent


class CardLost(Exception):
    """The card is gone (fell off the bus): nothing more can be read from it."""


@dataclass(frozen=True)
class Gpu:
    """One card as NVML counts: `index` in PCI bus order."""

    index: int
    uuid: str
    name: str


@dataclass(frozen=True)
class LostGpu(Gpu):
    """A card that the driver counts and that does not answer; `uuid` and `name` are empty if
    unknown.
    """

    reason: str

    def __str__(self) -> str:
        return (
            f"GPU {self.index}{f' ({self.uuid})' if self.uuid else ''} does not answer: "
            f"{self.reason}"
        )


class GpuSource(Protocol):
    """Cards to read from; `problems` says why there are fewer than were asked for.

    `lost`: those of them that do not answer.
    """

    gpus: Sequence[Gpu]
    lost: Sequence[LostGpu]
    problems: Sequence[str]

    def read(self, gpu: Gpu, reading: str) -> dict[str, Value]:
        """The fields of one reading. Raises Unreadable or CardLost."""
        ...


class HostSource(Protocol):
    """The host and the job's process tree. CPU times are cumulative seconds over all cores; what
    processes use that only keep cores awake is in none of them.
    """

    cores: int

    def tree(self) -> list[int]:
        """Process ids of the job now; slow, for it looks at every process of the host."""
        ...

    def job(self) -> tuple[float, int]:
        """CPU seconds of the job so far (processes that ended included) and resident bytes now."""
        ...

    def host(self) -> tuple[float, float]:
        """Busy and total CPU seconds of the host since boot."""
        ...

    def stopped(self) -> bool:
        """Whether `job` found a process stopped (SIGSTOP, a debugger), those it was started by left
        out.
        """
        ...

    def job_cores(self) -> tuple[int, float, float] | None:
        """How many CPUs the job may use, and busy and total seconds of these since the first call;
        None: not told.
        """
        ...

    def hidden(self, pids: Iterable[int]) -> list[int]:
        """Those pids that this process cannot see: another pid namespace, or already ended."""
        ...


class Clock(Protocol):
    """CLOCK_MONOTONIC, or its replay."""

    def now_ns(self) -> int: ...

    def wait_until(self, t_ns: int) -> bool:
        """Sleep until then; False if the sampler shall stop instead."""
        ...


def choose(visible: str | None, gpus: Sequence[Gpu]) -> tuple[list[Gpu], list[str]]:
    """The cards that a process with this CUDA_VISIBLE_DEVICES sees (None: unset, all), and what
    named no card.

    As CUDA does: the list ends at the first entry that names no card. Needs
    CUDA_DEVICE_ORDER=PCI_BUS_ID, which the runner sets, for indices to mean the same in NVML and
    CUDA.
    """
    if visible is None:
        return list(gpus), []
    chosen: list[Gpu] = []
    for entry in _entries(visible):
        if re.fullmatch(r"\d+", entry):
            found = [gpu for gpu in gpus if gpu.index == int(entry)]
        else:
            found = [gpu for gpu in gpus if gpu.uuid.startswith(entry)]
        if len(found) != 1:
            return chosen, [] if _ends(entry) else [_no_card(entry, gpus)]
        chosen.append(found[0])
    return chosen, []


def hides_all(visible: str | None) -> bool:
    """Whether this CUDA_VISIBLE_DEVICES is how CUDA is told to see no card: empty, or -1 in the
    first place.
    """
    if visible is None:
        return False
    entries = _entries(visible)
    return not entries or _ends(entries[0])


def _entries(visible: str) -> list[str]:
    return [entry for part in visible.split(",") if (entry := part.strip())]


def _ends(entry: str) -> bool:
    """Whether an entry ends the list on purpose."""
    return entry == "NoDevFiles" or re.fullmatch(r"-\d+", entry) is not None


def _no_card(entry: str, gpus: Sequence[Gpu]) -> str:
    nameless = [f"GPU {gpu.index}" for gpu in gpus if isinstance(gpu, LostGpu) and not gpu.uuid]
    perhaps = (
        "" if entry.isdigit() or not nameless else f" ({', '.join(nameless)} may be it: no answer)"
    )
    return f"CUDA_VISIBLE_DEVICES: no card {entry}{perhaps}"
