"""One stage's program: its output goes to a log that is shown as it grows, its time is bounded, a
stop is passed on.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.launcher.supervisor import PR_SET_PDEATHSIG, prctl
from harness.results.open_run import now_utc
from harness.runner.runner import Stop
from harness.schema.redaction import redactor

POLL_S = 0.2
KILL_AFTER_S = 90.0  # from SIGTERM: the runner ends its job in order and writes down how


@dataclass(frozen=True)
class Ended:
    """`limited`: its time was up; `stopped`: the user wanted an end; either way it was told to end.

    `said`: its error, or its last line, redacted: it goes into the night's state and into alerts.
    """

    exit_code: int  # negative: killed by that signal
    seconds: float
    limited: bool
    stopped: bool
    said: str


def run_child(
    command: Sequence[str],
    log: Path,
    *,
    limit_s: float,
    stop: Stop,
    lock_fd: int,
    outlives_us: bool = False,
    patience_s: float = 0.0,
) -> Ended:
    """Run `command` to its end, output appended to `log` and shown on stdout.

    It holds the night's lock as long as it lives. When this process is killed, so is the child,
    unless `outlives_us`. `patience_s`: how long a child may go on after the user's stop before it
    is told.
    """
    parent = os.getpid()

    def before_exec() -> None:
        if not outlives_us:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

    begin = time.monotonic()
    with log.open("ab") as file, log.open("rb") as shown:
        file.write(f"# {now_utc()} {shlex.join(command)}\n".encode())
        file.flush()
        shown.seek(0, os.SEEK_END)
        # A file and no pipe: a child that outlives this process must not fail for want of a reader.
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C comes to this process only, which passes it on once
            pass_fds=[lock_fd],
            preexec_fn=before_exec,  # safe: no threads here
        )
        tail = b""
        kill_at, stop_at, limited, stopped = float("inf"), float("inf"), False, False
        while child.poll() is None:
            tail = (tail + _show(shown))[-2000:]
            now = time.monotonic()
            if stop.reason and stop_at == float("inf"):
                stop_at = now + patience_s
            if kill_at == float("inf") and (now > stop_at or now - begin > limit_s):
                stopped, limited = now > stop_at, now <= stop_at
                child.terminate()
                kill_at = now + KILL_AFTER_S
            elif now > kill_at:
                child.kill()
            # The descriptor stays readable once a stop has come: sleep through that.
            select.select([] if stop.reason else [stop.fd], [], [], POLL_S)
        tail = (tail + _show(shown))[-2000:]
    return Ended(child.returncode, time.monotonic() - begin, limited, stopped, _what_it_said(tail))


def _what_it_said(tail: bytes) -> str:
    """The program's own error, where it ends with one; else its last line."""
    lines = [line.strip() for line in tail.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("harness: ", "report: "))]
    said = (errors or lines or [""])[-1]
    return redactor().text(said) if said else ""


def _show(log: IO[bytes]) -> bytes:
    """What was added to the log; also to stdout, if anybody still reads that."""
    data = log.read()
    if data:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(data.decode(errors="replace"))
            sys.stdout.flush()
    return data
