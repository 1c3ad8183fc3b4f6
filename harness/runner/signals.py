"""The wish of the user, or of the system, that a run ends in order."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Any


class Stop:
    """SIGINT, SIGTERM and SIGHUP as a wish: `reason` says which came, `fd` becomes readable. Use as
    a context manager.

    A handler that raised could tear a record in two. Signals that were ignored before (nohup) stay
    ignored.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.reason = ""
        self.fd, self._write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        for number in self.SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._received)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.fd)
        os.close(self._write_fd)

    def _received(self, number: int, frame: FrameType | None) -> None:
        self.reason = self.reason or f"stopped by {signal.Signals(number).name}"
        os.write(self._write_fd, b"x")
