"""A stand-in for SLURM on one host: `fake_slurm.py slurmd SOCKET` starts the tasks of a step,
outside the process tree of whoever asks for them; `fake_slurm.py srun SOCKET …` asks for a step.

As with SLURM, every task reads the standard input of srun, writes to its log and gets its signals;
when one ends badly the others are ended, and srun says which one it was. Tasks outlive an srun that
is killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path


def slurmd(path: str) -> None:
    """Serve steps until killed."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def serve(connection: socket.socket) -> None:
    """Start the tasks of one step and tell srun how each ended."""
    messages = connection.makefile("rb")
    step = json.loads(messages.readline())
    tasks = []
    with Path(step["log"]).open("ab") as log:
        for number in range(step["count"]):
            node = {"SLURM_NODEID": str(number), "SLURMD_NODENAME": "localhost"}
            task = subprocess.Popen(
                step["words"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**step["environment"], **node},
                text=True,
            )
            assert task.stdin is not None
            task.stdin.write(step["stdin"])
            task.stdin.close()
            tasks.append(task)

    def pass_signals_on() -> None:
        for line in messages:
            for task in tasks:
                task.send_signal(int(line))

    threading.Thread(target=pass_signals_on, daemon=True).start()
    for number, task in enumerate(tasks):
        code = task.wait()
        try:
            connection.sendall(f"{number} {code}\n".encode())
        except OSError:  # srun is gone
            continue
    connection.shutdown(socket.SHUT_WR)


def srun(path: str, words: list[str]) -> int:
    """Run a step. The highest exit status of its tasks."""
    count = 0
    while words[0].startswith("--"):
        name, _, value = words.pop(0).partition("=")
        count = int(value) if name == "--nodes" else count
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    step = {
        "count": count,
        "words": words,
        "environment": dict(os.environ),
        "stdin": sys.stdin.read(),
        "log": str(Path("/proc/self/fd/2").readlink()),
    }
    connection.sendall(json.dumps(step).encode() + b"\n")
    wake, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write_end)
    signal.signal(signal.SIGTERM, lambda *_: None)
    worst = 0
    ended = b""
    while True:
        ready, _, _ = select.select([connection, wake], [], [])
        if wake in ready:
            for number in os.read(wake, 64):
                connection.sendall(b"%d\n" % number)
        if connection in ready:
            data = connection.recv(4096)
            if not data:
                return worst
            *lines, ended = (ended + data).split(b"\n")
            for task, code in (map(int, line.split()) for line in lines):
                if code and not worst:
                    how = "Killed" if code == -9 else f"Exited with exit code {code}"
                    print(f"srun: error: host: task {task}: {how}", file=sys.stderr, flush=True)
                    connection.sendall(b"%d\n" % signal.SIGTERM)
                worst = max(worst, abs(code))


if __name__ == "__main__":
    if sys.argv[1] == "slurmd":
        slurmd(sys.argv[2])
    sys.exit(srun(sys.argv[2], sys.argv[3:]))
