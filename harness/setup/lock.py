"""Resolves requirements/*.in into hashed pins (`make lock`). The pins name no index and no host."""

from __future__ import annotations

import subprocess
import sys

from harness.setup.stack import REQUIREMENTS, ROOT
from harness.setup.uv import find_uv, install_uv

# Newer releases than the stack's own (an undated resolve takes a pyarrow that needs NumPy 2 and dies at import).
CUT_OFF = "2025-03-01"
# In this order: dev is resolved under the stack's pins, so that it fits beside either variant.
LOCKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ort-cpu", ("--override", "requirements/ort-cpu.overrides")),
    ("ort-cuda", ()),
    ("dev", ("--constraint", "requirements/ort-cpu.txt")),
    ("cuda11-libs", ()),
    ("uv", ()),
)


def main() -> int:
    """Rewrite every requirements/*.txt from its .in file, ignoring the pins that were there."""
    uv = find_uv() or install_uv()
    for name, options in LOCKS:
        target = REQUIREMENTS / f"{name}.txt"
        command = [uv, "pip", "compile", f"requirements/{name}.in", "--output-file", f"requirements/{name}.txt"]
        command += ["--quiet", "--upgrade", "--generate-hashes", "--no-header", "--exclude-newer", CUT_OFF, *options]
        command += ["--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"]
        code = subprocess.run(command, cwd=ROOT).returncode
        if code != 0:
            return code
        pins = sum("==" in line and not line.startswith(" ") for line in target.read_text().splitlines())
        print(f"requirements/{name}.txt: {pins} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
