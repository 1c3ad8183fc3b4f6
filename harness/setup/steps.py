"""Set-up as numbered steps: one line each with its seconds, live progress, and what a failing
command printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.errors import BenchError
from harness.setup.packages import diagnose

TICK_S = 0.2  # how often a running command is looked at
HEARTBEAT_S = 30.0  # how often a log file (no terminal) hears that a step is still running
# These would send a child to another interpreter, or switch its bytecode off (importing
# transformers: 8 s → 20 s).
FOREIGN = ("PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what redirects a child Python, plus `extra`."""
    return {**{name: value for name, value in os.environ.items() if name not in FOREIGN}, **extra}


class Steps:
    """Prints `[2/6] title: note  12.3 s` for each step and runs its commands with their output
    in a log file.
    """

    def __init__(self, total: int, log: Path) -> None:
        self._total, self._done, self._log = total, 0, log
        self._title, self._begin, self._note = "", 0.0, ""
        self._live = sys.stdout.isatty()
        self.held_fds: tuple[
            int, ...
        ] = ()  # stay open in children: a lock lives as long as anything it protects from
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One numbered step; its line is printed when the body ends without an error."""
        self._done += 1
        self._title, self._begin, self._note = title, time.monotonic(), ""
        self._show("")
        yield
        note = f": {self._note}" if self._note else ""
        self._line(
            f"[{self._done}/{self._total}] {title}{note}  {time.monotonic() - self._begin:.1f} s",
            end="\n",
        )

    def note(self, text: str) -> None:
        """What the step's line says after its title."""
        self._note = text

    def run(
        self,
        command: Sequence[str],
        *,
        doing: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command to its end, showing `doing` and the last line it printed; returns its
        output.

        Raises BenchError with the end of the output and, where it can be read from it, the missing
        system package.
        """
        start = self._log.stat().st_size
        heartbeat = time.monotonic() + HEARTBEAT_S
        with self._log.open("ab") as sink:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=dict(environment) if environment is not None else clean_environment(),
                pass_fds=self.held_fds,
            )
            try:
                while child.poll() is None:
                    time.sleep(TICK_S)
                    if self._live:
                        self._show(f"{doing} {_last_line(self._log, start)}")
                    elif time.monotonic() > heartbeat:
                        heartbeat = time.monotonic() + HEARTBEAT_S
                        waited = time.monotonic() - self._begin
                        detail = f"{doing} {_last_line(self._log, start)}".strip()[:80]
                        print(f"      {self._title}: {waited:.0f} s, {detail}", flush=True)
            except BaseException:
                child.kill()
                child.wait()
                raise
        output = self._log.read_bytes()[start:].decode(errors="replace")
        if child.returncode != 0:
            raise BenchError(
                f"{Path(command[0]).name} ended with {child.returncode}:\n" + _tail(output),
                place=self._title,
                fix=diagnose(output) or f"the whole output is in {self._log}",
            )
        return output

    def end_line(self) -> None:
        """Leave a half-written live line standing (before an error message)."""
        if self._live:
            print(flush=True)

    def _show(self, detail: str) -> None:
        if self._live:
            waited = time.monotonic() - self._begin
            self._line(
                f"[{self._done}/{self._total}] {self._title} … {waited:.0f} s  {detail}"[:110],
                end="",
            )

    def _line(self, text: str, *, end: str) -> None:
        print(f"\r\x1b[K{text}" if self._live else text, end=end, flush=True)


def _last_line(log: Path, start: int) -> str:
    with log.open("rb") as source:
        source.seek(max(start, log.stat().st_size - 2000))
        lines = source.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _tail(output: str, lines: int = 15) -> str:
    return "\n".join(f"    {line[:200]}" for line in output.strip().splitlines()[-lines:])
