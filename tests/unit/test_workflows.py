"""The workflows, and the unit files of docs/nightly.md: valid, pinned, and doing what they say.

tests/support/data/github-workflow.schema.json is SchemaStore's github-workflow.json (Apache-2.0),
as check-jsonschema has it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from folders import DATA, ROOT, SUPPORT
from hypothesis import settings
from property_support import NIGHTLY, REPEATABLE

from harness import cli
from report import cli as report_cli
from report.commands.page import check_commit_url

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCHEMA = DATA / "github-workflow.schema.json"


def load(name: str) -> dict[str, Any]:
    workflow: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    workflow["on"] = workflow.pop(True)  # YAML 1.1 reads `on` as a boolean
    return workflow


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def script(name: str) -> str:
    """The commands of the nightly step `name`, as a runner's shell gets them."""
    (found,) = [step for step in steps(load("nightly.yml")) if step.get("name") == name]
    assert "${{" not in found["run"], "expressions in a script would be a way to inject commands"
    return f"set -e\n{found['run']}"  # as `bash -e`


def test_both_are_there() -> None:
    assert [file.name for file in WORKFLOWS] == ["ci.yml", "nightly.yml"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_valid_by_the_published_schema(file: Path) -> None:
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))
    assert [error.message for error in validator.iter_errors(load(file.name))] == []
    broken = load(file.name)
    broken["jobs"]["x"] = {"runs-on": "ubuntu-latest", "step": []}
    assert list(validator.iter_errors(broken)), "the schema does refuse what is wrong"


def test_actionlint_finds_nothing() -> None:
    program = shutil.which("actionlint")
    if program is None:
        pytest.skip("actionlint is not installed here")
    done = subprocess.run([program, *map(str, WORKFLOWS)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_shellcheck_finds_nothing(file: Path) -> None:
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed here")
    for step in steps(load(file.name)):
        if "run" in step:
            # SC2012: names of nights are ours, letters and digits; SC2016: git's helper is to see
            # the variable's name
            command = [program, "--shell=bash", "--exclude=SC2012,SC2016", "-"]
            done = subprocess.run(
                command, input=f"set -e\n{step['run']}", capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_pinned_and_jobs_end(file: Path) -> None:
    workflow = load(file.name)
    uses = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert uses
    for action in uses:
        assert re.fullmatch(r"actions/[\w-]+@v\d+\.\d+\.\d+", action), action
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 600


def test_permissions_are_what_each_needs() -> None:
    ci, nightly = load("ci.yml"), load("nightly.yml")
    assert ci["permissions"] == {"contents": "read"}
    assert nightly["permissions"] == {}
    assert nightly["jobs"]["nightly"]["permissions"] == {"contents": "write", "issues": "write"}
    for workflow in (ci, nightly):
        checkout = next(
            step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout")
        )
        assert checkout["with"]["persist-credentials"] is False


def test_the_gpu_runner_never_serves_pull_requests_nor_two_nights() -> None:
    nightly = load("nightly.yml")
    assert nightly["on"].keys() == {"schedule", "workflow_dispatch"}
    assert nightly["concurrency"] == {"group": "gpu-card", "cancel-in-progress": False}
    assert "self-hosted" not in json.dumps(load("ci.yml")["jobs"])


def test_the_image_is_built_and_run_for_every_change() -> None:
    commands = [step.get("run", "") for step in load("ci.yml")["jobs"]["image"]["steps"]]
    assert any(command.startswith("make docker-bench ") for command in commands)


def test_the_budget_fits_into_the_jobs_limit() -> None:
    nightly = load("nightly.yml")
    budget = int(nightly["on"]["workflow_dispatch"]["inputs"]["budget"]["default"])
    assert budget + 3 * 10 + 30 <= nightly["jobs"]["nightly"]["timeout-minutes"]


@pytest.mark.parametrize(
    ("suite", "webhook"), [("", ""), ("configs/aa.yaml", "https://hooks.example/x")]
)
def test_the_night_is_called_with_options_that_exist(
    tmp_path: Path, suite: str, webhook: str
) -> None:
    program = tmp_path / ".venv" / "bin" / "harness"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > called\n')
    program.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"], "HISTORY": "results/history", "SUITE": suite, "BUDGET": "420",
        "BENCH_SLACK_WEBHOOK": webhook,
    }  # fmt: skip
    subprocess.run(["bash", "-c", script("Night")], cwd=tmp_path, env=environment, check=True)
    called = (tmp_path / "called").read_text().splitlines()
    options = cli._parser().parse_args(called)
    assert (options.command, options.suite) == ("nightly", suite or None)
    assert (options.results, options.budget_minutes) == (Path("results/history"), 420)
    expected = ["summary", "annotations", "issues", "json=results/history/alerts.json"]
    assert options.channel == expected + (["slack"] if webhook else [])
    assert "hooks.example" not in " ".join(called), "secrets are not on a command line"


def test_properties_get_new_examples_at_night_and_the_same_ones_in_make_test() -> None:
    assert script("Properties").endswith(f"-m hypothesis --hypothesis-profile {NIGHTLY}")
    assert settings.get_profile(REPEATABLE).derandomize
    assert not settings.get_profile(NIGHTLY).derandomize


@pytest.mark.parametrize("nightly", [False, True])
def test_the_profile_decides_whether_two_runs_see_the_same_examples(
    tmp_path: Path, nightly: bool
) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_drawn.py").write_text(
        "import sys\nfrom hypothesis import given, strategies as st\nfrom property_support import "
        "examples\n"
        "@examples(40)\n@given(st.integers())\ndef test_drawn(number):\n    print('drawn', "
        "number, file=sys.stderr)\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-s",
        "-p",
        "no:cacheprovider",
        str(tmp_path / "test_drawn.py"),
    ]
    command += ["--hypothesis-profile", NIGHTLY] if nightly else []
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT), "PROPERTY_EXAMPLES": "2"}
    drawn = []
    for _ in range(2):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout
        drawn.append(done.stderr.splitlines())
    assert len(drawn[0]) >= 80
    assert (drawn[0] == drawn[1]) is not nightly


