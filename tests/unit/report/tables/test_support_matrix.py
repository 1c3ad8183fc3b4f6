"""The support matrix: what each row says of jobs made up for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT
from report_factory import (
    GATED,
    PROVEN,
    make_interleaved_job,
    make_job,
    make_parity_run,
    make_run,
    write_run,
)

from harness.commands.resolve import find_suite
from harness.config import load_suite
from harness.schema.record import Engagement, JobRecord, State
from harness.schema.shapes import SHAPES
from report.html.build import make_page
from report.loading.runs import Run
from report.tables.registry import build
from report.tables.render import render
from report.tables.support_matrix import LONGEST_ERROR, matrix, matrix_rows

WHY = "in phase evaluate: RuntimeError: Got invalid dimensions for input: input_ids"


def both(model: str, replicates: int = 1, **candidate: Any) -> list[JobRecord]:
    """Parity runs and replicates of both arms; `candidate`: fields of ONNX Runtime's replicates."""
    jobs = [
        make_parity_run(arm, [0.7, 0.6, 0.5], model=model) for arm in ("pytorch", "onnxruntime")
    ]
    for replicate in range(replicates):
        jobs.append(make_job("pytorch", replicate, model=model, step_s=0.5))
        jobs.append(make_job("onnxruntime", replicate, model=model, **{"step_s": 0.4, **candidate}))
    return jobs


def run_of(*models: list[JobRecord], **fields: Any) -> Run:
    return make_run([job for jobs in models for job in jobs], **{"config": GATED, **fields})


def row(run: Run, model: str, backend: str) -> dict[str, Any]:
    (found,) = [r for r in matrix_rows(run) if (r.model, r.backend) == (model, backend)]
    return found.flat()


def test_what_works_says_so_and_makes_nothing_of_one_replicate() -> None:
    run = run_of(both("one"), both("two", replicates=2))
    single = row(run, "one", "ONNX Runtime")
    assert (single["trains"], single["proven"], single["parity"], single["error"]) == (
        "yes",
        "yes",
        "passed",
        "",
    )
    assert single["throughput_gain"] == pytest.approx(0.25)
    assert single["throughput_gain_low"] is None
    assert single["host"] == "Abacus, 2 cores"
    baseline = row(run, "one", "PyTorch")
    assert (baseline["trains"], baseline["proven"], baseline["parity"]) == ("yes", None, None)
    assert baseline["throughput_gain"] is None
    text = render([run], view="matrix")
    assert re.search(
        r"\| one +\| ONNX Runtime \| yes +\| yes +\| passed +\| +25.00% \(n = 1\) \|", text
    )
    assert re.search(
        r"\| two +\| ONNX Runtime \| yes +\| yes +\| passed +\| +"
        r"25.00% \(25.00 to 25.00\) \| +2 \|",
        text,
    )
    assert "| Throughput over PyTorch (95%) |" in text


def test_a_failure_is_a_row_with_its_message() -> None:
    long = f"{WHY}\n  " + "long " * 100 + "and why"
    failed = both("bad", state=State.CRASHED, reason=long, step_s=None)
    found = row(run_of(both("one"), failed), "bad", "ONNX Runtime")
    assert (found["trains"], found["n"], found["throughput_gain"]) == ("no", 0, None)
    assert found["error"].startswith(f"crashed: {WHY[:60]}")
    assert found["error"].endswith(" long and why")
    assert len(found["error"]) <= LONGEST_ERROR
    assert "\n" not in found["error"]
    assert row(run_of(failed), "bad", "PyTorch")["trains"] == "yes"


STOPPED = "stopped because pytorch ended as crashed (RuntimeError: overflow), in phase train"


def stopped(parity: State, why: str = "") -> Run:
    """A model whose replicates of ONNX Runtime were all stopped by what happened elsewhere."""
    jobs = both("odd", replicates=2, state=State.INTERRUPTED, reason=STOPPED, step_s=None)
    jobs[1] = make_parity_run("onnxruntime", [0.7, 0.6, 0.5], model="odd", state=parity, reason=why)
    return run_of(jobs)


def test_an_arm_stopped_by_others_trains_as_its_parity_run_says() -> None:
    run = stopped(State.FALLBACK, "in phase train: RuntimeError: no such kernel")
    found = row(run, "odd", "ONNX Runtime")
    assert (found["trains"], found["n"]) == ("no", 0)
    assert found["error"] == ("parity run: fallback: in phase train: RuntimeError: no such kernel")


def test_of_an_arm_stopped_by_others_it_is_not_known_whether_it_trains() -> None:
    run = stopped(State.OK)
    found = row(run, "odd", "ONNX Runtime")
    assert (found["trains"], found["proven"], found["n"]) == ("not known", "yes", 0)
    assert "- trains, not known: all replicates" in render([run], view="matrix")
    assert found["error"] == f"interrupted: {STOPPED}"
    without = run_of([job for job in run.jobs if not job.parity_run])
    found = row(without, "odd", "ONNX Runtime")
    assert (found["trains"], found["proven"]) == ("not known", None)


