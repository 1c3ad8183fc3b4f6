"""A replicate of a pair with real processes that speak the protocol and go wrong in every way."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from interleaved_support import SCRIPTED, Replicate, group_of
from runner_support import processes_of

from harness.errors import BenchError
from harness.interleaved import GroupOutcome, Observers, group, run_replicate
from harness.interleaved.group import cost_of_switching
from harness.interleaved.pinning import assign
from harness.interleaved.turns import LEAST_ROUNDS, MeasuredTurn
from harness.launcher.channel import Event
from harness.launcher.outcome import judge
from harness.launcher.process import RunningJob
from harness.schema.job import JobSpec
from harness.schema.measurement import Interleaved
from harness.schema.record import State

SETTINGS = Interleaved(seconds=1, steps=2, cores=0, lead_in_steps=1)


@pytest.fixture
def replicate(tmp_path: Path) -> Replicate:
    return Replicate(tmp_path, command=SCRIPTED)


def states(replicate: Replicate, outcome: GroupOutcome) -> list[State]:
    return [
        judge(seen, log)[0]
        for seen, log in zip(outcome.seen, replicate.logs(len(outcome.seen)), strict=True)
    ]


def run(
    replicate: Replicate,
    candidate: dict[str, Any],
    settings: Interleaved = SETTINGS,
    timeout_s: float = 60,
) -> GroupOutcome:
    """A replicate whose candidate behaves as told; nothing of it may be left."""
    outcome = replicate.run(
        group_of(replicate.folder, ("base", "cand"), options=({}, candidate)), settings, timeout_s
    )
    assert processes_of(replicate.folder) == []
    return outcome


def test_a_whole_replicate(replicate: Replicate) -> None:
    outcome = run(replicate, {"step_s": 0.02})
    assert (outcome.problem, outcome.note) == ("", "")
    assert states(replicate, outcome) == [State.OK, State.OK]
    baseline, candidate = outcome.turns
    # A pair of turns: (1 lead-in of twice a step + 2 steps) of 10 ms and of 20 ms make 120 ms; 1 s
    # ends after 10.
    assert len(baseline.steps) == len(candidate.steps) == 10
    assert [sorted(both) for both in zip(baseline.place, candidate.place, strict=True)] == [
        [0, 1]
    ] * 10
    assert (baseline.step_s, candidate.step_s) == (
        [pytest.approx(0.01)] * 10,
        [pytest.approx(0.02)] * 10,
    )
    assert (baseline.lead_in_s, candidate.lead_in_s) == (
        [pytest.approx(0.02)] * 10,
        [pytest.approx(0.04)] * 10,
    )
    assert [
        int(a > b) for a, b in zip(baseline.begin_ns, candidate.begin_ns, strict=True)
    ] == baseline.place
    assert baseline.levers == {"collector": "frozen"}
    assert set(baseline.steps) == set(candidate.steps) == {2}
    # One at a time: a turn is over before the next begins.
    turns = sorted((event["begin_ns"], event["end_ns"]) for _, event in replicate.named("turn"))
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(turns))
    assert replicate.pids == tuple(job.pid for job in replicate.jobs)


def test_each_arm_has_a_last_turn_to_itself_that_counts_nowhere(replicate: Replicate) -> None:
    jobs = group_of(replicate.folder, ("base", "cand"), options=({}, {"step_s": 0.02}))
    outcome = replicate.run(jobs, SETTINGS, alone_s=1.5)
    assert (outcome.problem, outcome.note) == ("", "")
    last = [(arm, event) for arm, event in replicate.named("turn")][-2:]
    assert [arm for arm, _ in last] == ["base", "cand"]
    for times, (_, event), steps, step_s in zip(
        outcome.turns, last, (150, 75), (0.01, 0.02), strict=True
    ):
        assert len(times.steps) == 10
        assert times.alone is not None
        assert (times.alone.steps, times.alone.step_s) == (steps, pytest.approx(step_s))
        assert (times.alone.begin_ns, times.alone.end_ns) == (event["begin_ns"], event["end_ns"])
        assert max(times.begin_ns) < times.alone.begin_ns
        assert event["lead_in_s"] == []


def test_a_turn_to_itself_lasts_as_long_as_asked_for(replicate: Replicate) -> None:
    """75 steps of 20 ms would make 1.5 s, but alone they take 8 ms each: then 113 more."""
    options = ({}, {"step_s": 0.02, "alone_step_s": 0.008})
    jobs = group_of(replicate.folder, ("base", "cand"), options=options)
    outcome = replicate.run(jobs, SETTINGS, alone_s=1.5)
    first, second = [event for arm, event in replicate.named("turn") if arm == "cand"][-2:]
    assert [len(event["timed_s"]) for event in (first, second)] == [75, 113]
    alone = outcome.turns[1].alone
    assert alone is not None
    assert (alone.steps, alone.step_s) == (188, pytest.approx(0.008))
    assert (alone.begin_ns, alone.end_ns) == (first["begin_ns"], second["end_ns"])
    assert len(outcome.turns[1].steps) == 10


@pytest.mark.parametrize("at", [15, 99])
def test_training_that_ends_in_the_turn_to_itself_is_a_result(
    replicate: Replicate, at: int
) -> None:
    """With 99 it does not: 14 rounds and the turn to itself are all."""
    jobs = group_of(replicate.folder, ("base", "cand"), options=({}, {"do": "end early", "at": at}))
    outcome = replicate.run(jobs, SETTINGS, alone_s=1.5)
    assert (outcome.problem, outcome.note) == ("", "")
    assert states(replicate, outcome) == [State.OK, State.OK]
    baseline, candidate = outcome.turns
    assert len(baseline.steps) == len(candidate.steps) == 14
    assert baseline.alone is not None
    assert (candidate.alone is None) == (at == 15)


def test_pilot_pairs_are_marked(replicate: Replicate) -> None:
    outcome = run(replicate, {}, Interleaved(seconds=30, steps="auto", cores=0, lead_in_steps=0))
    times = outcome.turns[0]
    assert times.pilot > 16
    assert set(times.steps[1 : times.pilot]) == {1, 2, 4, 8}
    assert len(set(times.steps[times.pilot :])) == 1
    assert times.lead_in_s == []
    counts = [event["timed_s"] for _, event in replicate.named("turn")]
    assert len(counts) == 2 * len(times.steps)
    # The scripted worker's first step after a pause is no slower than the others when nothing is
    # lead-in.
    assert times.switch_s == pytest.approx(0, abs=1e-9)


def test_the_cost_of_switching_is_first_step_against_the_rest_of_its_turn() -> None:
    turns = [
        MeasuredTurn([], [0.013, 0.010, 0.010]),
        MeasuredTurn([0.012], [0.010]),
        MeasuredTurn([], [0.5]),
    ]
    assert cost_of_switching(turns) == (pytest.approx(0.0025), pytest.approx(0.0005))
    assert cost_of_switching(turns[1:]) == (None, None)


@pytest.mark.parametrize("at", [0, 1, 7])
@pytest.mark.parametrize(
    ("do", "state", "words"),
    [
        ("die", State.CRASHED, "cand was killed by SIGKILL"),
        ("exit", State.CRASHED, "cand exited with 7 without a result"),
        ("diverge", State.DIVERGED, "cand ended as diverged (the loss became nan at step 9)"),
        ("garbage", State.CRASHED, "cand broke the protocol"),
        ("nonsense", State.CRASHED, "cand broke the protocol"),
        ("too many steps", State.CRASHED, "cand broke the protocol"),
    ],
)
def test_whatever_ends_one_job_stops_the_other(
    replicate: Replicate, do: str, at: int, state: State, words: str
) -> None:
    begin = time.monotonic()
    outcome = run(replicate, {"do": do, "at": at})
    assert time.monotonic() - begin < 15
    assert outcome.problem == words
    assert states(replicate, outcome) == [State.INTERRUPTED, state]
    assert judge(outcome.seen[0], replicate.logs()[0])[1].startswith(
        f"stopped because its partner {words}, in phase"
    )
    lengths = {len(times.steps) for times in outcome.turns}
    assert lengths == {max(0, at - 1)}  # pairs that both finished


@pytest.mark.parametrize("at", [0, 3])
def test_a_pair_that_does_not_fit(replicate: Replicate, at: int) -> None:
    outcome = run(replicate, {"do": "out of memory", "at": at})
    assert outcome.problem.startswith(
        "the jobs do not fit together: cand ended as out_of_memory (CUDA out of mem"
    )
    assert states(replicate, outcome) == [State.INTERRUPTED, State.OUT_OF_MEMORY]


@pytest.mark.parametrize("at", [0, 2])
def test_a_job_that_hangs_is_killed_at_the_time_limit(replicate: Replicate, at: int) -> None:
    outcome = run(replicate, {"do": "hang", "at": at}, timeout_s=3)
    assert outcome.problem == "the time limit of 3 s was reached, waiting for cand"
    assert states(replicate, outcome) == [State.INTERRUPTED, State.TIMEOUT]
    assert "its partner cand took too long" in outcome.seen[0].stop_reason


def test_training_that_ends_by_itself_counts_if_there_is_enough(replicate: Replicate) -> None:
    outcome = run(replicate, {"do": "end early", "at": LEAST_ROUNDS + 3})
    assert not outcome.problem
    assert (
        "the training of cand (at step 40) ended by itself after 10 rounds of turns" in outcome.note
    )
    assert len(outcome.turns[0].steps) == LEAST_ROUNDS + 2
    assert states(replicate, outcome) == [State.OK, State.OK]


@pytest.mark.parametrize("at", [0, 2])
def test_training_that_ends_too_early_is_no_measurement(replicate: Replicate, at: int) -> None:
    outcome = run(replicate, {"do": "end early", "at": at})
    assert "ended by itself after" in outcome.problem
    assert states(replicate, outcome) == [State.OK, State.OK]


def test_a_job_that_fails_after_its_last_turn(replicate: Replicate) -> None:
    outcome = run(replicate, {"do": "fail at the end"})
    assert outcome.problem == "cand exited with 5"
    assert states(replicate, outcome) == [State.OK, State.CRASHED]


def test_told_to_stop(replicate: Replicate) -> None:
    def stop_after_five(arm: str, event: Event) -> None:
        if len(replicate.named("turn")) == 5:
            replicate.reason = "stopped by SIGINT"

    replicate.watch = stop_after_five
    outcome = run(replicate, {})
    assert outcome.problem == "stopped by SIGINT"
    assert states(replicate, outcome) == [State.INTERRUPTED, State.INTERRUPTED]


def test_a_wake_up_is_heard_at_once(replicate: Replicate) -> None:
    """The pipe of a signal handler ends a wait that nothing else would end."""
    wake, write_end = os.pipe()
    times: list[float] = []

    def started(pids: tuple[int, ...], spinners: tuple[int, ...]) -> None:
        os.write(write_end, b"x")

    def reason() -> str:
        times.append(time.monotonic())
        return "stopped by SIGTERM"

    begin = time.monotonic()
    outcome = run_replicate(
        group_of(replicate.folder, ("base", "cand"), options=({}, {"do": "hang", "at": 0})),
        replicate.logs(),
        pairs=[("base", "cand")],
        settings=SETTINGS,
        start=replicate._start,
        timeout_s=60,
        observers=Observers(
            stop_reason=reason,
            on_event=lambda spec, event: None,
            on_started=started,
            wake_fd=wake,
        ),
    )
    os.close(wake)
    os.close(write_end)
    assert times[0] - begin < 1
    assert outcome.problem == "stopped by SIGTERM"
    assert processes_of(replicate.folder) == []


@pytest.mark.parametrize("positions", [(4, 5), (5, 4)])
def test_the_lower_position_is_started_first(
    replicate: Replicate, positions: tuple[int, int]
) -> None:
    pair = group_of(replicate.folder, ("base", "cand"))
    baseline, candidate = (
        job.model_copy(update={"position": at}) for job, at in zip(pair, positions, strict=True)
    )
    outcome = replicate.run((baseline, candidate), SETTINGS)
    assert not outcome.problem
    assert [job.arm.name for job in outcome.jobs] == ["base", "cand"]
    started = [running.job.arm.name for running in replicate.jobs]
    assert started == (["base", "cand"] if positions == (4, 5) else ["cand", "base"])


def test_a_second_job_that_cannot_start_takes_the_first_with_it(replicate: Replicate) -> None:
    def start(spec: JobSpec, log: Path) -> RunningJob:
        if spec.arm.name == "cand":
            raise BenchError("cannot start a job")
        return replicate._start(spec, log)

    with pytest.raises(BenchError):
        run_replicate(
            group_of(replicate.folder, ("base", "cand")),
            replicate.logs(),
            pairs=[("base", "cand")],
            settings=SETTINGS,
            start=start,
            timeout_s=60,
            observers=Observers(stop_reason=lambda: "", on_event=lambda spec, event: None),
        )
    assert processes_of(replicate.folder) == []


def test_cores_are_assigned_unless_the_specs_have_their_own(replicate: Replicate) -> None:
    own = {"cores": [0]}
    pair = group_of(replicate.folder, ("base", "cand"))
    settings = Interleaved(seconds=0.1, steps=1, cores=1)
    outcome = replicate.run(pair, settings)
    assert {len(spec.cores or ()) for spec in outcome.jobs} == {1}
    assert outcome.turns[0].levers["same_cores"]
    kept = replicate.run(group_of(replicate.folder, ("base", "cand"), **own), settings)
    assert [spec.cores for spec in kept.jobs] == [[0], [0]]


def test_cores_are_kept_awake_during_the_turns(replicate: Replicate) -> None:
    settings = Interleaved(seconds=1, steps=2, cores=1, keep_awake=True)
    cores = assign(settings, "cpu", 1)[0]
    spinning: list[bool] = []

    def watch(arm: str, event: Event) -> None:
        for pid in replicate.spinners or ():
            if event["event"] == "turn":
                process = psutil.Process(pid)
                spinning.append(process.status() == psutil.STATUS_RUNNING)
                assert process.cpu_affinity() == cores

    replicate.watch = watch
    outcome = run_group(replicate, {}, {}, settings=settings)
    assert (outcome.problem, outcome.note) == ("", "")
    assert [spec.cores for spec in outcome.jobs] == [cores] * 2
    assert replicate.spinners is not None
    assert len(replicate.spinners) == 1
    assert spinning
    assert all(spinning)
    for times in outcome.turns:
        assert times.levers["kept_awake"] is True
        assert "awake_refused" not in times.levers
    assert not psutil.pid_exists(replicate.spinners[0])


def test_cores_that_cannot_be_kept_awake_do_not_end_the_replicate(replicate: Replicate) -> None:
    pair = group_of(replicate.folder, ("base", "cand"), cores=[100_000])
    outcome = replicate.run(pair, Interleaved(seconds=1, steps=2, keep_awake=True))
    assert outcome.problem == ""
    assert states(replicate, outcome) == [State.OK, State.OK]
    for times in outcome.turns:
        assert len(times.steps) > LEAST_ROUNDS
        assert times.levers["kept_awake"] is False
        assert times.levers["awake_refused"] == "Invalid argument"
    assert processes_of(replicate.folder) == []


def run_group(
    replicate: Replicate, *options: dict[str, Any], settings: Interleaved = SETTINGS
) -> GroupOutcome:
    """A replicate of arms a, b, c … that behave as told, a the baseline of all others."""
    arms = "abcdefgh"[: len(options)]
    outcome = replicate.run(
        group_of(replicate.folder, arms, options=options), settings, timeout_s=60
    )
    assert processes_of(replicate.folder) == []
    return outcome


def test_a_group_takes_turns_by_a_williams_design(replicate: Replicate) -> None:
    outcome = run_group(replicate, {}, {"step_s": 0.02}, {"step_s": 0.015})
    assert (outcome.problem, outcome.note) == ("", "")
    assert states(replicate, outcome) == [State.OK] * 3
    rounds = list(zip(*(times.place for times in outcome.turns), strict=True))
    assert len(rounds) == 12  # whole designs of six rounds; (3 + 6 + 4.5) · 4 · 10 ms make 180 ms
    # The place of each arm in a round is a permutation, and a design has each of them once.
    assert sorted(rounds[:6]) == sorted(itertools.permutations(range(3)))
    assert sorted(rounds[6:]) == sorted(itertools.permutations(range(3)))
    turns = sorted((event["begin_ns"], event["end_ns"]) for _, event in replicate.named("turn"))
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(turns))
    assert replicate.pids == tuple(job.pid for job in replicate.jobs)


@pytest.mark.parametrize("at", [0, 1, 5])
@pytest.mark.parametrize(
    ("do", "state", "words"),
    [
        ("die", State.CRASHED, "was killed by SIGKILL"),
        ("diverge", State.DIVERGED, "ended as diverged (the loss became nan at step 9)"),
        ("out of memory", State.OUT_OF_MEMORY, "ended as out_of_memory (CUDA out of memory)"),
        ("nonsense", State.CRASHED, "broke the protocol"),
    ],
)
def test_an_arm_that_ends_leaves_the_group_and_the_others_go_on(
    replicate: Replicate, do: str, at: int, state: State, words: str
) -> None:
    outcome = run_group(replicate, {}, {"do": do, "at": at}, {}, {})
    assert outcome.problem == ""
    assert outcome.note == f"b left the group: it {words}"
    assert states(replicate, outcome) == [State.OK, state, State.OK, State.OK]
    rounds = [len(times.steps) for times in outcome.turns]
    assert rounds[1] == max(0, at - 1)
    assert rounds[0] == rounds[2] == rounds[3] >= LEAST_ROUNDS
    # Each round that all took part in has four places, and each later one three.
    for index in range(rounds[0]):
        here = [times.place[index] for times in outcome.turns if len(times.place) > index]
        assert sorted(here) == list(range(len(here)))
    assert {times.steps[0] for times in outcome.turns if times.steps} == {2}


def test_without_the_baseline_no_pair_is_left(replicate: Replicate) -> None:
    outcome = run_group(replicate, {"do": "die", "at": 3}, {}, {})
    assert outcome.problem == "a was killed by SIGKILL"
    assert states(replicate, outcome) == [State.CRASHED, State.INTERRUPTED, State.INTERRUPTED]
    said = judge(outcome.seen[1], replicate.logs(3)[1])[1]
    assert said.startswith("stopped because a was killed by SIGKILL, in phase train")


def test_arms_that_leave_one_by_one_end_the_group_with_the_last_pair(replicate: Replicate) -> None:
    outcome = run_group(replicate, {}, {"do": "exit", "at": 2}, {"do": "die", "at": 4})
    assert outcome.problem == ("b exited with 7 without a result and c was killed by SIGKILL")
    assert states(replicate, outcome) == [State.INTERRUPTED, State.CRASHED, State.CRASHED]


def test_set_ups_wait_for_one_another(
    replicate: Replicate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a host with cores for two set-ups the third job begins when one of them is ready."""
    monkeypatch.setattr(group, "CORES_OF_A_SET_UP", 1000)
    order: list[tuple[str, str]] = []
    replicate.watch = lambda arm, event: order.append((arm, event["event"]))
    outcome = run_group(replicate, {}, {}, {}, {})
    assert states(replicate, outcome) == [State.OK] * 4
    for late, at_least in (("c", 1), ("d", 2)):
        before = order[: order.index((late, "phase"))]
        assert len([arm for arm, event in before if event == "ready"]) >= at_least


