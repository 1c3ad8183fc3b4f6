"""Writing files so that a kill or a full disk leaves the old content or the new, never a part of
it.

The one place for it, for harness and report alike. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from harness.errors import BenchError

LONGEST_NAME = 200  # bytes of a name that its temporary file repeats; most file systems take 255


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file whole, on disk before this returns: readers see the old or the new content.

    A link is followed and keeps being one; the permissions of a file that is there stay. What is no
    regular file (/dev/stdout, a named pipe) cannot be replaced and is written to.

    Raises:
        OSError: It cannot be written. The old content is then still there, and nothing else is left behind.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        with path.open("wb") as file:
            file.write(data)
        return
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    short = os.fsdecode(os.fsencode(target.name)[:LONGEST_NAME])
    temporary = target.with_name(f".{short}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            if mode is not None:
                with contextlib.suppress(
                    OSError
                ):  # the file is another user's, and the folder is ours
                    os.fchmod(file.fileno(), stat.S_IMODE(mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # not the temporary one
        raise
    sync_folder(target.parent)


def write_text(path: Path, text: str) -> None:
    """`write_atomically` for text, in UTF-8; bytes of a path that are no text become a question
    mark.
    """
    write_atomically(path, text.encode("utf-8", "replace"))


def append_lines(path: Path, lines: Iterable[bytes]) -> None:
    """`append_bytes` for lines without their ends."""
    append_bytes(path, b"".join(line + b"\n" for line in lines))


def append_bytes(path: Path, data: bytes) -> None:
    """Add to a file, all of `data` or nothing, on disk before this returns.

    Raises:
        OSError: It cannot be written; the file is as long as before.
    """
    is_new = not path.exists()
    with path.open("ab", buffering=0) as file:
        before = os.fstat(file.fileno()).st_size
        left = memoryview(data)
        try:
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except BaseException as error:
            with contextlib.suppress(
                OSError
            ):  # a part of a line must not stay: the next one would be glued to it
                file.truncate(before)
            if isinstance(error, OSError):
                error.filename = str(path)
            raise
    if is_new:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names that were added to a folder survive a crash of the host, where its file system
    can.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems refuse it; the content is safe
        pass
    finally:
        os.close(descriptor)


def check_is_file(path: Path) -> None:
    """Raise BenchError where something else than a file has this name; nothing at all is no error.

    Opening a named pipe would wait for somebody who writes to it.
    """
    if path.exists() and not path.is_file():
        raise BenchError("is no file", place=str(path), fix="move what has this name away")
