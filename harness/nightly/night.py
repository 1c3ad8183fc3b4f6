"""The stages of a night, in order, each a program of its own.

Each stage is written down once it is done; after a kill the night goes on from there. Nothing is
done twice, because every program may be called again: the runner skips finished jobs, checks only
read, and `report alert` remembers what it told. A stage's output goes to a log that is shown as it
grows, its time is limited, and a stop is passed on.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from harness.launcher.outcome import signal_name
from harness.launcher.supervisor import PR_SET_PDEATHSIG, prctl
from harness.nightly.state import (
    NightState,
    Stage,
    StageDone,
    begin,
    ended_in_order,
    folder_of,
    nights_folder,
    pending,
    read_verdict,
    save,
    write_final,
)
from harness.results.open_run import now_utc
from harness.runner.runner import INTERRUPTED_EXIT_CODE
from harness.runner.signals import Stop
from harness.schema.redaction import redactor
from harness.schema.verdict import Verdict, VerdictCode

POLL_S = 0.2
KILL_AFTER_S = 90.0  # from SIGTERM: the runner ends its job in order and writes down how
CHECK_LIMIT_S = 600.0
ALERT_LIMIT_S = 600.0
ALERT_PATIENCE_S = 60.0  # a message half sent is worse than a minute's wait
FINAL = "final.json"  # what `report alert` is given


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
    """Finish what earlier nights left, and tonight.

    Args:
        settings: What the user asked for.
        stop: Says when the user wants an end.
        lock_fd: The night's lock, which every program of the night holds too.

    Returns:
        The worst of the nights' exit statuses. 0: nothing worse; 1: a regression; 2: could not
        judge, or not deliver; 130: interrupted.
    """
    left = pending(settings.results, settings.suite)
    tonight = left.pop() if left and _goes_on(left[-1], settings) else None
    codes = []
    try:
        for night in left:
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
        codes.append(_Stages(settings, tonight, stop, lock_fd, may_train=True).run())
    except Interrupted:
        _say(f"{stop.reason or 'interrupted'}: the same command goes on from here")
        return INTERRUPTED_EXIT_CODE
    return max(codes)


def _goes_on(night: NightState, settings: Settings) -> bool:
    """Past its deadline, or with another suite, a night is only brought to its end; then a new one
    begins.
    """
    return night.config_sha256 == settings.config_sha256 and night.seconds_left() > 0


def _say(text: str) -> None:
    print(f"nightly: {text}", flush=True)


@dataclass
class _Stages:
    settings: Settings
    night: NightState
    stop: Stop
    lock_fd: int
    may_train: bool

    def run(self) -> int:
        """All stages that are not done yet; the night's exit status. Raises Interrupted."""
        perform = {
            Stage.BENCH: self._bench,
            Stage.CHECK: self._check,
            Stage.AGAIN: self._again,
            Stage.RECHECK: self._recheck,
            Stage.ALERT: self._alert,
        }
        for stage in Stage:
            if stage not in self.night.stages:
                if self.stop.reason:
                    raise Interrupted
                self.night.stages[stage] = perform[stage]()
                self._save()
        if self.night.stages[Stage.ALERT].exit_code != 0:
            # Not done after all: the next start asks `report alert` to tell what is still to be
            # told.
            del self.night.stages[Stage.ALERT]
            self._save()
            _say(
                f"alerts of {self.night.night} were not all delivered; the same command tries again"
            )
            return VerdictCode.NO_JUDGEMENT
        final = read_verdict(self._folder / FINAL)
        code = VerdictCode.NO_JUDGEMENT if final is None else final.exit_code
        self.night.over, self.night.exit_code = True, code
        self._save()
        _say(f"night {self.night.night} is over: exit status {code}")
        return code

    def _bench(self) -> StageDone:
        night = self.night.night
        return self._train(Stage.BENCH, f"run {night}", night, self.settings.pairs)

    def _check(self) -> StageDone:
        if not self._has_run(self.night.night):
            return StageDone(note=f"there is no run {self.night.night} to judge")
        return self._judge(Stage.CHECK)

    def _again(self) -> StageDone:
        verdict = self._verdict_of(Stage.CHECK)
        pairs = verdict.pairs_to_measure_again if verdict else []
        if not pairs:
            return StageDone()
        _say(f"alarmed, measured once more: {', '.join(pairs)}")
        again = self.night.again
        return self._train(Stage.AGAIN, f"the second run {again}", again, pairs)

    def _recheck(self) -> StageDone:
        if not self._has_run(self.night.again):
            return StageDone()
        return self._judge(Stage.RECHECK, "--again", self.night.again)

    def _alert(self) -> StageDone:
        judged = self._verdict_of(Stage.RECHECK) or self._verdict_of(Stage.CHECK)
        final = self._folder / FINAL
        write_final(final, judged, self.night)
        told = nights_folder(self.settings.results) / "told.json"
        command = [*self.settings.report, "alert", str(final), "--state", str(told)]
        command += [word for channel in self.settings.channels for word in ("--channel", channel)]
        ended = self._call(Stage.ALERT, command, ALERT_LIMIT_S)
        output = str(final.relative_to(self.settings.results))
        return StageDone(exit_code=ended.exit_code, seconds=ended.seconds, output=output)

    def _train(self, stage: Stage, what: str, run: str, pairs: Sequence[str]) -> StageDone:
        """A run of the suite, or of some pairs, until the night's budget is used up."""
        left_s = self.night.seconds_left()
        if not self.may_train or left_s == 0:
            late = (
                "the night's budget was used up"
                if self.may_train
                else "the night was not resumed in time"
            )
            return StageDone(note=f"{what} was not made, or not to its end: {late}")
        results = self.settings.results
        command = [*self.settings.harness, "run", *self.settings.bench_options]
        command += ["--results", str(results), "--run", run, "--no-tables"]
        command += [word for pair in pairs for word in ("--pairs", pair)]
        ended = self._call(stage, command, left_s)
        note, died = "", False
        if ended.limited:
            note = f"{what} was stopped: the night's budget was used up"
        elif ended.exit_code not in (0, 1) or not ended_in_order(results / run):
            # 1 with a finished run: some pair has no result, which the check says pair by pair.
            note, died = f"{what} {ended.how}: {ended.said}", True
        return StageDone(
            exit_code=ended.exit_code, seconds=ended.seconds, output=run, note=note, died=died
        )

    def _judge(self, stage: Stage, *options: str) -> StageDone:
        """`report check`; its verdict is `output`, if it made one."""
        results, target = self.settings.results, self._folder / f"{stage}.json"
        target.unlink(missing_ok=True)
        command = [*self.settings.report, "check", str(results), "--run", self.night.night]
        command += [*options, *self.settings.check_options, "--json", str(target)]
        ended = self._call(stage, command, CHECK_LIMIT_S)
        if read_verdict(target) is not None:
            output = str(target.relative_to(results))
            return StageDone(exit_code=ended.exit_code, seconds=ended.seconds, output=output)
        minutes = f"{CHECK_LIMIT_S / 60:.0f}"
        how = f"took more than {minutes} min" if ended.limited else f"exit status {ended.exit_code}"
        note = f"report check made no verdict ({how}): {ended.said}"
        return StageDone(exit_code=ended.exit_code, seconds=ended.seconds, note=note)

    def _call(self, stage: Stage, command: Sequence[str], limit_s: float) -> Ended:
        log = self._folder / f"{stage}.log"
        _say(f"{stage}: log in {log}")
        ended = run_child(
            command,
            log,
            limit_s=limit_s,
            stop=self.stop,
            lock_fd=self.lock_fd,
            delivers=stage is Stage.ALERT,
        )
        # A stop that came too late to hinder the stage is heard before the next one.
        if ended.stopped or (ended.exit_code == INTERRUPTED_EXIT_CODE and not ended.limited):
            raise Interrupted
        return ended

    def _verdict_of(self, stage: Stage) -> Verdict | None:
        output = self.night.stages[stage].output if stage in self.night.stages else None
        return read_verdict(self.settings.results / output) if output else None

    def _has_run(self, run: str) -> bool:
        return (self.settings.results / run / "run.json").exists()

    @property
    def _folder(self) -> Path:
        return folder_of(self.settings.results, self.night)

    def _save(self) -> None:
        save(self.settings.results, self.night)


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        exit_code: Below 0: killed by that signal.
        seconds: How long it ran.
        limited: Its time was up, and it was told to end.
        stopped: The user wanted an end, and it was told so.
        said: Its error, or its last line; redacted, because it goes into the night's state and into
            alerts.
    """

    exit_code: int
    seconds: float
    limited: bool
    stopped: bool
    said: str

    @property
    def how(self) -> str:
        """How it ended, in words."""
        if self.exit_code >= 0:
            return f"ended with exit status {self.exit_code}"
        return f"was killed by {signal_name(-self.exit_code)}"


def run_child(
    command: Sequence[str],
    log: Path,
    *,
    limit_s: float,
    stop: Stop,
    lock_fd: int,
    delivers: bool = False,
) -> Ended:
    """Run a program to its end, or until it is told to end.

    When this process is killed, so is the program, unless it delivers.

    Args:
        command: The program and its arguments.
        log: Its output is appended there, and shown on stdout.
        limit_s: After so many seconds it is told to end.
        stop: When the user wants an end, it is told so.
        lock_fd: The night's lock, which it holds as long as it lives.
        delivers: It outlives this process, and after the user's stop it may go on for
            ALERT_PATIENCE_S before it is told to end.
    """
    parent = os.getpid()

    def before_exec() -> None:
        if not delivers:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

    began = time.monotonic()
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
        never = float("inf")
        tail, limited, stopped = b"", False, False
        end_at, stop_at, kill_at = began + limit_s, never, never
        while child.poll() is None:
            tail = (tail + _show(shown))[-2000:]
            now = time.monotonic()
            if stop.reason and stop_at == never:
                stop_at = now + (ALERT_PATIENCE_S if delivers else 0.0)
            if now > kill_at:
                child.kill()
            elif kill_at == never and now >= min(end_at, stop_at):
                stopped, limited = now >= stop_at, now < stop_at
                child.terminate()
                kill_at = now + KILL_AFTER_S
            # The descriptor stays readable once a stop has come: sleep through that.
            select.select([] if stop.reason else [stop.fd], [], [], POLL_S)
        tail = (tail + _show(shown))[-2000:]
    return Ended(child.returncode, time.monotonic() - began, limited, stopped, _what_it_said(tail))


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
