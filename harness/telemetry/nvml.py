"""Cards through NVML (nvidia-ml-py). Without library, driver or card: no cards, and one problem that says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.telemetry.sources import CardLost, Gpu, Unreadable, Value, choose


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class NvmlSource:
    """The cards that CUDA_VISIBLE_DEVICES (`visible`; None: all) names. Use `close` at the end.

    What NVML's numbers mean (NVML API reference):
    utilization     share of the driver's last sample period, 1/6 to 1 s long, in which any kernel ran (memory: in which
                    device memory was read or written)
    power_w         average of the last second on Ampere and newer, except GA100 (A100) and older: at that moment
    energy_mj       since the driver was loaded; Volta and newer
    memory_used     without what the driver reserves, if the driver tells the two apart (as nvidia-smi prints it)
    """

    def __init__(self, visible: str | None = None) -> None:
        self.gpus: Sequence[Gpu] = []
        self.problems: Sequence[str] = []
        self._handles: dict[str, Any] = {}
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
            return
        self._pynvml = pynvml
        self._memory_version: int | None = getattr(pynvml, "nvmlMemory_v2", None)
        self._readers: dict[str, Callable[[Any], dict[str, Value]]] = {
            "utilization": self._utilization,
            "memory_used_bytes": lambda h: {"memory_used_bytes": int(self._memory(h).used)},
            "memory_total_bytes": lambda h: {"memory_total_bytes": int(self._memory(h).total)},
            "power_w": lambda h: {"power_w": pynvml.nvmlDeviceGetPowerUsage(h) / 1000},
            "energy_mj": lambda h: {"energy_mj": int(pynvml.nvmlDeviceGetTotalEnergyConsumption(h))},
            "sm_clock_mhz": lambda h: {"sm_clock_mhz": int(pynvml.nvmlDeviceGetClockInfo(h, pynvml.NVML_CLOCK_SM))},
            # The name of old: drivers before 535 know no other.
            "clock_reasons": lambda h: {"clock_reasons": int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(h))},
            "memory_clock_mhz": lambda h: {
                "memory_clock_mhz": int(pynvml.nvmlDeviceGetClockInfo(h, pynvml.NVML_CLOCK_MEM))
            },
            "temperature_c": lambda h: {
                "temperature_c": int(pynvml.nvmlDeviceGetTemperature(h, pynvml.NVML_TEMPERATURE_GPU))
            },
            "pids": lambda h: {"pids": sorted({int(p.pid) for p in pynvml.nvmlDeviceGetComputeRunningProcesses(h)})},
            "power_limit_w": lambda h: {"power_limit_w": pynvml.nvmlDeviceGetEnforcedPowerLimit(h) / 1000},
            "mig_mode": lambda h: {"mig_mode": int(pynvml.nvmlDeviceGetMigMode(h)[0])},
            "persistence_mode": lambda h: {"persistence_mode": int(pynvml.nvmlDeviceGetPersistenceMode(h))},
        }
        self._find(visible)

    def _find(self, visible: str | None) -> None:
        pynvml, cards, problems = self._pynvml, list[Gpu](), list[str]()
        try:
            count = int(pynvml.nvmlDeviceGetCount())
        except pynvml.NVMLError as error:
            self.problems = [f"NVML: {error}"]
            return
        for index in range(count):
            try:
                cards.append(self._card(index, pynvml.nvmlDeviceGetHandleByIndex(index)))
            except pynvml.NVMLError as error:  # a card that fell off the bus still counts
                problems.append(f"NVML: card {index}: {error}")
        for entry in (visible or "").split(","):
            if entry.strip().startswith("MIG-"):  # a slice is no card of its own in NVML's count
                try:
                    handle = pynvml.nvmlDeviceGetHandleByUUID(entry.strip())
                    parent = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
                    cards.append(self._card(int(pynvml.nvmlDeviceGetIndex(parent)), handle))
                except pynvml.NVMLError as error:
                    problems.append(f"NVML: slice {entry.strip()}: {error}")
        chosen, unknown = choose(visible, cards)
        self.gpus, self.problems = chosen, [*problems, *unknown]
        if not chosen and not self.problems:
            self.problems = ["NVML: no card"]

    def _card(self, index: int, handle: Any) -> Gpu:
        uuid = _text(self._pynvml.nvmlDeviceGetUUID(handle))
        self._handles[uuid] = handle
        return Gpu(index, uuid, _text(self._pynvml.nvmlDeviceGetName(handle)))

    def read(self, gpu: Gpu, reading: str) -> dict[str, Value]:
        pynvml = self._pynvml
        try:
            return self._readers[reading](self._handles[gpu.uuid])
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
        """The program's name without path or arguments; `unknown` if neither the system nor NVML tells."""
        import psutil

        try:
            return psutil.Process(pid).name()
        except psutil.Error:
            pass
        try:
            name = _text(self._pynvml.nvmlSystemGetProcessName(pid)).split(" ")[0].rsplit("/", 1)[-1]
        except self._pynvml.NVMLError:
            return "unknown"
        return name or "unknown"

    def close(self) -> None:
        if self._pynvml is not None:
            self._pynvml.nvmlShutdown()
            self._pynvml = None
