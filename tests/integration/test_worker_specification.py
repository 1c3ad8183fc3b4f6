"""A real worker validates its specification once, and says so where it is none."""

from __future__ import annotations

import sys
from pathlib import Path

from runner_support import make_job

from harness.launcher.outcome import judge
from harness.launcher.process import LaunchOptions, RunningJob, run_to_end
from harness.schema.record import State

DAMAGED = """
import sys
from pathlib import Path

from harness.worker import __main__

spec = Path(sys.argv[1])
spec.write_text(spec.read_text().replace('"seed": 42', '"seed": "forty-two"', 1))
__main__.main()
"""


def test_a_specification_that_is_none_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    log = tmp_path / "log"
    options = LaunchOptions(command=[sys.executable, "-c", DAMAGED])
    with RunningJob(make_job(), log, options) as running:
        seen = run_to_end(running, 60, on_event=lambda event: None, stop_reason=lambda: "")
    state, reason = judge(seen, log)
    assert state is State.CRASHED
    assert "validation error" in reason
    assert "JobSpec" in reason
    assert "ValidationError" in log.read_text()
