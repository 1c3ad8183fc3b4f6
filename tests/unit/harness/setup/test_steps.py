"""Set-up's steps: what is printed, what a failing command leaves behind, and what the messages
name.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from folders import ROOT

from harness.errors import BenchError
from harness.setup.packages import diagnose
from harness.setup.steps import Steps, clean_environment


def test_one_line_per_step_with_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps(2, tmp_path / "log")
    with steps.step("first"):
        assert steps.run([sys.executable, "-c", "print('hello')"]) == "hello\n"
        steps.note("said hello")
    with steps.step("second"):
        pass
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("[1/2] first: said hello  ")
    assert first.endswith(" s")
    assert second.startswith("[2/2] second  ")
    assert (tmp_path / "log").read_text() == "hello\n"


def test_failing_command_shows_its_end_and_names_the_package(tmp_path: Path) -> None:
    steps = Steps(1, tmp_path / "log")
    error = "libffi.so.8: cannot open shared object file: No such file or directory"
    script = f"import sys; print('noise\\n' * 50); sys.exit('{error}')"
    with pytest.raises(BenchError) as caught, steps.step("proof"):
        steps.run([sys.executable, "-c", script])
    assert caught.value.place == "proof"
    assert "cannot open shared object file" in caught.value.message
    assert caught.value.message.count("noise") < 20
    assert (
        caught.value.fix
        == "Debian, Ubuntu: apt-get install libffi8;  Fedora, RHEL: dnf install libffi"
    )


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
from pathlib import Path
from harness.setup.steps import Steps
lock = open({str(lock)!r}, "w")
fcntl.flock(lock, fcntl.LOCK_EX)
steps = Steps(1, Path({str(tmp_path / "log")!r}))
steps.held_fds = (lock.fileno(),)
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


@pytest.mark.parametrize(
    ("log", "named"),
    [
        (
            "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory",
            "libgomp1",
        ),
        (
            "ImportError: libexotic.so.3: cannot open shared object file: No such file or "
            "directory",
            "libexotic.so.3",
        ),
        ("fatal error: Python.h: No such file or directory", "python3.11-devel"),
        (
            "g++: fatal error: cannot execute 'cc1plus': execvp: No such file or directory",
            "gcc-c++",
        ),
        ("OSError: [Errno 28] No space left on device", "disk space"),
        (
            "error: error sending request for url (x)\n dns error: failed to lookup address "
            "information",
            "package index",
        ),
        ("g++: fatal error: Killed signal terminated program cc1plus", "memory"),
    ],
)
def test_diagnosis_names_what_to_do(log: str, named: str) -> None:
    assert named in diagnose(log)


def test_diagnosis_of_the_unknown_is_silent() -> None:
    assert diagnose("ValueError: something else") == ""
