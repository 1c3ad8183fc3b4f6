"""Before a run: is this host fit to measure on? Findings say what is wrong and what to do; errors
stop the run.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from harness.errors import BenchError, is_text, of_the_system
from harness.paths import cuda_cache
from harness.planning.hub import named_cache
from harness.telemetry.readings import (
    THROTTLING,
    CardLost,
    Gpu,
    GpuSource,
    LostGpu,
    Unreadable,
    reason_names,
)

# A card without processes holds some megabytes; more is somebody whose process this host or
# container does not show.
IDLE_MEMORY_BYTES = 512 << 20
MIN_FREE_BYTES = (
    1 << 30
)  # error: series, logs and Parquet caches of a small suite already come near it
ROOM_BYTES = 10 << 30  # warning: hub models, CUDA kernel caches and datasets of a full suite
TRIED_BYTES = 1 << 16  # what every place that is written to must have room for
CPU_FOLDER = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class PreflightFinding:
    """One thing about the host. `shared`: an error that --allow-shared-gpu makes a warning."""

    severity: Literal["error", "warning"]
    message: str
    fix: str
    shared: bool = False

    def __str__(self) -> str:
        return f"{self.severity}: {self.message}\n  fix: {self.fix}"


class Cards(GpuSource, Protocol):
    """A GpuSource that also knows programs by process id."""

    def process_name(self, pid: int) -> str: ...


def inspect(
    device: Literal["cpu", "cuda"],
    folders: Iterable[Path] = (),
    *,
    visible: str | None = None,
    needed: int = 1,
    cards: Cards | None = None,
    cpu_folder: Path = CPU_FOLDER,
) -> list[PreflightFinding]:
    """Everything worth saying before a run; never raises.

    `folders`: where results and caches will go (need not exist yet). `visible`:
    CUDA_VISIBLE_DEVICES of the jobs, the largest of which has `needed` processes on this node, each
    with a card of its own. `cards` replaces NVML. A CPU run, and a host without a driver, has no
    findings about cards.
    """
    findings: list[PreflightFinding] = []
    if device == "cuda":
        if cards is not None:
            findings += _cards(cards, needed)
        else:
            from harness.telemetry.nvml import NvmlSource, look_at_cards

            source = NvmlSource(visible)
            try:
                findings += _cards(source, needed, look_at_cards(None).gpus if source.lost else ())
                findings += [
                    PreflightFinding("warning", f"{gpu}; no job uses it", fix_of_lost(gpu))
                    for gpu in source.lost_elsewhere
                ]
            finally:
                source.close()
    return [*findings, *_disk(folders, device), *_governor(cpu_folder)]


@dataclass(frozen=True)
class Place:
    """A folder that a run writes to. `moved_by`: the option or variable that names another."""

    what: str
    folder: Path
    moved_by: str
    severity: Literal["error", "warning"] = "error"
    without: str = ""  # what happens where it cannot be written, of a warning


def places(
    results: Path, option: str, cache_dir: Path, device: str, *, hub: bool = False
) -> list[Place]:
    """Every folder that jobs on `device` write to. `option`: the one that names `results`.

    Raises BenchError if there is no folder for temporary files at all.
    """
    from harness.launcher.environment import temporary_folder

    if (given := os.environ.get("TMPDIR")) and not Path(given).is_dir():
        # Python would take another folder, and say nothing.
        raise BenchError("is no folder", place=f"TMPDIR={given}", fix="make it, or unset TMPDIR")
    found = [
        Place("results", results, option),
        Place("the cache of data and tokens", cache_dir, "XDG_CACHE_HOME (or HOME)"),
        Place("temporary files", Path(temporary_folder()), "TMPDIR"),
    ]
    if hub:
        at, name = _hub_cache()
        found.append(
            Place("the hub's cache", at, name, "warning", "nothing can be downloaded from the hub")
        )
    if device == "cuda":
        without = "every job compiles its CUDA kernels anew, which can take minutes"
        found.append(
            Place("CUDA's cache", cuda_cache(), "CUDA_CACHE_PATH (or HOME)", "warning", without)
        )
    return found


def _hub_cache() -> tuple[Path, str]:
    """Where huggingface_hub keeps what it downloads, and the variable that says so."""
    if (named := named_cache()) is not None:
        name, folder = named
        return folder, name
    if given := os.environ.get("HF_HOME"):
        return Path(os.path.expandvars(given)).expanduser() / "hub", "HF_HOME"
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "huggingface" / "hub", "HF_HOME (or HOME)"


def unwritable(places: Iterable[Place]) -> list[PreflightFinding]:
    """A finding for each place in which no file can be made; makes no folder and leaves nothing
    behind.
    """
    found = []
    for place in places:
        error = _refusal(place.folder)
        if error is None and not is_text(str(place.folder.absolute())):
            error = OSError(
                errno.EILSEQ, "its name is not UTF-8 text"
            )  # records and jobs get it as text
        if error is None:
            continue
        said = of_the_system(error)
        message = f"{place.what} cannot be written to {place.folder}: {said.message}"
        message += f"; {place.without}" if place.without else ""
        fix = "; ".join(filter(None, (said.fix, f"{place.moved_by} names the folder")))
        found.append(PreflightFinding(place.severity, message, fix))
    return found


def _refusal(folder: Path) -> OSError | None:
    """Why no file can be made in a folder that is there or can be made; None if one can."""
    try:
        there = existing(folder)
        if not there.is_dir():
            return NotADirectoryError(errno.ENOTDIR, "", str(there))
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(TRIED_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error
    return None


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there. Raises OSError if it can neither be
    nor be made.
    """
    path = folder.absolute()
    while True:
        try:
            path.lstat()
        except FileNotFoundError:
            path = path.parent
        else:
            path.stat()  # a link to nothing is no folder and cannot become one
            return path


