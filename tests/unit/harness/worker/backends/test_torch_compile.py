"""The backend torch-compile: its options, caches and errors, and what tables say of its graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import worker_helpers as worker
from folders import ROOT
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
    def job(replicate: int, steps: list[int], **proof: Any) -> JobRecord:
        engagement = Engagement(engaged=True, recompiled_at_steps=steps, **proof)
        timing = Timing(steady_begin_step=11, steady_step_s=0.5, train_runtime_s=50)
        return make_job("torch-compile", replicate, engagement=engagement, timing=timing)

    assert compile_notes(make_run([job(0, [2, 10], graph_breaks=0)], [])) == []
    run = make_run([job(0, [2]), job(1, [2, 11, 30], graph_breaks=3)], [])
    told = [
        "torch-compile on tiny-sst2: 3 graph breaks; what lies between the graphs was not compiled",
        "torch-compile on tiny-sst2: compiled again in up to 2 steps of a steady state",
    ]
    assert compile_notes(run) == told
    assert set(told) <= set(runtime_notes(load_run(write_run(tmp_path / "made-up", run))))


def test_set_ups_from_kept_kernels_are_told_wherever_set_ups_are() -> None:
    def told(view: str, **options: Any) -> bool:
        made = []
        for replicate in range(2):  # the first of which compiled
            job = make_job("torch-compile", replicate)
            made += [
                make_job(replicate=replicate),
                job.replace(arm=job.arm.replace(options=options)),
            ]
        pair = Pair(workload="tiny-sst2", baseline="pytorch", candidate="torch-compile")
        text = render([make_run(made, [pair])], view=view)
        return (
            "- torch-compile: compiled kernels were kept from job to job, so some set-ups are "
            "cold, some warm" in text
        )

    for view in ("runtimes", "steady", "gains"):
        assert told(view, compile_cache=True)
        assert not told(view, compile_cache=False)
        assert not told(view)
