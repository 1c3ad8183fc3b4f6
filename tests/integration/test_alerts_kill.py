"""Real `report alert` processes killed by SIGKILL at every request and every write, and started
again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alerts_support import (
    Answer,
    GitHub,
    Request,
    environ,
    finding,
    run,
    served,
    start,
    verdict,
    write,
)

from harness.errors import BenchError
from report.alerts.pipeline import alert
from report.alerts.state import StateFile, locked

PAIRS = (finding(), finding(workload="gpt2", state="missing"))
BACK = (finding(31, "steady", 1.0, 0), finding(31, "steady", 1.0, 0, workload="gpt2"))


class Killer:
    """Kills the process that asks, at the nth request: before the server does it, or after, its
    answer never sent.
    """

    def __init__(self, nth: int, after: bool, inner: Callable[[Request], Answer]) -> None:
        self.nth, self.after, self.inner, self.count, self.pid = nth, after, inner, 0, 0

    def __call__(self, request: Request) -> Answer:
        self.count += 1
        if self.count != self.nth:
            return self.inner(request)
        if self.after:
            self.inner(request)
        os.kill(self.pid, signal.SIGKILL)
        return Answer(500)


def killed(killer: Killer, arguments: list[str], env: dict[str, str]) -> bool:
    """Run until it ends or is killed; whether it was killed."""
    process = start(arguments, env)
    killer.pid = process.pid
    process.communicate(timeout=60)
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("after", [False, True], ids=["before the server acts", "after it acted"])
def test_one_issue_and_one_comment_whenever_it_is_killed(tmp_path: Path, after: bool) -> None:
    kills = 0
    for nth in range(1, 40):
        github = GitHub()
        killer = Killer(nth, after, github)
        folder = tmp_path / str(nth)
        folder.mkdir()
        with served(killer) as server:
            env = environ(server)
            for content in (verdict(*PAIRS), verdict(*BACK, night=31)):
                path = write(folder / "verdict.json", content)
                arguments = [
                    str(path),
                    "--channel",
                    "issues",
                    "--state",
                    str(folder / "state.json"),
                ]
                was_killed = killed(killer, arguments, env)
                kills += was_killed
                if was_killed:
                    assert alert(path, ["issues"], folder / "state.json", 5, env) == 0
        assert len(github.issues) == 2, nth
        assert [issue["state"] for issue in github.issues] == ["closed", "closed"], nth
        assert [len(comments) for comments in github.comments.values()] == [1, 1], nth
        if killer.count < nth:
            break
    assert killer.count < nth  # every request of both nights was killed once
    assert kills == nth - 1 >= 10


@pytest.mark.parametrize("after", [False, True], ids=["before it was taken", "taken, not answered"])
def test_a_webhook_never_loses_and_repeats_only_what_was_not_answered(
    tmp_path: Path, after: bool
) -> None:
    taken: list[str] = []

    def hook(request: Request) -> Answer:
        taken.append(request.content["blocks"][0]["text"]["text"])
        return Answer(200)

    killer = Killer(1, after, hook)
    path = write(tmp_path / "verdict.json", verdict(*PAIRS))
    arguments = [str(path), "--channel", "slack", "--state", str(tmp_path / "state.json")]
    with served(killer) as server:
        assert killed(killer, arguments, environ(hook=server))
        assert run(arguments, environ(hook=server))[0] == 0
        assert run(arguments, environ(hook=server))[0] == 0
    assert len(set(taken)) == 2
    assert len(taken) == (3 if after else 2)  # the one documented repetition


def killed_at(nth: int, after: bool, path: Path, specs: list[str], state: Path) -> None:
    """`report alert` up to the nth call that changes a file, and no farther: killed before it, or
    after it.
    """
    count = 0

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def killing(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            if count == nth and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*arguments)
            if count == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return killing

    Path.replace = wrapped(Path.replace)  # type: ignore[method-assign]
    os.fsync = wrapped(os.fsync)
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - of a process that is about to die
    os._exit(alert(path, specs, state, 5, {}))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_files_hold_each_alert_once_whenever_it_is_killed(tmp_path: Path, after: bool) -> None:
    plain = [
        one.model_copy(update={"history": []}) for one in PAIRS
    ]  # pictures take their time and change no file
    for nth in range(1, 60):
        folder = tmp_path / str(nth)
        folder.mkdir()
        path, state = write(folder / "verdict.json", verdict(*plain)), folder / "state.json"
        specs = [
            f"summary={folder}/summary.md",
            f"json={folder}/alerts.json",
            f"email={folder}/mails",
        ]
        process = multiprocessing.get_context("fork").Process(
            target=killed_at, args=(nth, after, path, specs, state)
        )
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
        assert alert(path, specs, state, 5, {}) == 0
        assert (folder / "summary.md").read_text().count("\n### ") == 2, nth
        assert (folder / "summary.md").read_text().count("## Nightly check") == 1, nth
        alerts = json.loads((folder / "alerts.json").read_text())["alerts"]
        assert [one["kind"] for one in alerts] == ["regression", "missing"], nth
        assert len([one for one in (folder / "mails").iterdir() if one.suffix == ".eml"]) == 2, nth
        if process.exitcode == 0:
            break
    assert process.exitcode == 0  # every change of a file was killed once
    assert nth > 20


def test_two_never_use_one_state(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    path = write(tmp_path / "verdict.json", verdict(finding()))
    with locked(state), pytest.raises(BenchError, match="another `report alert`"):
        alert(path, [f"json={tmp_path / 'a.json'}"], state, 5, {})
    assert alert(path, [f"json={tmp_path / 'a.json'}"], state, 5, {}) == 0


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 2}', b"\xff"])
def test_a_damaged_state_is_named_not_guessed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(BenchError, match="no state of"):
        StateFile(tmp_path / "state.json")


def test_a_state_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = write(tmp_path / "verdict.json", verdict(finding()))
    with pytest.raises(BenchError, match="cannot be written"):
        alert(path, [f"json={tmp_path / 'a.json'}"], tmp_path / "file" / "state.json", 5, {})
