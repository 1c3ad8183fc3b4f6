"""A job of the interleaved protocol without torch: waits for its turns and then does what its arm's
option `do` says.

`at`: the turn (1-based) in which it does it; 0: before it is ready. `busy`: its turns take as long
as they say, and keep a core busy. `compiles`: the first so many processes of the arm say that they
compiled. `alone_step_s`: of its steps in turns that do not count. `begins`: the
process (1-based) that does `do`; without it every process does.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from harness.launcher.channel import Channel

SPEC = json.loads(Path(sys.argv[1]).read_text())
OPTIONS = SPEC["arm"]["options"]
STEP_S = float(OPTIONS.get("step_s", 0.01))


def misbehave(channel: Channel) -> None:
    match OPTIONS["do"]:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(7)
        case "out of memory":
            channel.send(
                "failure", state="out_of_memory", reason="CUDA out of memory", traceback=""
            )
            os._exit(1)
        case "diverge":
            channel.send(
                "failure", state="diverged", reason="the loss became nan at step 9", traceback=""
            )
            os._exit(1)
        case "garbage":
            channel._socket.sendall(b"loss: 0.3\n")
            time.sleep(600)
        case "nonsense":
            channel.send("turn", step=1, lead_in_s=[], timed_s=["long"], begin_ns=1, end_ns=2)
            time.sleep(600)
        case "too many steps":
            channel.send("turn", step=99, lead_in_s=[0.1], timed_s=[0.1] * 99, begin_ns=1, end_ns=2)
            time.sleep(600)
        case "hang":
            for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_IGN)
            time.sleep(600)
        case "end early":
            end(channel)
        case unknown:
            raise SystemExit(f"no such behaviour: {unknown}")


def processes_of_the_arm() -> int:
    """How many processes of this arm have got this far in the test, this one included."""
    with (Path(os.environ["BENCH_TEST_FOLDER"]) / f"{SPEC['arm']['name']}.processes").open(
        "a"
    ) as f:
        f.write("x")
        return f.tell()


def end(channel: Channel) -> None:
    channel.send("series", first_step=1, duration_s=[STEP_S], loss=[0.7])
    channel.send("result", timing={"clock": "perf_counter", "steps": 1})
    if OPTIONS.get("do") == "fail at the end":
        os._exit(5)
    channel.send("bye")
    os._exit(0)


def main() -> None:
    channel = Channel(sys.argv[2])
    channel.send("hello", pid=os.getpid(), rank=0)
    messages = channel.messages()
    assert next(messages)["event"] == "begin"
    channel.send("phase", name="train")
    at, step = int(OPTIONS.get("at", -1)), 10
    process = processes_of_the_arm()
    if at == 0 and OPTIONS.get("begins", process) == process:
        misbehave(channel)
    compiled = process <= OPTIONS.get("compiles", 0)
    setup_s = 9.0 if compiled else 1.0
    levers = {"collector": "frozen"}
    channel.send("ready", step=step, levers=levers, setup_s=setup_s, compiled=compiled)
    for turn, message in enumerate(messages, 1):
        if message["event"] == "finish":
            break
        if turn == at:
            misbehave(channel)
        begin = time.monotonic_ns()
        lead_in, steps = message["lead_in"], message["steps"]
        if OPTIONS.get("busy"):  # for what its steps are said to take
            while time.monotonic_ns() < begin + 1e9 * STEP_S * (2 * lead_in + steps):
                pass
        step += lead_in + steps
        step_s = STEP_S if message["counts"] else float(OPTIONS.get("alone_step_s", STEP_S))
        channel.send(
            "turn",
            step=step,
            lead_in_s=[2 * step_s] * lead_in,
            timed_s=[step_s] * steps,
            begin_ns=begin,
            end_ns=time.monotonic_ns(),
        )
    end(channel)


if __name__ == "__main__":
    main()
