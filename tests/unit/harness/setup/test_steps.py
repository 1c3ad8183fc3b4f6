"""Set-up's steps: what is printed, and what a failing command leaves behind."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from folders import ROOT

from harness.errors import BenchError
from harness.setup.steps import Steps, clean_environment


def test_a_step_says_what_it_does_and_what_came_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = Steps(2)
    with steps.step("first"):
        assert steps.run([sys.executable, "-c", "print('hello')"]) == "hello\n"
        steps.note("said hello")
    with steps.step("second"):
        pass
    first, note, second, done = capsys.readouterr().out.splitlines()
    assert (first, second) == ("[1/2] first", "[2/2] second")
    assert re.fullmatch(r"      said hello, \d+\.\d s", note)
    assert re.fullmatch(r"      done, \d+\.\d s", done)


def test_a_failing_command_shows_the_end_of_its_output() -> None:
    steps = Steps(1)
    error = "libffi.so.8: cannot open shared object file: No such file or directory"
    script = f"import sys; print('noise\\n' * 500); sys.exit('{error}')"
    with pytest.raises(BenchError) as caught, steps.step("proof"):
        steps.run([sys.executable, "-c", script])
    assert caught.value.place == "proof"
    assert "ended with 1:\n" in caught.value.message
    assert error in caught.value.message
    assert 0 < caught.value.message.count("noise") < 50


def test_what_uv_prints_is_seen_while_it_runs(capfd: pytest.CaptureFixture[str]) -> None:
    steps = Steps(1)
    with pytest.raises(BenchError) as caught, steps.step("packages"):
        steps.show([sys.executable, "-c", "print('Resolved'); raise SystemExit('no index')"])
    shown = capfd.readouterr()
    assert "Resolved" in shown.out
    assert "no index" in shown.err
    assert caught.value.message.endswith("ended with 1")


def test_children_see_no_foreign_python_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("HTTPS_PROXY", "kept")
    environment = clean_environment(CXX="g++")
    assert not {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"} & environment.keys()
    assert (environment["HTTPS_PROXY"], environment["CXX"]) == ("kept", "g++")


def test_what_a_killed_set_up_left_running_keeps_the_lock(tmp_path: Path) -> None:
    """The next set-up must not touch the environment while an orphan of the last one still writes
    into it.
    """
    lock = tmp_path / "lock"
    script = f"""
import fcntl
from harness.setup.steps import Steps
lock = open({str(lock)!r}, "w")
fcntl.flock(lock, fcntl.LOCK_EX)
steps = Steps(1, held_fds=(lock.fileno(),))
with steps.step("x"):
    steps.run(["sh", "-c", "echo $$ > {tmp_path / "orphan"}; exec sleep 60"])
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.DEVNULL
    ) as parent:
        orphan = _number_in(tmp_path / "orphan")
        parent.kill()
    with lock.open("w") as handle:
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(orphan, signal.SIGKILL)
        for _ in range(100):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
        else:
            pytest.fail("the lock outlived the orphan")


def _number_in(file: Path) -> int:
    for _ in range(200):
        if file.exists() and file.read_text().strip():
            return int(file.read_text())
        time.sleep(0.05)
    raise AssertionError(f"{file} was not written")
