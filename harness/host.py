"""The machine a run is made on, as record.Host."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.record import Host


def describe_host() -> Host:
    """CPU, memory, system and, if an NVIDIA driver answers, GPUs. Never fails: what cannot be read is left out."""
    import psutil

    gpus, driver, cuda_driver = _nvidia()
    return Host(
        name_sha256=hashlib.sha256(socket.gethostname().encode()).hexdigest(),
        os=_os_name(),
        kernel=platform.release(),
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        gpus=gpus,
        driver=driver,
        cuda_driver=cuda_driver,
    )


def device_name(device: str, host: Host, environment: Mapping[str, str]) -> str:
    """What a record calls the device: `cpu`, or the name of the first GPU that a job with this environment sees.

    Jobs run with CUDA_DEVICE_ORDER=PCI_BUS_ID, the order in which NVML counts, so indices mean the same card in both.
    """
    if device != "cuda" or not host.gpus:
        return device
    first = environment.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
    for gpu in host.gpus:
        if str(gpu.get("uuid", "")).startswith(first):
            return str(gpu["name"])
    index = int(first) if first.isdigit() else 0
    return str(host.gpus[index if index < len(host.gpus) else 0]["name"])


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _nvidia() -> tuple[list[dict[str, Any]], str | None, str | None]:
    """GPUs, driver version and the CUDA version of the driver; none of them without a driver that answers."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return [], None, None
    try:
        cuda = pynvml.nvmlSystemGetCudaDriverVersion()
        gpus = [_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
        return gpus, _text(pynvml.nvmlSystemGetDriverVersion()), f"{cuda // 1000}.{cuda % 1000 // 10}"
    except pynvml.NVMLError:
        return [], None, None
    finally:
        pynvml.nvmlShutdown()


def _gpu(pynvml: Any, index: int) -> dict[str, Any]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    readers: dict[str, Callable[[], Any]] = {
        "name": lambda: _text(pynvml.nvmlDeviceGetName(handle)),
        "uuid": lambda: _text(pynvml.nvmlDeviceGetUUID(handle)),
        "memory_bytes": lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
        "compute_capability": lambda: "{}.{}".format(*pynvml.nvmlDeviceGetCudaComputeCapability(handle)),
    }
    gpu: dict[str, Any] = {"name": "unknown GPU"}
    for key, read in readers.items():
        try:
            gpu[key] = read()
        except pynvml.NVMLError:  # a MIG slice or a restricted container answers only in part
            continue
    return gpu
