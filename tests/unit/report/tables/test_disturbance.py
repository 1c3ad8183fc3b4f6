"""What tables say of disturbed replicates, and of those whose disturbance nobody could see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report_factory import make_job, make_run, write_run

from harness.schema.record import Contention, GpuTelemetry, JobRecord, Telemetry
from report.loading.runs import Run, load_run
from report.tables.registry import build
from report.tables.table import raw

CARD = "NVIDIA H200"
SEEN = GpuTelemetry(index=0, samples=40, foreign_processes=0)
WATCHED = Telemetry(window_s=4.0, samples=40, covered_share=1.0, gpus=[SEEN])


def run_of(*first: dict[str, Any], **all_fields: Any) -> Run:
    """Two replicates of both arms; `first`: fields of the first jobs, `all_fields`: of all."""
    jobs: list[JobRecord] = []
    for replicate in (0, 1):
        for arm in ("pytorch", "onnxruntime"):
            changes = first[len(jobs)] if len(jobs) < len(first) else {}
            jobs.append(make_job(arm, replicate, step_s=1.0, **{**all_fields, **changes}))
    return make_run(jobs)


def notes(run: Run, view: str) -> tuple[str, ...]:
    return build([run], view).tables[0].notes


def states(run: Run) -> set[str]:
    (table,) = build([run], "gains").tables
    at = [column.title for column in table.columns].index("State")
    return {row[at] for row in table.cells}


@pytest.mark.parametrize("view", ["runtimes", "steady", "gains", "gpu"])
def test_light_disturbances_stand_under_every_table_of_times(view: str) -> None:
    paused = Contention(pause_share=0.021, others_share=0.02, noted=["pauses"])
    beside = Contention(pause_share=0.0, others_share=0.12, noted=["others"])
    worse = Contention(pause_share=0.034, others_share=0.08, noted=["pauses", "others"])
    quiet = Contention(pause_share=0.0, others_share=0.01)
    said = notes(run_of(*({"contention": each} for each in (paused, beside, worse, quiet))), view)
    assert (
        "steps that paused took up to 3.4% of a replicate's steady window (pytorch on tiny-sst2)"
        in said
    )
    assert (
        "other processes used up to 12% of the time of a replicate's cores in its steady window"
        in said
    )
    assert not [text for text in said if "heavily" in text]
    stopped = Contention(pause_share=0.0, stopped_s=3.0, noted=["stopped"])
    told = (
        "a process of a replicate was stopped (SIGSTOP) for up to 3.0 s in all (pytorch on "
        "tiny-sst2)"
    )
    assert told in notes(run_of({"contention": stopped}), view)
    undisturbed = notes(run_of(contention=quiet), view)
    assert undisturbed == notes(run_of(), view)


def test_heavy_ones_that_count_are_told_and_survive_the_record(tmp_path: Path) -> None:
    heavy = Contention(
        pause_share=0.8, noted=["pauses"], heavy="pauses took 80.0% of the steady window"
    )
    run = run_of({"contention": heavy})
    told = (
        "heavily disturbed replicates count, as the suite asks (measurement.contention: note) "
        "(pytorch on tiny-sst2)"
    )
    assert told in notes(run, "gains")
    loaded = load_run(write_run(tmp_path / "run", run))
    assert notes(loaded, "gains") == notes(run, "gains")


def test_a_job_without_samples_says_so_on_a_cpu() -> None:
    blind = Telemetry(
        unreadable=["the sampler wrote nothing", "the sampler exited with -9: no message"]
    )
    run = run_of({"telemetry": blind})
    told = (
        "no telemetry samples in a steady window, what else ran on the host is unknown: the "
        "sampler wrote nothing; the "
        "sampler exited with -9: no message (pytorch on tiny-sst2)"
    )
    for view in ("runtimes", "steady", "gains", "gpu"):
        assert told in notes(run, view)
    assert states(run) == {"ok"}  # there is no card that could have been throttled
    assert notes(run_of(telemetry=None), "gains") == notes(
        run_of(telemetry=WATCHED), "gains"
    )  # it was not asked for


@pytest.mark.parametrize(
    ("telemetry", "reason"),
    [
        (None, "no telemetry"),
        (Telemetry(unreadable=["the sampler wrote nothing"]), "no telemetry samples"),
        (WATCHED.model_copy(update={"gpus": []}), "no telemetry samples"),
        (
            WATCHED.model_copy(update={"gpus": [SEEN, SEEN.model_copy(update={"samples": 0})]}),
            "no telemetry samples",
        ),
        (WATCHED.model_copy(update={"covered_share": 0.0}), "telemetry samples missing"),
        (WATCHED.model_copy(update={"covered_share": 0.85}), "telemetry samples missing"),
        (
            WATCHED.model_copy(
                update={"gpus": [SEEN.model_copy(update={"unreadable": ["card: GPU is lost"]})]}
            ),
            "clock reasons not read",
        ),
        (
            WATCHED.model_copy(
                update={"gpus": [SEEN.model_copy(update={"unreadable": ["clock_reasons: no"]})]}
            ),
            "clock reasons not read",
        ),
        (
            WATCHED.model_copy(
                update={"gpus": [SEEN.model_copy(update={"foreign_processes": None})]}
            ),
            "processes on the card not read",
        ),
    ],
)
def test_on_a_gpu_what_nobody_saw_is_unknown_and_not_fine(
    telemetry: Telemetry | None, reason: str
) -> None:
    run = run_of({"telemetry": telemetry}, device=CARD, telemetry=WATCHED)
    assert states(run) == {f"ok; throttling and sharing unknown: {reason} in 1 of 4 replicates"}
    (row, *_) = raw(build([run], "gains").tables[0])
    assert row["throughput_gain"] is not None
    assert row["unobserved"] == f"{reason} in 1 of 4 replicates"
    told = f"whether a card was throttled or shared in a steady window is unknown: {reason}"
    for view in ("runtimes", "steady", "gains", "gpu"):
        (note,) = [text for text in notes(run, view) if text.startswith(told)]
        assert note.endswith(" (pytorch on tiny-sst2)")


def test_a_watched_gpu_has_nothing_to_add() -> None:
    assert states(run_of(device=CARD, telemetry=WATCHED)) == {"ok"}
    old = WATCHED.model_copy(update={"covered_share": None})  # records of old do not say
    assert states(run_of(device=CARD, telemetry=old)) == {"ok"}
