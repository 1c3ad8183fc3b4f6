"""One job as a child process: start it, listen to it, bound it, and say how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from harness.errors import BenchError, of_the_system
from harness.launcher import srun, supervisor, torchrun
from harness.launcher.channel import Event, Listener, Peer, ProtocolError, turn_seconds
from harness.launcher.environment import (
    environment_for,
    importable_harness,
    temporary_folder,
)
from harness.launcher.outcome import OomCounter, Seen
from harness.schema.job import JobSpec
from harness.schema.record import State, WorkerResult

STOP_GRACE_S = 5.0  # from SIGTERM to SIGKILL
EXIT_GRACE_S = 60.0  # from a worker's last word (bye, failure) to the end of its process
LOOK_EVERY_S = 1.0  # for limits that have no file descriptor
GIVE_UP_S = 20.0  # after SIGKILL; what is then still there hangs in the kernel


@dataclass(frozen=True)
class LaunchOptions:
    """How a job is started, apart from what it does.

    Attributes:
        interpreter: Of the job's stack.
        command: Replaces `interpreter -m harness.worker` (of every rank); the specification and
            the path of the socket are appended to it.
        caller: The environment that the job's is chosen from; None: this process'.
        libraries: Folders that the job's backend needs on LD_LIBRARY_PATH.
        lock_fd: Kept open until the job is gone, whatever becomes of this process; -1: none.
        wake_fd: When it is readable, `RunningJob.pump` returns early.
        oom: Counts what the kernel's OOM killer does; None: where this process runs.
        rendezvous: This node trains only a part of the job, which begins on another node. None: all
            of the job begins here, and srun starts the parts of its other nodes.
    """

    interpreter: str = sys.executable
    command: Sequence[str] | None = None
    caller: Mapping[str, str] | None = None
    libraries: Sequence[str] = ()
    lock_fd: int = -1
    wake_fd: int | None = None
    oom: OomCounter | None = None
    rendezvous: torchrun.Rendezvous | None = None


class RunningJob:
    """A job's processes and channel, from start to the last of them gone. Use as a context manager.

    `pump()` waits for events and returns them; `fileno()` makes several running jobs selectable at
    once; `peers` are the connected workers, for control messages. Leaving the context kills
    whatever is left.
    """

    def __init__(self, job: JobSpec, log: Path, options: LaunchOptions | None = None) -> None:
        """Start a job.

        Args:
            job: What it does.
            log: File that takes what its processes print.
            options: How it is started.

        Raises:
            BenchError: The job cannot be started at all.
        """
        options = options or LaunchOptions()
        self.job, self.log = job, log
        self.seen = Seen()
        self.done = False
        self._selector = selectors.DefaultSelector()
        self._folder = Path(tempfile.mkdtemp(prefix="bench-", dir=temporary_folder()))
        self._give_up_at: float | None = None
        self._exit_by: float | None = None
        self._status = b""
        self._main_pid: int | None = None
        self._oom = options.oom or OomCounter()
        self._begin = time.monotonic()
        try:
            self._listener = Listener(self._folder / "channel", self._selector)
            if options.wake_fd is not None:
                self._selector.register(options.wake_fd, selectors.EVENT_READ, None)
            self._supervisor = self._start_supervisor(
                self._command(options), self._environment(options), options.lock_fd
            )
        except OSError as error:
            self._selector.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            said = of_the_system(error)
            what = ": ".join(filter(None, ("cannot start a job", said.place, said.message)))
            raise BenchError(what, place=job.id, fix=said.fix) from error

    def _command(self, options: LaunchOptions) -> list[str]:
        """The command line of the job, whose specification is written for it."""
        spec = self._folder / "spec.json"
        # In ASCII, for the names of folders in it may be no UTF-8.
        spec.write_text(json.dumps(self.job.model_dump(mode="json")), encoding="ascii")
        launch = self.job.workload.launch
        if launch.nodes > 1 and options.rendezvous is None:
            words = srun.first_node_command(
                self.job, options.interpreter, self._folder, self.log, options.command
            )
        else:
            words = torchrun.command(
                launch,
                options.interpreter,
                self._folder,
                worker=options.command,
                rendezvous=options.rendezvous,
            )
        return [*words, str(spec), str(self._folder / "channel")]

    def _environment(self, options: LaunchOptions) -> dict[str, str]:
        return environment_for(
            self.job,
            os.environ if options.caller is None else options.caller,
            self._folder,
            harness_path=importable_harness(self._folder),
            libraries=options.libraries,
        )

    def _start_supervisor(
        self, arguments: list[str], environment: Mapping[str, str], lock_fd: int
    ) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    supervisor.__file__,
                    str(lock_fd),
                    str(self._folder),
                    *arguments,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                pass_fds=[lock_fd] if lock_fd >= 0 else [],
                # Ctrl-C is for the runner, which then stops the job in order
                start_new_session=True,
            )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, process)
        return process

    def __enter__(self) -> RunningJob:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """Readable when `pump` has something to do."""
        return (
            self._selector.fileno() if isinstance(self._selector, selectors.EpollSelector) else -1
        )

    @property
    def pid(self) -> int:
        """Process above all of the job's processes (its supervisor), for those who watch the job's
        process tree.
        """
        return self._supervisor.pid

    @property
    def peers(self) -> list[Peer]:
        return self._listener.peers

    def pump(self, timeout_s: float) -> list[Event]:
        """Wait at most `timeout_s` for something to happen; the events that came. Sets `done` when
        the job is gone.
        """
        deadlines = [self._give_up_at, self._exit_by if self.seen.exit_code is None else None]
        wait = max(
            0.0, min([timeout_s, *(at - time.monotonic() for at in deadlines if at is not None)])
        )
        events: list[Event] = []
        for key, _ in self._selector.select(wait):
            if isinstance(key.data, Listener):
                key.data.accept()
            elif isinstance(key.data, Peer):
                events += self._receive(key.data)
            elif key.data is None:
                os.read(key.fd, 4096)  # or it would stay readable and this loop would spin
            else:
                self._read_status()
        now = time.monotonic()
        if self._exit_by is not None and now > self._exit_by and self.seen.exit_code is None:
            self._exit_by = None
            self.stop("timeout", f"did not exit within {EXIT_GRACE_S:g} s of its last word")
        if self._give_up_at is not None and now > self._give_up_at:
            self.done = True
        if self.done:
            events += self._drain()
            self.seen.oom_kills = self._oom.rise()
        return events

    def stop(
        self, why: Literal["timeout", "interrupted"], reason: str, grace_s: float = STOP_GRACE_S
    ) -> None:
        """Kill the job: SIGTERM, after `grace_s` SIGKILL, to every process of it. Idempotent;
        `pump` on until done.
        """
        if self.seen.stopped is None and self.seen.exit_code is None:
            self.seen.stopped, self.seen.stop_reason = why, reason
        self._kill(grace_s)

    def _kill(self, grace_s: float) -> None:
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + grace_s + GIVE_UP_S
        assert self._supervisor.stdin is not None
        with contextlib.suppress(OSError):
            self._supervisor.stdin.write(f"stop {grace_s}\n".encode())
            self._supervisor.stdin.flush()

    def _receive(self, peer: Peer) -> list[Event]:
        garbage: Exception | None = None
        try:
            events = self._listener.receive(peer)
        except ProtocolError as error:
            events, garbage = error.events, error
        try:
            for event in events:
                self._note(event)
            self._miss(peer)
        except (ValueError, TypeError) as error:
            garbage = error
        if garbage is not None and self.seen.stopped is None:
            self.seen.garbage = self.seen.garbage or " ".join(str(garbage).split())[:300]
            self._kill(STOP_GRACE_S)
        return events

    def _note(self, event: Event) -> None:
        """Take an event into what is known of the job. Raises ValueError if its fields make no
        sense.
        """
        seen, main = self.seen, event["rank"] == 0
        match event["event"]:
            case "failure" if seen.failure is None and seen.stopped is None:
                state = State(event.get("state", ""))
                if state is State.OK:
                    raise ValueError("a failure cannot have the state ok")
                who = f"rank {event['rank']}: " if self.job.workload.launch.world_size > 1 else ""
                seen.failure = (state, who + str(event.get("reason") or "no reason given"))
                if isinstance(event.get("result"), dict):
                    seen.result = WorkerResult.model_validate(event["result"])
                self._append_to_log(str(event.get("traceback") or ""))
                self._exit_by = time.monotonic() + EXIT_GRACE_S
            case "phase" if main:
                seen.phase = str(event["name"]) if "name" in event else seen.phase
            case "progress" if main:
                seen.step, seen.total_steps = event.get("step"), event.get("total_steps")
            case "turn" if main:
                turn_seconds(event)
                seen.step = event["step"]
            case "series" if main:
                seen.series.extend(event)
            case "result" if main:
                seen.result = WorkerResult.model_validate(event)
            case "bye" if main:
                self._exit_by = time.monotonic() + EXIT_GRACE_S

    def _miss(self, peer: Peer) -> None:
        """Note the first of several ranks that is gone without a word, unless it was ended for
        another's failure.
        """
        gone = peer not in self._listener.peers and peer.rank is not None and not peer.parted
        if (
            gone
            and self.seen.failure is None
            and self.seen.stopped is None
            and self.seen.lost_rank is None
        ):
            self.seen.lost_rank = peer.rank if self.job.workload.launch.torchrun else None

    def _append_to_log(self, text: str) -> None:
        if text.strip():
            # Without room for its log a job still has an end and a record.
            with (
                contextlib.suppress(OSError),
                self.log.open("a", encoding="utf-8", errors="replace") as log,
            ):
                log.write(f"\n--- reported by the worker ---\n{text.rstrip()}\n")

    def _read_status(self) -> None:
        assert self._supervisor.stdout is not None
        data = self._supervisor.stdout.read()
        if data is None:
            return
        self._status += data
        *lines, self._status = self._status.split(b"\n")
        for line in lines:
            word, value = line.split()
            if word == b"started":
                self._main_pid = int(value)
            elif word == b"exited":
                self.seen.exit_code = int(value)
                self.seen.wall_s = time.monotonic() - self._begin
            elif word == b"clean":
                self.seen.leftovers = int(value)
                self.done = True
        if (
            not data and not self.done
        ):  # somebody killed the supervisor, and with it the kernel the main process
            self.seen.supervisor_lost = self.done = True
            self._kill_session()

    def _kill_session(self) -> None:
        import psutil

        for pid in psutil.pids() if self._main_pid else ():
            with contextlib.suppress(OSError):
                if os.getsid(pid) == self._main_pid:
                    os.kill(pid, signal.SIGKILL)

    def _drain(self) -> list[Event]:
        """What workers sent before they ended and nobody has read yet."""
        events: list[Event] = []
        self._listener.accept()
        for peer in list(self._listener.peers):
            events += self._receive(peer)
        return events

    def close(self) -> None:
        """Kill whatever is left of the job, wait for it, and remove its private folder."""
        if not self.done:
            self._kill(0)
            while not self.done:
                self.pump(1)
        self._listener.close()
        self._selector.close()
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._supervisor.wait(5)
        if self.seen.leftovers:
            self._append_to_log(
                f"{self.seen.leftovers} process(es) left behind by the job were killed"
            )
        shutil.rmtree(self._folder, ignore_errors=True)


def run_to_end(
    running: RunningJob,
    timeout_s: float,
    *,
    on_event: Callable[[Event], None],
    stop_reason: Callable[[], str],
) -> Seen:
    """`run_all_to_end` of one job."""
    run_all_to_end([running], timeout_s, on_event=on_event, stop_reason=stop_reason)
    return running.seen


def run_all_to_end(
    jobs: Sequence[RunningJob],
    timeout_s: float,
    *,
    on_event: Callable[[Event], None],
    stop_reason: Callable[[], str],
) -> None:
    """Pump jobs until all are gone; they are killed after `timeout_s` or as soon as `stop_reason()`
    is not empty.
    """
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        for job in jobs:
            selector.register(job.fileno(), selectors.EVENT_READ)
        while any(not job.done for job in jobs):
            selector.select(min(LOOK_EVERY_S, max(0.05, deadline - time.monotonic())))
            for job in jobs:
                if job.done:
                    continue
                for event in job.pump(0):
                    on_event(event)
                if job.done:  # or its end would be readable for ever
                    selector.unregister(job.fileno())
                elif job.seen.stopped is None:
                    if reason := stop_reason():
                        job.stop("interrupted", reason)
                    elif time.monotonic() >= deadline:
                        job.stop("timeout", f"killed after the time limit of {timeout_s:g} s")
