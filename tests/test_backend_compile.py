"""The backend torch-compile: its options and caches, and the proof that Inductor's graphs ran the
training.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import worker_helpers as worker
from report_factory import make_job, make_run, write_run

from harness.config import load_suite
from harness.errors import BenchError
from harness.schema.job import JobSpec
from harness.schema.record import Engagement, JobRecord, Pair, Timing
from harness.worker import backends
from harness.worker.backends.torch_compile import TorchCompile
from report.loading.runs import load_run
from report.tables.footnotes import compile_notes, runtime_notes
from report.tables.render import render

ROOT = Path(__file__).resolve().parents[1]
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="Inductor needs g++ on a CPU"
)


def backend(folder: Path, **options: object) -> TorchCompile:
    job = worker.spec(folder, "torch-compile", arm={"options": options})
    made = backends.get("torch-compile")(JobSpec.model_validate(job))
    assert isinstance(made, TorchCompile)
    return made


def test_every_job_compiles_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_JOB_FOLDER", str(tmp_path))
    first, second = (backend(tmp_path).environment()["TORCHINDUCTOR_CACHE_DIR"] for _ in range(2))
    assert first != second
    assert {Path(first).parent, Path(second).parent} == {
        tmp_path
    }  # what the runner removes with the job
    assert not list(Path(first).iterdir())


def test_the_cache_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    first, second = (backend(tmp_path, compile_cache=True).environment() for _ in range(2))
    assert first == second
    assert Path(first["TORCHINDUCTOR_CACHE_DIR"]).is_relative_to(tmp_path / "cache")
    assert Path(first["TRITON_CACHE_DIR"]).is_relative_to(first["TORCHINDUCTOR_CACHE_DIR"])


def test_options_reach_trainer_and_accelerate(tmp_path: Path) -> None:
    made = backend(tmp_path, mode="reduce-overhead", dynamic=True, fullgraph=True)
    assert made.extra_arguments() == {
        "torch_compile": True,
        "torch_compile_backend": "inductor",
        "torch_compile_mode": "reduce-overhead",
    }
    variables = made.environment()
    assert (
        variables["ACCELERATE_DYNAMO_USE_DYNAMIC"]
        == variables["ACCELERATE_DYNAMO_USE_FULLGRAPH"]
        == "True"
    )
    assert (
        "ACCELERATE_DYNAMO_USE_DYNAMIC" not in backend(tmp_path).environment()
    )  # the library decides


def test_an_unknown_mode_is_refused_where_it_was_written() -> None:
    overrides = ["arms.onnxruntime={backend: torch-compile, options: {mode: fast}}"]
    with pytest.raises(BenchError) as caught:
        load_suite(ROOT / "configs" / "smoke.yaml", overrides)
    assert "arms.onnxruntime.options.mode" in str(caught.value)
    assert "reduce-overhead" in str(caught.value)


def test_errors_of_the_compiler_are_a_fallback(tmp_path: Path) -> None:
    raised = type("BackendCompilerFailed", (RuntimeError,), {"__module__": "torch._dynamo.exc"})()
    outer = RuntimeError("the step failed")
    outer.__cause__ = raised
    assert backend(tmp_path).is_fallback(outer)
    assert not backend(tmp_path).is_fallback(RuntimeError("the step failed"))


def test_breaks_and_late_compilations_are_told_under_the_tables(tmp_path: Path) -> None:
    def job(launch: int, steps: list[int], **proof: Any) -> JobRecord:
        engagement = Engagement(engaged=True, recompiled_at_steps=steps, **proof)
        timing = Timing(steady_begin_step=11, steady_step_s=0.5, train_runtime_s=50)
        return make_job("torch-compile", launch, engagement=engagement, timing=timing)

    assert compile_notes(make_run([job(0, [2, 10], graph_breaks=0)], [])) == []
    run = make_run([job(0, [2]), job(1, [2, 11, 30], graph_breaks=3)], [])
    told = [
        "torch-compile on tiny-sst2: 3 graph breaks; what lies between the graphs was not compiled",
        "torch-compile on tiny-sst2: compiled again in up to 2 steps of a steady state",
    ]
    assert compile_notes(run) == told
    assert set(told) <= set(runtime_notes(load_run(write_run(tmp_path / "made-up", run))))


@pytest.mark.slow
@needs_compiler
def test_breaks_and_recompilations_are_counted(tmp_path: Path) -> None:
    script = ROOT / "tests" / "compiled_training.py"
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


@pytest.mark.slow
@needs_compiler
def test_a_compiled_job_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_JOB_FOLDER", str(tmp_path))
    job = worker.spec(
        tmp_path,
        "torch-compile",
        twin=True,
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
    assert proof["recompiled_at_steps"] == []
    assert 0 < proof["phases_s"]["inductor_compile"] < result["timing"]["setup_s"]
    assert result["fingerprint"]["training_arguments"]["torch_compile"] is True
    assert result["fingerprint"]["training_arguments"]["tf32"] is False
    assert len(result["losses"]) == 4
    assert list(tmp_path.glob("inductor-*/**/*.so"))  # it was compiled here, not found somewhere


@pytest.mark.slow
def test_a_job_that_compiled_nothing_is_a_fallback(tmp_path: Path) -> None:
    job = worker.spec(tmp_path, "torch-compile", do_eval=False)
    failure = worker.run(tmp_path, job, variables={"TORCHDYNAMO_DISABLE": "1"}).failure
    assert failure["state"] == "fallback"
    assert "after step 1: " in failure["reason"]
    assert "Dynamo captured no graph" in failure["reason"]
    assert not failure["result"]["engagement"]["engaged"]


def test_set_ups_from_kept_kernels_are_told_wherever_set_ups_are() -> None:
    def told(view: str, **options: Any) -> bool:
        job = make_job("torch-compile")
        compiled = job.model_copy(update={"arm": job.arm.model_copy(update={"options": options})})
        pair = Pair(workload="tiny-sst2", baseline="pytorch", candidate="torch-compile")
        text = render([make_run([make_job(), compiled], [pair])], view=view)
        return (
            "- torch-compile: compiled kernels were kept from job to job, so some set-ups are "
            "cold, some warm" in text
        )

    for view in ("runtimes", "steady", "gains"):
        assert told(view, compile_cache=True)
        assert not told(view, compile_cache=False)
        assert not told(view)
