"""The command `harness submit` as a process of its own, with a suite of two elements."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from folders import CONFIGS, ROOT

# Both arms are PyTorch's: what is trained does not matter here.
TINY = f"""
extends: {CONFIGS / "smoke.yaml"}
training: {{max_steps: 4, evaluate: false}}
tasks: {{sst2: {{source: synthetic, train_samples: 200}}}}
arms: {{sdpa: {{backend: pytorch, attention: sdpa}}}}
pairs: [{{baseline: pytorch, candidate: sdpa, differs: [attention]}}]
# Other tests run on the same cores, which shall refuse no replicate.
measurement: {{replicates: 1, parity: null, telemetry_interval_ms: 0, contention: note}}
"""


def submit(folder: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    suite = folder / "tiny.yaml"
    suite.write_text(TINY)
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "submit",
        str(suite),
        "--results",
        str(folder / "results"),
    ]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [*command, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "BENCH_TEST_FOLDER": str(folder), **variables},
    )


def needs_submitit() -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: `make setup`")
