"""Suites expand and plans order jobs as the design says."""

from __future__ import annotations

import collections
import json
from pathlib import Path

import pytest
from folders import BAD_CONFIGS, CONFIGS
from hypothesis import given
from hypothesis import strategies as st

from harness import cli
from harness.config import Suite, load_suite
from harness.planning.estimate import estimate_s, steps_of
from harness.planning.outline import outline
from harness.planning.plan import Device, abba, make_plan
from harness.schema.measurement import Interleaved
from harness.schema.workload import Arm

GOOD = BAD_CONFIGS / "good.yaml"
CACHE = Path("cache")


@pytest.mark.parametrize(
    "file", [f for f in sorted(CONFIGS.glob("*.yaml")) if f.stem != "check"], ids=lambda f: f.stem
)
def test_every_config_validates_and_plans(file: Path) -> None:
    suite = load_suite(file)
    assert suite.suite == file.stem
    assert make_plan(suite, device="cuda", cache_dir=CACHE).jobs


def test_overrides_and_extends_do_not_copy(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(GOOD.read_text())
    child = tmp_path / "child.yaml"
    child.write_text("extends: base.yaml\nsuite: child\ntraining: {learning_rate: 1e-3}\n")
    suite = load_suite(
        child, ["training.batch_size=16", "arms.sdpa={backend: pytorch, attention: sdpa}"]
    )
    assert (suite.suite, suite.training.batch_size, suite.training.learning_rate) == (
        "child",
        16,
        1e-3,
    )
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
    optim = {
        j.arm.name: j.workload.training.optim
        for j in make_plan(suite, device="cpu", cache_dir=CACHE).jobs
    }
    assert optim == {"pytorch": "adamw_torch", "onnxruntime": "adamw_torch_fused"}


@given(
    arms=st.lists(st.sampled_from("abcdef"), min_size=2, max_size=5, unique=True),
    replicates=st.integers(1, 12),
    seed=st.text(max_size=5),
)
def test_abba_is_balanced(arms: list[str], replicates: int, seed: str) -> None:
    order = abba([Arm(name=a, backend="pytorch") for a in arms], replicates, seed)
    assert collections.Counter(arm.name for _, arm in order) == dict.fromkeys(arms, replicates)
    if replicates % 2 == 0:  # linear drift adds the same to every arm
        places = {a: sum(i for i, (_, arm) in enumerate(order) if arm.name == a) for a in arms}
        assert len(set(places.values())) == 1


def test_the_start_of_a_quad_is_drawn_and_seeded() -> None:
    arms = [Arm(name=a, backend="pytorch") for a in "ab"]
    starts = {abba(arms, 2, str(seed))[0][1].name for seed in range(20)}
    assert starts == {"a", "b"}
    assert abba(arms, 8, "s") == abba(arms, 8, "s")


def test_job_ids_are_stable_and_depend_on_what_decides_the_result(tmp_path: Path) -> None:
    def ids(*overrides: str, cache: Path = CACHE) -> list[str]:
        return [
            j.id for j in make_plan(load_suite(GOOD, overrides), device="cpu", cache_dir=cache).jobs
        ]

    assert ids() == ids(cache=tmp_path)
    assert len(set(ids())) == len(ids()) == 10
    assert not set(ids()) & set(ids("training.batch_size=4"))
    assert set(ids()) < set(ids("measurement.replicates=6"))
    assert len(set(ids("measurement.protocol=interleaved")) & set(ids())) == 2, (
        "of an interleaved job only the parity runs are alike"
    )


def test_replicate_k_of_both_arms_shares_its_seed() -> None:
    jobs = make_plan(load_suite(GOOD), device="cpu", cache_dir=CACHE).jobs
    for replicate in range(4):
        assert {j.seed for j in jobs if j.replicate == replicate} == {42 + replicate}


def test_parity_runs_come_before_a_workloads_jobs() -> None:
    jobs = make_plan(
        load_suite(GOOD, ["training.warmup_ratio=0.1"]), device="cpu", cache_dir=CACHE
    ).jobs
    assert [job.parity_run for job in jobs] == [True] * 2 + [False] * 8
    for parity_run, measured in zip(jobs[:2], (jobs[2:4], jobs[2:4]), strict=True):
        assert (
            parity_run.replicate,
            parity_run.seed,
            parity_run.warmup_steps,
            parity_run.do_eval,
        ) == (0, 42, 1, False)
        (same,) = [job for job in measured if job.arm.name == parity_run.arm.name]
        changed = {
            key
            for key, value in parity_run.workload.training.model_dump().items()
            if value != getattr(same.workload.training, key)
        }
        assert changed == {"dropout", "max_steps", "evaluate"}
        assert (parity_run.workload.training.dropout, parity_run.workload.training.max_steps) == (
            0.0,
            20,
        )
    assert not any(
        j.parity_run
        for j in make_plan(
            load_suite(GOOD, ["measurement.parity=null"]), device="cpu", cache_dir=CACHE
        ).jobs
    )


def test_an_adaptive_plan_holds_the_most_replicates() -> None:
    plan = make_plan(
        load_suite(GOOD, ["measurement.adaptive={max_replicates: 10}"]),
        device="cpu",
        cache_dir=CACHE,
    )
    assert plan.measurement.adaptive is not None
    assert {job.replicate for job in plan.jobs} == set(range(10))
    fixed = make_plan(
        load_suite(GOOD, ["measurement.replicates=10"]), device="cpu", cache_dir=CACHE
    )
    assert [job.id for job in fixed.jobs] == [job.id for job in plan.jobs], (
        "order and jobs do not depend on why"
    )


def outlined(*overrides: str, device: Device = "cuda") -> str:
    suite = load_suite(GOOD, overrides)
    return outline(make_plan(suite, device=device, cache_dir=CACHE))


def test_a_plan_in_words_names_parity_runs_order_and_pairs() -> None:
    text = outlined("measurement.replicates=2")
    assert "6 jobs on cuda: replicates of each workload in ABBA order" in text
    assert "parity runs: pytorch onnxruntime" in text
    assert "order: onnxruntime#1 pytorch#1 pytorch#2 onnxruntime#2" in text
    assert "tiny-sst2: onnxruntime against pytorch" in text
    assert "parity_run" not in outlined("measurement.parity=null")


@pytest.mark.parametrize(
    ("device", "contention", "line"),
    [
        (
            "cpu",
            "refuse",
            "replicates that pauses or other processes disturbed heavily run again, up to 2 times",
        ),
        ("cpu", "note", ""),
        (
            "cuda",
            "refuse",
            "what is disturbed (throttling, others on the card, clocks apart, pauses) runs again, "
            "up to 2 times",
        ),
        (
            "cuda",
            "note",
            "what is disturbed (throttling, others on the card, clocks apart) runs again, up to 2 "
            "times",
        ),
    ],
)
def test_a_plan_in_words_says_what_runs_again(device: Device, contention: str, line: str) -> None:
    text = outlined(f"measurement.contention={contention}", device=device)
    assert [found for found in text.splitlines() if "again," in found] == [line] * bool(line)
    assert "again," not in outlined("measurement.max_reruns=0", device=device)


def test_a_plan_in_words_says_when_it_stops() -> None:
    text = outlined(
        "measurement.adaptive={half_width_pp: 0.75, max_replicates: 30, budget_minutes: 90}"
    )
    assert text.startswith("at most 62 jobs")
    assert (
        "stops at ±0.75 pp (steady state), looked at after every two replicates from 8 replicates "
        "on" in text
    )
    assert "at most 30 replicates or 90 min" in text
    assert "… 36 more" in text


def test_a_plan_in_words_describes_turns() -> None:
    text = outlined(
        "measurement={protocol: interleaved, replicates: 3, interleaved: {steps: 5, seconds: 30}}"
    )
    assert (
        "turns of 5 steps; each turn begins with 1 untimed step; 30 s a replicate; at the end of 2 "
        "replicates each arm alone for 2 s, to read its use of the device; all jobs share the same "
        "2 cores; garbage collector frozen\n" in text
    )
    assert "8 jobs on cuda: interleaved\n" in text
    awake = outlined("measurement={protocol: interleaved, interleaved: {keep_awake: true}}")
    assert "garbage collector frozen; the jobs' cores kept awake\n" in awake
    assert "pytorch and onnxruntime in turns: replicates 1 to 3" in text
    other = outlined(
        "measurement.protocol=interleaved",
        "measurement.interleaved={same_cores: false, cores: 1, lead_in_steps: 0, alone_seconds: 0}",
    )
    assert (
        "turns of as many steps as the noise asks for; 45 s a replicate; each job has 1 core of "
        "its own" in other
    )


def test_the_jobs_of_replicates_in_turns_are_started_in_abba_order() -> None:
    overrides = ["measurement={protocol: interleaved, replicates: 5, order_seed: 7}"]
    jobs = [
        j
        for j in make_plan(load_suite(GOOD, overrides), device="cpu", cache_dir=CACHE).jobs
        if not j.parity_run
    ]
    assert [job.arm.name for job in jobs] == [
        "pytorch",
        "onnxruntime",
    ] * 5  # baseline and candidate of each replicate
    starts = [job.arm.name for job in sorted(jobs, key=lambda job: job.position)]
    first = [starts[i : i + 2] for i in range(0, 10, 2)]
    assert all(first[i] == first[i + 1][::-1] for i in (0, 2))
    assert {*first[0]} == {*first[4]} == {"pytorch", "onnxruntime"}
    assert sorted(job.position for job in jobs) == list(range(2, 12))  # after the parity runs
    seeds = [
        f"measurement={{protocol: interleaved, replicates: 1, order_seed: {seed}}}"
        for seed in range(20)
    ]
    plans = [
        make_plan(load_suite(GOOD, [seed]), device="cpu", cache_dir=CACHE).jobs for seed in seeds
    ]
    assert 4 < sum(jobs[-2].position < jobs[-1].position for jobs in plans) < 16  # drawn: 12 of 20


def test_steps_of_the_published_experiment() -> None:
    jobs = make_plan(load_suite(CONFIGS / "glue-sst2.yaml"), device="cuda", cache_dir=CACHE).jobs
    job = next(job for job in jobs if not job.parity_run)
    assert steps_of(job) == 3 * 8419  # 67,349 samples in batches of 8


def test_the_backend_and_the_padding_it_leaves_out_can_be_told_apart_at_batch_128() -> None:
    suite = load_suite(CONFIGS / "glue-sst2-b128.yaml")
    jobs = make_plan(suite, device="cuda", cache_dir=CACHE).jobs
    of = {job.arm.name: job.arm for job in jobs}
    assert of["onnxruntime"].options == {}
    assert of["onnxruntime-padded"].options == {"embedding_sparse_optimizer": False}
    assert of["onnxruntime-padded"].attention == of["pytorch"].attention == "eager"
    pairs = {(pair.baseline, pair.candidate): pair.differs for pair in suite.pairs}
    assert pairs["pytorch", "onnxruntime-padded"] == []
    assert pairs["onnxruntime-padded", "onnxruntime"] == ["options"]
    inherited = load_suite(CONFIGS / "glue-sst2.yaml")
    assert pairs.keys() > {(pair.baseline, pair.candidate) for pair in inherited.pairs}


def test_estimate_prefers_earlier_runs(tmp_path: Path) -> None:
    jobs = make_plan(load_suite(GOOD, ["training.max_steps=5"]), device="cpu", cache_dir=CACHE).jobs
    _, from_runs, count = estimate_s(jobs, tmp_path, "good")
    assert (from_runs, count) == (0, 10)
    run = tmp_path / "good-20260101-000000"
    run.mkdir()
    record = {
        "workload": {"name": "tiny-sst2"},
        "arm": {"name": "pytorch"},
        "device": "cpu",
        "state": "ok",
    }
    lines = [
        json.dumps({**record, "timing": {"steps": 5, "wall_s": wall}})
        for wall in (10.0, 11.0, 30.0)
    ]
    lines += [line.replace('"cpu"', '"NVIDIA Abacus"').replace("11.0", "1.0") for line in lines]
    (run / "jobs.jsonl").write_text("\n".join([*lines, '{"torn']))
    measured = [j for j in jobs if not j.parity_run]
    seconds, from_runs, _ = estimate_s(
        [j for j in measured if j.arm.name == "pytorch"], tmp_path, "good"
    )
    assert (seconds, from_runs) == (44.0, 4)
    on_a_card = [
        job.model_copy(update={"device": "cuda"}) for job in measured if job.arm.name == "pytorch"
    ]
    assert estimate_s(on_a_card, tmp_path, "good")[:2] == (40.0, 4)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_only_what_this_device_can_run_is_estimated(
    capsys: pytest.CaptureFixture[str], precision: str
) -> None:
    assert (
        cli.main(["plan", str(GOOD), "--device", "cpu", "--set", f"training.precision={precision}"])
        == 0
    )
    told = capsys.readouterr().out
    assert ("which needs a GPU" in told) == (precision == "fp16")
    assert ("estimated time: " in told) == (precision == "fp32")


def test_the_replicate_that_ends_after_the_budget_is_in_the_estimate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = ["measurement={protocol: interleaved, parity: null, interleaved: {seconds: 45}}"]
    changes += ["measurement.adaptive={max_replicates: 10, budget_minutes: 2}"]
    arguments = [argument for change in changes for argument in ("--set", change)]
    assert cli.main(["plan", str(GOOD), "--device", "cpu", *arguments]) == 0
    # The budget of 120 s, and 45 s of turns of two jobs that take 12 s to start.
    assert "estimated time: at most 3 min 09 s (" in capsys.readouterr().out


def test_a_replicate_in_turns_is_estimated_once_for_both_jobs(tmp_path: Path) -> None:
    overrides = ["measurement={protocol: interleaved, replicates: 3, parity: null}"]
    jobs = make_plan(load_suite(GOOD, overrides), device="cpu", cache_dir=CACHE).jobs
    assert estimate_s(jobs, tmp_path, "good") == (3 * (45 + 2 * 12), 0, 6)
    settings = Interleaved(seconds=45, alone_seconds=3)
    assert estimate_s(jobs, tmp_path, "good", settings) == (3 * (45 + 2 * 12) + 2 * 2 * 3, 0, 6)
    run = tmp_path / "good-20260101-000000"
    run.mkdir()
    lines = [
        {
            "workload": {"name": "tiny-sst2"},
            "arm": {"name": a},
            "partner": b,
            "device": "cpu",
            "state": "ok",
            "timing": {"wall_s": 60.0},
        }
        for a, b in (("pytorch", "onnxruntime"), ("onnxruntime", "pytorch"))
    ]
    (run / "jobs.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert estimate_s(jobs, tmp_path, "good", settings) == (180.0, 6, 6)


def test_suite_round_trips_through_its_dump() -> None:
    suite = load_suite(GOOD)
    assert Suite.model_validate(suite.model_dump(mode="json")) == suite


def test_an_injected_fault_is_told() -> None:
    suite = load_suite(GOOD, ["arms.onnxruntime.injected_delay_ms=5"])
    plan = make_plan(suite, device="cpu", cache_dir=Path("cache"))
    assert plan.notes == ["a fault was injected: onnxruntime sleeps 5 ms before every batch"]
    assert make_plan(load_suite(GOOD), device="cpu", cache_dir=Path("cache")).notes == []


@pytest.mark.parametrize(
    ("model", "length", "most"),
    [
        ("{architecture: bert-tiny, weights: random}", 1024, 512),
        ("{architecture: roberta-tiny, weights: random}", 513, 512),
        ("{architecture: gpt2-tiny, weights: random}", 2048, 1024),
        (
            "{architecture: bert-tiny, weights: random, config: {max_position_embeddings: 64}}",
            65,
            64,
        ),
        ("{path: ./mine}", 41, 40),
        ("{path: ~/mine, weights: pretrained}", 41, 40),
        ("{path: org/cached, architecture: bert-base}", 31, 30),
    ],
)
def test_a_length_beyond_the_models_positions_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
    length: int,
    most: int,
) -> None:
    """Also where only one arm asks for it, and without a question to the hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TRANSFORMERS_CACHE", str(tmp_path / "hub"))
    snapshot = (
        tmp_path / "hub/models--org--cached/snapshots/0123456789abcdef0123456789abcdef01234567"
    )
    for folder, kind, positions in ((tmp_path / "mine", "roberta", 42), (snapshot, "bert", 30)):
        folder.mkdir(parents=True)
        config = {"model_type": kind, "max_position_embeddings": positions, "pad_token_id": 1}
        (folder / "config.json").write_text(json.dumps(config))
    (tmp_path / "hub/models--org--cached/refs").mkdir()
    (tmp_path / "hub/models--org--cached/refs/main").write_text(snapshot.name)
    words = [
        "plan",
        "smoke",
        "--device",
        "cpu",
        "--set",
        f"models={{tiny: {model}}}",
        "--set",
        "workloads.0.model=tiny",
    ]
    assert cli.main([*words, "--set", f"training.max_seq_length={most}"]) == 0
    capsys.readouterr()
    assert cli.main([*words, "--set", f"training.max_seq_length={length}"]) == 2
    said = capsys.readouterr().err
    assert f"max_seq_length {length} is more than the {most} positions of tiny" in said
    assert f"fix: max_seq_length: {most} or less" in said


def test_t5_takes_any_length(capsys: pytest.CaptureFixture[str]) -> None:
    model = "models={tiny: {architecture: t5-tiny, weights: random}}"
    words = ["plan", "smoke", "--device", "cpu", "--set", model, "--set", "workloads.0.model=tiny"]
    assert cli.main([*words, "--set", "training.max_seq_length=2048"]) == 0


def test_a_configuration_that_is_none_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text("no JSON")
    model = f"models={{tiny: {{path: {tmp_path}}}}}"
    assert (
        cli.main(
            ["plan", "smoke", "--device", "cpu", "--set", model, "--set", "workloads.0.model=tiny"]
        )
        == 2
    )
    assert "config.json: cannot be read" in capsys.readouterr().err


def test_batches_that_are_padded_to_their_longest_sample_have_no_one_length() -> None:
    assert "length 128" in outlined("training.pad_to_max_length=true")
    assert "length up to 128" in outlined("training.pad_to_max_length=false")
