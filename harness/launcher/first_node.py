"""Keeps the two halves of a job of several nodes together: the torchrun agent of this node, and the
`srun` that starts those of the others. Run as a file; standard library only.

Usage: first_node.py STDIN COUNT SRUN… TORCHRUN…
STDIN is a file that srun passes on to the agents of the other nodes; COUNT is the number of words
of the srun command.

The halves end together: when one fails, the other gets SIGTERM after a while in which its ranks may
say what they miss. Exits as this node's agent did, or as srun did if that alone failed. A signal
for this process goes to both; the supervisor above kills what is left.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

# The ranks of one half notice within that time that the other half is gone, and report it.
NOTICE_S = 10.0
# After a job that went well the agents of other nodes, and srun, end within that time.
END_S = 30.0
KILL_S = 5.0
POLL_S = 0.05
# Of this node alone; another node has folders of its own.
PRIVATE = ("TMPDIR", "BENCH_JOB_FOLDER")


def until_ended(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Whether the process ended within that time."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def end(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Give one half that time to end by itself after the other one has; then SIGTERM, then
    SIGKILL.
    """
    if until_ended(process, seconds):
        return
    process.terminate()
    if not until_ended(process, KILL_S):
        process.kill()
        process.wait()


def main() -> None:
    """Start both halves, and end with them."""
    stdin, count = sys.argv[1], int(sys.argv[2])
    step, own = sys.argv[3 : 3 + count], sys.argv[3 + count :]
    outside = {name: value for name, value in os.environ.items() if name not in PRIVATE}
    with open(stdin, "rb") as told:  # noqa: PTH123  pathlib would cost start-up time
        others = subprocess.Popen(step, stdin=told, env=outside)
    here = subprocess.Popen(own)

    def pass_on(number: int, frame: object) -> None:
        for process in (here, others):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    # Agents that ended well before this node's have nothing left to do.
    while here.poll() is None and not others.poll():
        time.sleep(POLL_S)
    if here.returncode is None:
        end(here, NOTICE_S)
    else:
        end(others, NOTICE_S if here.returncode else END_S)
    code = here.returncode or others.returncode
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
