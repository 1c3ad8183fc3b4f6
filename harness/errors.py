"""Errors meant for the person at the keyboard, and how a command line ends with them."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
import traceback
from collections.abc import Callable

# What a full disk, a quota or a limit on the size of a file answers.
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
BAD_INPUT = 2  # exit status: bad input, an unusable host, or a fault of the program
INTERRUPTED = 130

_SAID = {
    errno.EACCES: (
        "permission denied",
        "name a place where you may read and write, or change its permissions",
    ),
    errno.EPERM: ("the system does not permit it", "name a place where you may read and write"),
    errno.ENOSPC: (
        "no space is left on the disk",
        "make room there, or name a place on another disk",
    ),
    errno.EDQUOT: (
        "your quota of disk space is used up",
        "make room there, or name a place on another disk",
    ),
    errno.EFBIG: (
        "the file would become larger than allowed",
        "raise the limit (`ulimit -f`), or name another disk",
    ),
    errno.ENOTDIR: (
        "a part of this path is a file, not a folder",
        "name a folder, or move that file away",
    ),
    errno.EISDIR: ("is a folder, not a file", "name a file"),
    errno.EEXIST: ("exists already", "name another, or move it away"),
    errno.ENOENT: ("no such file or folder", "check the path"),
    errno.ENAMETOOLONG: (
        "a name in this path is too long",
        "shorter names: most disks take 255 bytes each",
    ),
    errno.EROFS: ("the file system is read-only", "name a place on a disk that can be written"),
    errno.ELOOP: ("its links lead in a circle", "mend the link"),
    errno.EMFILE: ("this process has too many files open", "raise the limit (`ulimit -n`)"),
    errno.ENFILE: ("this host has too many files open", "end what opens them"),
    errno.EAGAIN: (
        "the system has no room for another process",
        "raise the limit (`ulimit -u`), or end others",
    ),
    errno.ENOMEM: ("not enough memory", "end other processes, or a host with more"),
    errno.EIO: ("the disk or terminal answers with an error", "see the kernel's log (`dmesg`)"),
    errno.ESTALE: ("the network disk has lost it", "mount that disk anew"),
}


def beginning_and_end(text: str, longest: int) -> str:
    """`text`, or of a longer one its beginning and its end, cut between words where there are any:
    `longest` characters at most.
    """
    if len(text) <= longest:
        return text
    between = " … "
    half = (longest - len(between)) // 2
    begin, end = text[:half], text[-half:]
    if not text[half].isspace() and " " in begin:
        begin = begin.rpartition(" ")[0]
    if not text[-half - 1].isspace() and " " in end:
        end = end.partition(" ")[2]
    return begin.rstrip() + between + end.lstrip()


class BenchError(Exception):
    """Bad input or an unusable host: printed as one message, without a traceback; the command exits
    with 2.

    `place` says where (file:line, option, job), `message` what is wrong, `fix` what to do about it.
    """

    def __init__(self, message: str, *, place: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message, self.place, self.fix = message, place, fix

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}\n  fix: {self.fix}" if self.fix else text


def is_text(text: str) -> bool:
    """Whether a word or a path of the system is text, and no other bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_no_space(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, says that there is no room for more bytes."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            return True
        error = error.__cause__ or error.__context__
    return False


def of_the_system(error: OSError, *, fix: str = "") -> BenchError:
    """What the operating system refused, in one sentence with its fix (`fix` replaces the usual
    one).
    """
    if isinstance(error, BrokenPipeError):
        fix = "read its output to the end, for example from a file"
        return BenchError(
            "whatever read this command's output has closed it (broken pipe)", fix=fix
        )
    names = dict.fromkeys(
        _name(name) for name in (error.filename, error.filename2) if name is not None
    )
    if not names and error.errno == errno.ENOENT:
        if "temporary directory" in str(error):
            return BenchError(
                "no folder for temporary files can be written",
                fix="set TMPDIR to a folder that can",
            )
        if not _has_a_folder():
            return BenchError(
                "the folder you are in does not exist any more", fix="`cd` to one that does"
            )
    said, usual = _SAID.get(
        error.errno or 0, (error.strerror or str(error) or type(error).__name__, "")
    )
    return BenchError(said, place=" and ".join(names), fix=fix or usual)


def run_command(program: str, body: Callable[[], int]) -> int:
    """The exit status of a command line, whose errors are told on stderr.

    What the person at the keyboard can mend is one message and 2: a BenchError, and whatever the
    operating system refuses. Any other exception is a fault of the program: also 2, for 1 says
    something about results (a regression, a pair without a result), which a fault never does; its
    traceback follows the message.
    """
    prepare_output()
    try:
        try:
            status = body()
        except (
            SystemExit
        ):  # argparse's, after --help or a wrong option; or whoever runs this as a part
            sys.stdout.flush()
            _discard_output()
            raise
        sys.stdout.flush()
        _discard_output()
        return status
    except BenchError as error:
        _say(f"{program}: {error}")
    except KeyboardInterrupt:
        _discard_output()
        return INTERRUPTED
    except OSError as error:
        # A reader that has seen enough, such as `head`, is told nothing, as by other tools.
        if not (isinstance(error, BrokenPipeError) and _is_unread()):
            _say(f"{program}: {of_the_system(error)}")
    except MemoryError:
        _say(f"{program}: {of_the_system(OSError(errno.ENOMEM, ''))}")
    except ImportError as error:
        _say(
            f"{program}: a package cannot be loaded: {error}\n  fix: `make setup` installs what "
            "is missing"
        )
    except Exception as error:
        _say(
            f"{program}: a fault of this program: {type(error).__name__}: {_short(str(error))}\n"
            "  fix: report it with the lines below; what was finished is on "
            f"disk\n{traceback.format_exc().rstrip()}"
        )
    _discard_output()
    return BAD_INPUT


def use_utf8() -> None:
    """Start this command line again in Python's UTF-8 mode where the locale has another encoding.

    Names of files, options and models are then what they are everywhere else, and jobs, which run
    in UTF-8 mode, get the same ones. What the terminal can show stays as it was.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    shown = getattr(sys.stdout, "encoding", None) or "ascii"
    environment = {**os.environ, "PYTHONUTF8": "1"}
    if not environment.get("PYTHONIOENCODING"):
        environment["PYTHONIOENCODING"] = f"{shown}:backslashreplace"
    with contextlib.suppress(OSError):  # then it goes on as it is
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def prepare_output() -> None:
    """Make standard output and error take any text, whatever the terminal or the locale can show.

    What cannot be encoded is written as \\u2192. A stream that was closed by whoever started this
    swallows its text.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def _is_unread() -> bool:
    """Whether standard output is a pipe whose reader has closed it."""
    try:
        look = select.poll()
        look.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in look.poll(0))
    except (OSError, ValueError):
        return False


def _discard_output() -> None:
    """Drop what a closed pipe or a full disk does not take, or the interpreter would end with
    another status.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _name(name: object) -> str:
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else str(name)


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _has_a_folder() -> bool:
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        return False
    return True
