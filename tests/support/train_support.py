"""The command `harness train` as a process of its own, on a model that trains in seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from folders import ROOT

QUICK = (
    "--device cpu --max-seq-length 32 --max-train-samples 120 --max-eval-samples 40 --max-steps 8"
)


def train(
    output: Path, model: str, words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", "train", "--model-name-or-path", model]
    return subprocess.run(
        [*command, "--output-dir", str(output), *words.split()],
        cwd=ROOT,
        env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
