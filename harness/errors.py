"""Errors meant for the person at the keyboard."""

from __future__ import annotations


class BenchError(Exception):
    """Bad input or an unusable host: printed as one message, without a traceback; the command exits with 2.

    `place` says where (file:line, option, job), `message` what is wrong, `fix` what to do about it.
    """

    def __init__(self, message: str, *, place: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message, self.place, self.fix = message, place, fix

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}\n  fix: {self.fix}" if self.fix else text
