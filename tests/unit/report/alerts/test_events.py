"""What is new tonight: each state against what was told before."""

from __future__ import annotations

import pytest
from alerts_support import finding, verdict

from harness.schema.verdict import Verdict
from report.alerts.events import Event, Told, new_events, subject_of


def nights(*verdicts: Verdict) -> list[list[Event]]:
    """The events of each night, told one after the other."""
    told: dict[str, Told] = {}
    found = []
    for one in verdicts:
        events, told = new_events(one, told)
        found.append(events)
    return found


def kinds(*verdicts: Verdict) -> list[list[str]]:
    return [[event.kind for event in events] for events in nights(*verdicts)]


def test_each_state_is_told_once_and_what_is_no_alarm_never() -> None:
    assert kinds(verdict(finding()), verdict(finding(31, nights=3), night=31)) == [
        ["regression"],
        [],
    ]
    for state in ("steady", "watch", "not enough nights"):
        assert kinds(verdict(finding(state=state))) == [[]]
    assert kinds(
        verdict(finding(state="improvement", factor=0.95)), verdict(finding(31, "watch"), night=31)
    ) == [
        ["improvement"],
        [],
    ]


def test_recovery_follows_an_alarm_only() -> None:
    steady = verdict(finding(31, "steady", 1.0, 0), night=31)
    assert kinds(verdict(finding()), steady, steady) == [["regression"], ["steady"], []]


def test_a_slowdown_that_stays_is_the_usual_level_until_it_is_back_or_accepted() -> None:
    absorbed = [verdict(finding(night, "steady", 1.05, 16), night=night) for night in (45, 46)]
    slower = verdict(finding())
    back = verdict(finding(47, "steady", 1.0, 0), night=47)
    assert kinds(slower, *absorbed, back) == [["regression"], ["usual level"], [], ["steady"]]
    since = {"accepted_since": "2025-07-01T00:00:00+00:00"}
    accepted = verdict(finding(47, "steady", 1.05, 18, **since), night=47)
    assert kinds(slower, *absorbed, accepted) == [["regression"], ["usual level"], [], ["steady"]]
    assert kinds(slower, accepted) == [["regression"], ["steady"]]
    dated = verdict(finding(level_to="2025-07-02T00:00:00+00:00"))  # accepted before it became slow
    assert kinds(dated, accepted) == [["regression"], ["usual level"]]
    worse = verdict(finding(48, factor=1.2), night=48)
    assert kinds(slower, *absorbed, worse)[-1] == ["regression"]


def test_a_usual_level_that_only_the_channel_remembers_stays_open() -> None:
    steady = verdict(finding(45, "steady", 1.05, 16), night=45)
    subject = subject_of(finding())
    for kind, found in (("usual level", []), ("regression", ["steady"])):
        told = {subject: Told(identity="0" * 16, kind=kind)}
        assert [event.kind for event in new_events(steady, told)[0]] == found


def test_an_improvement_that_stays_is_steady() -> None:
    faster = verdict(finding(state="improvement", factor=0.9))
    absorbed = verdict(finding(45, "steady", 0.9, 16), night=45)
    assert kinds(faster, absorbed) == [["improvement"], ["steady"]]


def test_a_host_that_flips_is_told_once_and_not_of_every_pair() -> None:
    flips = [
        finding(31, "watch", 1.0, workload=name, flips="candidate's time flips between a and b")
        for name in ("one", "other")
    ]
    steady = [finding(33, "watch", 1.0, workload=name) for name in ("one", "other")]
    found = nights(
        verdict(*flips, night=31),
        *(verdict(*steady, night=night) for night in (32, 33, 40)),
        verdict(*flips, night=41),
        *(verdict(*steady, night=night) for night in (42, 55, 56)),
    )
    assert [[event.kind for event in events] for events in found] == [
        ["flipping"],
        *[[]] * 6,
        ["steady"],  # 14 days after the first night that looked calm and was followed by no flip
    ]
    assert "one, onnxruntime against pytorch" in found[0][0].finding.flips
    assert "other, onnxruntime against pytorch" in found[0][0].finding.flips


