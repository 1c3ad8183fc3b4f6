"""The real command: every channel, a channel that fails, what the next call makes up for, and no
secret anywhere.
"""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from alerts_support import (
    HOOK_PATH,
    TOKEN,
    Answer,
    GitHub,
    environ,
    finding,
    run,
    served,
    verdict,
    write,
)

from report.alerts.channels.registry import CHANNELS
from report.alerts.pipeline import alert
from report.cli import main

PAIRS = (
    finding(),
    finding(workload="distilbert-sst2", state="missing"),
    finding(workload="gpt2", state="improvement", factor=0.95),
    finding(workload="bert-base", state="steady", nights=0),
)
ALL = ["summary", "annotations", "issues", "slack", "email=mails", "json=alerts.json"]


def channels(folder: Path, names: list[str] = ALL) -> list[str]:
    return [part for name in names for part in ("--channel", name.replace("=", f"={folder}/"))]


def test_help_says_of_every_channel_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["alert", "--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for name, channel in CHANNELS.items():
        assert channel.name == name
        first, *rest = channel.about.splitlines()
        place = lines.index(f"{name:<13}{first}")
        assert lines[place + 1 : place + 1 + len(rest)] == rest


def test_every_channel_is_told_once(tmp_path: Path) -> None:
    github, summary = GitHub(), tmp_path / "summary.md"
    path = write(tmp_path / "verdict.json", verdict(*PAIRS))
    with served(github) as api, served(lambda request: Answer(200)) as hook:
        env = environ(
            api, hook, GITHUB_STEP_SUMMARY=str(summary), BENCH_EMAIL_TO="team@example.org"
        )
        arguments = [str(path), "--state", str(tmp_path / "state.json"), *channels(tmp_path)]
        first = run(arguments, env)
        second = run(arguments, env)
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert [line.split(" ")[0] for line in first[1].splitlines()] == [
        "::error",
        "::error",
        "::notice",
    ]
    assert second[1] == ""
    assert len(github.issues) == 3
    assert len(hook.seen) == 3
    assert {request.path for request in hook.seen} == {HOOK_PATH}
    text = summary.read_text()
    assert text.count("## Nightly check") == 1
    assert text.count("\n### ") == 3
    mails = [
        message_from_bytes(one.read_bytes(), policy=policy.default)
        for one in (tmp_path / "mails").iterdir()
    ]
    assert {mail["To"] for mail in mails} == {"team@example.org"}
    alerts = json.loads((tmp_path / "alerts.json").read_text())["alerts"]
    assert [one["kind"] for one in alerts] == ["regression", "missing", "improvement"]
    assert {mail["X-Bench-Alert"] for mail in mails} == {one["id"] for one in alerts}


def test_a_channel_that_fails_keeps_no_other_from_being_told_and_is_made_up_for(
    tmp_path: Path,
) -> None:
    up = False
    path = write(tmp_path / "verdict.json", verdict(*PAIRS))
    with served(lambda request: Answer(200 if up else 500)) as hook:
        env = environ(hook=hook)
        arguments = [str(path), "--state", str(tmp_path / "state.json"), "--patience", "2"]
        arguments += channels(tmp_path, ["slack", "issues", "json=alerts.json"])
        code, _, err = run(arguments, env)
        assert code == 1
        assert "slack failed: Regression: roberta-base-mrpc" in err
        assert "500" in err
        assert "issues failed: $GITHUB_TOKEN is not set" in err
        assert "slack: 3 alerts still to be told" in err
        assert len(json.loads((tmp_path / "alerts.json").read_text())["alerts"]) == 3

        up, before = True, len(hook.seen)
        # The next night everything is steady: what was missed is still told, and then that it is
        # over.
        steady = verdict(finding(31, "steady", 1.0, 0), night=31)
        write(path, steady)
        github = GitHub()
        with served(github) as api:
            code, _, err = run(arguments, environ(api, hook))
    assert code == 0, err
    titles = [
        request.content["blocks"][0]["text"]["text"].split(":")[0] for request in hook.seen[before:]
    ]
    assert titles == ["Regression", "Stopped running", "Improvement", "Steady again"]
    assert [issue["state"] for issue in github.issues] == ["closed", "open", "open"]


def test_a_channel_that_is_named_later_is_told_what_is_open(tmp_path: Path) -> None:
    one, two = verdict(finding()), verdict(finding(31, nights=3), night=31)
    state, summary = tmp_path / "state.json", tmp_path / "summary.md"
    assert alert(write(tmp_path / "1.json", one), [f"summary={summary}"], state, 5, {}) == 0
    later = [f"summary={summary}", f"json={tmp_path / 'alerts.json'}"]
    assert alert(write(tmp_path / "2.json", two), later, state, 5, {}) == 0
    assert summary.read_text().count("### ") == 1
    assert len(json.loads((tmp_path / "alerts.json").read_text())["alerts"]) == 1


@pytest.mark.parametrize("suite", ["x" * 100, "夜" * 33])
def test_every_night_of_a_suite_with_a_long_name_has_its_overview(
    tmp_path: Path, suite: str
) -> None:
    """Names of nights differ in their ends, which a marker must not cut off."""
    for night in (30, 31, 31):
        one = verdict(*PAIRS).model_copy(update={"run": f"{suite}-202501{night}-020000"})
        assert (
            alert(
                write(tmp_path / "1.json", one), [f"summary={tmp_path / 'summary.md'}"], None, 5, {}
            )
            == 0
        )
    assert (tmp_path / "summary.md").read_text().count("## Nightly check") == 2


def test_an_older_verdict_tells_nothing_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, target = tmp_path / "state.json", [f"json={tmp_path / 'alerts.json'}"]
    steady = write(tmp_path / "31.json", verdict(finding(31, "steady", 1.0, 0), night=31))
    assert alert(steady, target, state, 5, {}) == 0
    assert alert(write(tmp_path / "30.json", verdict(finding())), target, state, 5, {}) == 0
    assert not (tmp_path / "alerts.json").exists()
    assert "older than what was told" in capsys.readouterr().err


def test_a_dry_run_shows_all_and_touches_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "verdict.json", verdict(*PAIRS))
    with served(GitHub()) as api, served(lambda request: Answer(200)) as hook:
        env = environ(api, hook, GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"))
        code, out, err = run(
            [str(path), "--dry-run", "--state", str(tmp_path / "s.json"), *channels(tmp_path)], env
        )
    assert (code, err) == (0, "")
    assert api.seen == hook.seen == []
    assert [one.name for one in tmp_path.iterdir()] == ["verdict.json"]
    for name in CHANNELS:
        assert f"{name}: 3 to tell" in out
    assert not [line for line in out.splitlines() if line.lstrip().startswith("::")]


@pytest.mark.parametrize("how", ["refused", "wrong", "dry", "leaked", "echoed"])
def test_no_secret_is_printed_or_written_whatever_happens(tmp_path: Path, how: str) -> None:
    """Everything printed and every file, searched for the token and the webhook's path."""
    content = verdict(
        finding(different=[f"TOKEN {TOKEN}", f"hook {HOOK_PATH}"]) if how == "leaked" else finding()
    )
    path = write(tmp_path / "verdict.json", content)
    echo = {"message": f"nobody is {TOKEN} and {HOOK_PATH}"}
    more = ["--dry-run"] if how == "dry" else []
    arguments = [
        str(path),
        "--state",
        str(tmp_path / "state.json"),
        "--patience",
        "1",
        *channels(tmp_path),
        *more,
    ]
    with (
        served(lambda request: Answer(401, echo)) as api,
        served(lambda request: Answer(401, echo)) as hook,
    ):
        env = environ(api, hook, GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"))
        if how == "echoed":
            code, out, err = run(arguments, env)
    if how == "wrong":
        env |= {"BENCH_SLACK_WEBHOOK": f"no-scheme{HOOK_PATH}", "GITHUB_REPOSITORY": "bad"}
    if (
        how != "echoed"
    ):  # both are down by now: a refused connection has its address in the library's own text
        code, out, err = run(arguments, env)
    assert code == (0 if how == "dry" else 1), err
    path.unlink()
    written = b"".join(one.read_bytes() for one in tmp_path.rglob("*") if one.is_file())
    for secret in (TOKEN, HOOK_PATH, HOOK_PATH.rsplit("/", 1)[-1]):
        assert secret not in out
        assert secret not in err
        assert secret.encode() not in written
    assert "Traceback" not in err


def test_a_wrong_token_is_said_and_not_tried_again(tmp_path: Path) -> None:
    path = write(tmp_path / "verdict.json", verdict(finding()))
    with served(GitHub()) as api:
        env = environ(api, GITHUB_TOKEN="") | {"GITHUB_TOKEN": "ghs_another_token_than_that_one"}
        code, _, err = run(
            [str(path), "--channel", "issues", "--state", str(tmp_path / "state.json")], env
        )
    assert code == 1
    assert "401 Unauthorized Bad credentials" in err
    assert "ghs_another" not in err
    assert len(api.seen) <= 2  # what it remembers, and the alert


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        ("{", [], "no verdict"),
        ('{"run": "x"}', [], "no verdict"),
        (None, [], "cannot read it"),
        ("", ["--channel", "pigeon"], "'pigeon' is no channel"),
        ("", ["--channel", "json=a"], "named twice"),
        ("", ["--patience", "-1"], "above 0"),
    ],
)
def test_bad_input_ends_with_2_and_one_message(
    tmp_path: Path, content: str | None, more: list[str], said: str
) -> None:
    path = tmp_path / "verdict.json"
    if content is not None:
        path.write_text(content or verdict(finding()).model_dump_json())
    code, out, err = run([str(path), "--channel", f"json={tmp_path / 'a.json'}", *more], environ())
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("spec", ["json", "summary"])
def test_a_channel_without_its_file_fails_alone(
    tmp_path: Path, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "verdict.json", verdict(finding()))
    assert alert(path, [spec, f"email={tmp_path / 'mails'}"], tmp_path / "state.json", 5, {}) == 1
    assert f"{spec} failed: " in capsys.readouterr().err
    assert len(list((tmp_path / "mails").iterdir())) == 1


def test_a_json_file_of_something_else_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "package.json"
    other.write_text('{"name": "mine"}')
    path = write(tmp_path / "verdict.json", verdict(finding()))
    assert alert(path, [f"json={other}"], None, 5, {}) == 1
    assert other.read_text() == '{"name": "mine"}'
    assert "something else than alerts" in capsys.readouterr().err
