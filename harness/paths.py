"""Where the checkout and the caches are. Standard library only, for set-up runs before anything is
installed.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import BenchError

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parent


def cache_root() -> Path:
    """Where compiled extensions and the CUDA 11.8 libraries are kept: outside the checkout, shared
    by all checkouts.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(base or Path.home() / ".cache") / "training-backend-bench"
    except RuntimeError as error:  # a user id without a name, as containers have
        fix = "set HOME or XDG_CACHE_HOME to a folder that can be written"
        raise BenchError("this user has no home folder for the cache", fix=fix) from error


def cuda_cache() -> Path:
    """The folder in which the CUDA driver keeps what it has compiled from PTX (CUDA C++ Programming
    Guide, "Just-in-Time Compilation").
    """
    return Path(os.environ.get("CUDA_CACHE_PATH") or Path("~/.nv/ComputeCache").expanduser())
