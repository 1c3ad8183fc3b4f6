"""Stands between the runner and one job and outlives the runner only to clean up. Run as a file;
standard library only.

The job's processes can hang, ignore signals, detach into sessions of their own or be left behind by
a runner that was killed. A child subreaper sees all of them: whatever the job starts stays a
descendant of this process, so nothing of the job survives it. Three things make it kill: the
runner's request, the runner's death (end of file on stdin) and the end of the job's main process,
after which nothing of the job has a right to run.

Usage: supervisor.py LOCK_FD FOLDER COMMAND…
LOCK_FD is held open until the job is gone (-1 for none); FOLDER is removed when the runner can no
longer do it.
stdin:  `stop SECONDS`: SIGTERM to every process of the job, SIGKILL after SECONDS.
stdout: `started PID`, `exited STATUS` (as os.waitstatus_to_exitcode), `clean LEFTOVERS`, one per
        line.
stderr: the job's stdout and stderr.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# helpers such as multiprocessing's resource tracker end by themselves just after the job
LEFTOVER_GRACE_S = 1.0
SWEEP_S = 0.05


def prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def descendants() -> list[int]:
    """Every living process below this one, from /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # pathlib would cost a third of the start-up
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                # The command name, in parentheses, may itself hold blanks and parentheses.
                state, parent = stat.read().rsplit(b")", 1)[1].split()[:2]
        except OSError:
            continue
        if state != b"Z":
            children.setdefault(int(parent), []).append(int(name))
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def signal_all(number: signal.Signals) -> int:
    """Send a signal to every descendant; how many there were."""
    pids = descendants()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    return len(pids)


def spawn(command: list[str]) -> int:
    """Start the job in a session of its own, killed by the kernel should this process be killed."""
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(1)
        for number in (
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGHUP,
            signal.SIGPIPE,
            signal.SIGCHLD,
        ):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        # If memory runs out, the job goes before the runner that must record it. (No pathlib: it
        # would be imported for this alone.)
        score_file = "/proc/self/oom_score_adj"
        with contextlib.suppress(OSError), open(score_file, "w") as score:  # noqa: PTH123
            score.write("500")
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)
        os.execvp(command[0], command)
    except BaseException as error:
        os.write(2, f"cannot start {command[0]}: {error}\n".encode())
    os._exit(127)


class Supervisor:
    def __init__(self, command: list[str]) -> None:
        self.main = spawn(command)
        self.exited = False
        self.orphaned = False
        self.kill_at: float | None = None  # from then on SIGKILL, until nothing is left
        self.leftovers = 0
        self.sweep_s = SWEEP_S
        self.say(f"started {self.main}")

    def say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(1, line.encode() + b"\n")

    def reap(self) -> bool:
        """Collect every process that ended; False when no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.main:
                self.exited = True
                self.say(f"exited {os.waitstatus_to_exitcode(status)}")
                self.kill_in(LEFTOVER_GRACE_S)

    def kill_in(self, seconds: float) -> None:
        when = time.monotonic() + seconds
        self.kill_at = when if self.kill_at is None else min(self.kill_at, when)

    def kill(self) -> float:
        """SIGKILL to everything; the time until the next sweep, for a process may fork while it is
        looked for.
        """
        killed = signal_all(signal.SIGKILL)
        if self.exited:
            self.leftovers = max(self.leftovers, killed)
        self.sweep_s = min(2 * self.sweep_s, 1.0)
        return self.sweep_s

    def watch(self, wake: int) -> None:
        """Until the job is gone."""
        inputs = [0, wake]
        while self.reap():
            timeout = None
            if self.kill_at is not None:
                timeout = self.kill_at - time.monotonic()
                if timeout <= 0:
                    timeout = self.kill()
            for ready in select.select(inputs, [], [], timeout)[0]:
                data = os.read(ready, 4096)
                if ready == wake:
                    continue
                if not data:  # the runner is gone: nobody is left to be graceful for
                    inputs.remove(0)
                    self.orphaned = True
                    self.kill_in(0)
                elif data.startswith(b"stop"):
                    signal_all(signal.SIGTERM)
                    self.kill_in(float(data.split()[1]))
        self.say(f"clean {self.leftovers}")


def main() -> None:
    lock = int(sys.argv[1])
    if lock >= 0:
        os.set_inheritable(lock, False)  # the job must not hold the run's lock
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    wake, write_end = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(write_end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    supervisor = Supervisor(sys.argv[3:])
    supervisor.watch(wake)
    if supervisor.orphaned:
        import shutil

        shutil.rmtree(sys.argv[2], ignore_errors=True)


if __name__ == "__main__":
    main()
