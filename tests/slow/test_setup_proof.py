"""The proof at the end of set-up, with a real training step in the stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from folders import ROOT

from harness.setup import stack


@pytest.mark.skipif(
    stack.installed_variant() == "cuda" and not stack.driver_answers(),
    reason="the CUDA stack on a host without a driver",
)
def test_proof_trains_and_names_the_provider() -> None:
    provider = (
        "CUDAExecutionProvider" if stack.installed_variant() == "cuda" else "CPUExecutionProvider"
    )
    environment = dict(os.environ)
    environment["LD_LIBRARY_PATH"] = ":".join(
        [*stack.cuda11_library_path(), os.environ.get("LD_LIBRARY_PATH", "")]
    )
    command = [sys.executable, "-m", "harness.setup.prove", "--provider", provider]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["torch_module"] == "TorchModuleORT"
    assert seen["providers"][0] == provider
    assert seen["losses"] == sorted(seen["losses"], reverse=True)


@pytest.mark.skipif(stack.driver_answers(), reason="here the CUDA provider can be had")
def test_proof_fails_where_the_provider_is_not_to_be_had() -> None:
    command = [sys.executable, "-m", "harness.setup.prove", "--provider", "CUDAExecutionProvider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "NVIDIA" in done.stderr
