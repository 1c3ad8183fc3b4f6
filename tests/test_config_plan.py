"""Suites expand and plans order jobs as the design says."""

from __future__ import annotations

import collections
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import Suite, load_suite
from harness.estimate import estimate_s, steps_of
from harness.plan import abba, make_plan
from harness.settings import Arm

CONFIGS = Path(__file__).parents[1] / "configs"
GOOD = Path(__file__).parent / "bad_configs" / "good.yaml"
CACHE = Path("cache")


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda f: f.stem)
def test_every_config_validates_and_plans(file: Path) -> None:
    suite = load_suite(file)
    assert suite.suite == file.stem
    assert make_plan(suite, device="cuda", cache_dir=CACHE).jobs


def test_overrides_and_extends_do_not_copy(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(GOOD.read_text())
    child = tmp_path / "child.yaml"
    child.write_text("extends: base.yaml\nsuite: child\ntraining: {learning_rate: 1e-3}\n")
    suite = load_suite(child, ["training.batch_size=16", "arms.sdpa={backend: pytorch, attention: sdpa}"])
    assert (suite.suite, suite.training.batch_size, suite.training.learning_rate) == ("child", 16, 1e-3)
    assert suite.arms["sdpa"].attention == "sdpa"
    assert set(suite.models) == {"tiny"}


def test_models_tasks_and_sweeps_multiply() -> None:
    suite = load_suite(
        GOOD,
        [
            "models.other={architecture: bert-tiny}",
            "workloads.0={model: [tiny, other], task: sst2, sweep: {batch_size: [8, 64]}}",
        ],
    )
    workloads = suite.resolved_workloads()
    assert [w.name for w in workloads] == [
        "tiny-sst2-batch-size8",
        "tiny-sst2-batch-size64",
        "other-sst2-batch-size8",
        "other-sst2-batch-size64",
    ]
    assert [w.training.batch_size for w in workloads] == [8, 64, 8, 64]


def test_an_arm_may_change_a_declared_setting_only_for_itself() -> None:
    suite = load_suite(
        GOOD,
        [
            "arms.onnxruntime.training={optim: adamw_torch_fused}",
            "pairs.0.differs=[training.optim]",
        ],
    )
    optim = {j.arm.name: j.workload.training.optim for j in make_plan(suite, device="cpu", cache_dir=CACHE).jobs}
    assert optim == {"pytorch": "adamw_torch", "onnxruntime": "adamw_torch_fused"}


@given(
    arms=st.lists(st.sampled_from("abcdef"), min_size=2, max_size=5, unique=True),
    launches=st.integers(1, 12),
    seed=st.text(max_size=5),
)
def test_abba_is_balanced(arms: list[str], launches: int, seed: str) -> None:
    order = abba([Arm(name=a, backend="pytorch") for a in arms], launches, seed)
    assert collections.Counter(arm.name for _, arm in order) == dict.fromkeys(arms, launches)
    if launches % 2 == 0:  # linear drift adds the same to every arm
        places = {a: sum(i for i, (_, arm) in enumerate(order) if arm.name == a) for a in arms}
        assert len(set(places.values())) == 1


def test_the_start_of_a_quad_is_drawn_and_seeded() -> None:
    arms = [Arm(name=a, backend="pytorch") for a in "ab"]
    starts = {abba(arms, 2, str(seed))[0][1].name for seed in range(20)}
    assert starts == {"a", "b"}
    assert abba(arms, 8, "s") == abba(arms, 8, "s")


def test_job_ids_are_stable_and_depend_on_what_decides_the_result(tmp_path: Path) -> None:
    def ids(*overrides: str, cache: Path = CACHE) -> list[str]:
        return [j.id for j in make_plan(load_suite(GOOD, overrides), device="cpu", cache_dir=cache).jobs]

    assert ids() == ids(cache=tmp_path)
    assert len(set(ids())) == len(ids()) == 8
    assert not set(ids()) & set(ids("training.batch_size=4"))
    assert set(ids()) < set(ids("measurement.launches=6"))


def test_launch_k_of_both_arms_shares_its_seed() -> None:
    jobs = make_plan(load_suite(GOOD), device="cpu", cache_dir=CACHE).jobs
    for launch in range(4):
        assert {j.seed for j in jobs if j.launch == launch} == {42 + launch}


def test_steps_of_the_published_experiment() -> None:
    job = make_plan(load_suite(CONFIGS / "glue-sst2.yaml"), device="cuda", cache_dir=CACHE).jobs[0]
    assert steps_of(job) == 3 * 8419  # 67,349 samples in batches of 8


def test_estimate_prefers_earlier_runs(tmp_path: Path) -> None:
    jobs = make_plan(load_suite(GOOD, ["training.max_steps=5"]), device="cpu", cache_dir=CACHE).jobs
    _, from_runs, count = estimate_s(jobs, tmp_path, "good")
    assert (from_runs, count) == (0, 8)
    run = tmp_path / "good-20260101-000000"
    run.mkdir()
    record = {"workload": {"name": "tiny-sst2"}, "arm": {"name": "pytorch"}, "state": "ok"}
    lines = [json.dumps({**record, "timing": {"steps": 5, "wall_s": wall}}) for wall in (10.0, 11.0, 30.0)]
    (run / "jobs.jsonl").write_text("\n".join([*lines, '{"torn']))
    seconds, from_runs, _ = estimate_s([j for j in jobs if j.arm.name == "pytorch"], tmp_path, "good")
    assert (seconds, from_runs) == (44.0, 4)


def test_suite_round_trips_through_its_dump() -> None:
    suite = load_suite(GOOD)
    assert Suite.model_validate(suite.model_dump(mode="json")) == suite
