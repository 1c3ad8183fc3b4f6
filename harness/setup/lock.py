"""Resolves requirements/*.in into hashed pins (`make lock`). The pins name no index and no host."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from harness.paths import CHECKOUT
from harness.setup.stack import REQUIREMENTS
from harness.setup.uv import find_links, find_uv, install_uv


@dataclass(frozen=True)
class Lock:
    """One file of pins: no release after `newest` is taken. `optional`: kept as it is where it
    cannot be resolved.
    """

    name: str
    newest: str
    options: tuple[str, ...] = ()
    optional: bool = False


# Newer releases than the stack's own (an undated resolve takes a pyarrow that needs NumPy 2 and
# dies at import).
ORT = "2025-03-01"
LATEST = "2026-11-20"
# In this order: dev is resolved under the stack's pins, so that it fits beside either variant.
LOCKS = (
    Lock("ort-cpu", ORT, ("--override", "requirements/ort-cpu.overrides")),
    Lock("ort-cuda", ORT),
    Lock("dev", ORT, ("--constraint", "requirements/ort-cpu.txt")),
    Lock("cuda11-libs", ORT),
    Lock("uv", ORT),
    Lock("latest-cuda", LATEST),
    Lock(
        "latest-cpu", LATEST, optional=True
    ),  # needs PyTorch's own index, by UV_INDEX or UV_FIND_LINKS
)


def main() -> int:
    """Rewrite requirements/*.txt from the .in files (those named as arguments; default: all),
    ignoring old pins.
    """
    uv = find_uv() or install_uv()
    for lock in LOCKS:
        if sys.argv[1:] and lock.name not in sys.argv[1:]:
            continue
        target = REQUIREMENTS / f"{lock.name}.txt"
        command = [
            uv,
            "pip",
            "compile",
            f"requirements/{lock.name}.in",
            "--output-file",
            f"requirements/{target.name}",
        ]
        command += [
            "--quiet",
            "--upgrade",
            "--generate-hashes",
            "--no-header",
            "--exclude-newer",
            lock.newest,
        ]
        command += [
            "--python-version",
            "3.11",
            "--python-platform",
            "x86_64-manylinux_2_28",
            *lock.options,
        ]
        # Only where it is asked for: wheels of this host must not get into pins that everybody is
        # to find.
        wheels = find_links() if lock.optional else {}
        code = subprocess.run(command, cwd=CHECKOUT, env={**os.environ, **wheels}).returncode
        if code != 0 and lock.optional:
            print(f"requirements/{target.name}: kept as it is", file=sys.stderr)
            continue
        if code != 0:
            return code
        pins = sum(
            "==" in line and not line.startswith(" ") for line in target.read_text().splitlines()
        )
        print(f"requirements/{target.name}: {pins} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