@pytest.mark.parametrize("has_run", [True, False])
def test_the_newest_nights_tables_go_into_the_summary(tmp_path: Path, has_run: bool) -> None:
    program = tmp_path / ".venv" / "bin" / "report"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    for age, name in enumerate(("new-2", "old-1")):
        state = tmp_path / "history" / "nightly" / name / "nightly.json"
        state.parent.mkdir(parents=True)
        state.touch()
        os.utime(state, (2_000_000_000 - age, 2_000_000_000 - age))
        if has_run:
            (tmp_path / "history" / name).mkdir()
            (tmp_path / "history" / name / "run.json").touch()
    environment = {
        "PATH": os.environ["PATH"],
        "HISTORY": "history",
        "GITHUB_OUTPUT": "output",
        "GITHUB_STEP_SUMMARY": "summary",
    }
    subprocess.run(["bash", "-c", script("Tables")], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "output").read_text() == "night=new-2\n"
    assert (tmp_path / "summary").exists() == has_run
    if has_run:
        assert (tmp_path / "summary").read_text() == "tables history/new-2\n"


@pytest.mark.parametrize(("status", "made"), [(0, True), (1, True), (2, False)])
def test_the_site_is_brought_up_to_date_with_options_that_exist(
    tmp_path: Path, status: int, made: bool
) -> None:
    """A run that was set aside, status 1, is named in the index and does not stop it."""
    program = tmp_path / ".venv" / "bin" / "report"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > called\nexit {status}\n')
    program.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "HISTORY": "history",
        "SITE": "build/site",
        "GITHUB_OUTPUT": "output",
        "GITHUB_SERVER_URL": "https://forge.example",
        "GITHUB_REPOSITORY": "team/bench",
    }
    command = ["bash", "-c", script("Site")]
    assert subprocess.run(command, cwd=tmp_path, env=environment).returncode == 0
    assert not (tmp_path / "called").exists(), "there is no night yet"
    (tmp_path / "history" / "night-1").mkdir(parents=True)
    (tmp_path / "history" / "night-1" / "run.json").write_text("{}")
    done = subprocess.run(command, cwd=tmp_path, env=environment)
    assert done.returncode == (0 if made else 2)
    options = report_cli._parser().parse_args((tmp_path / "called").read_text().splitlines())
    assert (options.results, options.out) == ([Path("history")], Path("build/site"))
    assert options.commit_url == "https://forge.example/team/bench/commit/{commit}"
    check_commit_url(options.commit_url)
    assert (tmp_path / "output").exists() == made