def test_what_was_told_of_a_host_ends_with_its_driver_and_not_with_a_failed_night() -> None:
    flips = finding(31, "watch", 1.0, flips="candidate's time flips between a and b")
    failed = verdict(finding(32, "missing"), night=32)
    elsewhere = verdict(finding(33, "watch", 1.0, host="another driver"), night=33)
    assert kinds(verdict(flips, night=31), failed, elsewhere)[1:] == [
        ["missing"],
        ["moved", "steady"],
    ]


def test_a_pair_that_was_missing_runs_again_whatever_its_state() -> None:
    for state in ("steady", "watch", "not enough nights"):
        assert kinds(verdict(finding(state="missing")), verdict(finding(31, state), night=31)) == [
            ["missing"],
            ["steady"],
        ]


def test_a_regression_that_is_missing_and_back_is_told_each_time_with_identities_of_their_own() -> (
    None
):
    found = nights(
        verdict(finding(30)),
        verdict(finding(31, "missing"), night=31),
        verdict(finding(32, nights=3), night=32),
    )
    assert [event.kind for events in found for event in events] == [
        "regression",
        "missing",
        "regression",
    ]
    assert len({events[0].identity for events in found}) == 3
    assert len({events[0].subject for events in found}) == 1


def test_a_first_night_that_slides_is_not_told_again_a_second_step_is() -> None:
    """The tail has ten nights at most: a lasting regression seems to begin later every night."""
    sliding = [
        verdict(finding(night, nights=min(10, night - 28), factor=1.05), night=night)
        for night in range(30, 50)
    ]
    assert [len(events) for events in nights(*sliding)] == [1] + [0] * 19
    second = verdict(finding(50, factor=1.09), night=50)
    assert [event.kind for event in nights(*sliding, second)[-1]] == ["regression"]
    slight = verdict(finding(50, factor=1.06), night=50)
    assert nights(*sliding, slight)[-1] == []


def test_the_identity_is_that_of_pair_measure_host_kind_and_first_night() -> None:
    first = nights(verdict(finding(30)))[0][0]
    again = nights(verdict(finding(31, nights=3), night=31))[0][
        0
    ]  # the same regression, told a night later
    assert first.identity == again.identity
    others = [
        finding(workload="other"),
        finding(baseline="other"),
        finding(candidate="other"),
        finding(host="other"),
        finding(measure="end_to_end"),
        finding(nights=1),
        finding(state="improvement"),
    ]
    identities = {nights(verdict(one))[0][0].identity for one in others}
    assert len(identities | {first.identity}) == len(others) + 1


def test_names_are_parts_not_a_joined_text() -> None:
    assert subject_of(finding(workload="a", baseline="b c")) != subject_of(
        finding(workload="a b", baseline="c")
    )


def test_a_new_host_closes_what_only_the_old_one_could() -> None:
    found = nights(
        verdict(finding()),
        verdict(finding(31, "not enough nights", host="H100, driver 560"), night=31),
        verdict(finding(32, "not enough nights", host="H100, driver 560"), night=32),
    )
    assert [[event.kind for event in events] for events in found] == [["regression"], ["moved"], []]
    assert found[1][0].subject == found[0][0].subject


def test_a_night_without_judgement_is_told_unless_its_pairs_say_why() -> None:
    nothing = verdict(problems=["run.json is damaged"], exit_code=2)
    assert kinds(nothing, nothing, verdict(finding(31, "steady"), night=31)) == [
        ["no judgement"],
        [],
        ["steady"],
    ]
    assert kinds(verdict(finding(state="missing"), problems=["no jobs"])) == [["missing"]]
    assert kinds(verdict(finding(state="steady"), problems=["one night set aside"])) == [[]]
    first = verdict(
        finding(1, "not enough nights"), problems=["one replicate does not count"], exit_code=2
    )
    assert kinds(first) == [[]]


@pytest.mark.parametrize("state", ["regression", "improvement", "missing"])
def test_the_same_verdict_again_is_not_news(state: str) -> None:
    one = verdict(finding(state=state))
    assert [len(events) for events in nights(one, one, one)] == [1, 0, 0]