def enforce(
    findings: Iterable[PreflightFinding], *, allow_shared_gpu: bool = False
) -> list[PreflightFinding]:
    """The findings to show as warnings. Raises BenchError with all errors, if any.

    With `allow_shared_gpu` errors about a shared card become warnings; a card that throttles or a
    full disk does not.
    """
    waived = [
        replace(f, severity="warning")
        if allow_shared_gpu and f.shared and f.severity == "error"
        else f
        for f in findings
    ]
    errors = [f for f in waived if f.severity == "error"]
    if errors:
        fixes = list(dict.fromkeys(f.fix for f in errors))
        if any(f.shared for f in errors):
            fixes.append("or measure all the same with --allow-shared-gpu")
        raise BenchError(
            "; ".join(f.message for f in errors), place="this host", fix="; ".join(fixes)
        )
    return waived


def fix_of_lost(gpu: LostGpu, answering: Sequence[Gpu] = ()) -> str:
    """What to do about a card that does not answer; `answering`: those that jobs may use
    instead.
    """
    others = ",".join(str(other.index) for other in answering)
    instead = f"CUDA_VISIBLE_DEVICES={others} to do without it, or " if others else ""
    reset = f"reset it (`nvidia-smi -r -i {gpu.index}` as root), else restart the host"
    return f"{instead}{reset}; `dmesg` tells its Xid"


def _cards(source: Cards, needed: int, answering: Sequence[Gpu] = ()) -> list[PreflightFinding]:
    findings = [finding for gpu in source.gpus for finding in _card(source, gpu)]
    findings += [
        PreflightFinding("error", str(gpu), fix_of_lost(gpu, answering)) for gpu in source.lost
    ]
    findings += [
        PreflightFinding(
            "warning",
            f"{problem}, so none of what follows it is visible",
            "name cards that are there",
        )
        for problem in source.problems
        if problem.startswith("CUDA_VISIBLE_DEVICES: ")
    ]
    # None at all: NVML does not answer, which find_device refuses and harness doctor tells.
    if 0 < len(source.gpus) < needed and not source.lost:
        message = (
            f"a job of {needed} processes needs as many cards, and {len(source.gpus)} can be used"
        )
        fix = (
            "--set launch.processes=…, a host with more cards, or more of them in "
            "CUDA_VISIBLE_DEVICES"
        )
        findings.append(PreflightFinding("error", message, fix))
    return findings


