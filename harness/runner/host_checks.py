"""`harness doctor`: is this host ready, and if not, what to do. Each check is one function; each
says its fix.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from harness.errors import BenchError
from harness.paths import cache_root
from harness.runner.preflight import fix_of_lost
from harness.schema.record import Host
from harness.setup.stack import (
    KERNEL_CACHE_BYTES,
    REQUIREMENTS,
    cuda11_library_path,
    extensions_folder,
    installed_variant,
    without_fused_ops,
)
from harness.telemetry.nvml import CardsSeen, look_at_cards
from harness.telemetry.readings import LostGpu

NEEDED_DISK_BYTES = 10 << 30
NEEDED_GPU_BYTES = 8 << 30  # roberta-base, batch 8, fp16 with its optimizer state, and room
OLDEST_CAPABILITY = (6, 0)  # of ONNX Runtime 1.19.2's CUDA wheel
KERNELS = {
    "native": "ONNX Runtime's kernels are native",
    "ptx": "ONNX Runtime's kernels are compiled from PTX at first use (about two minutes, "
    "then cached)",
}


@dataclass(frozen=True)
class Check:
    """One answer: `ok`, `warning` (a run may go on) or `failure` (it will not work)."""

    name: str
    level: Literal["ok", "warning", "failure"]
    detail: str
    fix: str = ""


def examine(host: Host, results: Path) -> Iterator[Check]:
    """All checks, cheapest first, each yielded as soon as it is known."""
    checks: list[Callable[[], Iterator[Check]]] = [
        platform_check,
        lambda: gpu_checks(host),
        lambda: folder_checks(host, results),
        lambda: disk_checks(results),
        stack_checks,
        extension_checks,
        lambda: preflight_checks(results),
        training_check,
        hub_check,
    ]
    for check in checks:
        yield from check()


def platform_check() -> Iterator[Check]:
    """ONNX Runtime Training exists for Linux on x86-64 and Python up to 3.11."""
    here = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    if (platform.system(), platform.machine(), sys.version_info[:2]) == (
        "Linux",
        "x86_64",
        (3, 11),
    ):
        yield Check("platform", "ok", here)
    else:
        yield Check(
            "platform",
            "failure",
            here,
            "Linux on x86-64 with Python 3.11; `make setup` provides the Python",
        )


def gpu_checks(host: Host) -> Iterator[Check]:
    """Driver, cards, their memory, and whether ONNX Runtime has native kernels for them."""
    for card in host.lost_gpus:
        lost = LostGpu(card["index"], card["uuid"], "", card["reason"])
        yield Check("GPU", "failure", str(lost), fix_of_lost(lost))
    if host.gpu_problem:
        yield Check(
            "GPU", "failure", f"the NVIDIA driver tells of no card: {host.gpu_problem}",
            "load the driver anew, or restart the host; `nvidia-smi` must list the cards",
        )  # fmt: skip
    elif not host.gpus and not host.lost_gpus:
        yield Check(
            "GPU",
            "warning",
            "no NVIDIA driver answers: CPU runs only",
            "install the driver; `nvidia-smi` must work",
        )
    if not host.gpus:
        return
    yield Check("driver", "ok", f"{host.driver}, CUDA {host.cuda_driver}")
    from harness.worker.backends.onnxruntime import kernel_origin

    for gpu in host.gpus:
        name, memory = f"{gpu.get('name')}", int(gpu.get("memory_bytes") or 0)
        capability = tuple(
            int(part) for part in re.findall(r"\d+", str(gpu.get("compute_capability") or ""))
        )
        if memory and memory < NEEDED_GPU_BYTES:
            yield Check(
                "GPU",
                "warning",
                f"{name}: {memory / 2**30:.0f} GiB",
                "a smaller batch: --set training.batch_size=1",
            )
        if not capability:
            yield Check("GPU", "warning", f"{name}: its compute capability cannot be read")
        elif capability < OLDEST_CAPABILITY:
            yield Check(
                "GPU",
                "failure",
                f"{name}: sm_{capability[0]}{capability[1]}",
                "a card of compute capability 6.0 or newer",
            )
        else:
            yield Check(
                "GPU",
                "ok",
                f"{name}, {memory / 2**30:.0f} GiB, {KERNELS[kernel_origin(capability)]}",
            )
    yield from visibility_checks(look_at_cards(os.environ.get("CUDA_VISIBLE_DEVICES")))
    given = os.environ.get("CUDA_CACHE_MAXSIZE")  # jobs get the default where it is unset
    size = int(given) if given and given.isdecimal() else None
    if given and (size is None or size < KERNEL_CACHE_BYTES):
        yield Check(
            "kernel cache",
            "warning",
            f"CUDA_CACHE_MAXSIZE={given}",
            f"a number of bytes, {KERNEL_CACHE_BYTES} at least, or unset it",
        )


def visibility_checks(seen: CardsSeen) -> Iterator[Check]:
    """Whether CUDA_VISIBLE_DEVICES shows jobs what it seems to."""
    name, given = "visible cards", os.environ.get("CUDA_VISIBLE_DEVICES")
    if seen.hidden:
        detail = f"CUDA_VISIBLE_DEVICES is {given!r}: no card is used, jobs run on the CPU"
        yield Check(name, "warning", detail, "unset it to measure on the GPU")
    elif given is not None:
        unknown = [problem for problem in seen.problems if problem not in map(str, seen.lost)]
        used = f"CUDA_VISIBLE_DEVICES={given} shows {len(seen.gpus)} card(s)"
        if unknown:
            fix = "name cards that are there, or unset it"
            yield Check(
                name, "warning" if seen.gpus else "failure", f"{used}; {'; '.join(unknown)}", fix
            )
        elif seen.gpus:
            yield Check(name, "ok", used)


def folder_checks(host: Host, results: Path) -> Iterator[Check]:
    """Whether what a run writes to can be written, and what names another place."""
    from harness.runner import preflight

    levels: dict[str, Literal["warning", "failure"]] = {"warning": "warning", "error": "failure"}
    try:
        written = preflight.places(
            results, "--results", cache_root(), "cuda" if host.gpus else "cpu", hub=True
        )
    except BenchError as error:
        yield Check("folders", "failure", error.message, error.fix)
        return
    findings = preflight.unwritable(written)
    for finding in findings:
        yield Check("folders", levels[finding.severity], finding.message, finding.fix)
    if not findings:
        yield Check(
            "folders", "ok", f"can be written: {', '.join(place.what for place in written)}"
        )


def disk_checks(results: Path) -> Iterator[Check]:
    """Room for caches and results."""
    from harness.runner.preflight import existing

    for name, folder in (("cache disk", cache_root()), ("results disk", results)):
        try:
            free = shutil.disk_usage(existing(folder)).free
        except OSError:
            continue  # `folder_checks` says why
        level: Literal["ok", "failure"] = "ok" if free >= NEEDED_DISK_BYTES else "failure"
        yield Check(
            name, level, f"{free / 2**30:.0f} GiB free", "" if level == "ok" else "free 10 GiB"
        )


def stack_checks() -> Iterator[Check]:
    """Installed versions against the pins."""
    variant = installed_variant()
    if variant is None:
        yield Check("stack", "failure", "ONNX Runtime Training is not installed", "make setup")
        return
    pins = dict(
        re.findall(
            r"^([a-z0-9._-]+)==(\S+)",
            (REQUIREMENTS / f"ort-{variant}.txt").read_text(),
            re.MULTILINE,
        )
    )
    wrong = [
        f"{name} {_version(name) or 'missing'} (pinned: {pin})"
        for name, pin in pins.items()
        if _version(name) != pin
    ]
    if wrong:
        yield Check("stack", "failure", "; ".join(wrong[:5]), "make setup")
    else:
        yield Check(
            "stack", "ok", f"{variant}: {len(pins)} packages as pinned, torch {pins['torch']}"
        )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def extension_checks() -> Iterator[Check]:
    """The compiled extensions, where ONNX Runtime looks for them."""
    from harness.setup.extensions import CPU_EXTENSIONS, CUDA_EXTENSIONS

    variant = installed_variant()
    if variant is None:
        return
    folder = extensions_folder()
    assert folder is not None
    names = CUDA_EXTENSIONS if variant == "cuda" else CPU_EXTENSIONS
    missing = [name for name in names if not (folder / f"{name}.so").exists()]
    if missing:
        yield Check("extensions", "failure", f"not compiled: {', '.join(missing)}", "make setup")
    else:
        yield Check("extensions", "ok", ", ".join(names))
    if variant == "cuda":
        why = without_fused_ops()
        if why is None:
            yield Check("fused optimizer", "ok", "adamw_ort_fused can run")
        else:
            yield Check("fused optimizer", "warning", f"no adamw_ort_fused: {why[0]}", why[1])


def preflight_checks(results: Path) -> Iterator[Check]:
    """What would disturb a measurement right now."""
    from harness.runner import preflight

    levels: dict[str, Literal["warning", "failure"]] = {"warning": "warning", "error": "failure"}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = look_at_cards(visible)
    # What does not answer has been told by now.
    findings = preflight.inspect(
        "cuda" if cards.gpus else "cpu", (cache_root(), results), visible=visible
    )
    lost = {str(gpu) for gpu in cards.lost}
    findings = [f for f in findings if f.message not in lost and "no job uses it" not in f.message]
    for finding in findings:
        yield Check("measuring", levels[finding.severity], finding.message, finding.fix)
    if not findings:
        yield Check(
            "measuring", "ok", "nothing else runs on the card" if cards.gpus else "nothing disturbs"
        )


def training_check() -> Iterator[Check]:
    """Three real steps under ORTModule with fallback forbidden, on the card where there is one."""
    if installed_variant() is None:
        return
    cards = look_at_cards(os.environ.get("CUDA_VISIBLE_DEVICES")).gpus
    provider = "CUDAExecutionProvider" if cards else "CPUExecutionProvider"
    paths = [*cuda11_library_path(), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(p for p in paths if p)}
    environment.setdefault("CUDA_CACHE_MAXSIZE", str(KERNEL_CACHE_BYTES))
    if cards:  # one that answers, counted as NVML does
        environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        environment.setdefault("CUDA_VISIBLE_DEVICES", str(cards[0].index))
    command = [sys.executable, "-m", "harness.setup.prove", "--provider", provider]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode == 0:
        seen = json.loads(done.stdout.strip().splitlines()[-1])
        yield Check(
            "training",
            "ok",
            f"3 steps under ORTModule on {seen['device']}, {provider} first, {seen['seconds']} s",
        )
    else:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        yield Check(
            "training", "failure", last[:300], "make setup; with a GPU, see also the checks above"
        )


def hub_check() -> Iterator[Check]:
    """Whether real data and weights can be had."""
    from harness.planning.hub import Hub
    from harness.schema.glue import HUB_DATASET

    hub = Hub()
    if hub.has_cached_dataset(HUB_DATASET, "sst2"):
        yield Check("hub", "ok", "its GLUE data is cached")
    elif (answer := hub.dataset(HUB_DATASET)).state == "yes":
        yield Check("hub", "ok", "answers")
    else:
        why = answer.reason
        if answer.state == "unclear":
            what = "gives no clear answer" if answer.reached else "cannot be reached"
            why = f"the hub {what} ({answer.reason})"
        yield Check(
            "hub",
            "warning",
            f"{why}: suites with `auto` take built-in data and random weights",
            "a network or HF_ENDPOINT; or `source: folder` with a copy of the data",
        )