def test_a_job_that_compiled_begins_again_before_the_turns(replicate: Replicate) -> None:
    started: list[tuple[int, ...]] = []
    replicate.on_started = started.append
    outcome = run(replicate, {"compiles": 1})
    assert (outcome.problem, outcome.note) == ("", "")
    assert states(replicate, outcome) == [State.OK, State.OK]
    base, first, second = replicate.jobs
    assert started == [(base.pid, first.pid), (base.pid, second.pid)]
    assert [turns.compiling_setup_s for turns in outcome.turns] == [None, 9.0]
    assert {arm for arm, _ in replicate.named("turn")} == {"base", "cand"}
    # The time of both processes was spent on this job.
    assert first.seen.wall_s is not None
    assert second.seen.wall_s is not None
    assert outcome.seen[1].wall_s == first.seen.wall_s + second.seen.wall_s


def test_a_job_that_compiles_every_time_begins_again_once(replicate: Replicate) -> None:
    outcome = run(replicate, {"compiles": 5})
    assert states(replicate, outcome) == [State.OK, State.OK]
    assert len(replicate.jobs) == 3


def test_all_jobs_that_compiled_begin_again_together(replicate: Replicate) -> None:
    options = ({"compiles": 1}, {}, {"compiles": 1})
    jobs = group_of(replicate.folder, ("a", "b", "c"), options=options)
    outcome = replicate.run(jobs, SETTINGS, 60)
    assert states(replicate, outcome) == [State.OK] * 3
    assert [turns.compiling_setup_s for turns in outcome.turns] == [9.0, None, 9.0]
    ready = [arm for arm, _ in replicate.named("ready")]
    assert sorted(ready[:3]) == ["a", "b", "c"]
    assert sorted(ready[3:]) == ["a", "c"]
    assert processes_of(replicate.folder) == []


