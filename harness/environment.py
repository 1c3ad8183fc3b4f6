"""The environment of a job: chosen, not inherited, so that a job does not depend on the shell it was started from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.settings import JobSpec
from harness.worker import backends

# What a job may see of the caller's environment. Everything else (PYTHONPATH, virtual environments, …) stays outside.
PASSED_NAMES = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM", "CC", "CXX"}
PASSED_NAMES |= {
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
}
PASSED_NAMES |= {
    name for proxy in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (proxy, proxy.upper())
}
# Variables that may decide what a job measures: passed on to it, and recorded as provenance.
DECISIVE_PREFIXES = tuple(
    "CUDA_ NVIDIA_ NCCL_ GLOO_ HF_ TRANSFORMERS_ TOKENIZERS_ ORT BENCH_ "
    "OMP_ GOMP_ KMP_ MKL_ OPENBLAS_ PYTORCH_ TORCH MALLOC_".split()
)
PASSED_PREFIXES = (*DECISIVE_PREFIXES, "LC_", "XDG_", "SLURM_")


def environment_for(job: JobSpec, caller: Mapping[str, str], harness_path: Path) -> dict[str, str]:
    """The environment of a job: the allowed part of the caller's, fixed settings, then the job's own."""
    passed = {k: v for k, v in caller.items() if k in PASSED_NAMES or k.startswith(PASSED_PREFIXES)}
    defaults = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_CACHE_MAXSIZE": str(4 << 30)}
    fixed = {
        "PYTHONPATH": str(harness_path),
        "PYTHONSAFEPATH": "1",  # a datasets/ or torch.py in the current folder must not shadow the package
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",  # a log must be whole when its process is killed
        "PYTHONFAULTHANDLER": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DO_NOT_TRACK": "1",
        "WANDB_MODE": "disabled",
    }
    threads = {} if job.threads is None else {"OMP_NUM_THREADS": str(job.threads), "MKL_NUM_THREADS": str(job.threads)}
    libraries = ":".join(
        [*backends.get(job.arm.backend).library_path(job.device), passed.get("LD_LIBRARY_PATH", "")]
    ).strip(":")
    loader = {"LD_LIBRARY_PATH": libraries} if libraries else {}
    return {**defaults, **passed, **loader, **fixed, **threads, **job.environment}


def importable_harness(private: Path) -> Path:
    """A folder for the job's PYTHONPATH from which `harness` can be imported, and no other installed package.

    An installed harness lies among the packages of its own stack, which a job of another stack must not see: there a
    link in the job's `private` folder stands in.
    """
    package = Path(__file__).resolve().parent
    if package.parent.name not in ("site-packages", "dist-packages"):
        return package.parent
    (private / "path").mkdir()
    (private / "path" / "harness").symlink_to(package)
    return private / "path"
