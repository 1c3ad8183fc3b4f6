"""Files that survive a kill and a full disk, for harness and report alike. Standard library only.

A file is replaced whole or added to whole: a kill or a full disk leaves the old content or the new,
never a part of it. A lock on a file names its holder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from harness.errors import BenchError

POLL_S = 0.1  # between two looks at a lock that is held
LONGEST_NAME = 200  # bytes of a name that its temporary file repeats; most file systems take 255


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file whole, on disk before this returns: readers see the old or the new content.

    A link is followed and keeps being one; the permissions of a file that is there stay. What is no
    regular file (/dev/stdout, a named pipe) cannot be replaced and is written to.

    Raises:
        OSError: It cannot be written. The old content is then still there, and nothing else is
            left behind.
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


def take_lock(path: Path, wait_s: float, said: str, *, place: str, fix: str) -> int:
    """Lock `path` and write `PID START` of this process there; the descriptor, which holds the lock
    until it is closed.

    A holder that lives is refused at once: BenchError, whose message is `said` with the holder's
    pid for `{pid}`. What a killed holder left behind may hold the lock too (it inherits the
    descriptor): it is waited for, `wait_s` seconds.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(descriptor, 64, 0).decode(errors="replace").split()
                if _lives(holder) or time.monotonic() > deadline:
                    message = said.format(pid=holder[0] if holder else "unknown")
                    raise BenchError(message, place=place, fix=fix) from None
                time.sleep(POLL_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {_state_and_start(os.getpid())[1]}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _state_and_start(pid: int) -> tuple[str, str]:
    """A process's state letter and when it started, in clock ticks since boot: tells it from a
    later one of its pid.
    """
    # The kernel cuts a program's name after 15 bytes, perhaps within a character.
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
    return fields[0], fields[19]


def _lives(holder: list[str]) -> bool:
    """Whether the process that wrote `PID START` still runs; if that is still to be written,
    another look follows.
    """
    if len(holder) != 2:
        return False
    with contextlib.suppress(OSError, ValueError):
        state, start = _state_and_start(int(holder[0]))
        return start == holder[1] and state != "Z"
    return False
