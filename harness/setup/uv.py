"""Finds uv, or installs the pinned one into a virtual environment of its own under .cache/.

Also run as a script, by an older Python that is to fetch 3.11: old syntax and the standard library
only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = ROOT / ".cache" / "uv"
OLDEST = (0, 5, 0)  # knows every option used here


class NoUv(Exception):
    """uv is not there and could not be installed; the message says what to do."""


def version_of(program: str) -> tuple[int, ...] | None:
    """Version of an installed uv, or None where it does not answer."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"uv (\d+)\.(\d+)\.(\d+)", answer.stdout)
    return tuple(int(part) for part in match.groups()) if answer.returncode == 0 and match else None


def find_uv() -> str | None:
    """A sufficient uv on PATH or installed earlier by `install_uv`; None when there is none."""
    for program in (shutil.which("uv"), str(PRIVATE / "bin" / "uv")):
        version = version_of(program) if program else None
        if program and version and version >= OLDEST:
            return program
    return None


def install_uv() -> str:
    """Installs the pinned uv (requirements/uv.txt, by hash) and returns its path. Raises NoUv."""
    shutil.rmtree(PRIVATE, ignore_errors=True)
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
    }
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(PRIVATE)],
        capture_output=True,
        text=True,
        env=environment,
    )
    if made.returncode != 0:
        raise NoUv(
            f"`python3 -m venv` failed: {(made.stdout + made.stderr).strip().splitlines()[:1]}\n"
            "  fix: Debian, Ubuntu: apt-get install python3-venv;  Fedora, RHEL: dnf install "
            "python3-pip;"
            f"  or put uv {'.'.join(map(str, OLDEST))} or newer on PATH"
        )
    pip = [str(PRIVATE / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    got = subprocess.run(
        [*pip, "-r", str(ROOT / "requirements" / "uv.txt")],
        capture_output=True,
        text=True,
        env=environment,
    )
    if got.returncode != 0 or not find_uv():
        raise NoUv(
            f"pip could not install uv:\n{got.stderr.strip()[-800:]}\n"
            "  fix: give this host a package index, or put uv on PATH"
        )
    return str(PRIVATE / "bin" / "uv")


def find_links() -> dict[str, str]:
    """pip's setting for folders of wheels, as uv's, which does not read pip's: {} where there is
    nothing to hand on.
    """
    folders = os.environ.get("PIP_FIND_LINKS", "")
    return (
        {"UV_FIND_LINKS": ",".join(folders.split())}
        if folders and "UV_FIND_LINKS" not in os.environ
        else {}
    )


def main() -> int:
    """Prints the path of a sufficient uv, installing one when needed."""
    try:
        print(find_uv() or install_uv())
    except NoUv as error:
        sys.stderr.write(f"setup: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
