"""Cards through NVML (nvidia-ml-py), each asked by itself: one that is lost hides no other.

Without library, driver or card: no cards, and one problem that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.telemetry.readings import (
    CardLost,
    Gpu,
    LostGpu,
    Unreadable,
    Value,
    choose,
    hides_all,
)

PROC_GPUS = Path("/proc/driver/nvidia/gpus")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class NvmlSource:
    """The cards that CUDA_VISIBLE_DEVICES (`visible`; None: all) names. Use `close` at the end.

    What NVML's numbers mean (NVML API reference):
    utilization     share of the driver's last sample period, 1/6 to 1 s long, in which any kernel
                    ran (memory: in which device memory was read or written)
    power_w         average of the last second on Ampere and newer, except GA100 (A100) and older:
                    at that moment
    energy_mj       since the driver was loaded; Volta and newer
    memory_used     without what the driver reserves, if the driver tells the two apart (as
                    nvidia-smi prints it)

    `lost`: visible cards that do not answer; `lost_elsewhere`: those that are not visible.
    `driver`: whether there is one at all. `failure`: why a driver that is there tells nothing of
    its cards.
    """

    def __init__(self, visible: str | None = None) -> None:
        self.gpus: Sequence[Gpu] = []
        self.lost: Sequence[LostGpu] = []
        self.lost_elsewhere: Sequence[LostGpu] = []
        self.problems: Sequence[str] = []
        self.driver, self.failure = False, ""
        self._handles: dict[Gpu, Any] = {}
        self._pynvml: Any = None
        if visible is not None and not visible.strip():
            return
        try:
            import pynvml
        except ImportError:
            self.problems = ["NVML: the package nvidia-ml-py is not installed"]
            return
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            self.problems = [f"NVML: {error}"]
            none = pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded
            self.driver = not isinstance(error, none)
            self.failure = str(error) if self.driver else ""
            return
        self.driver = True
        self._pynvml = pynvml
        self._memory_version: int | None = getattr(pynvml, "nvmlMemory_v2", None)
        self._readers: dict[str, Callable[[Any], dict[str, Value]]] = {
            "utilization": self._utilization,
            "memory_used_bytes": lambda h: {"memory_used_bytes": int(self._memory(h).used)},
            "memory_total_bytes": lambda h: {"memory_total_bytes": int(self._memory(h).total)},
            "power_w": lambda h: {"power_w": pynvml.nvmlDeviceGetPowerUsage(h) / 1000},
            "energy_mj": lambda h: {
                "energy_mj": int(pynvml.nvmlDeviceGetTotalEnergyConsumption(h))
            },
            "sm_clock_mhz": lambda h: {
                "sm_clock_mhz": int(pynvml.nvmlDeviceGetClockInfo(h, pynvml.NVML_CLOCK_SM))
            },
            # The name of old: drivers before 535 know no other.
            "clock_reasons": lambda h: {
                "clock_reasons": int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(h))
            },
            "memory_clock_mhz": lambda h: {
                "memory_clock_mhz": int(pynvml.nvmlDeviceGetClockInfo(h, pynvml.NVML_CLOCK_MEM))
            },
            "temperature_c": lambda h: {
                "temperature_c": int(
                    pynvml.nvmlDeviceGetTemperature(h, pynvml.NVML_TEMPERATURE_GPU)
                )
            },
            "pids": lambda h: {
                "pids": sorted({int(p.pid) for p in pynvml.nvmlDeviceGetComputeRunningProcesses(h)})
            },
            "power_limit_w": lambda h: {
                "power_limit_w": pynvml.nvmlDeviceGetEnforcedPowerLimit(h) / 1000
            },
            "mig_mode": lambda h: {"mig_mode": int(pynvml.nvmlDeviceGetMigMode(h)[0])},
            "persistence_mode": lambda h: {
                "persistence_mode": int(pynvml.nvmlDeviceGetPersistenceMode(h))
            },
        }
        self._find(visible)

    def _find(self, visible: str | None) -> None:
        pynvml, cards, problems = self._pynvml, list[Gpu](), list[str]()
        try:
            count = int(pynvml.nvmlDeviceGetCount())
        except pynvml.NVMLError as error:
            self.failure = str(error)
            self.problems = [f"NVML: {error}"]
            return
        for index in range(count):
            handle = None
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                cards.append(self._card(index, handle))
            except pynvml.NVMLError_NoPermission:  # counted, and not for us to use
                continue
            except pynvml.NVMLError as error:  # a card that fell off the bus still counts
                uuid = self._uuid(handle) or _uuid_of_lost(index, count)
                cards.append(LostGpu(index, uuid, "", str(error)))
        for entry in (visible or "").split(","):
            if entry.strip().startswith("MIG-"):  # a slice is no card of its own in NVML's count
                try:
                    handle = pynvml.nvmlDeviceGetHandleByUUID(entry.strip())
                    parent = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
                    cards.append(self._card(int(pynvml.nvmlDeviceGetIndex(parent)), handle))
                except pynvml.NVMLError as error:
                    problems.append(f"NVML: slice {entry.strip()}: {error}")
        chosen, unknown = choose(visible, cards)
        self.gpus = [card for card in chosen if not isinstance(card, LostGpu)]
        self.lost = [card for card in chosen if isinstance(card, LostGpu)]
        self.lost_elsewhere = [c for c in cards if isinstance(c, LostGpu) and c not in chosen]
        self.problems = [*problems, *map(str, self.lost), *unknown]
        if not chosen and not self.problems:
            self.problems = ["NVML: no card"]

    def _card(self, index: int, handle: Any) -> Gpu:
        """A card that answers. Raises NVMLError if it does not: its name may be known all the
        same.
        """
        pynvml = self._pynvml
        lost = pynvml.NVMLError_GpuIsLost, pynvml.NVMLError_ResetRequired
        told = []
        for ask in (
            pynvml.nvmlDeviceGetUUID,
            pynvml.nvmlDeviceGetName,
            pynvml.nvmlDeviceGetMemoryInfo,
        ):
            try:
                told.append(ask(handle))
            except lost:
                raise
            except pynvml.NVMLError:  # a slice or a restricted container answers only in part
                told.append("")
        gpu = Gpu(index, _text(told[0]), _text(told[1]) or "unknown GPU")
        self._handles[gpu] = handle
        return gpu

    def _uuid(self, handle: Any) -> str:
        """The UUID of a card that answers no more, which the driver may still know; empty: it does
        not.
        """
        try:
            return _text(self._pynvml.nvmlDeviceGetUUID(handle)) if handle is not None else ""
        except self._pynvml.NVMLError:
            return ""

    def describe(self, gpu: Gpu) -> dict[str, Any]:
        """What a record of the host says of a card: index, name, uuid, memory_bytes,
        compute_capability, as known.
        """
        pynvml, handle = self._pynvml, self._handles[gpu]
        found: dict[str, Any] = {
            "index": gpu.index,
            "name": gpu.name,
            **({"uuid": gpu.uuid} if gpu.uuid else {}),
        }
        readers: dict[str, Callable[[], Any]] = {
            "memory_bytes": lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
            "compute_capability": lambda: "{}.{}".format(
                *pynvml.nvmlDeviceGetCudaComputeCapability(handle)
            ),
        }
        for key, read in readers.items():
            try:
                found[key] = read()
            except pynvml.NVMLError:
                continue
        return found

    def versions(self) -> tuple[str | None, str | None]:
        """Of the driver, and of the CUDA that it provides; None: not told."""
        driver = cuda = None
        if self._pynvml is not None:
            try:
                driver = _text(self._pynvml.nvmlSystemGetDriverVersion())
                number = int(self._pynvml.nvmlSystemGetCudaDriverVersion())
                cuda = f"{number // 1000}.{number % 1000 // 10}"
            except self._pynvml.NVMLError:
                pass
        return driver, cuda

    def read(self, gpu: Gpu, reading: str) -> dict[str, Value]:
        pynvml = self._pynvml
        try:
            return self._readers[reading](self._handles[gpu])
        except (pynvml.NVMLError_GpuIsLost, pynvml.NVMLError_ResetRequired) as error:
            raise CardLost(str(error)) from error
        except pynvml.NVMLError as error:
            permanent = isinstance(
                error,
                pynvml.NVMLError_NotSupported
                | pynvml.NVMLError_NoPermission
                | pynvml.NVMLError_FunctionNotFound
                | pynvml.NVMLError_InvalidArgument,
            )
            raise Unreadable(str(error), permanent=permanent) from error

    def _utilization(self, handle: Any) -> dict[str, Value]:
        rates = self._pynvml.nvmlDeviceGetUtilizationRates(handle)
        return {"utilization_gpu": int(rates.gpu), "utilization_memory": int(rates.memory)}

    def _memory(self, handle: Any) -> Any:
        if self._memory_version is not None:
            try:
                return self._pynvml.nvmlDeviceGetMemoryInfo(handle, version=self._memory_version)
            except self._pynvml.NVMLError_FunctionNotFound:  # drivers before 510
                self._memory_version = None
        return self._pynvml.nvmlDeviceGetMemoryInfo(handle)

    def process_name(self, pid: int) -> str:
        """The program's name without path or arguments; `unknown` if neither the system nor NVML
        tells.
        """
        import psutil

        try:
            return psutil.Process(pid).name()
        except psutil.Error:
            pass
        try:
            name = (
                _text(self._pynvml.nvmlSystemGetProcessName(pid)).split(" ")[0].rsplit("/", 1)[-1]
            )
        except self._pynvml.NVMLError:
            return "unknown"
        return name or "unknown"

    def close(self) -> None:
        if self._pynvml is not None:
            self._pynvml.nvmlShutdown()
            self._pynvml = None


def _uuid_of_lost(index: int, count: int, folder: Path = PROC_GPUS) -> str:
    """The UUID that the driver's folder in /proc still has of a card, there in PCI bus order too;
    empty: unknown.
    """
    try:
        cards = sorted(folder.iterdir())
        lines = (
            (cards[index] / "information").read_text().splitlines() if len(cards) == count else []
        )
    except (OSError, IndexError):
        return ""
    uuid = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("GPU UUID")), ""
    )
    return "" if "?" in uuid else uuid


@dataclass(frozen=True)
class CardsSeen:
    """What a process with some CUDA_VISIBLE_DEVICES sees now (see NvmlSource). `hidden`: the
    variable hides all.
    """

    gpus: Sequence[Gpu] = ()
    lost: Sequence[LostGpu] = ()
    lost_elsewhere: Sequence[LostGpu] = ()
    problems: Sequence[str] = ()
    driver: bool = False
    failure: str = ""
    hidden: bool = False


def look_at_cards(visible: str | None) -> CardsSeen:
    """Ask every card once."""
    if hides_all(visible):
        return CardsSeen(hidden=True)
    source = NvmlSource(visible)
    try:
        return CardsSeen(
            tuple(source.gpus),
            tuple(source.lost),
            tuple(source.lost_elsewhere),
            tuple(source.problems),
            source.driver,
            source.failure,
        )
    finally:
        source.close()
