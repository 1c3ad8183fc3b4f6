"""Arms of one workload that took turns in two groups: what tables, pages and exports say of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from report_factory import make_interleaved_job, make_run

import report
from harness.schema.record import JobRecord, Pair
from report.analysis.replicates import names_of
from report.exports import pyperf
from report.html.build import make_page
from report.html.jobs import job_list
from report.html.replicates import replicate_list
from report.loading.runs import Run
from report.tables.render import render

SHARED = ["pytorch", "onnxruntime"]
GROUPS = ([*SHARED, "a", "b", "c"], [*SHARED, "d"])
FIRSTS = (0, 50)  # of the recorded numbers
PLANNED = 5


@pytest.fixture(scope="module")
def run() -> Run:
    jobs: list[JobRecord] = []
    for first, group in zip(FIRSTS, GROUPS, strict=True):
        for number in (0, 1):
            for arm in group:
                backend = arm if arm in SHARED else "pytorch"
                step_s = [0.4 + 0.01 * number if arm == "onnxruntime" else 0.5] * 4
                job = make_interleaved_job(
                    arm, "", first + number, step_s, group=group, backend=backend
                )
                assert job.turns is not None
                # Ten times as much in the second group.
                cost = {
                    "switch_s": 1e-3 if first == 0 else 1e-2,
                    "switch_standard_error_s": 1e-4,
                }
                jobs.append(job.replace(turns=job.turns.replace(**cost)))
    pairs = [
        Pair(workload="tiny-sst2", baseline="pytorch", candidate=arm)
        for arm in ("onnxruntime", "a", "b", "c", "d")
    ]
    config = {"measurement": {"protocol": "interleaved", "replicates": PLANNED}}
    return make_run(jobs, pairs, config=config)


def test_the_cost_of_switching_is_told_of_each_group_by_its_name(run: Run) -> None:
    text = render([run], view="gains")
    first, second = re.findall(r"^- switching between the jobs, (.*)$", text, re.MULTILINE)
    assert first.startswith(
        "tiny-sst2, group 1 (5 arms): first step of a turn against those after it: pytorch +1.0 "
    )
    assert second.startswith(
        "tiny-sst2, group 2 (pytorch, onnxruntime, d): first step of a turn against those after "
        "it: pytorch +10.0 "
    )
    assert "onnxruntime +1.0 " in first
    assert "onnxruntime +10.0 " in second
    assert "interleaved protocol: the jobs of each group of arms took turns on the device" in text


@pytest.mark.parametrize("view", ["gains", "steady", "predicted", "gpu", "answer", "matrix"])
def test_replicates_of_two_groups_are_said_where_they_are_counted(run: Run, view: str) -> None:
    note = (
        "- tiny-sst2: pytorch and onnxruntime took turns in groups 1 and 2, and their "
        "replicates of both groups count"
    )
    assert note in render([run], view=view).splitlines()
    alone = make_run([job for job in run.jobs if job.replicate < 50], run.info.pairs)
    assert "took turns in groups" not in render([alone], view=view)


def test_pages_number_the_replicates_of_each_group_from_one(run: Run) -> None:
    names = ["1 of group 1", "2 of group 1", "1 of group 2", "2 of group 2"]
    lines, _ = replicate_list([run])
    assert [line.name for line in lines if line.pair.startswith("onnxruntime")] == names
    assert [line.name for line in lines if line.pair.startswith("d over")] == names[2:]
    assert list(dict.fromkeys(job.name for job in job_list([run], None)[0])) == names


def test_exports_number_the_replicates_of_each_group_from_one(run: Run) -> None:
    frame = report.frame(run)
    jobs = frame[(frame.kind == "job") & (frame.arm == "onnxruntime")]
    assert list(jobs.replicate) == [1, 2, 1, 2]
    assert list(jobs.group) == [1, 1, 2, 2]
    (text,) = pyperf.files([run]).values()
    of_arm = [
        each["runs"]
        for each in json.loads(text)["benchmarks"]
        if each["metadata"]["name"].startswith("tiny-sst2/onnxruntime/")
    ]
    assert of_arm
    for runs in of_arm:
        numbers = [(one["metadata"]["group"], one["metadata"]["replicate"]) for one in runs]
        assert numbers == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_no_text_shows_the_number_in_the_record(run: Run, tmp_path: Path) -> None:
    page = make_page([run], tmp_path / "page.html")
    for text in (page, render([run])):
        assert not re.search(r"replicates? 5[0-9]", text)
    assert names_of(run)["tiny-sst2"].named([1, 51]) == (
        "replicate 2 of group 1 and replicate 2 of group 2"
    )
