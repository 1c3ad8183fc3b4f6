"""The stages of a night, in order, each a program of its own.

Each stage is written down once it is done; after a kill the night goes on from there. Nothing is
done twice: the runner skips finished jobs, checks only read, and `report alert` remembers what it
told. A stage's output goes to a log that is shown as it grows, its time is limited, and a stop is
passed on.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from harness.launcher.outcome import signal_name
from harness.launcher.supervisor import PR_SET_PDEATHSIG, prctl
from harness.nightly.state import (
    Night,
    StageDone,
    StageName,
    alarmed,
    begin,
    ended_in_order,
    folder_of,
    nights_folder,
    no_verdict,
    pending,
    read_verdict,
    save,
    write_final,
)
from harness.results.open_run import now_utc
from harness.runner.runner import INTERRUPTED_EXIT_CODE
from harness.runner.stop import Stop
from harness.schema.redaction import redactor

POLL_S = 0.2
KILL_AFTER_S = 90.0  # from SIGTERM: the runner ends its job in order and writes down how
CHECK_LIMIT_S = 600.0
ALERT_LIMIT_S = 600.0
ALERT_PATIENCE_S = 60.0  # a message half sent is worse than a minute's wait
COULD_NOT = 2


@dataclass(frozen=True)
class Settings:
    """What the user asked for. `bench_options`: of `harness run`, suite first; `harness`, `report`:
    the programs.
    """

    results: Path
    suite: str
    config_sha256: str
    bench_options: Sequence[str]
    channels: Sequence[str]
    budget_minutes: float
    pairs: Sequence[str] = ()  # only these, as WORKLOAD:BASELINE:CANDIDATE; none: all of the suite
    check_options: Sequence[str] = ()
    harness: Sequence[str] = field(default_factory=lambda: [sys.executable, "-m", "harness.cli"])
    report: Sequence[str] = field(default_factory=lambda: [sys.executable, "-m", "report.cli"])


class Interrupted(Exception):
    """The user wants an end. The stage in hand is not done."""


def run_nights(settings: Settings, stop: Stop, lock_fd: int) -> int:
    """Finish what earlier nights left and this one; the worst of their exit codes.

    0: nothing worse; 1: a regression; 2: could not judge, or not deliver; 130: interrupted.
    """
    left = pending(settings.results, settings.suite)
    tonight = left[-1] if left and _goes_on(left[-1], settings) else None
    codes = []
    try:
        for night in left:
            if night is not tonight:
                _say(f"night {night.night} was left unfinished: finishing it with what it has")
                codes.append(_Stages(settings, night, stop, lock_fd, may_train=False).run())
        if tonight is None:
            tonight = begin(
                settings.results, settings.suite, settings.config_sha256, settings.budget_minutes
            )
            _say(
                f"night {tonight.night} begins; no training after "
                f"{tonight.deadline_at:%Y-%m-%d %H:%M} UTC"
            )
        else:
            _say(f"night {tonight.night} goes on")
        codes.append(_Stages(settings, tonight, stop, lock_fd).run())
    except Interrupted:
        _say(f"{stop.reason or 'interrupted'}: the same command goes on from here")
        return INTERRUPTED_EXIT_CODE
    return max(codes)


def _goes_on(night: Night, settings: Settings) -> bool:
    """Past its deadline, or with another suite, a night is only brought to its end; then a new one
    begins.
    """
    return night.config_sha256 == settings.config_sha256 and night.seconds_left() > 0


def _say(text: str) -> None:
    print(f"nightly: {text}", flush=True)


def _how(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    return f"was killed by {signal_name(-exit_code)}"


class _Stages:
    def __init__(
        self, settings: Settings, night: Night, stop: Stop, lock_fd: int, may_train: bool = True
    ) -> None:
        self.settings, self.night, self.stop, self.lock_fd, self.may_train = (
            settings,
            night,
            stop,
            lock_fd,
            may_train,
        )
        self.folder = folder_of(settings.results, night)

    def run(self) -> int:
        """All stages that are not done yet; the night's exit code. Raises Interrupted."""
        stages: tuple[tuple[StageName, Callable[[], StageDone]], ...] = (
            ("bench", self._bench),
            ("check", self._check),
            ("again", self._again),
            ("recheck", self._recheck),
            ("alert", self._alert),
        )
        for name, stage in stages:
            if name not in self.night.stages:
                if self.stop.reason:
                    raise Interrupted
                self._write(stages={**self.night.stages, name: stage()})
        final = read_verdict(self.folder / "final.json")
        code = COULD_NOT if final is None else int(final["exit_code"])
        if self.night.stages["alert"].exit_code != 0:
            # Not done after all: the next start asks `report alert` to tell what is still to be
            # told.
            self._write(
                stages={name: done for name, done in self.night.stages.items() if name != "alert"}
            )
            _say(
                f"alerts of {self.night.night} were not all delivered; the same command tries again"
            )
            return COULD_NOT
        self._write(over=True, exit_code=code)
        _say(f"night {self.night.night} is over: exit code {code}")
        return code

    def _write(self, **changes: object) -> None:
        self.night = self.night.model_copy(update=changes)
        save(self.settings.results, self.night)

    def _child(
        self, name: StageName, command: Sequence[str], limit_s: float, *, delivers: bool = False
    ) -> Ended:
        _say(f"{name}: log in {self.folder / f'{name}.log'}")
        ended = run_child(
            command,
            self.folder / f"{name}.log",
            limit_s=limit_s,
            stop=self.stop,
            lock_fd=self.lock_fd,
            outlives_us=delivers,
            patience_s=ALERT_PATIENCE_S if delivers else 0.0,
        )
        # A stop that came too late to hinder the stage is heard before the next one.
        if ended.stopped or (ended.exit_code == INTERRUPTED_EXIT_CODE and not ended.limited):
            raise Interrupted
        return ended

    def _train(self, name: StageName, run: str, pairs: Sequence[str] = ()) -> StageDone:
        """A run of the suite, or of some pairs, until the night's budget is used up."""
        what = f"run {run}" if name == "bench" else f"the second run {run}"
        left_s = self.night.seconds_left()
        if not self.may_train or left_s == 0:
            late = (
                "the night's budget was used up"
                if self.may_train
                else "the night was not resumed in time"
            )
            return StageDone(note=f"{what} was not made, or not to its end: {late}")
        options = [
            *self.settings.bench_options,
            "--results",
            str(self.settings.results),
            "--run",
            run,
            "--no-tables",
        ]
        options += [word for pair in pairs for word in ("--pairs", pair)]
        ended = self._child(name, [*self.settings.harness, "run", *options], left_s)
        note, died = "", False
        if ended.limited:
            note = f"{what} was stopped: the night's budget was used up"
        elif ended.exit_code not in (0, 1) or not ended_in_order(self.settings.results / run):
            # 1 with a finished run: some pair has no result, which the check says pair by pair.
            note, died = f"{what} {_how(ended.exit_code)}: {ended.said}", True
        return StageDone(
            exit_code=ended.exit_code, seconds=ended.seconds, output=run, note=note, died=died
        )

    def _judge(self, name: StageName, *options: str) -> StageDone:
        """`report check`; its verdict is `output`, if it made one."""
        target = self.folder / f"{name}.json"
        target.unlink(missing_ok=True)
        command = [
            *self.settings.report,
            "check",
            str(self.settings.results),
            "--run",
            self.night.night,
            *options,
        ]
        command += [*self.settings.check_options, "--json", str(target)]
        ended = self._child(name, command, CHECK_LIMIT_S)
        output, note = str(target.relative_to(self.settings.results)), ""
        if read_verdict(target) is None:
            how = (
                f"took more than {CHECK_LIMIT_S / 60:.0f} min"
                if ended.limited
                else f"exit code {ended.exit_code}"
            )
            note = f"report check made no verdict ({how}): {ended.said}"
        return StageDone(
            exit_code=ended.exit_code,
            seconds=ended.seconds,
            output=None if note else output,
            note=note,
        )

    def _verdict_of(self, name: StageName) -> dict[str, object] | None:
        output = self.night.stages[name].output if name in self.night.stages else None
        return read_verdict(self.settings.results / output) if output else None

    def _bench(self) -> StageDone:
        return self._train("bench", self.night.night, self.settings.pairs)

    def _check(self) -> StageDone:
        if not (self.settings.results / self.night.night / "run.json").exists():
            return StageDone(note=f"there is no run {self.night.night} to judge")
        return self._judge("check")

    def _again(self) -> StageDone:
        verdict = self._verdict_of("check")
        pairs = alarmed(verdict) if verdict else []
        if not pairs:
            return StageDone()
        _say(f"alarmed, measured once more: {', '.join(pairs)}")
        return self._train("again", self.night.again, pairs)

    def _recheck(self) -> StageDone:
        if not (self.settings.results / self.night.again / "run.json").exists():
            return StageDone()
        return self._judge("recheck", "--again", self.night.again)

    def _alert(self) -> StageDone:
        verdict = self._verdict_of("recheck") or self._verdict_of("check") or no_verdict(self.night)
        final = self.folder / "final.json"
        write_final(final, verdict, self.night)
        command = [*self.settings.report, "alert", str(final)]
        command += ["--state", str(nights_folder(self.settings.results) / "told.json")]
        command += [word for channel in self.settings.channels for word in ("--channel", channel)]
        ended = self._child("alert", command, ALERT_LIMIT_S, delivers=True)
        output = str(final.relative_to(self.settings.results))
        return StageDone(exit_code=ended.exit_code, seconds=ended.seconds, output=output)


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
