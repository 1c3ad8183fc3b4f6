"""Set-up as numbered steps. uv shows its progress itself; what other commands print is shown where
they fail.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.errors import BenchError

# These would send a child to another interpreter, or switch its bytecode off (importing
# transformers: 8 s → 20 s).
FOREIGN = ("PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
TAIL = 40  # lines of a failed command's output that are shown


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what redirects a child Python, plus `extra`."""
    return {**{name: value for name, value in os.environ.items() if name not in FOREIGN}, **extra}


class Steps:
    """Prints `[2/6] title` at the start of each step and what came of it, with its seconds, at the
    end; runs its commands.
    """

    def __init__(self, total: int, *, held_fds: tuple[int, ...] = ()) -> None:
        """`held_fds`: stay open in children: a lock lives as long as anything it protects from."""
        self._total, self._done, self._held_fds = total, 0, held_fds
        self._title, self._note = "", ""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One numbered step; its last line is printed when the body ends without an error."""
        self._done += 1
        self._title, self._note, begin = title, "done", time.monotonic()
        print(f"[{self._done}/{self._total}] {title}", flush=True)
        yield
        print(f"      {self._note}, {time.monotonic() - begin:.1f} s", flush=True)

    @property
    def noted(self) -> str:
        """What the step's last line would say now."""
        return self._note

    def note(self, text: str) -> None:
        """What the step's last line says."""
        self._note = text

    def show(self, command: Sequence[str]) -> None:
        """Run a command of uv, which shows its progress and its errors itself.

        Raises:
            BenchError: It failed.
        """
        self._run(command, clean_environment(), captured=False)

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
        """Run a command silently and return what it printed.

        Raises:
            BenchError: It failed; with the end of what it printed.
        """
        return self._run(command, environment or clean_environment(), captured=True)

    def _run(
        self, command: Sequence[str], environment: Mapping[str, str], *, captured: bool
    ) -> str:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if captured else None,
            stderr=subprocess.STDOUT if captured else None,
            text=True,
            errors="replace",
            env=environment,
            pass_fds=self._held_fds,
        )
        output = done.stdout or ""
        if done.returncode != 0:
            end = "".join(f"\n    {line[:200]}" for line in output.strip().splitlines()[-TAIL:])
            raise BenchError(
                f"{Path(command[0]).name} ended with {done.returncode}{':' if end else ''}{end}",
                place=self._title,
                fix="mend what it reports; the same command goes on from there",
            )
        return output
