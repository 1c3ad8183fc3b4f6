"""Messages say the numbers, the interval, the cause and the command; pictures are the same every
time.
"""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from alerts_support import finding, verdict

from report.alerts.events import new_events
from report.alerts.message import Message, compose
from report.alerts.plot import BARS, bars, course_of, mermaid, png, svg
from report.alerts.render_markdown import message_markdown, overview_markdown
from report.alerts.render_text import message_text


def told(*args: Any, **more: Any) -> Message:
    return compose(new_events(verdict(finding(*args, **more)), {})[0][0])


def test_a_regression_has_numbers_interval_cause_changes_and_the_command() -> None:
    message = told()
    for text in (message_markdown(message), message_text(message)):
        words = " ".join(text.replace("\\", "").split())
        for part in (
            "29.40 ms",
            "28.00 ms",
            "+5.0%",
            "+56.8%",
            "+55.6% to +58.0%",
            "since run nightly-029",
            "onnxruntime got slower while pytorch kept its time",
            "nightly-028",
            "onnxruntime-training 1.19.0",
            "make bench CONFIG=configs/nightly.yaml ONLY=roberta-base-mrpc",
            message.identity,
            "▇█",
        ):
            assert part in words
    assert (
        message.title
        == "Regression: roberta-base-mrpc, onnxruntime against pytorch: candidate time +5.0%"
    )
    assert message.level == "error"


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("candidate regressed", "onnxruntime got slower"),
        ("baseline improved", "pytorch got faster while onnxruntime kept its time"),
        ("baseline regressed", "pytorch got slower"),
        ("host or driver", "both arms moved alike"),
        ("unclear", "none of the known patterns"),
    ],
)
def test_each_cause_names_who_moved(cause: str, said: str) -> None:
    assert said in told(cause=cause).cause


def test_confirmed_or_not_is_said() -> None:
    assert "second time the same night, it was still so" in told(confirmed=True).summary
    assert "not measured a second time" in told(confirmed=None).summary


def test_steady_says_whether_it_is_back_or_only_used_to_it() -> None:
    _, before = new_events(verdict(finding()), {})
    back = new_events(verdict(finding(31, "steady", 1.0, 0), night=31), before)[0][0]
    assert "is back" in compose(back).summary
    used = finding(45, "steady", 1.05, 16, accepted_since="2025-07-01T00:00:00+00:00")
    (event,) = new_events(verdict(used, night=45), before)[0]
    assert "yet not where it was: the candidate time is +5.6%" in compose(event).summary
    (event,) = new_events(verdict(finding(45, "steady", 1.05, 16), night=45), before)[0]
    assert compose(event).title.startswith("Now the usual level: still +5.6% over nightly-028: ")
    assert compose(back).title.startswith("Steady again: roberta-base-mrpc")


def test_what_the_detector_says_besides_is_kept_and_not_doubled() -> None:
    message = told(
        reason="candidate +5.0% against the mean of 28 nights; 3 nights before 2025-06-01 are "
        "set aside"
    )
    for text in (message_markdown(message), message_text(message)):
        assert " ".join(text.split()).count("3 nights before 2025-06-01 are set aside.") == 1
    assert "Candidate +5.0%" in message.judged
    assert (
        "No result tonight: out of memory."
        in told(state="missing", reason="no result tonight: out of memory").summary
    )


def test_missing_and_no_judgement_say_so_without_figures() -> None:
    missing = told(state="missing")
    assert missing.title == "Stopped running: roberta-base-mrpc, onnxruntime against pytorch"
    assert "no result of this pair. It last had one in run nightly-028." in missing.summary
    assert "Throughput" not in missing.summary
    night = new_events(verdict(problems=["bench failed"], exit_code=2), {})[0][0]
    assert "could not be judged. Bench failed." in compose(night).summary


def test_nothing_recorded_that_changed_is_said() -> None:
    assert "nothing that is recorded" in message_markdown(told(different=[]))


def test_a_long_list_of_changes_is_cut_and_counted() -> None:
    message = told(different=[f"package-{number} 1 -> 2" for number in range(40)])
    assert len(message.changed) == 26
    assert message.changed[-1] == "15 more"


def test_the_overview_has_every_pair_and_problem() -> None:
    pairs = [
        finding(workload=f"model-{state}", state=state)
        for state in ("regression", "steady", "watch", "missing")
    ]
    text = overview_markdown(verdict(*pairs, problems=["nightly-007: damaged"]))
    assert [line.split("|")[1].split()[-1] for line in text.splitlines() if "model-" in line] == [
        "regression", "steady", "watch", "missing",
    ]  # fmt: skip
    assert "nightly-007: damaged" in text


def test_pictures_are_the_same_every_time_and_what_they_claim() -> None:
    message = told()
    assert message.course is not None
    one, two = (png(message.finding, message.course) for _ in range(2))
    assert one == two
    width, height = struct.unpack(">II", one[16:24])
    assert one.startswith(b"\x89PNG") and width > 500 and 200 < height < 500  # noqa: PT018
    drawn = svg(message.finding, message.course)
    assert drawn == svg(message.finding, message.course)
    assert ElementTree.fromstring(drawn).tag.endswith("svg")


def test_a_dollar_in_a_name_is_drawn_not_parsed() -> None:
    message = told(workload="$x_$", candidate="_$\\frac{$")
    assert message.course is not None
    assert png(message.finding, message.course).startswith(b"\x89PNG")


def test_bars_show_the_step_on_a_common_scale() -> None:
    message = told(nights=5)
    assert message.course is not None
    candidate, baseline = bars(message.course)
    assert len(candidate) == len(baseline) == 30
    assert all(bar in BARS[-2:] for bar in candidate[-5:])
    assert all(bar in BARS[:3] for bar in candidate[:-5] + baseline)


def test_the_chart_has_the_nights_numbers_and_no_name() -> None:
    message = told(workload='a"]\n%%{init', factor=1.05)
    assert message.course is not None
    chart = mermaid(message.course)
    assert 'a"]' not in chart
    lines = [line for line in chart.splitlines() if line.strip().startswith("line ")]
    assert [line.count(",") for line in lines] == [29, 29]
    assert "5.63" in lines[0] and "5.63" not in lines[1]  # noqa: PT018


def test_few_or_impossible_nights_give_no_picture() -> None:
    assert course_of(finding(1, nights=1), "x") is None
    broken = [point.model_copy(update={"candidate_s": 0.0}) for point in finding().history]
    assert course_of(finding(history=broken), "x") is None
    assert told(history=[]).bars == ()
