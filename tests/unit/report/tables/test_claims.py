"""The table of claims: a row per claim and model, what stands in it, and why."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from folders import PUBLISHED, ROOT
from report_factory import make_interleaved_job, make_job, make_run

from harness.schema.record import JobRecord, Pair, Sources, State, Timing
from harness.schema.workload import Model, Training
from report.loading.runs import Run, load_run, load_runs
from report.tables.claims import LEGEND, NOT_MEASURED, OTHER_WORK
from report.tables.registry import build
from report.tables.render import render
from report.tables.table import Table

FOLDERS = ("", "conll2003", "wmt16-en-ro", "llama2-lora", "guide")
TRAINING = Training(precision="fp16", batch_size=32, epochs=3)
REAL = Sources(data="hub", weights="pretrained", train_samples=67349)


def _published(*folders: str) -> list[Run]:
    return [load_run(PUBLISHED / folder) for folder in folders or FOLDERS]


def _table(*runs: Run) -> Table[Any]:
    (table,) = build(runs, "claims").tables
    return table


def _cells(table: Table[Any]) -> list[dict[str, str]]:
    titles = [column.title for column in table.columns]
    return [dict(zip(titles, cells, strict=True)) for cells in table.cells]


def _jobs(
    baseline_s: float = 400.0,
    candidate_s: float = 350.0,
    replicates: int = 4,
    training: Training = TRAINING,
    **fields: Any,
) -> list[JobRecord]:
    """Whole trainings of roberta-base, one after the other; each replicate a little slower."""
    given = {"sources": REAL, "device": "NVIDIA H200", **fields}
    return [
        make_job(
            arm,
            replicate,
            runtime_s=seconds * (1 + 0.001 * replicate),
            step_s=seconds / 7000,
            model="roberta-base",
            training=training,
            **given,
        )
        for replicate in range(replicates)
        for arm, seconds in (("pytorch", baseline_s), ("onnxruntime", candidate_s + replicate))
    ]


def test_without_any_run_every_claim_says_that_it_was_not_measured_and_by_what_it_would_be() -> (
    None
):
    table = _table(*_published())
    rows = _cells(table)
    assert [row["Claim"] for row in rows] == [
        "sst2",
        "sst2",
        "conll2003",
        "wmt16-en-ro",
        "llama2-lora",
        "guide",
    ]
    assert {row["Inside"] for row in rows} == {NOT_MEASURED}
    assert [row["Published gain"] for row in rows] == [
        "2.99% / 3.08%",
        "15.24% / 17.98%",
        "10.45% / 11.67%",
        "24.63% / 32.67%",
        "8.83% / 9.68%",
        "39% to 130%",
    ]
    assert rows[4]["Published runtimes(s)"] == "17035.9055 / 15532.2403"  # as printed
    assert "conll2003 bert-large-cased: configs/conll2003-full.yaml measures it" in table.notes
    said = next(note for note in table.notes if note.startswith("llama2-lora llama-2-7b"))
    assert said.endswith("DeepSpeed ZeRO stage 2 is out of scope here")
    for config in ("optimizers", "llama-lora"):
        assert (ROOT / "configs" / f"{config}.yaml").exists()
        assert any(f"configs/{config}.yaml measures" in note for note in table.notes)


def test_a_published_run_without_jobs_says_what_it_ran_on() -> None:
    text = render(_published("guide"))
    assert "run published-guide, on one node of eight NVIDIA A100" in text
    assert "on CPU" not in text


def test_the_check_of_published_figures_stands_under_the_table() -> None:
    """10 × 200,000 samples are the ten epochs of the publication's text, not the one of its
    command.
    """
    for samples in ("3 × 67,349", "7 × 14,041", "3 × 30,000", "10 × 200,000"):
        assert any(f"runtime is {samples} samples" in note for note in _table(*_published()).notes)
    (llama,) = _published("llama2-lora")
    job = llama.jobs[0]
    once = job.workload.replace(training=job.workload.training.replace(epochs=1.0))
    broken = Run(llama.folder, llama.info, [job.replace(workload=once), llama.jobs[1]])
    (note,) = (note for note in _table(broken).notes if "samples per second" in note)
    assert "is not 1 × 200,000 or 10 × 200,000 samples: pytorch on llama-2-7b" in note


def test_a_measured_training_is_placed_with_what_differs() -> None:
    table = _table(*_published(""), make_run(_jobs(), run="whole"))
    base, large = _cells(table)
    assert large["Inside"] == NOT_MEASURED
    assert (base["Measured on"], base["Batch"], base["n"]) == ("H200", "32", "4")
    assert base["Inside"] == "no, above"
    assert base["Our runtimes(s)"] == "400.6 / 352.0 measured"
    row = table.rows[0]
    assert row.run == "whole"
    assert row.throughput_gain.low is not None
    assert row.throughput_gain.low > 0.0308
    (note,) = (note for note in table.notes if note.startswith("sst2 roberta-base: "))
    assert "one NVIDIA A100 there, NVIDIA H200 here" in note
    assert "batch size (32 here, the script's default is 8)" in note
    assert "attention (eager here)" in note
    assert "random weights" not in note
    flat = json.loads(json.dumps(row.flat()))
    assert flat["published_throughput_gain"] == 0.0308
    assert flat["inside"] == "no, above"
    assert flat["measure"] == "end_to_end"


def test_a_gain_like_the_published_one_is_inside() -> None:
    jobs = [
        make_job(
            arm,
            replicate,
            runtime_s=seconds * (1 + 0.001 * replicate * (arm == "pytorch")),
            model="roberta-base",
            training=TRAINING,
            sources=REAL,
            device="NVIDIA A100",
        )
        for replicate in range(4)
        for arm, seconds in (("pytorch", 752.3), ("onnxruntime", 730.7))
    ]
    assert _cells(_table(*_published(""), make_run(jobs)))[0]["Inside"] == "yes"


def _spread(*factors: float) -> list[JobRecord]:
    """Whole trainings whose candidates take `factors` of 300 s, a replicate each."""
    return [
        job
        for replicate, factor in enumerate(factors)
        for job in _jobs(400, 300 * factor, replicates=replicate + 1)[2 * replicate :]
    ]


def test_of_several_answers_the_one_with_the_narrowest_interval_stands_in_the_table() -> None:
    once = make_run(_jobs(replicates=1), run="once", created_at="2030-01-01T00:00:00Z")
    wide = make_run(_spread(0.5, 1.0, 1.7), run="wide")
    narrow = make_run(_jobs(), run="narrow")
    published = _published("")
    assert _table(*published, once, wide).rows[0].run == "wide"
    table = _table(*published, once, wide, narrow)
    assert table.rows[0].run == "narrow"
    assert not any("also" in note for note in table.notes)  # of one device and batch size
    other = make_run(_jobs(device="NVIDIA A100"), run="other", created_at="2000-01-01T00:00:00Z")
    (also,) = (note for note in _table(*published, narrow, other).notes if "also: " in note)
    assert also.startswith("sst2 roberta-base, also: ")
    assert also.endswith(" on A100, batch 32, end to end, n = 4 (other)")


@pytest.mark.parametrize("arm", ["pytorch", "onnxruntime"])
@pytest.mark.parametrize("changes", [{"options": {"switch": "off"}}, {"injected_delay_ms": 5.0}])
def test_changed_arms_answer_a_claim_after_those_as_users_have_them(
    arm: str, changes: dict[str, Any]
) -> None:
    """`onnxruntime-padded` computes the padding, which nobody who follows the publication does."""
    plain = make_run(_spread(0.5, 1.0, 1.7), run="plain")
    jobs = [
        job.model_copy(update={"arm": job.arm.model_copy(update=changes)})
        if job.arm.name == arm
        else job
        for job in _jobs()
    ]
    narrow = make_run(jobs, run="narrow")
    table = _table(*_published(""), plain, narrow)
    assert table.rows[0].run == "plain"
    assert not any("(narrow)" in note for note in table.notes)


@pytest.mark.parametrize(("claimed", "default"), [(None, 8), (8, None)])
def test_an_answer_at_the_batch_size_of_the_claim_goes_before_a_narrower_interval(
    claimed: int | None, default: int | None
) -> None:
    (published,) = _published("")
    assert published.info.claim is not None
    claim = published.info.claim.model_copy(update={"default_batch_size": default})
    jobs = published.jobs
    if claimed is not None:
        jobs = [_with_batch_size(job, claimed) for job in jobs]
    info = published.info.model_copy(update={"claim": claim})
    published = dataclasses.replace(published, info=info, jobs=jobs)
    narrow = make_run(_jobs(), run="at-32")
    wide = make_run([_with_batch_size(job, 8) for job in _spread(0.5, 1.0, 1.7)], run="at-8")
    table = _table(published, narrow, wide)
    assert table.rows[0].run == "at-8"
    assert any("also: " in note and "(at-32)" in note for note in table.notes)
    said = "batch size (8 here, the script's default is 8)"
    assert any(said in note for note in table.notes) == (default is not None)


def _with_batch_size(job: JobRecord, size: int) -> JobRecord:
    """The job at this batch size, which is then known of a published one."""
    training = job.workload.training.model_copy(update={"batch_size": size})
    return job.model_copy(
        update={
            "workload": job.workload.model_copy(update={"training": training}),
            "unpublished": [name for name in job.unpublished if "batch_size" not in name],
        }
    )


def test_one_replicate_has_no_interval_to_be_placed_by() -> None:
    once = make_run(_jobs(replicates=1))
    assert _cells(_table(*_published(""), once))[0]["Inside"] == "no interval"


def test_a_training_to_its_end_is_not_predicted_too() -> None:
    """Its prediction, of equal steps, has the narrower interval."""
    row = _table(*_published(""), make_run(_spread(0.9, 1.0, 1.1))).rows[0]
    assert row.measure is not None
    assert row.measure.key == "end_to_end"


def test_a_time_of_some_steps_is_no_time_of_a_training_but_foretells_one() -> None:
    short = make_run(_jobs(training=TRAINING.replace(max_steps=300)), run="short")
    (row, _) = _table(*_published(""), short).rows
    assert row.measure is not None
    assert row.measure.key == "predicted"
    steps = 3 * 2105
    assert row.measured_baseline_runtime_s == pytest.approx(2.0 + (steps - 1) * 400 / 7000)


def _in_turns(pair: tuple[str, str], **fields: Any) -> list[JobRecord]:
    given = {"model": "llama-3.2-1b", "device": "NVIDIA H200", "training": TRAINING, **fields}
    seconds = dict(zip(pair, (0.10, 0.08), strict=True))
    return [
        make_interleaved_job(
            arm,
            other,
            replicate,
            [seconds[arm] * (1 + 0.001 * turn) for turn in range(6)],
            backend=arm,
            **given,
        )
        for replicate in range(3)
        for arm, other in (pair, pair[::-1])
    ]


def test_other_work_is_shown_and_not_placed() -> None:
    """The newest run of a related suite alone; its pairs are named."""
    older = make_run(
        _in_turns(("pytorch", "onnxruntime"), model="old"), run="older", suite="llama-lora"
    )
    run = make_run(
        _in_turns(("pytorch", "onnxruntime")),
        run="newer",
        suite="llama-lora",
        created_at="2030-01-01T00:00:00Z",
    )
    table = _table(*_published("llama2-lora"), older, run)
    (row,) = _cells(table)
    assert row["Inside"] == OTHER_WORK
    assert row["Model"] == "llama-2-7b: llama-3.2-1b"
    assert row["Pair"] == "onnxruntime over pytorch"
    steps = 3 * 800 // 32  # the time of all epochs is predicted: the set-up is in it
    times = [2.0 + (steps - 1) * step_s * 1.0025 for step_s in (0.10, 0.08)]
    assert table.rows[0].throughput_gain.value == pytest.approx(times[0] / times[1] - 1)
    assert table.rows[0].measured_baseline_runtime_s == pytest.approx(times[0])
    assert table.rows[0].measured_candidate_runtime_s == pytest.approx(times[1])
    assert row["Our runtimes(s)"].endswith(" predicted")
    assert (table.rows[0].run, table.rows[0].inside) == ("newer", None)
    (note,) = (note for note in table.notes if note.startswith("llama2-lora llama-2-7b: "))
    for said in (
        "eight NVIDIA V100 there, NVIDIA H200 here",
        "DeepSpeed ZeRO stage 2 is out of scope here",
        "batch size: 16 there, 32 here",
        "epochs: 10 there, 3 here",
    ):
        assert said in note


def test_backend_and_optimizer_of_the_guide_are_told_apart() -> None:
    jobs = _in_turns(("pytorch", "onnxruntime"), model="roberta-base")
    pairs = [
        Pair(workload="roberta-base-sst2", baseline="pytorch", candidate="onnxruntime"),
        Pair(
            workload="roberta-base-sst2",
            baseline="onnxruntime",
            candidate="pytorch",
            differs=["training.optim"],
        ),
    ]
    rows = _cells(_table(*_published("guide"), make_run(jobs, pairs, suite="optimizers")))
    assert [(row["Pair"], row["Inside"]) for row in rows] == [
        ("onnxruntime over pytorch", OTHER_WORK),
        ("pytorch over onnxruntime", OTHER_WORK),
    ]


def test_a_pair_without_a_gain_says_why() -> None:
    jobs = [job if job.arm.name == "pytorch" else _crashed(job) for job in _jobs()]
    row = _cells(_table(*_published(""), make_run(jobs)))[0]
    assert row["Inside"].startswith("no result: onnxruntime: crashed")
    assert row["Our gain"] == ""


def _crashed(job: JobRecord) -> JobRecord:
    return job.replace(state=State.CRASHED, reason="broke", engagement=None, timing=Timing())


def test_a_measured_run_alone_has_no_claim() -> None:
    table = _table(make_run(_jobs()))
    assert (table.rows, table.notes) == ((), ())
    assert not any(line in table.notes for line in LEGEND)


def test_models_of_other_names_answer_nothing() -> None:
    jobs = [
        job.replace(workload=job.workload.replace(model=Model(name="x", architecture="bert-tiny")))
        for job in _jobs()
    ]
    assert _cells(_table(*_published(""), make_run(jobs)))[0]["Inside"] == NOT_MEASURED


def test_make_claims_prints_the_table_of_the_committed_runs() -> None:
    """What the target runs, without set-up before it."""
    said = subprocess.run(
        ["make", "--dry-run", "claims"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (line,) = (line for line in said.stdout.splitlines() if "--view claims" in line)
    arguments = line.split()[1:]
    assert arguments[:4] == ["tables", "results", "results/published/*/", "--view"]
    folders = [ROOT / "results", *sorted((ROOT / "results" / "published").glob("*/"))]
    runs, problems = load_runs(folder for folder in folders if folder.is_dir())
    assert not problems
    rows = build(runs, "claims").tables[0].rows
    assert {row.claim for row in rows} == {folder or "sst2" for folder in FOLDERS}
    measured = [row for row in rows if row.measure is not None and row.claim == "sst2"]
    assert {row.published_model for row in measured} == {"roberta-base", "roberta-large"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_published_runs_are_read_without_a_problem(folder: str) -> None:
    run = load_run(Path(PUBLISHED / folder))
    assert not run.problems
    assert run.info.claim is not None
    assert run.info.notes[0].startswith("taken from Hugging Face Optimum")
    assert "not published" in " ".join(run.info.notes)
    build([run])