def test_its_own_failure_is_told_before_that_of_others() -> None:
    jobs = both("odd", replicates=2, state=State.INTERRUPTED, reason=STOPPED, step_s=None)
    jobs[-1] = make_job(
        "onnxruntime", 1, model="odd", step_s=None, state=State.CRASHED, reason=f"{WHY} 8"
    )
    found = row(run_of(jobs), "odd", "ONNX Runtime")
    assert (found["trains"], found["proven"]) == ("no", "no")
    assert found["error"] == f"crashed: {WHY} 8"


def test_a_job_that_was_disturbed_trained() -> None:
    why = "other processes used 69.3% of the host"
    jobs = both("busy", state=State.CONTAMINATED, reason=why, engagement=PROVEN)
    found = row(run_of(jobs), "busy", "ONNX Runtime")
    assert (found["trains"], found["proven"], found["n"]) == ("yes", "yes", 0)
    assert found["error"] == f"contaminated: {why}"


def test_the_legend_speaks_of_what_the_table_shows() -> None:
    without = render([run_of(both("one"))], view="matrix")
    assert "no interval" in without
    assert "not known" not in without
    turns = [
        make_interleaved_job(arm, other, 0, [step_s, 1.1 * step_s] * 4, model="one")
        for arm, other, step_s in (("pytorch", "onnxruntime", 0.5), ("onnxruntime", "pytorch", 0.4))
    ]
    within = render([run_of(both("one")[:2], turns)], view="matrix")
    assert "holds what varies within it" in within
    assert "no interval" not in within
    uneven = both("one", replicates=2)
    crashed = make_job("pytorch", 1, model="one", state=State.CRASHED, step_s=None)
    uneven[-2] = crashed  # one pair is left, although one arm has two replicates
    text = render([run_of(uneven)], view="matrix")
    assert "25.00% (n = 1)" in text
    assert "no interval" in text


def test_a_backend_without_proof_has_not_trained() -> None:
    unproven = Engagement(
        engaged=False, reasons=["after step 1: ORTModule runs TorchModulePytorch"]
    )
    found = row(run_of(both("sly", engagement=unproven)), "sly", "ONNX Runtime")
    assert (found["trains"], found["proven"]) == ("no", "no")
    assert found["error"] == "not proven engaged: after step 1: ORTModule runs TorchModulePytorch"


def test_arms_that_learn_differently_have_no_gain() -> None:
    jobs = both("odd")
    jobs[1] = make_parity_run("onnxruntime", [0.7, 0.9, 0.1], model="odd")
    found = row(run_of(jobs), "odd", "ONNX Runtime")
    assert (found["trains"], found["parity"], found["throughput_gain"]) == ("yes", "failed", None)
    assert found["error"].startswith("failed parity: ")
    without = both("odd")[2:]
    assert row(run_of(without), "odd", "ONNX Runtime")["error"].startswith("parity not checked: ")


def test_an_arm_nobody_ran_is_named() -> None:
    run = run_of([job for job in both("one") if job.arm.name == "pytorch"])
    found = [r.flat() for r in matrix_rows(run) if r.arm == "onnxruntime"]
    assert [(r["trains"], r["error"]) for r in found] == [("not run", "no job recorded")]


def test_a_run_of_several_models_has_it_unasked_and_the_page_too(tmp_path: Path) -> None:
    few, many = run_of(both("a"), both("b")), run_of(*[both(name) for name in "abcd"])
    assert not matrix(few).usual
    assert matrix(many).usual
    assert "matrix" not in [table.name for table in build([few]).tables]
    assert "matrix" in [table.name for table in build([many]).tables]
    page = make_page([many], tmp_path / "page.html")
    assert "Support by model and backend" in page
    assert "25.00% (n = 1)" in page


def test_hosts_have_a_column_where_they_differ() -> None:
    one = run_of(both("a"), run="one")
    other = run_of(
        [job.model_copy(update={"device": "NVIDIA L4"}) for job in both("a")], run="other"
    )
    text = render([one, other], view="matrix")
    assert "| Abacus, 2 cores |" in text
    assert re.search(r"\| L4 +\|", text)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_suites_have_every_family(device: Any) -> None:
    suite = load_suite(find_suite("matrix", device))
    families = {
        SHAPES[w.model.architecture or ""]["model_type"] for w in suite.resolved_workloads()
    }
    assert families == {shape["model_type"] for shape in SHAPES.values()}
    assert suite.measurement.parity is not None
    assert {arm.backend for arm in suite.arms.values()} >= {"pytorch", "onnxruntime"}


def test_records_of_a_matrix_load_from_disk(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "matrix", run_of(both("one")))
    report = [
        sys.executable,
        "-m",
        "report.cli",
        "tables",
        str(folder),
        "--view",
        "matrix",
        "--format",
        "csv",
    ]
    told = subprocess.run(report, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[0].startswith("table,run,")
    assert len(told.splitlines()) == 3
