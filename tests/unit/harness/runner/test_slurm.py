"""Suites over a cluster: elements, what sbatch is told, and parts that become one run."""

from __future__ import annotations

import os
from pathlib import Path

from folders import ROOT
from report_factory import make_job, make_run, write_run
from submit_support import needs_submitit, submit

from harness.config import load_suite
from harness.planning.plan import make_plan
from harness.results.host import describe_host
from harness.results.run_folder import read_info, read_records
from harness.runner.gather import gather, pairs_of
from harness.runner.slurm import elements_of, leave_other_host
from harness.schema.record import Host, JobRecord, Pair, RunInfo

SMOKE = ROOT / "configs" / "smoke.yaml"


def pair(workload: str, baseline: str, candidate: str) -> Pair:
    return Pair(workload=workload, baseline=baseline, candidate=candidate)


def test_pairs_that_share_an_arm_are_one_element() -> None:
    """It is measured once; on two hosts its times would be of neither pair."""
    ab, cd, bc, other = (
        pair("w", "a", "b"),
        pair("w", "c", "d"),
        pair("w", "b", "c"),
        pair("v", "a", "b"),
    )
    assert pairs_of([ab, cd, other]) == [[ab], [cd], [other]]
    assert pairs_of([ab, cd, other, bc]) == [[ab, cd, bc], [other]]


def test_the_smoke_suite_has_an_element_for_each_pair() -> None:
    elements = elements_of(make_plan(load_suite(SMOKE), device="cpu", cache_dir=Path("c")))
    assert [element.name for element in elements] == ["001-roberta-tiny-sst2", "002-bert-tiny-sst2"]
    assert elements[1].pairs == ("bert-tiny-sst2:pytorch:onnxruntime",)
    several = elements_of(
        make_plan(
            load_suite(ROOT / "configs/scaling-smoke.yaml"), device="cpu", cache_dir=Path("c")
        )
    )
    assert [element.processes for element in several] == [1, 2]


def part(run: Path, name: str, jobs: list[JobRecord], **fields: object) -> None:
    write_run(run / "parts" / name, make_run(jobs, **fields))  # type: ignore[arg-type]
    for folder in ("series", "logs"):
        (run / "parts" / name / folder).mkdir()
    (run / "parts" / name / "logs" / f"{jobs[0].id}.log").write_text(name)


def test_parts_become_one_run_in_the_suites_order_whoever_ends_first(tmp_path: Path) -> None:
    run = tmp_path / "run"
    whole = RunInfo(
        run="run",
        suite="test",
        created_at="",
        config={"suite": "test"},
        config_sha256="c",
        pairs=[],
    )
    one = [make_job(arm, model="one") for arm in ("pytorch", "onnxruntime")]
    two = [make_job(arm, model="two") for arm in ("pytorch", "onnxruntime")]
    part(
        run,
        "002-two",
        two,
        host=Host(cpu="Other", name_sha256="b" * 64),
        config={"resolved_sources": {"data": {"x": 1}}},
    )
    info = gather(run, ["001-one", "002-two"], whole)
    assert info is not None
    assert (info.status, info.parts) == ("incomplete", ["001-one", "002-two"])
    part(
        run,
        "001-one",
        one,
        host=Host(cpu="This", name_sha256="a" * 64),
        config={"resolved_sources": {"data": {"y": 2}}},
    )
    info = gather(run, ["001-one", "002-two"], whole)
    assert info is not None
    assert info == read_info(run)
    assert (info.status, info.config["resolved_sources"]) == (
        "complete",
        {"data": {"y": 2, "x": 1}},
    )
    assert any(
        "different hosts: 001-one: aaaaaaaa; 002-two: bbbbbbbb" in note for note in info.notes
    )
    records, damage = read_records(run)
    assert [record.workload.model.name for record in records] == ["one", "one", "two", "two"]
    assert {record.run for record in records} == {"run"}
    assert not damage.lines
    assert (run / "logs" / f"{two[0].id}.log").read_text() == "002-two"


def test_a_part_that_began_on_another_host_is_set_aside_and_told(tmp_path: Path) -> None:
    run = tmp_path / "run"
    here = describe_host()
    part(run, "001-one", [make_job()], host=here, status="incomplete")
    leave_other_host(run / "parts" / "001-one")
    assert (run / "parts" / "001-one").exists()
    there = here.model_copy(update={"cpu": "another"})
    part(run, "002-two", [make_job(model="two")], host=there, status="incomplete")
    leave_other_host(run / "parts" / "002-two")
    assert not (run / "parts" / "002-two").exists()
    assert (run / "parts" / "002-two.left-1" / "jobs.jsonl").exists()
    whole = RunInfo(run="run", suite="test", created_at="", config_sha256="c")
    info = gather(run, ["001-one", "002-two"], whole)
    assert info is not None
    assert (
        "002-two began 1 time(s) on another host; its 1 record(s) from there are left out"
        in info.notes
    )


def test_sbatch_is_told_of_an_array_with_a_whole_node_for_each_element(tmp_path: Path) -> None:
    needs_submitit()
    script = submitted(tmp_path, "--slurm", "partition=gpu", "--minutes", "90")
    for line in (
        "--array=0-1",
        "--partition=gpu",
        "--exclusive",
        "--gpus-per-node=1",
        "--nodes=1",
        "--time=90",
    ):
        assert f"#SBATCH {line}" in script, script


def submitted(tmp_path: Path, *words: str) -> str:
    """What sbatch is given. No cluster here: it is a script that keeps that."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sbatch").write_text(
        f'#!/bin/sh\ncp "$1" {tmp_path}/script\necho Submitted batch job 77\n'
    )
    (tools / "srun").write_text("#!/bin/sh\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    process = submit(tmp_path, *words, PATH=path)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "submitted 2 of 2 elements: 77_0, 77_1" in said
    return (tmp_path / "script").read_text()


def test_an_element_of_several_nodes_has_one_runner(tmp_path: Path) -> None:
    """It starts what the other nodes do; with a runner on each every job would run twice."""
    needs_submitit()
    script = submitted(tmp_path, "--set", "launch.nodes=2", "--device", "cpu")
    assert "#SBATCH --nodes=2" in script
    (runner,) = [line for line in script.splitlines() if line.startswith("srun ")]
    assert "--nodes=1 --ntasks=1" in runner
