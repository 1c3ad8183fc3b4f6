"""The runner as a process of its own, so that tests can kill it: scripted_runner.py RESULTS BEHAVIOURS(JSON)."""

import json
import sys
from pathlib import Path

from runner_support import WORKER, make_plan

from harness.runner import run

if __name__ == "__main__":
    plan = make_plan(json.loads(sys.argv[2]))
    outcome = run(plan, Path(sys.argv[1]), worker_command=WORKER, resume_command="harness run the-suite")
    print(outcome.folder)
    sys.exit(outcome.exit_code)
