"""How both command lines end: 1 says something about results; what the host or a fault is to blame
for ends with 2.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from folders import ROOT
from report_factory import four_pairs, make_run, write_run

from harness.errors import run_command

LONG = "x" * 300
SMALL = [
    *("--model-name-or-path", "bert-tiny", "--data", "synthetic", "--max-train-samples", "8"),
    *("--max-eval-samples", "8", "--max-steps", "1", "--do-train", "--device", "cpu"),
]


def ends(
    program: str, *words: str | Path, cwd: Path = ROOT, shell: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """What `harness` or `report` says and how it ends. `shell`: what follows it on a shell's
    line.
    """
    command = [sys.executable, "-m", f"{program}.cli", *map(str, words)]
    if shell:
        command = ["bash", "-o", "pipefail", "-c", f'"$@" {shell}', "bash", *command]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, errors="replace"
    )


def one_sentence(
    done: subprocess.CompletedProcess[str], program: str, message: str, fix: str
) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"{program}: ")
    assert message in done.stderr
    assert fix in done.stderr.partition("fix: ")[2]
    assert "Traceback" not in done.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("no folder")
    return tmp_path / "file"


@pytest.mark.parametrize("command", ["run", "nightly", "submit"])
@pytest.mark.parametrize("below", [False, True])
def test_results_that_are_a_file(file: Path, command: str, below: bool) -> None:
    results = file / "deeper" if below else file
    done = ends("harness", command, "smoke", "--device", "cpu", "--results", results)
    one_sentence(done, "harness", "results cannot be written to", "--results names the folder")
    assert file.read_text() == "no folder"


def test_results_whose_name_is_too_long(tmp_path: Path) -> None:
    done = ends("harness", "run", "smoke", "--device", "cpu", "--results", tmp_path / LONG)
    one_sentence(done, "harness", "a name in this path is too long", "--results names the folder")


def test_results_that_are_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")
    done = ends("harness", "run", "smoke", "--device", "cpu", "--results", tmp_path / "link")
    one_sentence(done, "harness", "no such file or folder", "--results names the folder")


def test_an_output_folder_that_is_a_file(file: Path) -> None:
    done = ends("harness", "train", *SMALL, "--output-dir", file)
    one_sentence(done, "harness", "results cannot be written to", "--output-dir names the folder")


def test_a_cache_that_cannot_be_written(file: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    done = ends(
        "harness", "run", "smoke", "--device", "cpu", "--results", results, XDG_CACHE_HOME=str(file)
    )
    one_sentence(
        done,
        "harness",
        "the cache of data and tokens cannot be written to",
        "XDG_CACHE_HOME (or HOME)",
    )
    done = ends(
        "harness",
        "run",
        "smoke",
        "--device",
        "cpu",
        "--results",
        results,
        XDG_CACHE_HOME="",
        HOME=str(file),
    )
    one_sentence(
        done,
        "harness",
        "the cache of data and tokens cannot be written to",
        "XDG_CACHE_HOME (or HOME)",
    )
    assert not results.exists()


def can_mount() -> bool:
    try:
        return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_mount(), reason="only root can mount a disk")
def test_disks_that_are_read_only(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    read_only = f"mount -t tmpfs none {disk} && mount -o remount,ro {disk}"
    harness = [sys.executable, "-m", "harness.cli"]

    def on_it(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [
            "unshare",
            "-m",
            "sh",
            "-c",
            f'{read_only} && exec "$@"',
            "sh",
            *harness,
            *map(str, words),
        ]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)

    done = on_it("run", "smoke", "--device", "cpu", "--results", disk / "results")
    one_sentence(done, "harness", "the file system is read-only", "--results names the folder")
    done = on_it(
        "train", *SMALL, "--output-dir", tmp_path / "out", HOME=str(disk), XDG_CACHE_HOME=""
    )
    one_sentence(
        done,
        "harness",
        "the cache of data and tokens cannot be written",
        "XDG_CACHE_HOME (or HOME)",
    )
    done = on_it("schema", "--output", disk / "schema.json")
    one_sentence(
        done, "harness", f"{disk}/schema.json: the file system is read-only", "name a place"
    )


@pytest.mark.parametrize(
    ("program", "words", "message"),
    [
        ("harness", ("plan", LONG), "a name in this path is too long"),
        ("harness", ("plan", "/"), "is a folder, not a file"),
        ("harness", ("schema", "--output", "/nowhere/at/all"), "no such file or folder"),
        ("harness", ("schema", "--output", f"/tmp/{LONG}"), "a name in this path is too long"),
        (
            "harness",
            ("nightly", "smoke", "--device", "cpu", "--budget-minutes", "inf"),
            "needs a number above 0",
        ),
        ("report", ("tables", LONG), ""),
        ("report", ("readme", "/"), "cannot be read"),
    ],
)
def test_paths_that_are_none(program: str, words: tuple[str, ...], message: str) -> None:
    one_sentence(ends(program, *words), program, message, "")


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'cd {gone} && rmdir {gone} && exec "$@"'
    command = [
        "sh",
        "-c",
        script,
        "sh",
        sys.executable,
        "-m",
        "harness.cli",
        "run",
        "smoke",
        "--device",
        "cpu",
    ]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    one_sentence(done, "harness", "the folder you are in does not exist any more", "`cd`")


def test_output_on_a_full_disk(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", make_run(four_pairs()))
    for program, words in (
        ("harness", ("schema",)),
        ("report", ("tables", run)),
        ("report", ("page", run, "-o", "-")),
    ):
        done = ends(program, *words, shell="> /dev/full", cwd=tmp_path)
        one_sentence(done, program, "no space is left on the disk", "make room")


def test_errors_that_cannot_be_told_keep_their_exit_status() -> None:
    assert ends("harness", "plan", "nowhere.yaml", shell="2> /dev/full").returncode == 2
    assert ends("harness", "schema", shell=">&- 2>&-").returncode == 0


def test_output_cut_short_by_the_reader(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", make_run(four_pairs(), notes=["x" * 1000] * 1000))
    done = ends("report", "tables", run, shell="| true")
    assert (done.returncode, done.stderr) == (2, "")
    done = ends("harness", "plan", "matrix", "--device", "cpu", "--json", shell="| true")
    assert (done.returncode, done.stderr) == (2, "")
    done = ends("report", "export", run, "--format", "csv", "--out", "-", shell="| true")
    assert (done.returncode, done.stderr) == (2, "")


def test_another_broken_pipe_than_that_of_the_output_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def lost() -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    assert run_command("harness", lost) == 2
    assert capsys.readouterr().err.startswith("harness: ")


def test_a_fault_of_the_program_is_no_regression(capsys: pytest.CaptureFixture[str]) -> None:
    def fault() -> int:
        raise ValueError("no such thing")

    assert run_command("report", fault) == 2
    first, fix, *rest = capsys.readouterr().err.splitlines()
    assert first == "report: a fault of this program: ValueError: no such thing"
    assert fix.startswith("  fix: report it")
    assert rest[0].startswith("Traceback")
    assert rest[-1] == "ValueError: no such thing"


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (MemoryError(), 2, "not enough memory"),
        (ModuleNotFoundError("No module named 'yaml'"), 2, "make setup"),
        (RecursionError("too deep"), 2, "a fault of this program"),
        (OSError("odd"), 2, "odd"),
    ],
)
def test_every_end_has_its_status(
    capsys: pytest.CaptureFixture[str], raised: BaseException, status: int, said: str
) -> None:
    def body() -> int:
        raise raised

    assert run_command("harness", body) == status
    assert said in capsys.readouterr().err


def test_an_end_that_others_ask_for_is_left_to_them() -> None:
    def body() -> int:
        sys.exit(3)

    with pytest.raises(SystemExit) as asked:
        run_command("harness", body)
    assert asked.value.code == 3
    assert ends("harness", "run", "--no-such-option").returncode == 2


@pytest.mark.parametrize(
    "console",
    [
        {"PYTHONIOENCODING": "ascii"},
        {
            "LC_ALL": "C",
            "LANG": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONIOENCODING": "",
        },
    ],
    ids=["ascii", "C"],
)
def test_a_console_that_cannot_show_a_character(tmp_path: Path, console: dict[str, str]) -> None:
    suite = tmp_path / "größe.yaml"
    smoke = (ROOT / "configs" / "smoke.yaml").read_text().splitlines()
    lines = ["description: é → 日本" if line.startswith("description") else line for line in smoke]
    suite.write_text("\n".join(lines), encoding="utf-8")
    run = write_run(tmp_path / "größer", make_run(four_pairs(), notes=["é → 日本"]))
    plan = ends("harness", "plan", suite, "--device", "cpu", "--set", "suite=größe", **console)
    assert (plan.returncode, plan.stderr) == (0, "")
    assert r"\xe9 \u2192 \u65e5\u672c" in plan.stdout
    missing = ends("harness", "plan", tmp_path / "größte.yaml", **console)
    assert missing.returncode == 2
    assert "no such suite" in missing.stderr
    for program, *words in (
        ("harness", "--help"),
        ("harness", "doctor", "--help"),
        ("report", "tables", run),
        ("report", "tables", run, "--format", "terminal"),
        ("report", "page", run, "-o", tmp_path / "größe.html", "--no-plots"),
        ("report", "history", tmp_path),
        ("report", "compare", run, run),
    ):
        done = ends(str(program), *words, **console)
        assert (done.returncode, done.stderr) == (0, ""), words
    assert (tmp_path / "größe.html").exists()


def test_words_that_are_no_text(tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff")
    done = ends("harness", "run", "smoke", "--device", "cpu", "--results", tmp_path / odd)
    one_sentence(done, "harness", "is not UTF-8 text", "name it in UTF-8")
    done = ends("harness", "run", "smoke", "--device", "cpu", XDG_CACHE_HOME=str(tmp_path / odd))
    one_sentence(done, "harness", "its name is not UTF-8 text", "XDG_CACHE_HOME")


@pytest.mark.parametrize("command", ["run", "submit", "nightly", "plan", "doctor", "train"])
def test_help_says_the_exit_statuses(command: str) -> None:
    said = " ".join(ends("harness", command, "--help").stdout.split())
    assert "exit status: 0 " in said
    assert "; 2 " in said
