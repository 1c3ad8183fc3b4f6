"""Which cores the jobs of a group are pinned to, and who keeps off them. Best effort: it works
without sysfs too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness.schema.measurement import Interleaved

SYSFS = Path("/sys")
NVIDIA = "0x10de"


def choose(
    settings: Interleaved,
    available: Collection[int],
    near: Collection[int],
    siblings: dict[int, int],
    jobs: int = 2,
) -> list[list[int] | None]:
    """Cores for the jobs of a group, out of the `available` ones; None: not pinned.

    Those in `near` (NUMA-local to the GPU) come first, and the highest numbers: the first cores
    take most interrupts and are left to everything else on the host. `siblings` maps a CPU to the
    first hardware thread of its core: two threads of one core are taken only when nothing else is
    left. A host too small for separate cores shares them; one with fewer cores than wanted gives
    all it has.
    """
    if not settings.cores or not available:
        return [None] * jobs
    first = min(available)
    taken = {siblings.get(first, first)}  # the rest's core, its other thread included
    whole: list[int] = []
    half: list[int] = []
    for cpu in sorted(available, key=lambda cpu: (cpu in near, cpu), reverse=True):
        core = siblings.get(cpu, cpu)
        (half if core in taken else whole).append(cpu)
        taken.add(core)
    half.sort(key=lambda cpu: (cpu == first, -cpu))  # the first CPU of all comes last of all
    order = whole + half
    if settings.same_cores or len(order) < jobs * settings.cores:
        return [sorted(order[: settings.cores])] * jobs
    return [sorted(order[job * settings.cores : (job + 1) * settings.cores]) for job in range(jobs)]


def assign(settings: Interleaved, device: str, jobs: int) -> list[list[int] | None]:
    """`choose` among what this process may run on."""
    available = os.sched_getaffinity(0)
    near = near_gpu() if device == "cuda" else ()
    return choose(settings, available, near, core_of(available), jobs)


def spread(wanted: Sequence[int], available: Collection[int]) -> list[list[int] | None]:
    """CPUs for jobs that are busy at the same time: as many for each as it wants, each CPU used
    again only when all have been. A job that wants none, or more than there are, gets None.
    """
    order = sorted(available, reverse=True)
    found: list[list[int] | None] = []
    taken = 0
    for count in wanted:
        fits = 0 < count <= len(order)
        chosen = [order[(taken + place) % len(order)] for place in range(count)] if fits else None
        found.append(sorted(chosen) if chosen else None)
        taken += len(chosen or ())
    return found


def core_of(cpus: Collection[int], sysfs: Path = SYSFS) -> dict[int, int]:
    """For each CPU the first hardware thread of its core; CPUs of which the kernel does not say are
    left out.
    """
    found = {}
    for cpu in cpus:
        with contextlib.suppress(OSError, ValueError):
            text = (
                sysfs / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
            ).read_text()
            found[cpu] = min(parse_cpus(text))
    return found


def near_gpu(sysfs: Path = SYSFS) -> set[int]:
    """CPUs local to the GPU by the kernel's tables; with several NVIDIA cards, only those local to
    all of them.

    Which card a job gets is not looked up: a container's tables list the host's cards, not its own.
    No card: empty.
    """
    lists: list[set[int]] = []
    for device in sorted((sysfs / "bus/pci/devices").glob("*")):
        with contextlib.suppress(OSError, ValueError):
            is_gpu = (device / "class").read_text().startswith("0x03")  # display and 3D controllers
            if is_gpu and (device / "vendor").read_text().strip() == NVIDIA:
                lists.append(parse_cpus((device / "local_cpulist").read_text()))
    return set.intersection(*lists) if lists else set()


def parse_cpus(text: str) -> set[int]:
    """The kernel's list format: `0-3,8` is 0, 1, 2, 3 and 8. Raises ValueError."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


@contextlib.contextmanager
def keep_off(cores: Collection[int]) -> Iterator[None]:
    """Keep this process' threads, and what they start meanwhile, off these cores; where no other is
    left, do nothing.

    Jobs that are pinned move themselves to their cores. Affinities are restored on the way out.
    """
    threads: dict[int, set[int]] = {}
    for name in os.listdir("/proc/self/task") if cores else ():
        with contextlib.suppress(OSError):
            threads[int(name)] = os.sched_getaffinity(int(name))
    _move({thread: before - set(cores) for thread, before in threads.items()})
    try:
        yield
    finally:
        _move(threads)


def _move(threads: dict[int, set[int]]) -> None:
    for thread, cpus in threads.items():
        with contextlib.suppress(OSError):  # a thread that ended, or no core left
            if cpus:
                os.sched_setaffinity(thread, cpus)