def _card(source: Cards, gpu: Gpu) -> list[PreflightFinding]:
    name = f"GPU {gpu.index} ({gpu.name})"
    findings: list[PreflightFinding] = []
    pids = _read(source, gpu, "pids") or []
    if pids:
        programs = Counter(source.process_name(pid) for pid in pids)
        listed = ", ".join(
            program if n == 1 else f"{n} x {program}" for program, n in sorted(programs.items())
        )
        findings.append(
            PreflightFinding(
                "error",
                f"{name} runs other processes: {listed} (pids {_some(pids)})",
                "end them",
                shared=True,
            )
        )
    used = _read(source, gpu, "memory_used_bytes") or 0
    if used > IDLE_MEMORY_BYTES and not pids:
        message = f"{name} has {used / 2**30:.1f} GiB in use by processes that are not visible here"
        findings.append(
            PreflightFinding(
                "error", message, "look for them outside this container (nvidia-smi)", shared=True
            )
        )
    if _read(source, gpu, "mig_mode"):
        message = f"{name} is in MIG mode: a slice has no clock, power or utilization of its own"
        findings.append(PreflightFinding("error", message, "nvidia-smi -mig 0", shared=True))
    reasons = [r for r in reason_names(_read(source, gpu, "clock_reasons") or 0) if r in THROTTLING]
    if reasons:
        degrees = _read(source, gpu, "temperature_c")
        at = f" at {degrees} °C" if degrees is not None else ""
        message = f"{name} is throttled{at} before anything runs: {', '.join(reasons)}"
        findings.append(
            PreflightFinding("error", message, "let it cool; check airflow and power supply")
        )
    if _read(source, gpu, "persistence_mode") == 0:
        message = f"{name} has persistence mode off: the driver may reload between jobs"
        findings.append(PreflightFinding("warning", message, "nvidia-smi -pm 1 (as root)"))
    return findings


def _read(source: GpuSource, gpu: Gpu, reading: str) -> Any:
    try:
        return source.read(gpu, reading).get(reading)
    except (Unreadable, CardLost):
        return None  # harness doctor and the telemetry say what a card does not tell


def _some(pids: list[int], most: int = 8) -> str:
    return ", ".join(map(str, pids[:most])) + (", …" if len(pids) > most else "")


def _disk(folders: Iterable[Path], device: str) -> list[PreflightFinding]:
    findings: list[PreflightFinding] = []
    seen: set[int] = set()
    for folder in folders:
        try:
            there = existing(folder)
            disk = there.stat().st_dev
            if disk in seen:
                continue
            seen.add(disk)
            free = shutil.disk_usage(there).free
        except OSError:
            continue  # `unwritable` says why
        message = f"{free / 2**30:.1f} GiB free for {folder}"
        if free < MIN_FREE_BYTES:
            findings.append(
                PreflightFinding(
                    "error", message, f"make room: at least {MIN_FREE_BYTES >> 30} GiB"
                )
            )
        elif free < ROOM_BYTES and device == "cuda":
            fix = f"a GPU suite with hub models and kernel caches may need {ROOM_BYTES >> 30} GiB"
            findings.append(PreflightFinding("warning", message, fix))
    return findings


def _governor(folder: Path) -> list[PreflightFinding]:
    governors: Counter[str] = Counter()
    for file in folder.glob("cpu[0-9]*/cpufreq/scaling_governor"):
        try:
            governors[file.read_text().strip()] += 1
        except OSError:
            continue
    slow = {name: n for name, n in governors.items() if name != "performance"}
    if not slow:
        return []  # virtual machines have no governor at all
    listed = ", ".join(f"{name} on {n} CPUs" for name, n in sorted(slow.items()))
    return [
        PreflightFinding(
            "warning",
            f"CPU frequency governor: {listed}: clocks follow the load",
            "cpupower frequency-set -g performance",
        )
    ]
