"""The recorded nights in results/nightly-history, the last one slowed on purpose: found, explained,
told, accepted.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alerts_support import Answer, Served, served
from folders import RESULTS

from harness.results.run_folder import read_info, read_records

HISTORY = RESULTS / "nightly-history"
SLOW = "nightly-smoke-20261123-035624"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    if not HISTORY.is_dir():
        pytest.skip("results/nightly-history is not in this copy of the project")
    shutil.copytree(HISTORY, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def slack() -> Iterator[Served]:
    """A Slack-compatible server."""
    with served(lambda request: Answer()) as server:
        yield server


def report(*arguments: str | Path, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "report.cli", *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def check(results: Path, run: str) -> tuple[int, dict[str, Any]]:
    """Exit status and the one finding of a night; the verdict is in verdict.json."""
    code, output = report("check", results, "--run", run, "--json", results / "verdict.json")
    (finding,) = json.loads((results / "verdict.json").read_text())["findings"]
    assert isinstance(finding, dict), output
    return code, finding


def test_the_nights_are_real_jobs_and_only_the_last_is_slowed() -> None:
    nights = sorted(folder for folder in HISTORY.iterdir() if folder.is_dir())
    assert len(nights) == 14
    for folder in nights:
        info, (records, damage) = read_info(folder), read_records(folder)
        assert (info.run, info.status, len(records), damage.lines) == (
            folder.name,
            "complete",
            4,
            [],
        )
        slowed = [record.arm.name for record in records if record.arm.injected_delay_ms]
        assert slowed == (["onnxruntime"] * 2 if folder.name.startswith(SLOW) else [])
        assert any("a fault was injected" in note for note in info.notes) == bool(slowed)


def test_the_nights_before_it_raise_no_alarm(results: Path) -> None:
    nights = sorted(
        folder.name for folder in results.iterdir() if folder.is_dir() and folder.name < SLOW
    )
    states = [check(results, night)[1]["state"] for night in nights[10:]]
    assert len(states) == 2
    assert set(states) == {"steady"}


def test_the_slowed_night_is_found_and_explained(results: Path) -> None:
    code, finding = check(results, SLOW)
    assert code == 1
    assert (finding["state"], finding["cause"]) == ("regression", "candidate regressed")
    assert finding["confirmed"] is True
    assert not finding["measure_again"]
    change = {one["series"]: one["change"] for one in finding["changes"]}
    assert change["candidate_s"] > 2
    assert change["ratio"] > 2
    assert abs(change["baseline_s"]) < 0.5
    assert any("injected_delay_ms: 0.0 → 300.0" in line for line in finding["different"])
    assert "arms.onnxruntime.injected_delay_ms=300" in finding["reproduce"]


def test_without_its_second_run_it_asks_for_one(results: Path) -> None:
    shutil.rmtree(results / f"{SLOW}-again")
    _, finding = check(results, SLOW)
    assert finding["measure_again"]
    assert finding["confirmed"] is None


def test_it_is_told_once_and_acknowledged(results: Path, slack: Served) -> None:
    check(results, SLOW)
    alert = [
        "alert",
        results / "verdict.json",
        "--channel",
        "slack",
        "--state",
        results / "nightly" / "told.json",
    ]
    for _ in range(2):
        code, output = report(*alert, BENCH_SLACK_WEBHOOK=slack.url)
        assert code == 0, output
    (message,) = [request.content for request in slack.seen]
    assert "Regression: bert-tiny-sst2, onnxruntime against pytorch" in message["text"]
    assert "onnxruntime got slower while pytorch kept its time" in json.dumps(message)
    (results / "acknowledged.yaml").write_text(
        "acknowledged:\n  - date: 2026-11-23T03:56:00\n    pair: {workload: bert-tiny-sst2}\n    "
        "reason: rehearsed\n"
    )
    _, finding = check(results, SLOW)
    assert finding["state"] == "not enough nights", "the nights before are no baseline any more"
    report(*alert, BENCH_SLACK_WEBHOOK=slack.url)
    assert not [one for one in slack.seen[1:] if "Regression" in one.content["text"]]
