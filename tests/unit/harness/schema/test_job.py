"""A job's specification: complete from its beginning, and validated wherever a job differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.schema.job import JobSpec
from harness.schema.measurement import Interleaved
from harness.schema.workload import Arm, Model, Task, Training, Workload

TURNS = Interleaved(lead_in_steps=3, freeze_collector=True, realtime=True)


def job(**changes: Any) -> JobSpec:
    settings: dict[str, Any] = {
        "suite": "suite",
        "workload": Workload(
            name="w",
            model=Model(name="m", path="hub/m", architecture="roberta-tiny"),
            task=Task(name="sst2"),
            training=Training(),
        ),
        "arm": Arm(name="a", backend="pytorch"),
        "replicate": 0,
        "position": 0,
        "seed": 42,
        "device": "cpu",
        "cache_dir": Path("cache"),
    }
    return JobSpec(**{**settings, **changes})


def test_the_id_is_the_one_that_recorded_runs_know() -> None:
    """An unfinished run is resumed by the ids of its jobs: they stay from version to version."""
    assert job().id == "dcacf41ebebc641f"
    assert job(group=["a", "b"], replicate=3).id == "b914e1e25c530525"


@pytest.mark.parametrize(
    "changes",
    [
        {"position": 7},
        {"cache_dir": Path("elsewhere")},
        {"output_dir": Path("out")},
        {"cores": [1, 2]},
    ],
)
def test_where_and_when_a_job_runs_is_not_in_its_id(changes: dict[str, Any]) -> None:
    assert job(**changes).id == job().id


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 43},
        {"replicate": 1},
        {"device": "cuda"},
        {"parity_run": True},
        {"threads": 2},
        {"suite": "s"},
    ],
)
def test_what_decides_the_result_is_in_the_id(changes: dict[str, Any]) -> None:
    assert job(**changes).id != job().id


def test_a_job_is_the_same_after_its_way_to_the_worker() -> None:
    planned = job(cores=[0, 1], memory_limit_gib=2.0)
    assert JobSpec.model_validate(planned.model_dump(mode="json")) == planned


def test_taking_turns_makes_another_job_and_running_alone_the_first_again() -> None:
    alone = job()
    turns = alone.in_turns(["a", "b"], TURNS)
    assert (turns.group, turns.lead_in_steps) == (["a", "b"], 3)
    assert (turns.freeze_collector, turns.realtime) == (True, True)
    assert turns.id != alone.id
    assert turns.with_cores([4]).alone() == alone


def test_keeping_cores_awake_is_no_matter_of_the_job() -> None:
    """So that jobs planned before there was the setting have the ids that they had."""
    awake = TURNS.replace(keep_awake=True)
    assert job().in_turns(["a", "b"], awake) == job().in_turns(["a", "b"], TURNS)
    assert not Interleaved().keep_awake
    with pytest.raises(ValidationError, match="`keep_awake: true` needs `cores` of 1 or more"):
        awake.replace(cores=0)


def test_a_turn_to_itself_is_for_a_device_whose_use_is_read_in_it() -> None:
    assert (Interleaved().alone_on("cuda"), Interleaved().alone_on("cpu")) == (2.0, 0.0)
    assert Interleaved(alone_seconds=3).alone_on("cpu") == 3.0
    assert Interleaved(alone_seconds=0).alone_on("cuda") == 0.0
    for wrong in (0.5, 1, -1, "abc", 1e9, True, None, float("nan")):
        with pytest.raises(ValidationError) as refused:
            Interleaved(alone_seconds=wrong)
        (error,) = refused.value.errors()
        assert error["loc"] == ("alone_seconds",)
        assert "must be auto, 0, or seconds above 1 and up to 60" in error["msg"]


def test_sources_that_a_run_decided_on_leave_the_id_and_are_validated() -> None:
    planned = job()
    ready = planned.with_sources(data="synthetic", weights="random")
    assert (ready.workload.task.source, ready.workload.model.weights) == ("synthetic", "random")
    assert ready.id == planned.id
    with pytest.raises(ValidationError, match="weights"):
        planned.with_sources(data="hub", weights="whatever")
    with pytest.raises(ValidationError, match="`folder` and `source: folder` go together"):
        planned.with_sources(data="folder", weights="random")


def test_a_copy_that_differs_is_validated() -> None:
    with pytest.raises(TypeError, match="JobSpec has no lunch"):
        job().replace(lunch=1)
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        job().replace(replicate=-1)
    with pytest.raises(ValidationError, match="`weights: random` needs `architecture`"):
        Model(name="m", path="hub/m").replace(weights="random")
