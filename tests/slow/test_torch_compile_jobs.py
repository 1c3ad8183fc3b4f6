"""Real compiled training: graph breaks and recompilations are counted, and Inductor's graphs are
proven to have run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import worker_helpers as worker
from folders import ROOT, SUPPORT
from interleaved_support import Replicate, group_of
from runner_support import processes_of

from harness.schema.measurement import Interleaved

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="Inductor needs g++ on a CPU"
)


@needs_compiler
def test_breaks_and_recompilations_are_counted(tmp_path: Path) -> None:
    script = SUPPORT / "compiled_training.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_JOB_FOLDER": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    first, second, third, bare = json.loads(done.stdout)
    assert first["engaged"]
    assert first["graph_breaks"] == 1
    assert first["compiled_graphs"] == 2  # before and after the break
    assert first["compiled_runs"] == {"forward": 2, "backward": 2}
    assert first["recompiled_at_steps"] == second["recompiled_at_steps"] == []
    assert third["engaged"]
    assert third["recompiled_at_steps"] == [3]
    assert third["compiled_graphs"] == 4
    assert third["compiled_runs"] == first["compiled_runs"]  # counted in the first step only
    assert not bare["engaged"]
    assert bare["reasons"] == [
        "after step 3: the trained module is a Broken, not one that torch.compile made"
    ]


@needs_compiler
def test_a_compiled_job_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_JOB_FOLDER", str(tmp_path))
    job = worker.spec(
        tmp_path,
        "torch-compile",
        parity_run=True,
        do_eval=False,
        training={"max_steps": 4},
        model={"config": {"num_hidden_layers": 1}},
        threads=2,
    )
    result = worker.run(tmp_path, job, timeout_s=500).result
    proof = result["engagement"]
    assert proof["engaged"]
    assert proof["reasons"] == []
    assert proof["checked_after_steps"] == [1, 4]
    assert proof["torch_module"] == "OptimizedModule"
    assert proof["compiled_graphs"] == 1
    assert proof["graph_breaks"] == 0
    assert proof["compiled_runs"] == {"forward": 1, "backward": 1}
    assert proof["inductor_kernels"] > 10
    assert proof["graphs_not_in_cache"] == 2  # forward and backward
    assert proof["recompiled_at_steps"] == []
    assert 0 < proof["phases_s"]["inductor_compile"] < result["timing"]["setup_s"]
    assert result["fingerprint"]["training_arguments"]["torch_compile"] is True
    assert result["fingerprint"]["training_arguments"]["tf32"] is False
    assert len(result["losses"]) == 4
    assert list(tmp_path.glob("inductor-*/**/*.so"))  # it was compiled here, not found somewhere


@needs_compiler
def test_a_job_of_a_group_that_compiled_takes_its_turns_with_what_it_finds(tmp_path: Path) -> None:
    replicate = Replicate(tmp_path)
    jobs = group_of(
        tmp_path,
        ("pytorch", "torch-compile"),
        options=({}, {"compile_cache": True}),
        training={"batch_size": 8, "max_seq_length": 16, "max_steps": 2000, "dropout": 0.0},
        model={"config": {"num_hidden_layers": 1}},
    )
    outcome = replicate.run(jobs, Interleaved(seconds=1, steps=1, cores=0), 500)
    assert outcome.problem == outcome.note == ""
    result, turns = outcome.seen[1].result, outcome.turns[1]
    assert result is not None
    assert result.engagement is not None
    assert (result.engagement.engaged, result.engagement.graphs_not_in_cache) == (True, 0)
    assert result.timing.setup_s is not None
    assert turns.compiling_setup_s is not None
    assert turns.compiling_setup_s > result.timing.setup_s
    assert outcome.turns[0].compiling_setup_s is None
    assert len(turns.steps) == len(outcome.turns[0].steps) >= 8
    assert processes_of(tmp_path) == []


def test_a_job_that_compiled_nothing_is_a_fallback(tmp_path: Path) -> None:
    job = worker.spec(tmp_path, "torch-compile", do_eval=False)
    failure = worker.run(tmp_path, job, variables={"TORCHDYNAMO_DISABLE": "1"}).failure
    assert failure["state"] == "fallback"
    assert "after step 1: " in failure["reason"]
    assert "Dynamo captured no graph" in failure["reason"]
    assert not failure["result"]["engagement"]["engaged"]
