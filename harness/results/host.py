"""The machine a run is made on, as record.Host."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
from pathlib import Path

from harness.schema.record import Host
from harness.telemetry.nvml import NvmlSource
from harness.telemetry.readings import Gpu, choose


def describe_host() -> Host:
    """CPU, memory, system and, if an NVIDIA driver answers, GPUs. Never fails: what cannot be read
    is left out.

    All cards of the host, whatever CUDA_VISIBLE_DEVICES shows of them.
    """
    import psutil

    source = NvmlSource()
    try:
        gpus = [source.describe(gpu) for gpu in source.gpus]
        for place, gpu in enumerate(gpus):
            if gpu["index"] == place:  # it is only told where cards before it do not answer
                del gpu["index"]
        driver, cuda_driver = source.versions()
    finally:
        source.close()
    return Host(
        name_sha256=hashlib.sha256(socket.gethostname().encode()).hexdigest(),
        os=_os_name(),
        kernel=platform.release(),
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        gpus=gpus,
        lost_gpus=[{"index": g.index, "uuid": g.uuid, "reason": g.reason} for g in source.lost],
        gpu_problem=source.failure,
        driver=driver,
        cuda_driver=cuda_driver,
    )


def device_name(device: str, host: Host, visible: str | None) -> str:
    """What a record calls the device: `cpu`, or the name of the first GPU that a job sees.

    `visible` is its CUDA_VISIBLE_DEVICES; None: the variable is not set.

    Jobs run with CUDA_DEVICE_ORDER=PCI_BUS_ID, the order in which NVML counts, so indices mean the
    same card in both.
    """
    if device != "cuda" or not host.gpus:
        return device
    cards = [
        Gpu(int(gpu.get("index", place)), str(gpu.get("uuid", "")), str(gpu.get("name")))
        for place, gpu in enumerate(host.gpus)
    ]
    chosen, _ = choose(visible, cards)
    return (chosen or cards)[0].name


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
