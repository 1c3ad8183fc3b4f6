"""The runner as a process of its own, so that tests can kill it: scripted_runner.py RESULTS
BEHAVIOURS CHANGES (JSON).

What its jobs mark as throttled counts as contaminated: the scripted worker's `throttled` stands for
the card's sensor. BENCH_TEST_SMALL_DISK: results may go to a disk on which no suite would be let
begin.
"""

import json
import os
import sys
from pathlib import Path

from runner_support import WORKER, make_plan

from harness.errors import run_command
from harness.runner import preflight, record_builder
from harness.runner.runner import RunOptions, run


def main() -> int:
    mark = Path(os.environ["BENCH_TEST_FOLDER"]) / "throttled"
    record_builder.contamination = lambda *_, **__: "GPU 0 was throttled" if mark.exists() else ""
    if "BENCH_TEST_SMALL_DISK" in os.environ:
        preflight.MIN_FREE_BYTES = 0
    plan = make_plan(
        json.loads(sys.argv[2]), **json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    )
    outcome = run(
        plan,
        Path(sys.argv[1]),
        RunOptions(worker_command=WORKER, resume_command="harness run the-suite"),
    )
    print(outcome.folder)
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(run_command("harness", main))