def test_a_job_that_dies_when_it_begins_again_ends_the_pair(replicate: Replicate) -> None:
    outcome = run(replicate, {"compiles": 1, "do": "die", "at": 0, "begins": 2})
    assert outcome.problem == "cand was killed by SIGKILL"
    assert states(replicate, outcome) == [State.INTERRUPTED, State.CRASHED]


def test_only_the_arms_that_may_begin_again_do(replicate: Replicate) -> None:
    options = ({}, {"compiles": 1}, {"compiles": 1})
    jobs = group_of(replicate.folder, ("a", "b", "c"), options=options)
    outcome = replicate.run(jobs, SETTINGS, 60, may_begin_again=["c"])
    assert states(replicate, outcome) == [State.OK] * 3
    assert [turns.compiling_setup_s for turns in outcome.turns] == [None, None, 9.0]


def test_told_to_stop_while_the_job_that_compiled_is_ended(replicate: Replicate) -> None:
    def watch(arm: str, event: Event) -> None:
        if event["event"] == "ready" and arm == "cand":
            replicate.reason = "Ctrl-C"

    replicate.watch = watch
    outcome = run(replicate, {"compiles": 1})
    said = [judge(seen, log) for seen, log in zip(outcome.seen, replicate.logs(), strict=True)]
    assert [state for state, _ in said] == [State.INTERRUPTED] * 2
    assert all(reason.startswith("Ctrl-C") for _, reason in said)


def test_told_to_stop_while_a_job_begins_again(replicate: Replicate) -> None:
    def watch(arm: str, event: Event) -> None:
        if event["event"] == "ready" and len(replicate.jobs) == 3:
            replicate.reason = "Ctrl-C"

    replicate.watch = watch
    outcome = run(replicate, {"compiles": 1})
    assert outcome.problem == "Ctrl-C"
    assert states(replicate, outcome) == [State.INTERRUPTED, State.INTERRUPTED]
