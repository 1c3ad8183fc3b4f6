"""`python -m harness.worker SPEC.json SOCKET`: one job, in a process of its own. Speaks to the
runner by the channel.

Exits with 0 after `result` and `bye`, with 1 after `failure`, with 3 when the runner is gone. Until
the backend's variables are set no library of the stack is imported that may read them.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from pathlib import Path

from harness.launcher.channel import PROTOCOL_VERSION, Channel
from harness.worker import process


def _leave(code: int) -> None:
    # Not by sys.exit: tearing down torch and ONNX Runtime takes a second and can crash after the
    # work is done.
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _run(specification: bytes, channel: Channel, inbox: process.Inbox) -> int:
    from harness.schema.job import JobSpec
    from harness.worker import backends, failures

    job = None
    try:
        spec = JobSpec.model_validate(json.loads(specification))
        set_up_on = process.await_begin(inbox) if spec.group else None
        process.limit_memory(spec.memory_limit_gib)
        process.pin(spec.cores, set_up_on)
        backend = backends.get(spec.arm.backend)(spec)
        # The rest is there already (harness.launcher.environment).
        os.environ.update(backend.environment())
        from harness.worker.job import Job

        job = Job(spec, backend, channel, inbox)
        result = job.run()
        channel.send("result", **result.model_dump(mode="json"))
        channel.send("bye")
    except BrokenPipeError:
        raise
    except BaseException as error:
        process.lift_memory_limit()
        state, reason = failures.classify(error, job.is_fallback if job else lambda _: False)
        text = traceback.format_exc()
        partial = job.partial() if job else None
        channel.send(
            "failure",
            state=state.value,
            reason=reason,
            traceback=text,
            result=partial.model_dump(mode="json") if partial else None,
        )
        return 1
    return 0


def main() -> None:
    process.die_with_parent()
    if len(sys.argv) != 3:
        print("usage: python -m harness.worker SPEC.json SOCKET", file=sys.stderr)
        sys.exit(2)
    channel = Channel(sys.argv[2])
    specification = Path(sys.argv[1]).read_bytes()
    channel.send(
        "hello",
        pid=os.getpid(),
        rank=int(os.environ.get("LOCAL_RANK", "0")),
        protocol=PROTOCOL_VERSION,
    )
    inbox = process.exit_with_runner(channel)
    try:
        code = _run(specification, channel, inbox)
    except BaseException:
        traceback.print_exc()
        code = process.LOST_RUNNER_EXIT
    _leave(code)


if __name__ == "__main__":
    main()
