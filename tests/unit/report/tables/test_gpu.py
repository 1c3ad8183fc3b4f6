"""The gpu view: hand-computed means, what could not be read, tables narrow enough beside published
rows.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from folders import PUBLISHED
from report_factory import PROVEN, make_job, make_run

from harness.schema.record import (
    Efficiency,
    GpuTelemetry,
    JobRecord,
    Memory,
    Pair,
    State,
    Telemetry,
    Timing,
)
from harness.schema.workload import Training
from report.loading.runs import Run, load_run
from report.tables.registry import VIEWS, build
from report.tables.render import FORMATS, render

GIB = 2**30
CARD = "NVIDIA H100 80GB HBM3"
ALONE = (
    "are of a turn that the arm had to itself at the end of a replicate, without its first second; "
    "only one or two replicates of a group had such a turn, whatever n is"
)


def gpu_job(
    arm: str = "pytorch", replicate: int = 0, *, card: dict[str, Any] | None = None, **fields: Any
) -> JobRecord:
    """A job on one card; `card`: fields of its GpuTelemetry."""
    read: dict[str, Any] = {
        "index": 0,
        "samples": 100,
        "foreign_processes": 0,
        "utilization_mean": 90.0,
        "utilization_p10": 80.0,
        "memory_peak_bytes": 4 * GIB,
        "power_mean_w": 500.0,
        "energy_j": 5000.0,
        "energy_source": "counter",
        "sm_clock_median_mhz": 1980.0,
    }
    telemetry = Telemetry(
        interval_s=0.1,
        window_s=10.0,
        samples=100,
        joules_per_sample=2.5,
        gpus=[GpuTelemetry(**read | (card or {}))],
    )
    given: dict[str, Any] = {
        "device": CARD,
        "telemetry": telemetry,
        "memory": Memory(torch_peak_allocated_bytes=2 * GIB, torch_peak_reserved_bytes=3 * GIB),
        "efficiency": Efficiency(peak_flops_per_s=989.4e12, model_flops_utilization=0.25),
    }
    return make_job(arm, replicate, **given | fields)


def cells(run: Run, view: str = "gpu") -> list[dict[str, str]]:
    (table,) = build([run], view).tables
    return [
        dict(zip((column.title for column in table.columns), row, strict=True))
        for row in table.cells
    ]


def notes(run: Run) -> tuple[str, ...]:
    return build([run], "gpu").tables[0].notes


def test_figures_are_means_over_the_replicates_that_count() -> None:
    second = Telemetry(
        joules_per_sample=3.5,
        gpus=[
            GpuTelemetry(
                index=0,
                utilization_mean=70.0,
                utilization_p10=50.0,
                memory_peak_bytes=5 * GIB,
                power_mean_w=301.0,
                sm_clock_median_mhz=1780.0,
            )
        ],
    )
    jobs = [
        gpu_job(replicate=0),
        gpu_job(
            replicate=1,
            telemetry=second,
            memory=Memory(torch_peak_allocated_bytes=3 * GIB, torch_peak_reserved_bytes=3 * GIB),
            efficiency=Efficiency(model_flops_utilization=0.20),
        ),
        gpu_job(
            replicate=2,
            card={"utilization_mean": 1.0, "power_mean_w": 1.0},
            state=State.CONTAMINATED,
        ),
    ]
    row = cells(make_run(jobs))[0]
    assert (row["Util(%)"], row["p10(%)"]) == ("80.0", "65.0")  # (90 + 70)/2, (80 + 50)/2
    assert (row["NVML GiB"], row["Torch GiB"]) == ("4.50", "2.50")
    assert (row["Power(W)"], row["J/sample"]) == ("400", "3.000")  # 400.5, to even
    assert (row["MFU(%)"], row["SM(MHz)"]) == ("22.5", "1880")
    assert (row["n"], row["State"]) == ("2 of 3", "ok; left out: contaminated in 1 of 3 replicates")
    raw = json.loads(render([make_run(jobs)], "json", "gpu"))["tables"]["gpu"][0]
    assert raw["power_w"] == pytest.approx(400.5)
    assert raw["torch_peak_reserved_bytes"] == 3 * GIB
    assert raw["model_flops_utilization"] == pytest.approx(0.225)


def test_several_cards_share_the_work() -> None:
    cards = [
        GpuTelemetry(
            index=0,
            utilization_mean=90,
            power_mean_w=300,
            memory_peak_bytes=2 * GIB,
            utilization_p10=80,
        ),
        GpuTelemetry(index=1, utilization_mean=80, power_mean_w=200, memory_peak_bytes=4 * GIB),
    ]
    run = make_run([gpu_job(telemetry=Telemetry(gpus=cards))])
    row = cells(run)[0]
    assert (row["Util(%)"], row["Power(W)"], row["NVML GiB"]) == ("85.0", "500", "4.00")
    assert row["p10(%)"] == ""  # one card did not tell it
    assert any(
        note.startswith("2 cards: power and energy are of all together") for note in notes(run)
    )


def test_what_utilization_means_is_said_under_the_table() -> None:
    text = render([make_run([gpu_job(), gpu_job("onnxruntime")])])
    assert "the share of the driver's last 1/6 to 1 s in which any kernel ran" in text
    assert "- MFU is of the data sheet's 989.4 TFLOP/s\n" in text


def test_kernels_of_onnxruntime() -> None:
    proven = PROVEN.model_copy(update={"kernels": "ptx"})
    run = make_run([gpu_job(), gpu_job("onnxruntime", engagement=proven)])
    assert [row["Kernels"] for row in cells(run)] == ["", "ptx"]
    assert (
        "ptx: ONNX Runtime has no native kernels for this card, the driver compiled them from PTX "
        "(onnxruntime on tiny-sst2)"
    ) in notes(run)
    assert "Kernels" not in cells(make_run([gpu_job(), gpu_job("onnxruntime")]))[0]


def test_what_could_not_be_read_is_said_once_with_its_place() -> None:
    blind = {
        "utilization_mean": None,
        "unreadable": ["utilization: not supported", "utilization: not supported"],
    }
    lost = Telemetry(unreadable=["the sampler wrote nothing"])
    run = make_run(
        [
            gpu_job(replicate=0, card=blind),
            gpu_job(replicate=1, card=blind),
            gpu_job("onnxruntime", telemetry=lost),
        ]
    )
    assert [note for note in notes(run) if note.startswith("not read")] == [
        "not read: utilization: not supported (pytorch on tiny-sst2)",
        "not read: the sampler wrote nothing (onnxruntime on tiny-sst2)",
    ]
    pytorch, ort = cells(run)
    assert (pytorch["Util(%)"], pytorch["Power(W)"]) == ("", "500")
    assert (ort["Util(%)"], ort["Power(W)"], ort["MFU(%)"]) == ("", "", "25.0")


def test_energy_from_power_is_said() -> None:
    said = "energy is power integrated over time: the card's energy counter was not read"
    assert said in notes(make_run([gpu_job(card={"energy_source": "power"})], []))
    assert said not in notes(make_run([gpu_job()], []))


def test_clock_limits_are_named_with_their_worst_share_and_place() -> None:
    run = make_run(
        [
            gpu_job(replicate=0, card={"clock_limits": {"sw_power_cap": 0.2, "gpu_idle": 0.5}}),
            gpu_job(
                replicate=1,
                card={"clock_limits": {"sw_power_cap": 0.35, "applications_clocks_setting": 0.001}},
            ),
            gpu_job(
                "onnxruntime", 0, card={"clock_limits": {"applications_clocks_setting": 0.002}}
            ),
            gpu_job(
                "onnxruntime",
                1,
                card={"clock_limits": {"hw_slowdown": 1.0}},
                state=State.CONTAMINATED,
            ),
        ]
    )
    assert [note for note in notes(run) if note.startswith("clock limit")] == [
        "clock limit applications_clocks_setting in less than 1% of a replicate's samples",
        "clock limit sw_power_cap in up to 35% of a replicate's samples (pytorch on tiny-sst2)",
    ]


def test_contaminated_replicates_are_named_also_when_run_again() -> None:
    first = gpu_job(
        replicate=0,
        state=State.CONTAMINATED,
        reason="1 other process(es) on GPU 0",
        started_at="2001-01-01",
    )
    again = gpu_job(replicate=0, started_at="2001-01-02")
    hot = gpu_job("onnxruntime", state=State.CONTAMINATED, reason="GPU 0 was throttled")
    said = notes(make_run([first, again, hot]))
    assert "pytorch on tiny-sst2, contaminated and run again: 1 other process(es) on GPU 0" in said
    assert "onnxruntime on tiny-sst2, contaminated: GPU 0 was throttled" in said


def test_the_view_is_usual_only_with_gpus() -> None:
    cpu = make_run([make_job(telemetry=Telemetry(job_cpu_share_mean=0.9)), make_job("onnxruntime")])
    assert [table.name for table in build([cpu]).tables] == ["runtimes", "steady", "gains"]
    gpu = make_run([gpu_job(), gpu_job("onnxruntime")])
    assert [table.name for table in build([gpu]).tables] == ["runtimes", "steady", "gains", "gpu"]


def test_cpu_hosts_have_a_compact_form() -> None:
    jobs = [
        make_job(
            replicate=replicate,
            telemetry=Telemetry(
                job_cpu_share_mean=share, host_cpu_share_mean=0.99, job_rss_peak_bytes=3 * GIB
            ),
            memory=Memory(peak_rss_bytes=GIB),
        )
        for replicate, share in enumerate((0.9, 0.8))
    ]
    run = make_run(jobs)
    pytorch, ort = cells(run)
    assert (pytorch["CPU, job(%)"], pytorch["CPU, host(%)"], pytorch["Peak RSS(GiB)"]) == (
        "85.0",
        "99.0",
        "1.00",
    )
    assert (pytorch["n"], ort["State"]) == ("2", "no result: no job recorded")
    assert "Power(W)" not in pytorch
    both = build([run, make_run([gpu_job()], run="gpu")], "gpu")
    assert [table.name for table in both.tables] == ["gpu", "host"]


def steady_suite() -> Run:
    """As the suite measured on an H100: two models, two batch sizes each, PyTorch eager and sdpa,
    ONNX Runtime.
    """
    jobs, pairs = [], []
    arms = (
        ("pytorch-eager", "pytorch", "eager", 0.052),
        ("pytorch-sdpa", "pytorch", "sdpa", 0.042),
        ("onnxruntime", "onnxruntime", "eager", 0.028),
    )
    for model, size in (
        ("roberta-base", 8),
        ("roberta-base", 512),
        ("roberta-large", 8),
        ("roberta-large", 192),
    ):
        for replicate in range(4):
            for arm, backend, attention, step_s in arms:
                engagement = (
                    PROVEN.model_copy(update={"kernels": "ptx"})
                    if backend == "onnxruntime"
                    else None
                )
                step = step_s * (1 + replicate / 7)
                jobs.append(
                    gpu_job(
                        arm,
                        replicate,
                        backend=backend,
                        attention=attention,
                        model=model,
                        workload=f"{model}-b{size}",
                        training=Training(precision="fp16", batch_size=size, max_steps=160),
                        engagement=engagement,
                        card={"clock_limits": {"sw_power_cap": 0.5}},
                        timing=Timing(
                            setup_s=71.234,
                            train_runtime_s=step * 160 + 71,
                            train_samples_per_s=size / step,
                            steady_step_s=step,
                            steady_samples_per_s=size / step,
                            steps=160,
                        ),
                    )
                )
        pairs += [
            Pair(workload=f"{model}-b{size}", baseline="pytorch-eager", candidate="onnxruntime"),
            Pair(
                workload=f"{model}-b{size}",
                baseline="pytorch-sdpa",
                candidate="onnxruntime",
                differs=["attention"],
            ),
        ]
    return make_run(jobs, pairs, run="h100-steady")


def test_published_and_measured_gains_stand_side_by_side() -> None:
    (table,) = build([load_run(PUBLISHED), steady_suite()], "comparison").tables
    titles = [column.title for column in table.columns]
    assert titles == [
        "Model",
        "Batch",
        "Gain of",
        "GPU",
        "Time",
        "Latency",
        "Throughput (95%)",
        "n",
        "Break-even",
        "Attention",
    ]
    rows = [dict(zip(titles, row, strict=True)) for row in table.cells]
    assert [row["Model"] for row in rows] == ["roberta-base"] * 9 + ["roberta-large"] * 9
    first, second = rows[0], rows[1]
    assert (first["GPU"], first["Latency"], first["Throughput (95%)"]) == (
        "A100 (published)",
        "2.99%",
        "3.08%",
    )
    assert (first["Batch"], first["n"]) == ("", "")
    assert (second["Latency"], second["Throughput (95%)"][:6]) == ("", "6.09% ")
    assert (second["GPU"], second["Gain of"]) == (
        "H100 80GB HBM3",
        "onnxruntime over pytorch-eager",
    )
    assert (second["Batch"], second["Time"], second["n"]) == ("8", "end to end", "4")
    steady = [row for row in rows if row["Time"] == "steady state" and row["Attention"] == "eager"]
    assert {row["Throughput (95%)"] for row in steady} == {
        "85.71% (85.71 to 85.71)"
    }  # 0.052 / 0.028 - 1 in every replicate
    assert (
        "h100-steady: pytorch-eager against onnxruntime: no declared difference but the backend"
        in table.notes
    )
    assert (
        "h100-steady: pytorch-sdpa against onnxruntime: attention differs (declared)" in table.notes
    )


def test_what_holds_for_an_arm_on_every_workload_names_the_arm_alone() -> None:
    said = [note for note in notes(steady_suite()) if note.startswith("ptx")]
    assert [note.rsplit("PTX ", 1)[1] for note in said] == ["(onnxruntime)"]


def test_two_runs_on_one_card_are_told_apart() -> None:
    runs = [make_run([gpu_job(), gpu_job("onnxruntime")], run=name) for name in ("one", "two")]
    assert build(runs, "comparison").tables[0].columns[0].title == "Run"


# Of runs on one card, without inference, metrics, numbers of samples or series. Claims have a row
# for each published pair alone: test_claims.py.
NOTHING_TO_SHOW = {"cards", "claims", "scaling", "inference", "metrics", "predicted", "prediction"}
IN_WORDS = {"headline"}


@pytest.mark.parametrize(
    "view", [None, *(name for name in VIEWS if name not in NOTHING_TO_SHOW | IN_WORDS)]
)
def test_tables_are_narrow_and_the_same_bytes_twice(view: str | None) -> None:
    runs = [load_run(PUBLISHED), steady_suite()]
    reverse = [runs[0], Run(runs[1].folder, runs[1].info, runs[1].jobs[::-1])]
    for form in FORMATS:
        assert render(runs, form, view) == render(reverse, form, view)
    lines = [line for line in render(runs, "markdown", view).splitlines() if line.startswith("|")]
    assert len(lines) >= 10
    assert max(map(len, lines)) <= {"full": 340, "summary": 220}.get(
        str(view), 180
    )  # those two are wide on purpose
    assert len({line for line in lines if "---" not in line}) == len(
        [line for line in lines if "---" not in line]
    )


def test_what_an_arm_of_a_group_did_alone_is_shown_and_said() -> None:
    jobs = [gpu_job(arm, group=["pytorch", "onnxruntime"]) for arm in ("pytorch", "onnxruntime")]
    seen = [
        job.replace(telemetry=job.telemetry.replace(alone_s=1.25)) for job in jobs if job.telemetry
    ]
    (table,) = build([make_run(seen)], "gpu").tables
    cells = dict(zip([c.title for c in table.columns], table.cells[0], strict=True))
    assert (cells["Util(%)"], cells["Power(W)"], cells["J/sample"]) == ("90.0", "500", "2.500")
    assert [note for note in table.notes if ALONE in note] == [
        f"arms that took turns: utilization, power and energy {ALONE}"
    ]
    (apart,) = build([make_run(jobs)], "gpu").tables
    assert not any(ALONE in note for note in apart.notes)


def test_what_other_replicates_could_not_read_is_not_said_of_a_turn_alone() -> None:
    together = "utilization, memory, power and energy: seen together"
    memory = "memory of the card: seen together"

    def job(replicate: int, alone_s: float | None) -> JobRecord:
        made = gpu_job(replicate=replicate)
        assert made.telemetry is not None
        unreadable = [memory if alone_s else together]
        return made.replace(
            telemetry=made.telemetry.replace(alone_s=alone_s, unreadable=unreadable)
        )

    said = notes(make_run([job(0, 1.25), job(1, None)]))
    assert f"not read: {memory}" in said
    assert f"not read: {together}" not in said
    assert f"not read: {together}" in notes(make_run([job(0, None), job(1, None)]))


def test_on_a_cpu_the_shares_of_the_job_are_of_its_turn_alone() -> None:
    telemetry = Telemetry(interval_s=0.1, window_s=9.0, cores=2, job_cpu_share_mean=0.5, alone_s=1)
    run = make_run([make_job(telemetry=telemetry, group=["pytorch", "onnxruntime"])])
    (table,) = build([run], "gpu").tables
    assert f"arms that took turns: the job's shares {ALONE}" in table.notes
