"""A folder on disk that is built once, by whoever comes first, and only ever seen whole."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def key_of(**parts: Any) -> str:
    """A short content hash of everything that decides what a folder holds."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:20]


def build_once(root: Path, name: str, build: Callable[[Path], None]) -> Path:
    """`root/name`, made by `build(empty_folder)` if it does not exist yet.

    Safe against other processes (a lock) and against being killed half way (built aside, then
    renamed).
    """
    from filelock import FileLock

    target = root / name
    if target.is_dir():
        return target
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f"{name}.lock"):
        if not target.is_dir():
            for left_over in root.glob(
                f"{name}.partial-*"
            ):  # of a job that was killed: nobody else can be building
                shutil.rmtree(left_over, ignore_errors=True)
            aside = Path(tempfile.mkdtemp(prefix=f"{name}.partial-", dir=root))
            try:
                build(aside)
                aside.rename(target)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    return target
