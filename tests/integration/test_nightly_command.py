"""`harness nightly` and `--pairs` at the command line, and one real night that is killed and
resumed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from alerts_support import TOKEN, Answer, GitHub, Request, served
from runner_support import make_job, processes_of, wait_until

from harness import cli
from harness.config import load_suite
from harness.config.selection import only_pairs
from harness.errors import BenchError
from harness.launcher.environment import environment_for
from harness.nightly.night import _what_it_said
from harness.nightly.state import STATE_FILE, Night, night_lock
from harness.planning.plan import make_plan
from harness.results.run_folder import read_records
from report.alerts.channels.registry import CHANNELS, variables
from report.alerts.delivery import PROXIES
from report.alerts.pipeline import _channel
from report.alerts.secrets import Secrets

ROOT = Path(__file__).resolve().parents[1]
SMOKE = ROOT / "configs" / "smoke.yaml"
PAIR = "bert-tiny-sst2:pytorch:onnxruntime"


def test_only_the_named_pairs_are_planned(tmp_path: Path) -> None:
    suite = load_suite(SMOKE)
    whole, part = (
        make_plan(one, device="cpu", cache_dir=tmp_path)
        for one in (suite, only_pairs(suite, [PAIR]))
    )
    assert {job.workload.name for job in whole.jobs} == {"roberta-tiny-sst2", "bert-tiny-sst2"}
    assert {job.workload.name for job in part.jobs} == {"bert-tiny-sst2"}
    assert {job.id for job in part.jobs} < {job.id for job in whole.jobs}, (
        "the same jobs, by their ids"
    )
    assert [pair.workload for pair in part.pairs] == ["bert-tiny-sst2"]


def test_a_pair_keeps_its_declared_differences() -> None:
    suite = load_suite(ROOT / "configs" / "glue-sst2-sdpa.yaml")
    declared = next(pair for pair in suite.resolved_pairs() if pair.differs)
    (kept,) = only_pairs(
        suite, [f"{declared.workload}:{declared.baseline}:{declared.candidate}"]
    ).resolved_pairs()
    assert kept == declared


def test_an_unknown_pair_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        cli.main(
            ["plan", str(SMOKE), "--device", "cpu", "--pairs", "bert-tiny-sst2:onnxruntime:pytorch"]
        )
        == 2
    )
    error = capsys.readouterr().err
    assert "--pairs bert-tiny-sst2:onnxruntime:pytorch: the suite has no such pair" in error
    assert f"one of roberta-tiny-sst2:pytorch:onnxruntime, {PAIR}" in error


@pytest.mark.parametrize("budget", ["0", "-1", "nan"])
def test_a_budget_is_above_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], budget: str
) -> None:
    arguments = [
        "nightly",
        str(SMOKE),
        "--device",
        "cpu",
        "--results",
        str(tmp_path),
        "--budget-minutes",
        budget,
    ]
    assert cli.main(arguments) == 2
    assert "needs a number above 0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_suite_that_cannot_be_read_begins_no_night(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        cli.main(
            ["nightly", str(SMOKE), "--set", "training.batch_size=x", "--results", str(tmp_path)]
        )
        == 2
    )
    assert "batch_size" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_make_nightly_is_harness_nightly() -> None:
    done = subprocess.run(
        ["make", "-n", "nightly", "SUITE=configs/aa.yaml", "ARGS=--channel slack"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ".venv/bin/harness nightly configs/aa.yaml --channel slack" in done.stdout


def test_a_lock_names_its_holder_and_is_free_again(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "lock"
    with night_lock(lock):
        with (
            pytest.raises(BenchError, match=rf"another night is running \(pid {os.getpid()}\)"),
            night_lock(lock),
        ):
            pytest.fail("two hold the lock")
        assert lock.read_text().split()[0] == str(os.getpid())
    with night_lock(lock, wait_s=0):
        pass


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (b"step 1\nharness: GPU 0 is in use\n  fix: wait\n", "harness: GPU 0 is in use"),
        (b"Traceback\nKeyError: 7\n\n", "KeyError: 7"),
        (b"", ""),
        (f"harness: {Path.home()}/x: no such file\n".encode(), "harness: ~/x: no such file"),
    ],
)
def test_what_a_program_said_is_its_error(tail: bytes, said: str) -> None:
    assert _what_it_said(tail) == said


def marked(api: str, hook: str, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """A marker for every variable that any channel reads, and values that hold these markers and
    work.
    """
    markers = {
        name: f"mark-{name.lower().replace('_', '')}-{'ABCDEFGHIJ'[n % 10]}"
        for n, name in enumerate(variables())
    }
    shapes = {
        "GITHUB_TOKEN": "ghs_{}",
        "BENCH_SLACK_WEBHOOK": hook + "/services/T0/B0/{}",
        "GITHUB_REPOSITORY": "owner/{}",
        "GITHUB_API_URL": api + "/{}",
        "GITHUB_STEP_SUMMARY": f"{folder}/{{}}.md",
        "BENCH_EMAIL_FROM": "{}@example.org",
        "BENCH_EMAIL_TO": "{}@example.org",
        **{name: "http://user:{}@127.0.0.1:9" for name in PROXIES},
        **{name: "127.0.0.1,{}.example.org" for name in ("no_proxy", "NO_PROXY")},
    }
    assert shapes.keys() == markers.keys(), (
        "a channel reads a variable that this test does not know"
    )
    return markers, {name: shapes[name].format(marker) for name, marker in markers.items()}


def test_a_channel_reads_no_variable_that_it_does_not_declare(tmp_path: Path) -> None:
    source = "".join(file.read_text() for file in (ROOT / "report" / "alerts").rglob("*.py"))
    assert set(re.findall(r'"((?:BENCH|GITHUB)_[A-Z_]+)"', source)) == set(variables()) - set(
        PROXIES
    )
    assert "os.environ" not in source, "channels get their variables from report.alerts.pipeline"
    _, values = marked("http://a", "http://b", tmp_path)
    channels = {name: _channel((name, ""), values, Secrets(values), 1.0) for name in CHANNELS}
    assert {name: tuple(channel.context.environ) for name, channel in channels.items()} == {
        name: kind.variables for name, kind in CHANNELS.items()
    }


def test_settings_of_alerts_reach_no_job(tmp_path: Path) -> None:
    _, values = marked("http://a", "http://b", tmp_path)
    given = environment_for(make_job(), {**values, "PATH": "/bin", "NCCL_DEBUG": "INFO"}, tmp_path)
    assert given.keys() & values.keys() == set(PROXIES), "through a proxy a job reaches the hub"
    assert (given["PATH"], given["NCCL_DEBUG"]) == ("/bin", "INFO")


@pytest.mark.slow
def test_a_real_night_killed_while_it_trains_goes_on_and_is_told_once(tmp_path: Path) -> None:
    github = GitHub()

    def as_github(request: Request) -> Answer:
        path = request.path.replace(f"/{markers['GITHUB_API_URL']}/", "/").replace(
            markers["GITHUB_REPOSITORY"], "name"
        )
        headers = {
            **request.headers,
            "Authorization": request.headers["Authorization"].replace(token, TOKEN),
        }
        return github(replace(request, path=path, headers=headers))

    with served(as_github) as api, served(lambda request: Answer(200)) as hook:
        markers, values = marked(api.url, hook.url, tmp_path)
        token = values["GITHUB_TOKEN"]
        command, environment = _a_night_is_killed_and_goes_on(tmp_path, values, markers)
        # A first night has nothing to tell the channels; one without time to train has.
        idle = subprocess.run(
            [*command, "--budget-minutes", "1e-6"], cwd=ROOT, env=environment, capture_output=True
        )
        assert idle.returncode == 2, idle.stdout + idle.stderr
        assert [request.path for request in hook.seen] == [
            f"/services/T0/B0/{markers['BENCH_SLACK_WEBHOOK']}"
        ]
    assert len(github.issues) == 1
    assert markers["BENCH_EMAIL_TO"] in next((tmp_path / "mails").iterdir()).read_text()
    assert Path(values["GITHUB_STEP_SUMMARY"]).exists()
    # All channels were told by what their variables say, and none of that is in anything that was
    # written of the night.
    made = tmp_path / "made"
    report = [sys.executable, "-m", "report.cli"]
    (night,) = (path.parent for path in (tmp_path / "results").glob("*/run.json"))
    for command in (
        ["page", str(night), "--out", f"{made}/page.html"],
        ["export", "--format", "csv", str(night), "--out", f"{made}/x.csv"],
        ["export", "--format", "pyperf", str(night), "--out", f"{made}/x.json"],
        ["export", "--format", "bmf", str(night), "--out", f"{made}/bmf.json"],
        ["tables", str(night)],
    ):
        made.mkdir(exist_ok=True)
        done = subprocess.run([*report, *command], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (made / f"{command[0]}.txt").write_text(done.stdout + done.stderr)
    files = [
        file
        for folder in ("results", "made")
        for file in (tmp_path / folder).rglob("*")
        if file.is_file()
    ]
    assert {"run.json", "jobs.jsonl", "alert.log", "bench.log", "final.json", "page.html"} <= {
        f.name for f in files
    }
    leaks = [
        f"{name} in {f}"
        for f in files
        for name, mark in markers.items()
        if mark.encode() in f.read_bytes()
    ]
    assert leaks == []


def _a_night_is_killed_and_goes_on(
    tmp_path: Path, variables: dict[str, str], markers: dict[str, str]
) -> tuple[list[str], dict[str, str]]:
    results = tmp_path / "results"
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "nightly",
        "configs/nightly-smoke.yaml",
        "--device",
        "cpu",
    ]
    command += [
        "--results",
        str(results),
        "--lock",
        str(tmp_path / "lock"),
        "--set",
        "measurement.blocks.seconds=1",
    ]
    for channel in (
        f"json={tmp_path / 'alerts.json'}",
        f"email={tmp_path / 'mails'}",
        "slack",
        "issues",
        "summary",
    ):
        command += ["--channel", channel]
    command += ["--channel", "annotations"]
    command += ["--set", "measurement.contention=note"]  # other tests run on the same cores
    environment = {**os.environ, **variables, "BENCH_TEST_FOLDER": str(tmp_path)}
    first = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def records() -> list[str]:
        return [
            record.id
            for folder in results.glob("nightly-smoke-*")
            for record in read_records(folder)[0]
        ]

    def of_jobs() -> list[bytes]:
        """The environments of the processes that train."""
        proc = [Path(f"/proc/{pid}") for pid in processes_of(tmp_path)]
        return [
            one.joinpath("environ").read_bytes()
            for one in proc
            if b"harness.worker" in (one / "cmdline").read_bytes()
        ]

    for environ in wait_until(of_jobs, 60):
        assert [
            name
            for name, mark in markers.items()
            if mark.encode() in environ and name not in PROXIES
        ] == []
    wait_until(records, 120)  # the first launch of the pair is on disk
    time.sleep(1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    wait_until(lambda: not processes_of(tmp_path), 20)
    before = records()
    second = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    # There is no earlier night, so there is no judgement; and that is told.
    assert second.returncode == 2, second.stdout + second.stderr
    (file,) = (results / "nightly").glob(f"*/{STATE_FILE}")
    night = Night.model_validate_json(file.read_bytes())
    assert night.over
    assert night.stages["bench"].exit_code == 0
    assert len(before) == 2
    assert len(records()) == len(set(records())) == 4, "finished jobs are not repeated"
    (finding,) = json.loads((file.parent / "final.json").read_text())["findings"]
    assert finding["state"] == "not enough nights"
    return command, environment
