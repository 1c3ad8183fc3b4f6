"""GitHub issues against a local server that behaves as GitHub does: one issue per pair, opened,
updated, closed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alerts_support import (
    TOKEN,
    Answer,
    GitHub,
    Request,
    Served,
    environ,
    finding,
    served,
    verdict,
    write,
)

from harness.errors import BenchError
from harness.schema.verdict import Verdict
from report.alerts.channels.base import Context
from report.alerts.channels.issues import Issues
from report.alerts.delivery import Patience
from report.alerts.pipeline import alert
from report.alerts.secrets import Secrets


def tell(
    tmp_path: Path,
    server: Served,
    *verdicts: Verdict,
    state: str | None = "state.json",
    label: str = "",
) -> int:
    code = 0
    for one in verdicts:
        path = write(tmp_path / "verdict.json", one)
        target = f"issues={label}" if label else "issues"
        code = alert(path, [target], tmp_path / state if state else None, 5.0, environ(server))
    return code


STEADY = verdict(finding(31, "steady", 1.0, 0), night=31)


def test_opened_commented_on_closed_and_opened_again(tmp_path: Path) -> None:
    github = GitHub()
    with served(github) as server:
        assert tell(tmp_path, server, verdict(finding())) == 0
        (issue,) = github.issues
        assert issue["state"] == "open"
        assert issue["labels"] == [{"name": "bench-alert"}]
        assert issue["title"].startswith("Regression: roberta-base-mrpc")
        assert "make bench CONFIG=configs/nightly.yaml" in issue["body"]

        tell(tmp_path, server, verdict(finding(31, nights=3), night=31))
        assert github.comments[1] == []

        tell(tmp_path, server, verdict(finding(32, "missing"), night=32))
        assert len(github.comments[1]) == 1
        assert issue["title"].startswith("Stopped running")
        assert issue["state"] == "open"

        tell(tmp_path, server, verdict(finding(33, "steady", 1.0, 0), night=33))
        assert (issue["state"], issue["state_reason"]) == ("closed", "completed")
        assert "has results again" in github.comments[1][1]["body"]

        tell(tmp_path, server, verdict(finding(34, nights=1), night=34))
        assert (issue["state"], issue["state_reason"]) == ("open", "reopened")
    assert len(github.issues) == 1
    assert len(github.comments[1]) == 3


def test_a_slowdown_that_has_become_usual_stays_open_under_a_label(tmp_path: Path) -> None:
    github = GitHub()
    with served(github) as server:
        tell(tmp_path, server, verdict(finding()))
        absorbed = verdict(finding(45, "steady", 1.05, 16), night=45)
        tell(tmp_path, server, absorbed)
        (issue,) = github.issues
        assert issue["state"] == "open"
        assert issue["labels"] == [{"name": "bench-alert"}, {"name": "bench-usual-level"}]
        assert issue["title"].startswith("Now the usual level: still +5.6% over ")
        (tmp_path / "state.json").unlink()  # the issue remembers
        tell(tmp_path, server, verdict(finding(46, "steady", 1.05, 17), night=46))
        assert (issue["state"], len(github.comments[1])) == ("open", 1)
        tell(tmp_path, server, verdict(finding(47, factor=1.2), night=47))
        assert issue["labels"] == [{"name": "bench-alert"}]


def test_one_issue_per_pair_among_many_pages(tmp_path: Path) -> None:
    github = GitHub(page=2)
    pairs = [finding(workload=f"model-{number}") for number in range(9)]
    with served(github) as server:
        tell(tmp_path, server, verdict(*pairs))
        assert len(github.issues) == 9
        back = [finding(31, "steady", 1.0, 0, workload=f"model-{number}") for number in range(9)]
        tell(tmp_path, server, verdict(*back, night=31))
        assert [issue["state"] for issue in github.issues] == ["closed"] * 9
        assert [len(comments) for comments in github.comments.values()] == [1] * 9
        again = [finding(32, nights=1, workload=f"model-{number}") for number in range(9)]
        tell(tmp_path, server, verdict(*again, night=32))
    assert len(github.issues) == 9
    assert any("page" in request.query for request in server.seen)


def test_a_comment_on_a_later_page_is_found(tmp_path: Path) -> None:
    github = GitHub(page=1)
    with served(github) as server:
        tell(tmp_path, server, verdict(finding()))
        missing = verdict(finding(31, "missing"), night=31)
        tell(tmp_path, server, missing)
        github.comments[1][:0] = [{"body": f"a person's comment {number}"} for number in range(3)]
        (tmp_path / "state.json").unlink()
        github.issues[0]["body"] = github.issues[0]["body"].replace(
            " missing ", " regression "
        )  # as it was before
        tell(tmp_path, server, missing)
    assert len(github.comments[1]) == 4


def test_a_lost_state_repeats_nothing_and_still_closes(tmp_path: Path) -> None:
    github = GitHub()
    with served(github) as server:
        for night in (30, 31, 32):
            tell(
                tmp_path,
                server,
                verdict(finding(night, nights=night - 28), night=night),
                state=None,
            )
        assert (len(github.issues), github.comments[1]) == (1, [])
        tell(tmp_path, server, verdict(finding(33, "steady", 1.0, 0), night=33), state=None)
    assert github.issues[0]["state"] == "closed"
    assert len(github.comments[1]) == 1


def test_an_issue_that_a_person_closed_stays_closed(tmp_path: Path) -> None:
    github = GitHub()
    with served(github) as server:
        tell(tmp_path, server, verdict(finding()))
        github.issues[0]["state"] = "closed"
        tell(tmp_path, server, verdict(finding(31, nights=3), night=31))
    assert github.issues[0]["state"] == "closed"


def test_what_a_person_wrote_into_the_body_stays(tmp_path: Path) -> None:
    github = GitHub()
    with served(github) as server:
        tell(tmp_path, server, verdict(finding()))
        github.issues[0]["body"] = "we know, see the forum\n" + github.issues[0]["body"]
        tell(tmp_path, server, verdict(finding(31, "missing"), night=31))
    assert github.issues[0]["body"].startswith("we know, see the forum\n")


def test_labels_dropped_or_taken_away_make_no_second_issue(tmp_path: Path) -> None:
    github = GitHub()
    github.drop_labels = True  # as GitHub does where the token may not set them
    with served(github) as server:
        tell(tmp_path, server, verdict(finding()))
        tell(
            tmp_path,
            server,
            verdict(finding(31, "missing"), night=31),
            STEADY,
        )
    assert len(github.issues) == 1
    assert github.issues[0]["state"] == "closed"


def test_pull_requests_and_foreign_issues_are_left_alone(tmp_path: Path) -> None:
    github = GitHub()
    with served(github) as server:
        tell(tmp_path, server, verdict(finding()))
        mine = github.issues[0]
        copied = {**mine, "number": 2, "pull_request": {}}
        github.issues[:] = [copied, {**mine, "number": 2, "body": None}]
        github.comments[2] = []
        (tmp_path / "state.json").unlink()
        tell(tmp_path, server, verdict(finding(31, "missing"), night=31))
    assert len(github.issues) == 3
    assert github.comments[2] == []


def test_a_label_of_ones_own(tmp_path: Path) -> None:
    github = GitHub()
    with served(github) as server:
        tell(tmp_path, server, verdict(finding()), label="perf")
    assert github.issues[0]["labels"] == [{"name": "perf"}]


def test_an_answer_lost_after_creation_makes_no_second_issue(tmp_path: Path) -> None:
    """A POST that was carried out and answered 502: only looking again tells."""
    github = GitHub()
    lost: list[str] = []

    def after(request: Request, answer: Answer) -> Answer:
        if request.method in ("POST", "PATCH") and request.method + request.path not in lost:
            lost.append(request.method + request.path)
            return Answer(502)
        return answer

    github.after = after  # type: ignore[assignment]
    with served(github) as server:
        assert tell(tmp_path, server, verdict(finding())) == 0
        assert tell(tmp_path, server, STEADY) == 0
    assert len(lost) == 3
    assert (len(github.issues), len(github.comments[1])) == (1, 1)
    assert github.issues[0]["state"] == "closed"


def test_a_message_that_is_refused_does_not_hold_back_the_others(tmp_path: Path) -> None:
    def refuse(request: Request) -> Answer:
        bad = request.method == "POST" and "model-1" in request.content["title"]
        return Answer(422, {"message": "Validation Failed"}) if bad else Answer(200)

    github = GitHub(before=refuse)
    pairs = verdict(*(finding(workload=f"model-{number}") for number in range(3)))
    with served(github) as server:
        assert tell(tmp_path, server, pairs) == 1
        assert len(github.issues) == 2
        github.before = None
        assert tell(tmp_path, server, pairs) == 0
    assert sorted(issue["title"].split()[1] for issue in github.issues) == [
        "model-0,",
        "model-1,",
        "model-2,",
    ]


def test_a_next_page_on_another_host_gets_no_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(lambda request: Answer(200, [])) as thief:
        lured = Answer(200, [], {"Link": f'<{thief.url}/repos/owner/name/issues>; rel="next"'})
        with served(lambda request: lured) as server:
            assert tell(tmp_path, server, verdict(finding())) == 1
    assert thief.seen == []
    assert "another host" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"GITHUB_TOKEN": ""}, "GITHUB_TOKEN is not set"),
        ({"GITHUB_REPOSITORY": "no-owner"}, "GITHUB_REPOSITORY"),
        ({"GITHUB_REPOSITORY": "owner/../../user"}, "GITHUB_REPOSITORY"),
        ({"GITHUB_API_URL": "http://github.example.org/api"}, "https"),
        ({"GITHUB_API_URL": "https://"}, "GITHUB_API_URL"),
    ],
)
def test_settings_that_cannot_work_are_named(more: dict[str, str], said: str) -> None:
    values: dict[str, Any] = {"GITHUB_REPOSITORY": "owner/name", "GITHUB_TOKEN": TOKEN, **more}
    with pytest.raises(BenchError, match=said) as caught:
        Issues("", Context(values, Secrets(values), Patience(1))).prepare()
    assert TOKEN not in str(caught.value)
