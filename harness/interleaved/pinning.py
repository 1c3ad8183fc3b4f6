"""Which cores the jobs of a group are pinned to, who keeps off them, and what keeps them awake.

Best effort: it works without sysfs too.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness.schema.measurement import Interleaved

SYSFS, PROC = Path("/sys"), Path("/proc")
NVIDIA = "0x10de"
ANSWER_S = 10.0  # for a spinner to say that it is ready; on a busy core it has little time
# What a spinner does, as `python -c SPINNER PARENT CORE`. It says `ready` or why it cannot, waits
# for a byte and spins until it has another parent. A kernel with autogroup (sched(7)) divides a
# core between sessions before it looks at policies, so that SCHED_IDLE alone would get half the
# core beside a job in a session of its own: the spinner's session gets the least share, 1.5% beside
# a busy one. Without privileges only one process in 0.1 s may set it.
SPINNER = """
import os, sys, time
parent, core = map(int, sys.argv[1:])
try:
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while os.path.exists("/proc/self/autogroup"):
        try:
            with open("/proc/self/autogroup", "w") as group:
                group.write("19")
            break
        except BlockingIOError:
            time.sleep(0.1)
except OSError as error:
    os.write(1, (error.strerror or str(error)).encode())
    sys.exit(1)
os.write(1, b"ready")
if os.read(0, 1):
    while os.getppid() == parent:
        pass
"""


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


class Spinners:
    """One process per core that spins there and yields to everything else (SCHED_IDLE, sched(7)).

    They are started when this is made, and wait for `begin` without using their cores. None of them
    outlives this process, however that ends. `kept_awake` makes them and clears them away.

    Attributes:
        pids: Of the processes; () if they could not be started.
        refused: Why the cores were not kept awake all the time, as the system says it; empty: they
            were, or `begin` was not called.
    """

    def __init__(self, cores: Collection[int]) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._spinning = False
        self.refused = cpu_quota() if cores else ""
        if self.refused:
            return
        command = [sys.executable, "-I", "-S", "-c", SPINNER, str(os.getpid())]
        try:
            for core in sorted(cores):
                process = subprocess.Popen(
                    [*command, str(core)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # out of Ctrl-C's reach, and for autogroup
                )
                self._processes.append(process)
        except OSError as error:
            self.refused = error.strerror or str(error)
            self.close()

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(process.pid for process in self._processes)

    def begin(self) -> str:
        """Let all of them spin; where one cannot, none does. Why not, or nothing."""
        self.refused = self.refused or next(filter(None, map(_why_not, self._processes)), "")
        if self.refused:
            self.end()
            return self.refused
        self._spinning = True
        for process in self._processes:
            assert process.stdin is not None
            with contextlib.suppress(OSError):  # it has died: `end` says so
                os.write(process.stdin.fileno(), b"!")
        return ""

    def end(self) -> None:
        """Let them spin no more.

        What CPU time they used can still be read in /proc until `close`.
        """
        for process in self._processes:
            # Not by `poll` and `kill`, which would clear away one that has ended.
            ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None and self._spinning:
                self.refused = "a process that keeps a core awake ended too early"
            os.kill(process.pid, signal.SIGKILL)
        self._spinning = False

    def close(self) -> None:
        """End them, and leave nothing of them."""
        for process in self._processes:
            process.kill()
            process.communicate()
        self._processes = []


@contextlib.contextmanager
def kept_awake(cores: Collection[int]) -> Iterator[Spinners]:
    """Let none of these cores go idle from the spinners' `begin` to their `end`.

    A step on a GPU is a chain of short waits; a core that halts in each of them wakes up late. On a
    virtual machine it has to be scheduled anew by the host as well.
    """
    spinners = Spinners(cores)
    try:
        yield spinners
    finally:
        spinners.close()


def _why_not(spinner: subprocess.Popen[bytes]) -> str:
    assert spinner.stdout is not None
    if not select.select([spinner.stdout], [], [], ANSWER_S)[0]:
        return f"a process that keeps a core awake was not ready within {ANSWER_S:g} s"
    said = os.read(spinner.stdout.fileno(), 1000).decode(errors="replace")
    return "" if said == "ready" else said or "a process that keeps a core awake ended too early"


def cpu_quota(proc: Path = PROC, sysfs: Path = SYSFS) -> str:
    """That this process' control group may use a limited amount of CPU time, as a sentence; empty:
    it is not limited, or the kernel does not say.

    Spinning would use that up, and the kernel would then halt the jobs (cgroups(7), versions 1 and
    2).
    """
    groups: list[list[str]] = []
    with contextlib.suppress(OSError):
        groups = [line.split(":", 2) for line in (proc / "self/cgroup").read_text().splitlines()]
    for _, controllers, path in (group for group in groups if len(group) == 3):
        second = not controllers
        if not second and "cpu" not in controllers.split(","):
            continue
        root = sysfs / "fs/cgroup" / controllers
        folder = root / path.lstrip("/")
        for level in (folder, *folder.parents):
            with contextlib.suppress(OSError, ValueError, IndexError):
                file = level / ("cpu.max" if second else "cpu.cfs_quota_us")
                limit = file.read_text().split()[0]
                if limit != "max" and int(limit) > 0:
                    return "the control group has a CPU quota, which spinning would use up"
            if level == root:
                break
    return ""
