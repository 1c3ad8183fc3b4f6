"""The runner as a process of its own, so that tests can kill it: scripted_runner.py RESULTS BEHAVIOURS CHANGES (JSON).

What its jobs mark as throttled counts as contaminated: the scripted worker's `throttled` stands for the card's sensor.
"""

import json
import os
import sys
from pathlib import Path

from runner_support import WORKER, make_plan

from harness import execution
from harness.runner import run

if __name__ == "__main__":
    mark = Path(os.environ["BENCH_TEST_FOLDER"]) / "throttled"
    execution.contamination = lambda *_, **__: "GPU 0 was throttled" if mark.exists() else ""
    plan = make_plan(json.loads(sys.argv[2]), **json.loads(sys.argv[3]) if len(sys.argv) > 3 else {})
    outcome = run(plan, Path(sys.argv[1]), worker_command=WORKER, resume_command="harness run the-suite")
    print(outcome.folder)
    sys.exit(outcome.exit_code)