def test_the_site_is_an_artifact_and_a_page_only_where_that_is_switched_on() -> None:
    nightly = load("nightly.yml")
    job, pages = nightly["jobs"]["nightly"], nightly["jobs"]["pages"]
    uploads = [step for step in job["steps"] if step.get("with", {}).get("path") == "build/site"]
    assert job["env"]["SITE"] == "build/site"
    assert [step["uses"].partition("@")[0] for step in uploads] == [
        "actions/upload-artifact",
        "actions/upload-pages-artifact",
    ]
    switch = "vars.BENCH_PAGES == 'true'"
    assert [switch in step["if"] for step in uploads] == [False, True]
    assert switch in pages["if"]
    assert pages["needs"] == "nightly"
    assert pages["permissions"] == {"pages": "write", "id-token": "write"}
    assert "self-hosted" not in pages["runs-on"]
    ignored = subprocess.run(["git", "check-ignore", "--quiet", "build/site"], cwd=ROOT)
    assert ignored.returncode == 0, "a site in the checkout must not make the code count as changed"


class Runner:
    """A checkout on a runner of its own, with the branch's steps run as the workflow has them."""

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder, self.history = folder, folder / "results" / "history"
        self.history.mkdir(parents=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "BRANCH": "bench-history",
            "HISTORY": "results/history",
            "GITHUB_SERVER_URL": f"file://{server}",
            "GITHUB_REPOSITORY": "team/bench",
            "GITHUB_TOKEN": "s3cret",
        }

    def step(self, name: str) -> None:
        done = subprocess.run(
            ["bash", "-c", script(name)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    def night(self, name: str) -> None:
        self.step("History")
        (self.history / name / "logs").mkdir(parents=True)
        (self.history / name / "run.json").write_text("{}")
        (self.history / name / "logs" / "job.log").write_text("long")
        self.step("Keep the history")

    def nights(self) -> list[str]:
        return sorted(file.parent.name for file in self.history.glob("*/run.json"))


def test_history_is_kept_on_its_branch_and_survives_the_runner(tmp_path: Path) -> None:
    server = tmp_path / "team" / "bench.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(server)], check=True)
    first = Runner(tmp_path / "first", tmp_path)
    first.night("night-1")
    first.night("night-2")
    second = Runner(tmp_path / "second", tmp_path)  # a new host, or a workspace that was wiped
    second.night("night-3")
    assert second.nights() == ["night-1", "night-2", "night-3"]
    first.night("night-4")  # the branch has gone on without it
    assert first.nights() == ["night-1", "night-2", "night-3", "night-4"]
    kept = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "bench-history"],
        cwd=server,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert kept == [".gitignore", *(f"night-{number}/run.json" for number in (1, 2, 3, 4))], (
        "no logs"
    )
    everything = b"".join(
        file.read_bytes() for file in (tmp_path / "first").rglob("*") if file.is_file()
    )
    assert b"s3cret" not in everything


def test_a_server_that_does_not_answer_is_no_empty_history(tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runner", tmp_path / "nowhere")
    with pytest.raises(AssertionError, match="nowhere"):
        runner.step("History")


def blocks(language: str) -> list[str]:
    return re.findall(
        rf"```{language}\n(.*?)```", (ROOT / "docs" / "nightly.md").read_text(), re.DOTALL
    )


def test_the_unit_files_are_valid(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed here")
    service, timer = blocks("ini")
    # what systemd looks for on this host is not here
    service = re.sub(r"ExecStart(Pre)?=\S+", r"ExecStart\1=/bin/true", service).replace(
        "User=bench\n", ""
    )
    (tmp_path / "bench-nightly.service").write_text(service)
    (tmp_path / "bench-nightly.timer").write_text(timer)
    files = [str(tmp_path / f"bench-nightly.{kind}") for kind in ("service", "timer")]
    done = subprocess.run([program, "verify", *files], capture_output=True, text=True)
    assert "bench-nightly" not in done.stderr, done.stderr
    calendar = re.findall(r"OnCalendar=(.*)", timer)
    assert subprocess.run([program, "calendar", *calendar], capture_output=True).returncode == 0


def test_the_cron_line_is_valid_shell_and_calls_what_exists() -> None:
    (line,) = blocks("cron")
    command = line.strip().split(" ", 5)[5]
    assert "%" not in command, "cron would end the command there"
    assert subprocess.run(["sh", "-n", "-c", command], capture_output=True).returncode == 0
    (arguments,) = re.findall(r'ARGS="([^"]*)"', command)
    assert cli._parser().parse_args(["nightly", *arguments.split()]).channel == ["slack"]
    (service, _) = blocks("ini")
    (called,) = re.findall(r"ExecStart=\S+/harness (.*)", service)
    assert cli._parser().parse_args(called.split()).command == "nightly"
