"""Which variant of the stack `ort` fits this host, and where its parts lie. Standard library only;
imports no torch.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Literal

from harness.errors import BenchError
from harness.paths import CHECKOUT, cache_root

Variant = Literal["cpu", "cuda"]
REQUIREMENTS = CHECKOUT / "requirements"
CUDA11_LIBS = REQUIREMENTS / "cuda11-libs.txt"
# ORT's CUDA 11.8 kernels reach cards newer than sm_86 as PTX: the driver's default cache (1 GiB) is
# too small for them.
KERNEL_CACHE_BYTES = 4 << 30


FUSED_OPS = "fused_ops"  # ONNX Runtime's extension that `optim: adamw_ort_fused` runs on


def nvcc() -> str | None:
    """CUDA's compiler, where PyTorch's builder of extensions would find it too; None: not here."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    named = [str(Path(home) / "bin" / "nvcc") for home in homes if home]
    return next(filter(None, map(shutil.which, [*named[:-1], "nvcc", named[-1]])), None)


def extensions_folder() -> Path | None:
    """Where the ONNX Runtime of this interpreter looks for its compiled extensions; None: there is
    no ONNX Runtime.
    """
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "training" / "ortmodule" / "torch_cpp_extensions"


def without_fused_ops() -> tuple[str, str] | None:
    """Why `adamw_ort_fused` cannot run in this interpreter, and what to do; None: it can."""
    folder = extensions_folder()
    if folder is not None and (folder / f"{FUSED_OPS}.so").exists():
        return None
    if nvcc() is None:
        return (
            f"ONNX Runtime's {FUSED_OPS} is not compiled, and there is no nvcc to compile it",
            "install a CUDA toolkit of the version that torch was built with, then make setup",
        )
    return (
        f"ONNX Runtime's {FUSED_OPS} is not compiled",
        "make setup, which says why where it does not compile",
    )


def driver_answers() -> bool:
    """Whether an NVIDIA driver with at least one GPU answers, asked through NVML, else through
    nvidia-smi.
    """
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return _nvidia_smi_lists_a_gpu()
    if nvml.nvmlInit_v2() != 0:
        return False
    count = ctypes.c_uint(0)
    answered = nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0
    nvml.nvmlShutdown()
    return bool(answered and count.value > 0)


def _nvidia_smi_lists_a_gpu() -> bool:
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        answer = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and "GPU 0" in answer.stdout


def chosen_variant(*, driver: bool) -> Variant:
    """`cuda` where a driver answers, else `cpu`; the environment variable STACK overrides. Raises
    BenchError.
    """
    wanted = os.environ.get("STACK", "")
    if wanted == "":
        return "cuda" if driver else "cpu"
    if wanted == "cpu":
        return "cpu"
    if wanted == "cuda":
        return "cuda"
    raise BenchError(
        f"no variant {wanted!r}", place="STACK", fix="STACK=cpu or STACK=cuda, or leave it unset"
    )


def installed_variant() -> Variant | None:
    """The variant whose ONNX Runtime Training is installed in this interpreter; None when neither
    is.
    """
    names: tuple[tuple[str, Variant], ...] = (
        ("onnxruntime-training", "cuda"),
        ("onnxruntime-training-cpu", "cpu"),
    )
    for name, variant in names:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return variant
    return None


def cuda11_folder() -> Path:
    """Folder of the CUDA 11.8 libraries; its name hashes their pins, so other pins get another
    folder.
    """
    return cache_root() / "cuda11" / hashlib.sha256(CUDA11_LIBS.read_bytes()).hexdigest()[:16]


def cuda11_libraries() -> list[str]:
    """The folders that hold the installed CUDA 11.8 libraries, whatever the host; empty when they
    are not installed.
    """
    return [str(folder) for folder in sorted(cuda11_folder().glob("nvidia/*/lib"))]


def cuda11_library_path() -> list[str]:
    """Folders that the ORT arm, and only that arm, needs on LD_LIBRARY_PATH.

    Empty where no driver answers (there these libraries make ONNX Runtime abort), for the cpu
    variant, and where they were not installed by set-up (an installation from a wheel, or one that
    brings its own library path).
    """
    if not CUDA11_LIBS.exists() or installed_variant() != "cuda" or not driver_answers():
        return []
    return cuda11_libraries()
