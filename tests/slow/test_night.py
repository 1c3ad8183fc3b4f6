"""One real night that is killed while it trains, and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from alerts_support import TOKEN, Answer, GitHub, Request, marked, served
from folders import ROOT
from runner_support import processes_of, wait_until

from harness.nightly.state import STATE_FILE, NightState
from harness.results.run_folder import read_records
from report.alerts.delivery import PROXIES


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
        "measurement.interleaved.seconds=1",
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
    wait_until(records, 120)  # the first replicate of the pair is on disk
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
    night = NightState.model_validate_json(file.read_bytes())
    assert night.over
    assert night.stages["bench"].exit_code == 0
    assert len(before) == 2
    assert len(records()) == len(set(records())) == 4, "finished jobs are not repeated"
    (finding,) = json.loads((file.parent / "final.json").read_text())["findings"]
    assert finding["state"] == "not enough nights"
    return command, environment
