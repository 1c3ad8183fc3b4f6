"""The published A100 figures: committed as published, and shown to agree with one another within
their rounding.
"""

from __future__ import annotations

import json

import pytest
from folders import PUBLISHED

from harness.errors import BenchError
from harness.schema.record import JobRecord
from report.analysis.gains import gains_of
from report.analysis.published import check_gains, check_samples, gain_is_reproduced, samples_agree
from report.loading.runs import Run, load_run
from report.tables.render import render

# As printed in Optimum's examples/onnxruntime/training/text-classification/README.md
PRINTED = {
    ("roberta-base", "pytorch"): (752.3, 268.6),
    ("roberta-base", "onnxruntime"): (729.7, 276.9),
    ("roberta-large", "pytorch"): (3523.7, 57.3),
    ("roberta-large", "onnxruntime"): (2986.6, 67.7),
}


@pytest.fixture
def published() -> Run:
    return load_run(PUBLISHED)


def changed(run: Run, arm: str, **timing: float) -> Run:
    """The run with another figure for one arm of roberta-base."""

    def change(job: JobRecord) -> JobRecord:
        if (job.workload.model.name, job.arm.name) != ("roberta-base", arm):
            return job
        return job.model_copy(update={"timing": job.timing.model_copy(update=timing)})

    return Run(run.folder, run.info, [change(job) for job in run.jobs])


def test_the_committed_figures_are_the_printed_ones(published: Run) -> None:
    assert not published.problems
    figures = {
        (job.workload.model.name, job.arm.name): (
            job.timing.train_runtime_s,
            job.timing.train_samples_per_s,
        )
        for job in published.jobs
    }
    assert figures == PRINTED
    assert {job.source for job in published.jobs} == {"published"}
    assert {job.device for job in published.jobs} == {"NVIDIA A100"}


def test_what_was_not_published_is_not_in_the_file_and_not_in_the_tables(published: Run) -> None:
    for line in (PUBLISHED / "jobs.jsonl").read_text().splitlines():
        assert json.loads(line)["workload"]["training"].keys() == {"precision", "epochs"}
    text = render([published])
    assert "batch 8" not in text
    assert "length 128" not in text
    assert "adamw" not in text
    assert "Apache-2.0" in text
    assert "steady" not in text.lower()
    row = json.loads(render([published], "json"))["tables"]["gains"][0]
    assert row["n"] is None


def test_the_published_gains_are_reproduced_and_the_report_says_so(published: Run) -> None:
    # 1 − 729.7/752.3 = 3.004%, 752.3/729.7 − 1 = 3.097%; 1 − 2986.6/3523.7 = 15.2425%,
    # 3523.7/2986.6 − 1 = 17.9837%
    base, large = gains_of(published)
    assert base.latency[0] == pytest.approx(0.03004, abs=5e-6)
    assert base.throughput[0] == pytest.approx(0.03097, abs=5e-6)
    assert (large.latency[0], large.throughput[0]) == (
        pytest.approx(0.152425, abs=1e-6),
        pytest.approx(0.179837, abs=1e-6),
    )
    text = render([published])
    assert "- reproduces the published gains within the rounding of the published runtimes" in text
    for printed in ("2.99%", "3.08%", "15.24%", "17.98%"):
        assert printed in text
    assert (
        "- published samples per second times runtime is 3 × 67,349 samples, within the "
        "rounding of both" in text
    )


def test_a_figure_that_does_not_fit_is_named(published: Run) -> None:
    # 729.6 s would need a ratio of at least 752.25/729.65 = 1.03097; 3.08% leaves 1.03085 at most
    broken = changed(published, "onnxruntime", train_runtime_s=729.6)
    (said,) = check_gains(broken)
    assert said.startswith("does not reproduce")
    assert "onnxruntime over pytorch on roberta-base-sst2" in said
    assert "roberta-large" not in said
    # 269.0 samples/s × 752.3 s = 202,368.7, off by 322; rounding leaves 0.05 · 752.3 + 0.05 · 269 =
    # 51
    (said,) = check_samples(changed(published, "pytorch", train_samples_per_s=269.0))
    assert said.startswith("published samples per second times runtime is not")
    assert "pytorch on roberta-base-sst2" in said


def test_a_missing_arm_is_no_reproduction(published: Run) -> None:
    (said,) = check_gains(Run(published.folder, published.info, published.jobs[1:]))
    assert "does not reproduce" in said


def test_the_ranges_by_hand() -> None:
    # 10 ± 0.5 over 8 ± 0.5: ratio from 9.5/8.5 = 1.1176 to 10.5/7.5 = 1.4. Gains to 1%: r = 1.25 ->
    # 20%, 25%.
    def fits(latency: float, throughput: float) -> bool:
        return gain_is_reproduced(
            10, 8, latency, throughput, runtime_resolution_s=1, gain_resolution=0.01
        )

    assert fits(0.20, 0.25)
    assert fits(0.28, 0.39)  # r = 1.39
    assert not fits(0.30, 0.43)  # r = 1.43 is out of the runtimes' reach
    assert not fits(0.20, 0.30)  # each is in reach, but they are not of one ratio
    assert samples_agree(10, 3, 30, runtime_resolution_s=1, samples_resolution_per_s=1)
    assert samples_agree(
        10, 3, 36.75, runtime_resolution_s=1, samples_resolution_per_s=1
    )  # 10.5 · 3.5
    assert not samples_agree(10, 3, 36.76, runtime_resolution_s=1, samples_resolution_per_s=1)


def test_damaged_published_gains_are_told(published: Run) -> None:
    info = published.info.model_copy(
        update={"published_gains": [{"workload": "roberta-base-sst2"}]}
    )
    with pytest.raises(BenchError, match="published_gains: baseline"):
        render([Run(published.folder, info, published.jobs)])
