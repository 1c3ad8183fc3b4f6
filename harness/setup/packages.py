"""Names of system packages, for messages: what to install when something is missing. Standard
library only.
"""

from __future__ import annotations

import re

# what is missing → (Debian and Ubuntu, Fedora and RHEL)
PACKAGES = {
    "g++": ("g++", "gcc-c++"),
    "Python.h": ("python3.11-dev", "python3.11-devel"),
    "libffi": ("libffi8", "libffi"),
    "libgomp": ("libgomp1", "libgomp"),
    "libstdc++": ("libstdc++6", "libstdc++"),
    "libz": ("zlib1g", "zlib"),
    "liblzma": ("liblzma5", "xz-libs"),
    "libbz2": ("libbz2-1.0", "bzip2-libs"),
}


def how_to_install(what: str) -> str:
    """One line that names the package of `what` for both families of distributions."""
    debian, fedora = PACKAGES[what]
    return f"Debian, Ubuntu: apt-get install {debian};  Fedora, RHEL: dnf install {fedora}"


def diagnose(log: str) -> str:
    """What to do about a failed step, read from what it printed; "" when the log names nothing
    known.
    """
    missing = re.search(r"(lib[\w+-]+)[\w.+-]*\.so[\d.]*: cannot open shared object file", log)
    if missing and missing[1] in PACKAGES:
        return how_to_install(missing[1])
    if missing:
        return (
            f"the shared library {missing[0].split(':')[0]} is missing on this host: install the "
            "package that holds it"
        )
    if "Python.h" in log and "No such file" in log:
        return how_to_install("Python.h")
    if "Killed signal terminated program cc1plus" in log:
        return (
            "the compiler ran out of memory: free 2 GB, or set MAX_JOBS=1, and run `make "
            "setup` again"
        )
    if re.search(r"'cc1plus'|g\+\+: (not found|No such file)|'c\+\+'", log):
        return how_to_install("g++")
    if "No space left on device" in log:
        return (
            "free some disk space (the stack takes about 7 GB, its downloads as much again) and "
            "run `make setup` again"
        )
    if re.search(
        r"error sending request|dns error|Connection refused|timed out|Failed to fetch",
        log,
        re.IGNORECASE,
    ):
        return (
            "the package index did not answer: check the network, proxy and index settings, then "
            "run `make setup` again"
        )
    return ""
