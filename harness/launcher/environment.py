"""The environment of a job: chosen, not inherited, so that a job does not depend on the shell it
was started from.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import of_the_system
from harness.paths import CHECKOUT, PACKAGE
from harness.schema.job import JobSpec
from harness.schema.variables import is_decisive

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
# Where it is set, NVLink multicast would put the host's cards out of service.
PASSED_NAMES |= {"TORCH_SYMM_MEM_DISABLE_MULTICAST"}
PASSED_NAMES |= {"BENCH_TEST_FOLDER"}  # by this the tests find the processes of a job
PASSED_PREFIXES = ("LC_", "XDG_", "SLURM_", "HF_", "TRANSFORMERS_", "TOKENIZERS_")


# In bytes, of which a Unix socket's path has at most 107. The longest path here:
# TMPDIR/bench-xxxxxxxx/pymp-xxxxxxxx/listener-xxxxxxxx.
LONGEST_TMPDIR = 55


def temporary_folder() -> str:
    """Where jobs have their private folders: TMPDIR, or /tmp where that name is too long for a
    socket.
    """
    try:
        folder = tempfile.gettempdir()
    except OSError as error:
        raise of_the_system(error) from error
    return folder if is_short(folder) else "/tmp"


def is_short(folder: str) -> bool:
    """Whether a private folder in this one has room for the names of sockets."""
    return len(os.fsencode(folder)) <= LONGEST_TMPDIR


def is_passed(name: str) -> bool:
    """Whether a job gets a variable of the caller's environment: what may decide its result, or
    what it cannot do without. Settings of alerts are neither.
    """
    return is_decisive(name) or name in PASSED_NAMES or name.startswith(PASSED_PREFIXES)


def environment_for(
    job: JobSpec,
    caller: Mapping[str, str],
    private: Path,
    *,
    harness_path: Path = CHECKOUT,
    libraries: Sequence[str] = (),
) -> dict[str, str]:
    """The whole environment of a job: the allowed part of the caller's, then fixed settings.

    The job's process itself adds one thing alone, the variables of its backend
    (harness.worker.backends): these may depend on the packages of the job's stack, which only an
    interpreter of that stack sees.

    Args:
        job: The job that gets it.
        caller: The environment that the harness was started with.
        private: The job's private folder, which goes when the job does.
        harness_path: The folder from which the job can import `harness`.
        libraries: Folders that the job's backend needs on LD_LIBRARY_PATH.
    """
    passed = {name: value for name, value in caller.items() if is_passed(name)}
    defaults = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_CACHE_MAXSIZE": str(4 << 30)}
    launch = job.workload.launch
    if launch.torchrun and launch.nodes == 1:
        # else gloo looks up the host's own name, which a container may not know
        defaults["GLOO_SOCKET_IFNAME"] = "lo"
    fixed = {
        "PYTHONPATH": str(harness_path),
        # a datasets/ or torch.py in the current folder must not shadow the package
        "PYTHONSAFEPATH": "1",
        "PYTHONHASHSEED": "0",
        # what a job prints or reads must not depend on the caller's locale
        "PYTHONUTF8": "1",
        # a log must be whole when its process is killed
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "DATASETS_VERBOSITY": "error",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DO_NOT_TRACK": "1",
        "WANDB_MODE": "disabled",
        "CUDA_VISIBLE_DEVICES": cards_of(job, caller),
        "BENCH_JOB_FOLDER": str(private),
    }
    if is_short(tempfile.gettempdir()):
        # A job that is killed leaves its temporary files, and torch's.
        fixed["TMPDIR"] = str(private)
    if job.threads is not None:
        fixed |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(job.threads))
    path = ":".join([*libraries, passed.get("LD_LIBRARY_PATH", "")]).strip(":")
    loader = {"LD_LIBRARY_PATH": path} if path else {}
    return {**defaults, **passed, **loader, **fixed}


def cards_of(job: JobSpec, caller: Mapping[str, str]) -> str:
    """CUDA_VISIBLE_DEVICES of a job that is started from the environment `caller`."""
    if job.device != "cuda":
        return ""
    return visible_cards(job.workload.launch.processes, caller.get("CUDA_VISIBLE_DEVICES"))


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
