"""A job without torch: a real process that speaks the channel and then does what its arm's option
`do` says.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness.launcher.channel import Channel

SPEC = json.loads(Path(sys.argv[1]).read_text())
OPTIONS = SPEC["arm"]["options"]
TIMING = {"clock": "perf_counter", "steady_samples_per_s": 12.5, "steps": 3}

# Ignores everything that can be ignored, and leaves session, process group and parent behind.
DETACHED = """
import os, signal, sys, time
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
"""


def detach(folder: Path) -> None:
    """Start a grandchild that wants to stay; return once it lives."""
    note = folder / "grandchild"
    subprocess.run([sys.executable, "-c", DETACHED, str(note)], check=True)
    while not (note.exists() and note.read_text()):
        time.sleep(0.01)


def ignore_everything() -> None:
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)


def send_result(channel: Channel, **fields: object) -> None:
    channel.send("series", first_step=1, duration_s=[0.5, 0.25], loss=[0.7, None])
    channel.send("series", first_step=3, duration_s=[0.125], loss=[0.6])
    channel.send("result", **{"timing": TIMING, "metrics": {"accuracy": 0.5}, **fields})
    channel.send("bye")


def measured() -> dict[str, object]:
    """What a job that is ok reports besides: options `step_s` and `optimizer`."""
    fingerprint = {"optimizer": OPTIONS.get("optimizer")}
    return {
        "timing": {**TIMING, "steady_step_s": OPTIONS.get("step_s")},
        "fingerprint": fingerprint,
    }


def send_paused(channel: Channel, folder: Path) -> None:
    """Option `paused`: in so many of its first executions a step of the job takes 20 s, not 0.1."""
    executions = (folder / "executions").read_text().split().count(SPEC["id"])
    paused = executions <= int(OPTIONS["paused"])
    durations = [0.1] * 9 + [20.0 if paused else 0.1]
    channel.send("series", first_step=1, duration_s=durations, loss=[0.7] * 10)
    timing = {
        **TIMING,
        "steps": 10,
        "steady_begin_step": 2,
        "steady_step_s": sum(durations[1:]) / 9,
    }
    channel.send("result", timing=timing, metrics={"accuracy": 0.5})
    channel.send("bye")


def fill(disk: Path, keep_reserve: bool) -> None:
    """Write a file until nothing more fits."""
    if not keep_reserve:
        for reserve in disk.glob("*/.reserve"):
            reserve.unlink()
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def throttle(folder: Path) -> None:
    """Option `throttled`: at so many of its first executions the job leaves a mark, as a hot card
    would.
    """
    mark = folder / "throttled"
    mark.unlink(missing_ok=True)
    if (folder / "executions").read_text().split().count(SPEC["id"]) <= int(
        OPTIONS.get("throttled", 0)
    ):
        mark.touch()


def main() -> None:
    folder = Path(os.environ["BENCH_TEST_FOLDER"])
    with (folder / "executions").open("a") as file:
        file.write(SPEC["id"] + "\n")
    # Stands for the GPU: two jobs at a time would measure each other. Option `beside`:
    # of those that may.
    card = (folder / "card").open("w")
    try:
        fcntl.flock(
            card, (fcntl.LOCK_SH if OPTIONS.get("beside") else fcntl.LOCK_EX) | fcntl.LOCK_NB
        )
    except BlockingIOError:
        raise SystemExit("another job is running") from None
    channel = Channel(sys.argv[2])
    channel.send("hello", pid=os.getpid(), rank=0)
    channel.send("phase", name="train")
    channel.send("progress", step=2, total_steps=9, samples_per_s=12.5, loss=0.7)
    print("a line of the log", flush=True)
    do = OPTIONS.get("do", "ok")
    if (folder / "executions").read_text().split().count(SPEC["id"]) > OPTIONS.get("times", 99):
        do = "ok"  # option `times`: in so many of its first executions it does `do`
    match do:
        case "ok":
            time.sleep(float(OPTIONS.get("seconds", 0)))
            throttle(folder)
            if "paused" in OPTIONS:
                send_paused(channel, folder)
            else:
                send_result(channel, **measured())
        case "environment":
            print(json.dumps(dict(os.environ)), flush=True)
            send_result(channel)
        case "stdin":
            print("stdin:", repr(sys.stdin.read()), flush=True)
            send_result(channel)
        case "hang":
            ignore_everything()
            (folder / "hanging").touch()
            time.sleep(600)
        case "hang with grandchild":
            ignore_everything()
            detach(folder)
            time.sleep(600)
        case "leave grandchild":
            detach(folder)
            send_result(channel)
        case "signal":
            os.kill(os.getpid(), int(OPTIONS["number"]))
            time.sleep(600)
        case "oom kill":
            Path(OPTIONS["counter"]).write_text("low 0\noom_kill 4\n")
            os.kill(os.getpid(), signal.SIGKILL)
        case "bad_alloc":
            print("terminate called after throwing an instance of 'std::bad_alloc'", flush=True)
            os.abort()
        case "failure":
            reason = OPTIONS.get("reason", "as told")
            channel.send(
                "failure", state=OPTIONS["state"], reason=reason, traceback="Traceback: here"
            )
            sys.exit(1)
        case "garbage":
            channel._socket.sendall(b"loss: 0.3\n")
            time.sleep(600)
        case "bad result":
            channel.send("result", timing={"steps": "many"})
            time.sleep(600)
        case "half an event":
            channel._socket.sendall(b'{"event": "resu')
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            sys.exit(int(OPTIONS["code"]))
        case "result and exit":
            send_result(channel)
            sys.exit(int(OPTIONS["code"]))
        case "result and hang":
            send_result(channel)
            ignore_everything()
            time.sleep(600)
        case "not engaged":
            send_result(
                channel, engagement={"engaged": False, "reasons": ["the torch module is not ORT's"]}
            )
        case "nan":
            send_result(channel, metrics={"accuracy": float("nan")}, last_loss=float("nan"))
        case "paths":
            send_result(
                channel,
                fingerprint={"training_arguments": {"output_dir": str(folder / "out"), "lr": 0.1}},
            )
        case "kill supervisor":
            ignore_everything()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)
        case "two ranks":
            other = Channel(sys.argv[2])
            other.send("hello", pid=os.getpid(), rank=1)
            other.send("progress", step=7, total_steps=9, samples_per_s=1.0, loss=None)
            other.send("result", metrics={"accuracy": 0.1})
            send_result(channel)
        case "fill the disk":  # at its first attempt; `keep_reserve` leaves the runner its own
            if (folder / "executions").read_text().split().count(SPEC["id"]) == 1:
                fill(Path(OPTIONS["disk"]), bool(OPTIONS.get("keep_reserve", True)))
                print("a line of the log without room" * 1000, flush=True)
            send_result(channel, **measured())
        case "echo":
            line = channel._socket.makefile().readline()
            send_result(channel, metrics={"told": json.loads(line)["turn"]})
        case unknown:
            raise SystemExit(f"no such behaviour: {unknown}")


if __name__ == "__main__":
    main()
