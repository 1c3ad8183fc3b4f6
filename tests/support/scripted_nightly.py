"""A night as a process of its own, for tests to kill: scripted_nightly.py FOLDER BUDGET_MINUTES
[SUITE_HASH].
"""

import sys
from pathlib import Path

from harness.errors import BenchError
from harness.nightly.night import Settings, run_nights
from harness.nightly.state import night_lock
from harness.runner.signals import Stop

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    stage = [sys.executable, str(Path(__file__).parent / "scripted_stage.py"), str(folder)]
    settings = Settings(
        results=folder / "results",
        suite="scripted",
        config_sha256=sys.argv[3] if len(sys.argv) > 3 else "c0ffee",
        bench_options=["scripted.yaml"],
        channels=["slack", "json=alerts.json"],
        budget_minutes=float(sys.argv[2]),
        harness=[*stage, "harness"],
        report=[*stage, "report"],
    )
    try:
        with Stop() as stop, night_lock(folder / "lock") as lock_fd:
            sys.exit(run_nights(settings, stop, lock_fd))
    except BenchError as error:
        print(f"harness: {error}", file=sys.stderr)
        sys.exit(2)
