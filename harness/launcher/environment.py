"""The environment of a job: chosen, not inherited, so that a job does not depend on the shell it
was started from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.paths import CHECKOUT, PACKAGE
from harness.schema.variables import is_decisive
from harness.schema.workload import JobSpec

# What a job may see of the caller's environment. Everything else (PYTHONPATH, virtual environments,
# …) stays outside.
PASSED_NAMES = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "TERM",
    "CC",
    "CXX",
}
PASSED_NAMES |= {
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
}
PASSED_NAMES |= {
    "HUGGINGFACE_HUB_CACHE",
    "HUGGING_FACE_HUB_TOKEN",
}  # older names: the runner's hub is the job's too
PASSED_NAMES |= {
    name
    for proxy in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for name in (proxy, proxy.upper())
}
# What programs need that decides no result: the user's folders and language, the hub and its
# credentials, the cluster.
PASSED_NAMES |= {"TORCH_HOME", "TORCH_LOGS"}
PASSED_NAMES |= {"BENCH_TEST_FOLDER"}  # by this the tests find the processes of a job
PASSED_PREFIXES = ("LC_", "XDG_", "SLURM_", "HF_", "TRANSFORMERS_", "TOKENIZERS_")


def is_passed(name: str) -> bool:
    """Whether a job gets a variable of the caller's environment: what may decide its result, or
    what it cannot do without. Settings of alerts are neither.
    """
    return is_decisive(name) or name in PASSED_NAMES or name.startswith(PASSED_PREFIXES)


def environment_for(
    job: JobSpec, caller: Mapping[str, str], harness_path: Path, libraries: Sequence[str] = ()
) -> dict[str, str]:
    """The environment of a job: the allowed part of the caller's, fixed settings, then the job's
    own.

    Args:
        job: The job that gets it.
        caller: The environment that the harness was started with.
        harness_path: The folder from which the job can import `harness`.
        libraries: Folders that the job's backend needs on LD_LIBRARY_PATH.
    """
    passed = {name: value for name, value in caller.items() if is_passed(name)}
    launch = job.workload.launch
    defaults = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_CACHE_MAXSIZE": str(4 << 30)}
    if launch.torchrun and launch.nodes == 1:
        # else gloo looks up the host's own name, which a container may not know
        defaults["GLOO_SOCKET_IFNAME"] = "lo"
    cards = (
        visible_cards(launch.processes, caller.get("CUDA_VISIBLE_DEVICES"))
        if job.device == "cuda"
        else ""
    )
    fixed = {
        "PYTHONPATH": str(harness_path),
        # a datasets/ or torch.py in the current folder must not shadow the package
        "PYTHONSAFEPATH": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",  # what a job prints or reads must not depend on the caller's locale
        "PYTHONUNBUFFERED": "1",  # a log must be whole when its process is killed
        "PYTHONFAULTHANDLER": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DO_NOT_TRACK": "1",
        "WANDB_MODE": "disabled",
        "CUDA_VISIBLE_DEVICES": cards,
    }
    threads = (
        {}
        if job.threads is None
        else {"OMP_NUM_THREADS": str(job.threads), "MKL_NUM_THREADS": str(job.threads)}
    )
    path = ":".join([*libraries, passed.get("LD_LIBRARY_PATH", "")]).strip(":")
    loader = {"LD_LIBRARY_PATH": path} if path else {}
    return {**defaults, **passed, **loader, **fixed, **threads, **job.environment}


def visible_cards(processes: int, given: str | None) -> str:
    """CUDA_VISIBLE_DEVICES of a job: the first card for each process on this node, of those that
    the caller's `given` shows.

    Never more: with several cards for one process Trainer would wrap the model in DataParallel,
    where ORTModule is not used at all and nobody would say so.
    """
    cards = (
        [str(index) for index in range(processes)]
        if given is None
        else [c.strip() for c in given.split(",")]
    )
    return ",".join(cards[:processes])


def importable_harness(private: Path) -> Path:
    """A folder for the job's PYTHONPATH from which `harness` can be imported, and no other
    installed package.

    An installed harness lies among the packages of its own stack, which a job of another stack must
    not see: there a link in the job's `private` folder stands in.
    """
    if CHECKOUT.name not in ("site-packages", "dist-packages"):
        return CHECKOUT
    (private / "path").mkdir()
    (private / "path" / "harness").symlink_to(PACKAGE)
    return private / "path"
