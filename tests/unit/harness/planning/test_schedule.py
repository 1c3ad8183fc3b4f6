"""What a run does next, played through without processes: every kill, rerun, refusal and stop by
records alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from folders import BAD_CONFIGS
from hypothesis import given
from hypothesis import strategies as st
from property_support import examples
from runner_support import BASELINE, CANDIDATE, ended, make_job, make_plan, measured

from harness.config import load_suite
from harness.planning.plan import Plan
from harness.planning.plan import make_plan as plan_of
from harness.planning.schedule import Item, Looked, Note, Refused, Replanned, Schedule, Work
from harness.schema.job import JobSpec
from harness.schema.measurement import Adaptive
from harness.schema.record import (
    Fingerprint,
    GpuTelemetry,
    JobRecord,
    Memory,
    State,
    Telemetry,
    Timing,
)
from harness.schema.replicates import ReplicateNames

GOOD = BAD_CONFIGS / "good.yaml"
Outcome = Callable[[JobSpec, int], JobRecord]


def well(job: JobSpec, attempt: int) -> JobRecord:
    return ended(
        job, attempt=attempt, timing=Timing(steady_step_s=1.0 if job.arm.name == BASELINE else 0.5)
    )


def play(
    plan: Plan,
    records: list[JobRecord],
    outcome: Outcome = well,
    kill_after: int | None = None,
    **o: Any,
) -> tuple[list[Item], bool]:
    """Do what the schedule asks for; killed after so many works. What it asked for, and whether it
    came to its end.
    """
    items: list[Item] = []
    works = 0
    for item in Schedule(plan, records, **o):  # type: ignore[arg-type]
        if isinstance(item, Work):
            if works == kill_after:
                return items, False
            works += 1
            records += [outcome(job, item.attempt) for job in item.jobs]
        items.append(item)
        assert works < 500, "it never ends"
    return items, True


def ids(items: Sequence[Item]) -> list[str]:
    return ["+".join(job.id for job in item.jobs) for item in items if isinstance(item, Work)]


def notes(items: Sequence[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, Note)]


def suite_plan(*overrides: str) -> Plan:
    return plan_of(load_suite(GOOD, overrides), device="cpu", cache_dir=Path("cache"))


def test_parity_runs_come_first_and_everything_runs_once() -> None:
    plan = suite_plan()
    records: list[JobRecord] = []
    items, done = play(plan, records)
    assert done
    assert ids(items) == [job.id for job in plan.jobs]
    assert [record.parity_run for record in records] == [True, True] + [False] * 8
    assert play(plan, records)[0] == [], "nothing is left for a resumed run"


def disturbed_at_first(*disturbed: str, times: int = 1) -> Outcome:
    def outcome(job: JobSpec, attempt: int) -> JobRecord:
        if job.id in disturbed and attempt <= times:
            return ended(job, State.CONTAMINATED, "GPU 0 was throttled", attempt)
        return well(job, attempt)

    return outcome


def test_a_disturbed_quad_runs_again_at_once_and_whole() -> None:
    plan = make_plan([{}] * 8, max_reruns=2)
    records: list[JobRecord] = []
    items, _ = play(plan, records, disturbed_at_first("job1"))
    assert ids(items) == [f"job{n}" for n in (0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7)]
    assert [record.attempt for record in records] == [1] * 4 + [2] * 4 + [1] * 4
    assert notes(items) == [
        "tiny, replicates 1 and 2: run again, attempt 2: onnxruntime in replicate 1: GPU 0 was "
        "throttled"
    ]


def test_reruns_are_bounded_and_what_stays_disturbed_is_said() -> None:
    plan = make_plan([{}] * 4, max_reruns=2)
    records: list[JobRecord] = []
    items, done = play(plan, records, disturbed_at_first("job2", times=9))
    assert done
    assert [record.attempt for record in records] == [1] * 4 + [2] * 4 + [3] * 4
    assert notes(items)[-1].startswith(
        "tiny, replicates 1 and 2: left as it is after 3 attempt(s): pytorch in replicate 2"
    )
    assert ids(play(measured(plan, max_reruns=0), [], disturbed_at_first("job2"))[0]) == [
        "job0",
        "job1",
        "job2",
        "job3",
    ]


@pytest.mark.parametrize("kill_after", range(12))
def test_a_kill_in_a_rerun_repeats_no_job(kill_after: int) -> None:
    plan = make_plan([{}] * 6, max_reruns=2)
    records: list[JobRecord] = []
    outcome = disturbed_at_first("job1", times=2)
    play(plan, records, outcome, kill_after=kill_after)
    _, done = play(plan, records, outcome)
    uninterrupted: list[JobRecord] = []
    play(plan, uninterrupted, outcome)
    assert done
    assert [(r.id, r.attempt) for r in records] == [(r.id, r.attempt) for r in uninterrupted]


def test_an_interrupted_job_runs_again_in_its_attempt() -> None:
    plan = make_plan([{}] * 4, max_reruns=2)
    records: list[JobRecord] = []
    play(plan, records, disturbed_at_first("job0"), kill_after=5)
    records.append(ended(plan.jobs[1], State.INTERRUPTED, "stopped by SIGINT", attempt=2))
    items, _ = play(plan, records, disturbed_at_first("job0"))
    assert ids(items) == ["job1", "job2", "job3"]
    assert {record.attempt for record in records[4:]} == {2}


def test_failed_jobs_are_retried_once_and_only_when_told_to() -> None:
    plan = make_plan([{}] * 4)
    records: list[JobRecord] = []

    def broken(job: JobSpec, attempt: int) -> JobRecord:
        return (
            ended(job, State.CRASHED, "as told", attempt)
            if job.id == "job2"
            else well(job, attempt)
        )

    play(plan, records, broken)
    assert ids(play(plan, records, broken)[0]) == []
    assert ids(play(plan, records, broken, retry_failed=True)[0]) == ["job2"]
    assert ids(play(plan, records, well, retry_failed=True)[0]) == ["job2"]
    assert ids(play(plan, records, well, retry_failed=True)[0]) == []


def noisy(deviation: float) -> Outcome:
    def outcome(job: JobSpec, attempt: int) -> JobRecord:
        noise = random.Random(job.id).gauss(0, deviation)
        seconds = (1.0 if job.arm.name == BASELINE else 0.5) * math.exp(noise)
        return ended(job, attempt=attempt, timing=Timing(steady_step_s=seconds))

    return outcome


ADAPTIVE = Adaptive(half_width_pp=2.0, min_replicates=4, max_replicates=20)


def test_precision_ends_a_workload_and_the_rest_is_dropped() -> None:
    plan = make_plan([{}] * 40, adaptive=ADAPTIVE)
    items, done = play(plan, [], noisy(0.0001))
    assert done
    assert ids(items) == [f"job{n}" for n in range(8)]
    looks = [item for item in items if isinstance(item, Looked)]
    assert [look.decision.stop for look in looks] == [False, True]
    assert [job.id for job in looks[-1].dropped] == [f"job{n}" for n in range(8, 40)]


@examples(25)
@given(st.lists(st.integers(0, 12), max_size=4), st.sampled_from([0.001, 0.01, 0.02]))
def test_a_run_that_is_killed_and_resumed_stops_where_it_would_have(
    kills: list[int], deviation: float
) -> None:
    plan = make_plan([{}] * 40, adaptive=ADAPTIVE)
    straight: list[JobRecord] = []
    play(plan, straight, noisy(deviation))
    records: list[JobRecord] = []
    for kill in kills:
        play(plan, records, noisy(deviation), kill_after=kill)
    items, done = play(plan, records, noisy(deviation))
    assert done
    assert [record.id for record in records] == [record.id for record in straight]
    again = play(plan, records, noisy(deviation))[0]
    assert ids(again) == []
    looks = [item.decision for item in again if isinstance(item, Looked)]
    assert looks[-1] == [item.decision for item in items if isinstance(item, Looked)][-1]


def with_fingerprints(**by_arm: str) -> Outcome:
    def outcome(job: JobSpec, attempt: int) -> JobRecord:
        return ended(
            job, attempt=attempt, fingerprint=Fingerprint(optimizer=by_arm.get(job.arm.name))
        )

    return outcome


THREE_ARMS = (
    "arms.third={backend: pytorch}",
    "pairs=[{baseline: pytorch, candidate: onnxruntime}, {baseline: pytorch, candidate: third}]",
    "measurement.replicates=2",
)


def test_a_refused_pair_is_not_run_but_what_another_pair_needs_is() -> None:
    records: list[JobRecord] = []
    items, done = play(
        suite_plan(*THREE_ARMS), records, with_fingerprints(pytorch="A", onnxruntime="B", third="A")
    )
    assert done
    (refused,) = [item for item in items if isinstance(item, Refused)]
    assert refused.refusal.candidate == "onnxruntime"
    assert refused.refusal.reasons == ["optimizer is A in pytorch and B in onnxruntime"]
    assert {job.arm.name for job in refused.dropped} == {"onnxruntime"}
    measured = [record.arm.name for record in records if not record.parity_run]
    assert sorted(measured) == ["pytorch"] * 2 + ["third"] * 2
    again, _ = play(suite_plan(*THREE_ARMS), records)
    assert ids(again) == []
    assert refused in again, "a resumed run knows it too"


def test_all_pairs_refused_leaves_only_the_parity_runs() -> None:
    records: list[JobRecord] = []
    items, done = play(suite_plan(), records, with_fingerprints(pytorch="A", onnxruntime="B"))
    assert done
    assert all(record.parity_run for record in records)
    assert len([item for item in items if isinstance(item, Refused)]) == 1


def test_without_parity_runs_the_first_quad_is_the_probe() -> None:
    records: list[JobRecord] = []
    plan = suite_plan(*THREE_ARMS, "measurement.parity=null", "measurement.replicates=4")
    items, done = play(plan, records, with_fingerprints(pytorch="A", onnxruntime="B", third="A"))
    assert done
    (refused,) = [item for item in items if isinstance(item, Refused)]
    assert refused.refusal.reasons == ["optimizer is A in pytorch and B in onnxruntime"]
    replicates = {
        arm: [r.replicate for r in records if r.arm.name == arm]
        for arm in ("pytorch", "onnxruntime", "third")
    }
    assert {arm: sorted(ran) for arm, ran in replicates.items()} == {
        "pytorch": [0, 1, 2, 3],
        "onnxruntime": [0, 1],
        "third": [0, 1, 2, 3],
    }
    again, _ = play(plan, records)
    assert ids(again) == []
    assert [item.refusal for item in again if isinstance(item, Refused)] == [refused.refusal]


def test_a_parity_run_that_fails_refuses_nothing() -> None:
    def outcome(job: JobSpec, attempt: int) -> JobRecord:
        if job.parity_run and job.arm.name == CANDIDATE:
            return ended(job, State.FALLBACK, "not engaged", attempt)
        return with_fingerprints(pytorch="A", onnxruntime="B")(job, attempt)

    records: list[JobRecord] = []
    items, _ = play(suite_plan(), records, outcome)
    assert len(records) == 10
    assert not [item for item in items if isinstance(item, Refused)]


INTERLEAVED = ("measurement.protocol=interleaved", "measurement.replicates=3")


def failing(states: dict[tuple[int, int], tuple[State, State]]) -> Outcome:
    """(replicate, attempt) → states of (pytorch, onnxruntime); everything else goes well."""

    def outcome(job: JobSpec, attempt: int) -> JobRecord:
        if job.parity_run or not job.group or (job.replicate, attempt) not in states:
            return well(job, attempt)
        state = states[(job.replicate, attempt)][job.arm.name == CANDIDATE]
        return ended(job, state, "" if state is State.OK else f"as told: {state}", attempt)

    return outcome


def test_an_interleaved_plan_runs_all_jobs_of_a_replicate_together() -> None:
    plan = suite_plan(*INTERLEAVED, *THREE_ARMS[:2], "measurement.interleaved.realtime=true")
    items, done = play(plan, [])
    together = [item.jobs for item in items if isinstance(item, Work) and len(item.jobs) > 1]
    assert done
    arms = [BASELINE, CANDIDATE, "third"]
    assert [[(job.arm.name, job.replicate) for job in jobs] for jobs in together] == [
        [(arm, replicate) for arm in arms] for replicate in (0, 1, 2)
    ]
    for job in (job for jobs in together for job in jobs):
        assert job.group == arms
        assert job.seed == 42 + job.replicate
        assert (job.lead_in_steps, job.freeze_collector, job.realtime) == (1, True, True)
    assert len({job.id for job in plan.jobs}) == len(plan.jobs)


def test_a_replicate_whose_worker_died_is_relaunched_once() -> None:
    died = {(1, 1): (State.INTERRUPTED, State.CRASHED)}
    records: list[JobRecord] = []
    items, done = play(suite_plan(*INTERLEAVED), records, failing(died))
    assert done
    assert [(r.replicate, r.attempt) for r in records if not r.parity_run][::2] == [
        (0, 1),
        (1, 1),
        (1, 2),
        (2, 1),
    ]
    assert notes(items) == [
        "tiny-sst2, replicate 2 of pytorch and onnxruntime: run again, attempt 2: onnxruntime in "
        "replicate 2: "
        "as told: crashed"
    ]
    records = []
    twice = {**died, (1, 2): (State.CRASHED, State.INTERRUPTED)}
    items, done = play(suite_plan(*INTERLEAVED), records, failing(twice))
    assert done
    assert [(r.replicate, r.attempt) for r in records if not r.parity_run][::2] == [
        (0, 1),
        (1, 1),
        (1, 2),
        (2, 1),
    ]
    assert "left as it is after 2 attempt(s): pytorch in replicate 2" in notes(items)[-1]


def test_a_replicate_the_user_interrupted_runs_again_in_its_attempt() -> None:
    plan = suite_plan(*INTERLEAVED)
    for states in ((State.INTERRUPTED, State.INTERRUPTED), (State.OK, State.INTERRUPTED)):
        records: list[JobRecord] = []
        play(plan, records, kill_after=3)  # two parity runs, one replicate
        both = [job for job in plan.jobs if job.replicate == 1]
        records += [ended(job, state) for job, state in zip(both, states, strict=True)]
        items, _ = play(plan, records)
        assert [
            (item.jobs[0].replicate, item.attempt) for item in items if isinstance(item, Work)
        ] == [(1, 1), (2, 1)]


def test_half_a_replicate_on_disk_runs_again_whole() -> None:
    records: list[JobRecord] = []
    play(suite_plan(*INTERLEAVED), records, kill_after=3)
    items, _ = play(suite_plan(*INTERLEAVED), records[:-1])
    assert [len(item.jobs) for item in items if isinstance(item, Work)] == [2, 2, 2]


def test_a_disturbed_replicate_in_turns_runs_again_a_crash_counts_apart() -> None:
    bad = (State.CONTAMINATED, State.CONTAMINATED)
    states = {(0, 1): bad, (0, 2): (State.CRASHED, State.INTERRUPTED), (0, 3): bad, (0, 4): bad}
    records: list[JobRecord] = []
    _, done = play(suite_plan(*INTERLEAVED, "measurement.max_reruns=2"), records, failing(states))
    assert done
    assert [r.attempt for r in records if not r.parity_run and r.replicate == 0][::2] == [
        1,
        2,
        3,
        4,
    ]


def test_a_pair_that_does_not_fit_is_measured_sequentially() -> None:
    states = {(replicate, 1): (State.INTERRUPTED, State.OUT_OF_MEMORY) for replicate in range(3)}
    plan = suite_plan(*INTERLEAVED)
    records: list[JobRecord] = []
    items, done = play(plan, records, failing(states))
    assert done
    (note,) = notes(items)
    assert note.startswith(
        "tiny-sst2: pytorch and onnxruntime do not fit on the device together (onnxruntime ran out"
    )
    sequential = [record for record in records if not record.group and not record.parity_run]
    assert [(r.arm.name, r.replicate) for r in sequential] == [
        (BASELINE, 0),
        (CANDIDATE, 0),
        (CANDIDATE, 1),
        (BASELINE, 1),
        (BASELINE, 2),
        (CANDIDATE, 2),
    ]
    resumed = records[:6]
    play(plan, resumed, failing(states))
    assert [r.id for r in resumed] == [r.id for r in records]


GROUP = (*INTERLEAVED, *THREE_ARMS[:2])


def group_failing(states: dict[tuple[str, int, int], State]) -> Outcome:
    """(arm, replicate, attempt) → state; everything else goes well."""

    def outcome(job: JobSpec, attempt: int) -> JobRecord:
        state = states.get((job.arm.name, job.replicate, attempt))
        if job.parity_run or not job.group or state is None:
            return well(job, attempt)
        return ended(job, state, f"as told: {state}", attempt)

    return outcome


def groups(items: Sequence[Item]) -> list[Work]:
    return [item for item in items if isinstance(item, Work) and item.jobs[0].group]


def works(items: Sequence[Item]) -> list[tuple[str, int]]:
    """The arms and the replicate of every group that was run."""
    return [
        (" ".join(job.arm.name for job in item.jobs), item.jobs[0].replicate)
        for item in groups(items)
    ]


def called(items: Sequence[Item]) -> list[str]:
    """What the replicates of every group that was run are called."""
    return [item.names.name(item.jobs[0].replicate) for item in groups(items)]


def assert_counted(plan: Plan, items: Sequence[Item]) -> None:
    """Exactly those jobs ran that were planned and not dropped, or added in their place."""
    expected = {job.id for job in plan.jobs}
    for item in items:
        if isinstance(item, Replanned):
            dropped, added = ({job.id for job in jobs} for jobs in (item.dropped, item.added))
            assert dropped <= expected
            assert not added & expected
            expected = (expected - dropped) | added
    assert {job.id for item in items if isinstance(item, Work) for job in item.jobs} == expected


def test_an_arm_that_crashed_costs_a_group_no_second_attempt() -> None:
    records: list[JobRecord] = []
    crash = {("third", 1, 1): State.CRASHED}
    items, done = play(suite_plan(*GROUP), records, group_failing(crash))
    assert done
    assert works(items) == [(f"{BASELINE} {CANDIDATE} third", n) for n in (0, 1, 2)]
    # Without the baseline there is no pair, and the replicate is made once more.
    crash = {
        (BASELINE, 1, 1): State.CRASHED,
        (CANDIDATE, 1, 1): State.INTERRUPTED,
        ("third", 1, 1): State.INTERRUPTED,
    }
    items, done = play(suite_plan(*GROUP), [], group_failing(crash))
    assert done
    assert [replicate for _, replicate in works(items)] == [0, 1, 1, 2]


def test_a_group_that_the_user_interrupted_runs_again_although_an_arm_had_crashed() -> None:
    plan = suite_plan(*GROUP)
    records: list[JobRecord] = []
    play(plan, records, kill_after=3)  # three parity runs
    first = [job for job in plan.jobs if job.replicate == 0 and not job.parity_run]
    states = {"third": State.CRASHED}
    records += [ended(job, states.get(job.arm.name, State.INTERRUPTED)) for job in first]
    items, _ = play(plan, records)
    assert [replicate for _, replicate in works(items)] == [0, 1, 2]


def test_an_arm_that_runs_out_of_memory_splits_the_group_into_its_pairs() -> None:
    records: list[JobRecord] = []
    unfit = {("third", 1, 1): State.OUT_OF_MEMORY}
    items, done = play(suite_plan(*GROUP), records, group_failing(unfit))
    assert done
    assert_counted(suite_plan(*GROUP), items)
    assert works(items) == [
        (f"{BASELINE} {CANDIDATE} third", 0),
        (f"{BASELINE} {CANDIDATE} third", 1),
        (f"{BASELINE} {CANDIDATE}", 4),
        (f"{BASELINE} {CANDIDATE}", 5),
        (f"{BASELINE} third", 7),
        (f"{BASELINE} third", 8),
    ]
    assert notes(items) == [
        "tiny-sst2: pytorch and onnxruntime and third do not fit on the device together (third ran "
        "out of memory in replicate 2): each pair takes turns by itself instead"
    ]
    assert called(items) == [
        *("replicate 1", "replicate 2"),
        *("replicate 2 of group 2", "replicate 3 of group 2"),
        *("replicate 2 of group 3", "replicate 3 of group 3"),
    ]
    assert {r.seed for r in records if r.replicate == 7} == {42 + 7}
    resumed = records[:9]
    play(suite_plan(*GROUP), resumed, group_failing(unfit))
    assert [r.id for r in resumed] == [r.id for r in records]


def test_two_arms_of_a_pair_and_its_mirror_are_measured_sequentially_at_once() -> None:
    """Splitting their group into pairs would make the same group again."""
    mirrored = (
        f"pairs=[{{baseline: {BASELINE}, candidate: {CANDIDATE}}}, "
        f"{{baseline: {CANDIDATE}, candidate: {BASELINE}}}]"
    )
    records: list[JobRecord] = []
    unfit = {(CANDIDATE, 0, 1): State.OUT_OF_MEMORY}
    items, done = play(suite_plan(*INTERLEAVED, mirrored), records, group_failing(unfit))
    assert done
    assert_counted(suite_plan(*INTERLEAVED, mirrored), items)
    assert works(items) == [(f"{BASELINE} {CANDIDATE}", 0)]
    alone = [r for r in records if not r.group and not r.parity_run]
    assert {(r.arm.name, r.replicate) for r in alone} == {
        (arm, n) for arm in (BASELINE, CANDIDATE) for n in (0, 1, 2)
    }
    (note,) = [text for text in notes(items) if "do not fit" in text]
    assert note.endswith("measured sequentially instead")


def test_a_group_too_large_by_its_parity_runs_is_split_beforehand() -> None:
    """Three arms need 1.1 · (4 + 3 + 3) GiB of 10."""

    def outcome(job: JobSpec, attempt: int) -> JobRecord:
        peak = (4 if job.arm.name == BASELINE else 3) * 2**30
        card = GpuTelemetry(index=0, memory_peak_bytes=peak, memory_total_bytes=10 * 2**30)
        telemetry = Telemetry(interval_s=0.1, gpus=[card]) if job.parity_run else None
        return well(job, attempt).replace(telemetry=telemetry)

    records: list[JobRecord] = []
    items, done = play(suite_plan(*GROUP), records, outcome)
    assert done
    assert_counted(suite_plan(*GROUP), items)
    assert called(items) == [f"replicate {n} of group {g}" for g in (1, 2) for n in (1, 2, 3)]
    # A report names them alike, from the numbers in the records.
    names = ReplicateNames.of_numbers(3, {r.replicate for r in records if not r.parity_run})
    assert [item.names for item in groups(items)] == [names] * 6
    assert works(items) == [
        *((f"{BASELINE} {CANDIDATE}", n) for n in (0, 1, 2)),
        *((f"{BASELINE} third", n) for n in (9, 10, 11)),
    ]
    assert notes(items) == [
        "tiny-sst2: by their parity runs the arms need 11.0 GiB together, and the device has 10.0 "
        "GiB: they take turns in 2 groups (pytorch, onnxruntime; pytorch, third)"
    ]

    def dies(job: JobSpec, attempt: int) -> JobRecord:
        if (job.arm.name, job.replicate, attempt) == ("third", 10, 1):
            return ended(job, State.CRASHED, "as told", attempt)
        return outcome(job, attempt)

    assert notes(play(suite_plan(*GROUP), [], dies)[0])[1:] == [
        "tiny-sst2, replicate 2 of group 2 (pytorch, third): run again, attempt 2: third in "
        "replicate 2 of group 2: as told"
    ]


def seen_on_a_card(peak_gib: float, total_gib: float = 10) -> Outcome:
    """Every job needs so much of the card; of parity runs beside others the card tells nothing."""

    def outcome(job: JobSpec, attempt: int) -> JobRecord:
        made = well(job, attempt)
        if job.arm.name != BASELINE:
            memory = Memory(torch_peak_reserved_bytes=int((peak_gib - 1.2) * 2**30))
            return made.replace(memory=memory, share_s=20.0)
        card = GpuTelemetry(
            index=0,
            memory_peak_bytes=int(peak_gib * 2**30),
            memory_total_bytes=int(total_gib * 2**30),
        )
        return made.replace(telemetry=Telemetry(interval_s=0.1, gpus=[card]))

    return outcome


def parity_works(items: Sequence[Item]) -> list[str]:
    return [
        " ".join(job.arm.name for job in item.jobs)
        for item in items
        if isinstance(item, Work) and item.jobs[0].parity_run
    ]


@pytest.mark.parametrize(
    ("peak_gib", "expected"),
    [
        (2.0, [BASELINE, f"{CANDIDATE} third"]),
        (5.0, [BASELINE, CANDIDATE, "third"]),  # 1.1 · 5 GiB: one at a time
        (12.0, [BASELINE, CANDIDATE, "third"]),
    ],
)
def test_parity_runs_after_the_first_run_side_by_side_where_the_card_has_room(
    peak_gib: float, expected: list[str]
) -> None:
    items, done = play(suite_plan(*GROUP), [], seen_on_a_card(peak_gib))
    assert done
    assert parity_works(items) == expected


def test_parity_runs_run_one_after_the_other_where_no_card_tells_its_memory() -> None:
    items, _ = play(suite_plan(*GROUP), [])
    assert parity_works(items) == [BASELINE, CANDIDATE, "third"]


def test_a_resumed_run_has_the_parity_runs_that_are_missing() -> None:
    records: list[JobRecord] = []
    play(suite_plan(*GROUP), records, seen_on_a_card(2.0), kill_after=1)
    assert [record.arm.name for record in records] == [BASELINE]
    items, done = play(suite_plan(*GROUP), records, seen_on_a_card(2.0))
    assert done
    assert parity_works(items) == [f"{CANDIDATE} third"]


def test_the_latest_record_of_a_parity_run_tells_its_memory() -> None:
    """Those of an interrupted run tell less than the job needs, or nothing."""
    records: list[JobRecord] = []

    def interrupted(job: JobSpec, attempt: int) -> JobRecord:
        early = seen_on_a_card(0.5 if job.arm.name == BASELINE else 1.2)(job, attempt)
        memory = Memory() if job.arm.name != BASELINE else early.memory
        return early.replace(state=State.INTERRUPTED, memory=memory)

    play(suite_plan(*GROUP), records, interrupted, kill_after=1)
    records += [interrupted(job, 1) for job in suite_plan(*GROUP).jobs if job.parity_run][1:]
    items, done = play(suite_plan(*GROUP), records, seen_on_a_card(5.0))
    assert done
    assert parity_works(items) == [BASELINE, CANDIDATE, "third"]
    assert [text for text in notes(items) if "16.5 GiB together" in text]


def test_what_parity_runs_reserved_side_by_side_decides_on_groups_too() -> None:
    """1.1 · 3 · 3 GiB are 9.9 of 10, and with 3.1 GiB each 10.2."""
    fits, _ = play(suite_plan(*GROUP), [], seen_on_a_card(3.0))
    assert {arms for arms, _ in works(fits)} == {f"{BASELINE} {CANDIDATE} third"}
    split, _ = play(suite_plan(*GROUP), [], seen_on_a_card(3.1))
    assert {arms for arms, _ in works(split)} == {
        f"{BASELINE} {CANDIDATE}",
        f"{BASELINE} third",
    }


def test_adaptive_stopping_looks_at_a_group_after_every_replicate() -> None:
    adaptive = "measurement.adaptive={min_replicates: 2, max_replicates: 6, half_width_pp: 1}"
    records: list[JobRecord] = []
    items, done = play(suite_plan(*GROUP, adaptive), records)
    assert done
    looked = [item for item in items if isinstance(item, Looked)]
    assert [item.decision.stop for item in looked] == [False, True]
    assert len(looked[-1].dropped) == 4 * 3
    assert {pair.state for pair in looked[-1].decision.pairs} == {"precision reached"}
    assert works(items) == [(f"{BASELINE} {CANDIDATE} third", n) for n in (0, 1)]


def test_a_job_alone_is_the_job_of_the_epochs_protocol() -> None:
    interleaved = [job for job in suite_plan(*INTERLEAVED).jobs if not job.parity_run]
    sequential = {
        job.id for job in suite_plan("measurement.replicates=3").jobs if not job.parity_run
    }
    assert {job.alone().id for job in interleaved} == sequential


def test_a_plan_without_pairs_still_runs_its_jobs() -> None:
    plan = replace(make_plan([{}]), pairs=())
    assert ids(play(plan, [])[0]) == [make_job(0).id]
