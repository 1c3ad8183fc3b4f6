"""The training time of all epochs, predicted from set-up and steady steps."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import pytest
from folders import ROOT
from report_factory import PROVEN, make_interleaved_job, make_job, make_parity_run, make_run

from harness.schema.record import JobRecord, Pair, Sources, Timing
from report.analysis.metrics import PREDICTED_RUNTIME, whole_steps
from report.loading.runs import load_run
from report.tables.registry import build
from report.tables.render import render
from report.tables.terminal import fitting, terminal

PAIR = Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")
SOURCES = Sources(data="synthetic", weights="random", train_samples=1000)


def jobs(*steps: tuple[float, float], **fields: Any) -> list[JobRecord]:
    """Replicates whose arms take these seconds a step, after 2 s of set-up each."""
    return [
        make_interleaved_job(arm, other, replicate, [step_s] * 8, sources=SOURCES, **fields)
        for replicate, both in enumerate(steps)
        for (arm, other), step_s in zip(
            (("pytorch", "onnxruntime"), ("onnxruntime", "pytorch")), both, strict=True
        )
    ]


def table(made: list[JobRecord], view: str) -> list[dict[str, str]]:
    text = render([make_run(made, [PAIR])], "csv", view)
    return list(csv.DictReader(io.StringIO(text)))


def test_steps_are_those_of_all_epochs_whatever_the_job_did() -> None:
    (job, *_) = jobs((0.5, 0.4))
    training = job.workload.training.model_copy(
        update={"batch_size": 16, "epochs": 3.0, "gradient_accumulation_steps": 2, "max_steps": 5}
    )
    workload = job.workload.model_copy(update={"training": training})
    job = job.model_copy(update={"workload": workload})
    assert whole_steps(job) == 3 * (63 // 2)  # 1000 samples are 63 batches
    unknown = job.model_copy(update={"sources": Sources()})
    assert whole_steps(unknown) is None
    assert PREDICTED_RUNTIME.read(unknown) is None


def test_each_replicate_predicts_one_time_and_the_interval_is_over_them() -> None:
    made = jobs((0.5, 0.4), (0.52, 0.4), (0.48, 0.41))
    steps = whole_steps(made[0])
    assert steps is not None
    baseline, candidate = table(made, "predicted")
    times = [2.0 + (steps - 1) * step_s for step_s in (0.5, 0.52, 0.48)]
    assert float(baseline["whole_runtime_s"]) == pytest.approx(sum(times) / 3)
    assert float(baseline["whole_runtime_s_low"]) < min(times)
    assert int(baseline["steps"]) == steps
    epochs = made[0].workload.training.epochs
    assert float(candidate["whole_samples_per_s"]) == pytest.approx(
        3 * epochs * 1000 / sum(2.0 + (steps - 1) * step_s for step_s in (0.4, 0.4, 0.41))
    )
    (gain,) = table(made, "predicted-gains")
    ratios = [
        math.log((2.0 + (steps - 1) * a) / (2.0 + (steps - 1) * b))
        for a, b in ((0.5, 0.4), (0.52, 0.4), (0.48, 0.41))
    ]
    assert float(gain["throughput_gain"]) == pytest.approx(math.exp(sum(ratios) / 3) - 1)
    assert (gain["measure"], gain["n"]) == ("predicted", "3")
    assert float(gain["throughput_gain_low"]) < float(gain["throughput_gain"])


def test_first_set_up_is_that_of_the_parity_run_and_warm_that_of_the_replicates() -> None:
    made = jobs((0.5, 0.4))
    made.append(make_parity_run("onnxruntime", [0.7], timing=Timing(setup_s=95.0)))
    baseline, candidate = table(made, "predicted")
    assert (baseline["first_setup_s"], candidate["first_setup_s"]) == ("", "95.0")
    assert float(candidate["warm_setup_s"]) == 2.0
    text = render([make_run(made, [PAIR])], view="predicted")
    assert "| First set-up(s) | Warm set-up(s) |" in text
    assert "epochs, predicted |" in text


def test_the_replicate_that_compiles_what_the_others_find_predicts_nothing() -> None:
    made = [
        job.replace(
            arm=job.arm.replace(options={"compile_cache": True}),
            timing=job.timing.replace(setup_s=30.0 if job.replicate == 0 else 4.0),
        )
        if job.arm.name == "onnxruntime"
        else job
        for job in jobs((0.5, 0.4), (0.5, 0.4), (0.5, 0.4))
    ]
    _, candidate = table(made, "predicted")
    assert float(candidate["warm_setup_s"]) == 4.0
    steps = int(candidate["steps"])
    assert float(candidate["whole_runtime_s"]) == pytest.approx(4.0 + (steps - 1) * 0.4)
    (gain,) = table(made, "predicted-gains")
    assert gain["n"] == "2"


def test_kernels_that_the_driver_compiled_in_a_replicate_are_said() -> None:
    def made(*compiled: bool) -> list[JobRecord]:
        return [
            job.replace(
                engagement=PROVEN.replace(kernels="ptx", kernels_compiled=compiled[job.replicate])
            )
            if job.arm.name == "onnxruntime"
            else job
            for job in jobs((0.5, 0.4), (0.5, 0.4))
        ]

    said = "- onnxruntime: the driver compiled kernels in 1 of 2 replicates, as their set-ups show"
    for view in ("predicted", "steady"):
        assert said in render([make_run(made(True, False), [PAIR])], view=view)
        assert "the driver compiled" not in render(
            [make_run(made(False, False), [PAIR])], view=view
        )


def test_parity_runs_side_by_side_are_said_under_first_set_ups() -> None:
    made = jobs((0.5, 0.4))
    parity_run = make_parity_run("onnxruntime", [0.7], timing=Timing(setup_s=95.0))
    so_were = "; so were those of all parity runs but the first"
    assert so_were not in render([make_run([*made, parity_run], [PAIR])], view="predicted")
    beside = parity_run.replace(share_s=50.0)
    assert so_were in render([make_run([*made, beside], [PAIR])], view="predicted")


def test_a_job_that_began_again_counts_and_tells_both_set_ups() -> None:
    made = [
        job.replace(timing=job.timing.replace(steady_samples_per_s=20.0))
        for job in jobs((0.5, 0.4), (0.5, 0.4))
    ]
    turns = made[1].turns
    assert turns is not None
    made[1] = made[1].replace(turns=turns.replace(compiling_setup_s=30.0))
    (gain,) = table(made, "predicted-gains")
    assert gain["n"] == "2"
    text = render([make_run(made, [PAIR])], view="steady")
    header, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    names, *cells = [[cell.strip() for cell in line.split("|")] for line in (header, *rows)]
    cold, warm = names.index("Cold set-up(s)"), names.index("Warm set-up(s)")
    assert [(row[cold], row[warm]) for row in cells] == [("", "2.000"), ("30.00", "2.000")]
    assert (
        "- onnxruntime: a job that compiled what later ones find on disk (cold set-up) began again "
        "before its turns, so every set-up that counts is warm"
    ) in text


def test_runs_in_turns_show_it_unasked_and_whole_trainings_only_on_request() -> None:
    interleaved = [made.name for made in build([make_run(jobs((0.5, 0.4)), [PAIR])]).tables]
    assert {"predicted", "predicted-gains"} <= set(interleaved)
    whole = [make_job(arm, sources=SOURCES) for arm in ("pytorch", "onnxruntime")]
    assert not {"predicted", "predicted-gains"} & {
        made.name for made in build([make_run(whole, [PAIR])]).tables
    }
    assert len(table(whole, "predicted")) == 2


def test_a_pair_without_a_result_has_its_reason_instead_of_a_gain() -> None:
    made = jobs((0.5, 0.4))
    made[1] = made[1].model_copy(update={"engagement": None})
    (gain,) = table(made, "predicted-gains")
    assert (gain["throughput_gain"], gain["n"]) == ("", "0")
    assert "not proven engaged" in gain["state"]
    (baseline,) = [row for row in table(made, "predicted") if row["arm"] == "pytorch"]
    assert baseline["state"] == "ok"


def test_a_terminal_of_80_columns_keeps_the_number_of_replicates() -> None:
    """Texts are wrapped in fewer cells before n goes, also where replicates are left out."""
    run = load_run(ROOT / "results" / "glue-sst2-today-roberta-base-20261130-030525")
    for view in ("predicted", "steady"):
        document = build([run], view)
        text = terminal(document, 80)
        assert max(map(len, text.splitlines())) <= 80
        heading, _, left_out = text.partition(
            "left out: Train" if view == "predicted" else "too wide"
        )
        titles = [
            document.tables[0].columns[each].title for each in fitting(document.tables[0], 80)
        ]
        assert titles[-2:] == ["n", "State"]
        assert "  3 of 4  ok; left" in heading
        set_up = "First set-up(s)" if view == "predicted" else "Cold set-up(s)"
        assert set_up in left_out.split("(--format")[0]


def test_long_texts_are_not_narrower_than_they_must_be() -> None:
    run = load_run(ROOT / "results" / "glue-sst2-today-roberta-base-20261130-030525")
    (table,) = build([run], "predicted").tables
    assert len(fitting(table, 300)) == len(table.columns)
    assert "compiled anew in 1 of 4 replicates" in terminal(build([run], "predicted"), 300)
    # So narrow that n cannot stay: the columns that are left are those that matter most.
    titles = {table.columns[each].title for each in fitting(table, 60)}
    assert "n" not in titles
    assert {"Model", "Arm", "State"} <= titles
