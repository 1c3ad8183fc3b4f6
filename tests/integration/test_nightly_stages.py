"""A night's stages, killed and resumed, by real processes whose programs are scripted
(tests/support/scripted_stage.py).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT, SUPPORT
from runner_support import processes_of, wait_until

from harness.nightly.state import STATE_FILE, NightState, StageDone, pending, save

STAGES = ("bench", "check", "again", "recheck", "alert")
SCRIPT = SUPPORT / "scripted_nightly.py"


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    for pid in processes_of(tmp_path):
        os.kill(pid, signal.SIGKILL)


def start(
    folder: Path, budget: float = 60, suite_hash: str = "c0ffee", **behaviour: Any
) -> subprocess.Popen[str]:
    (folder / "behaviour.json").write_text(json.dumps(behaviour))
    environment = {
        **os.environ,
        "BENCH_TEST_FOLDER": str(folder),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, str(SCRIPT), str(folder), str(budget), suite_hash]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(folder: Path, **options: Any) -> tuple[int, str]:
    process = start(folder, **options)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def lines(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text().splitlines() if (folder / name).exists() else []


def begun(folder: Path) -> list[str]:
    return [line.split()[1] for line in lines(folder, "calls") if line.startswith("begin")]


def nights(folder: Path) -> list[NightState]:
    files = sorted((folder / "results" / "nightly").glob(f"*/{STATE_FILE}"))
    return [NightState.model_validate_json(file.read_bytes()) for file in files]


def final(folder: Path, night: NightState) -> dict[str, Any]:
    verdict: dict[str, Any] = json.loads(
        (folder / "results" / "nightly" / night.night / "final.json").read_text()
    )
    return verdict


def test_a_night_with_an_alarm_goes_through_every_stage_and_says_regression(tmp_path: Path) -> None:
    code, output = finish(tmp_path)
    (night,) = nights(tmp_path)
    assert code == 1, output
    assert begun(tmp_path) == list(STAGES)
    assert (night.over, night.exit_code) == (True, 1)
    assert lines(tmp_path, "outbox") == [f"{night.night}: regression"]
    assert final(tmp_path, night)["findings"][0]["confirmed"] is True
    called = [json.loads(line) for line in lines(tmp_path, "arguments")]
    results = str(tmp_path / "results")
    assert called[0][1:] == [
        "run",
        "scripted.yaml",
        "--results",
        results,
        "--run",
        night.night,
        "--no-tables",
    ]
    assert called[2][-2:] == ["--pairs", "tiny:pytorch:onnxruntime"]
    assert called[4][-6:] == [
        *called[4][-6:-4],
        "--channel",
        "slack",
        "--channel",
        "json=alerts.json",
    ]
    for stage in STAGES:
        assert (
            (tmp_path / "results" / "nightly" / night.night / f"{stage}.log")
            .read_text()
            .startswith("# 20")
        )


def test_a_quiet_night_measures_nothing_again_and_the_next_start_is_a_new_night(
    tmp_path: Path,
) -> None:
    assert finish(tmp_path, check={"alarm": False})[0] == 0
    assert begun(tmp_path) == ["bench", "check", "alert"]
    assert finish(tmp_path, check={"alarm": False})[0] == 0
    first, second = nights(tmp_path)
    assert first.night != second.night
    assert len(lines(tmp_path, "jobs")) == len(set(lines(tmp_path, "jobs"))) == 6


@pytest.mark.parametrize("stage", STAGES)
def test_killed_in_any_stage_it_goes_on_and_alerts_once(tmp_path: Path, stage: str) -> None:
    process = start(tmp_path, **{stage: {"seconds": 1.5}})
    wait_until(lambda: stage in begun(tmp_path))
    time.sleep(0.6)  # one of three jobs is done by now
    process.kill()
    process.communicate()
    assert lines(tmp_path, "outbox") == []
    code, output = finish(tmp_path)
    (night,) = nights(tmp_path)
    assert (code, night.over) == (1, True), output
    assert lines(tmp_path, "outbox") == [f"{night.night}: regression"]
    jobs = lines(tmp_path, "jobs")
    in_flight = 1 if stage in ("bench", "again") else 0
    assert len(jobs) == 6 + in_flight, "only the job in flight is repeated"
    assert [name for name in begun(tmp_path) if name != stage] == [
        name for name in STAGES if name != stage
    ]


def test_killed_between_stages_and_at_random_moments(tmp_path: Path) -> None:
    moments = random.Random(11)
    slow = {stage: {"seconds": 0.3} for stage in STAGES}
    kills = 0
    while kills < 8:
        process = start(tmp_path, **slow)
        time.sleep(moments.uniform(0.3, 1.6))
        if process.poll() is not None:
            break
        process.kill()
        process.communicate()
        kills += 1
    if not nights(tmp_path) or not nights(tmp_path)[-1].over:
        finish(tmp_path, **slow)
    assert kills >= 2
    told = lines(tmp_path, "outbox")
    assert told == [f"{night.night}: regression" for night in nights(tmp_path)], (
        "each night once, none lost"
    )
    jobs = lines(tmp_path, "jobs")
    assert len(jobs) - len(set(jobs)) <= kills


def test_a_killed_night_takes_its_run_with_it_but_lets_the_alert_arrive(tmp_path: Path) -> None:
    process = start(tmp_path, bench={"seconds": 30})
    wait_until(lambda: "bench" in begun(tmp_path))
    process.kill()
    process.communicate()
    wait_until(lambda: not processes_of(tmp_path), 5)

    process = start(tmp_path, alert={"seconds": 1.5})
    wait_until(lambda: "alert" in begun(tmp_path))
    process.kill()
    process.communicate()
    wait_until(lambda: lines(tmp_path, "outbox"), 10)
    finish(tmp_path)
    assert len(lines(tmp_path, "outbox")) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_in_order_with_130_and_the_same_command_goes_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = start(tmp_path, bench={"seconds": 30})
    wait_until(lambda: lines(tmp_path, "jobs"))
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"stopped by {number.name}: the same command goes on from here" in output
    assert "stopped" in lines(tmp_path, "calls"), "the runner was told, not killed"
    assert finish(tmp_path)[0] == 1
    assert len(nights(tmp_path)) == 1


def test_a_stop_waits_for_the_alert_that_is_on_its_way(tmp_path: Path) -> None:
    process = start(tmp_path, alert={"seconds": 1.5})
    wait_until(lambda: "alert" in begun(tmp_path))
    process.terminate()
    process.communicate(timeout=20)
    assert len(lines(tmp_path, "outbox")) == 1
    assert process.returncode == 1
    assert nights(tmp_path)[0].over


def test_two_nights_never_share_the_card(tmp_path: Path) -> None:
    first = start(tmp_path, bench={"seconds": 30})
    wait_until(lambda: "bench" in begun(tmp_path))
    code, output = finish(tmp_path, bench={"seconds": 30})
    first.kill()
    first.communicate()
    assert code == 2
    assert f"another night is running (pid {first.pid})" in output
    assert begun(tmp_path) == ["bench"]


def test_what_a_killed_night_left_running_is_waited_for(tmp_path: Path) -> None:
    process = start(tmp_path, alert={"seconds": 3})
    wait_until(lambda: "alert" in begun(tmp_path))
    process.kill()
    process.communicate()
    assert finish(tmp_path)[0] == 1
    calls = [line for line in lines(tmp_path, "calls") if line.endswith("alert")]
    assert calls == ["begin alert", "end alert", "begin alert", "end alert"], "never two at a time"


def test_over_budget_it_checks_what_there_is_and_says_so(tmp_path: Path) -> None:
    code, _ = finish(tmp_path, budget=0.03, bench={"seconds": 30})
    (night,) = nights(tmp_path)
    assert code == 1
    assert begun(tmp_path) == ["bench", "check", "alert"], "no time was left for a second run"
    problems = final(tmp_path, night)["problems"]
    assert problems == [
        f"run {night.night} was stopped: the night's budget was used up",
        f"the second run {night.again} was not made, or not to its end: the night's budget "
        "was used up",
    ]
    assert lines(tmp_path, "outbox")[0] == f"{night.night}: regression"


def test_alerts_that_do_not_arrive_keep_the_night_open(tmp_path: Path) -> None:
    code, output = finish(tmp_path, alert={"exit": 1})
    assert code == 2
    assert "were not all delivered" in output
    assert not nights(tmp_path)[0].over
    code, _ = finish(tmp_path)
    (night,) = nights(tmp_path)
    assert (code, night.over) == (1, True)
    assert begun(tmp_path) == [*STAGES, "alert"]
    assert lines(tmp_path, "outbox") == [f"{night.night}: regression"]


def test_a_host_that_cannot_measure_is_told_too(tmp_path: Path) -> None:
    unfit = {"dies": True, "exit": 2, "say": "harness: GPU 0 is in use by pid 7\n  fix: end it"}
    code, _ = finish(tmp_path, bench=unfit)
    (night,) = nights(tmp_path)
    assert code == 2
    assert begun(tmp_path) == ["bench", "alert"]
    assert final(tmp_path, night)["problems"] == [
        f"run {night.night} ended with exit status 2: harness: GPU 0 is in use by pid 7",
        f"there is no run {night.night} to judge",
    ]
    assert len(lines(tmp_path, "outbox")) == 2
    assert night.over


@pytest.mark.parametrize(("stage", "code"), [("check", 2), ("recheck", 1)])
def test_a_check_that_crashes_is_told_with_what_is_known(
    tmp_path: Path, stage: str, code: int
) -> None:
    assert (
        finish(tmp_path, **{stage: {"dies": True, "exit": 2, "say": "report: no such thing"}})[0]
        == code
    )
    (night,) = nights(tmp_path)
    assert final(tmp_path, night)["problems"] == [
        "report check made no verdict (exit status 2): report: no such thing"
    ]


@pytest.mark.parametrize("stage", ["bench", "again"])
@pytest.mark.parametrize(
    ("behaviour", "how"),
    [
        (
            {"exit": 2, "say": "harness: no space is left on the disk"},
            "ended with exit status 2: harness: no space",
        ),
        ({"killed": True}, "was killed by SIGKILL"),
        ({"exit": 120}, "ended with exit status 120"),
        # 1 is also how an interpreter ends that could not even begin; the run then has not ended.
        (
            {"exit": 1, "status": "incomplete", "say": "No module named harness"},
            "ended with exit status 1: No module",
        ),
        ({"exit": 1, "dies": True}, "ended with exit status 1"),
    ],
)
def test_a_runner_that_died_is_no_judgement(
    tmp_path: Path, stage: str, behaviour: dict[str, Any], how: str
) -> None:
    code, output = finish(tmp_path, **{stage: behaviour})
    (night,) = nights(tmp_path)
    assert (code, night.exit_code, night.died) == (2, 2, True), output
    verdict = final(tmp_path, night)
    assert verdict["exit_code"] == 2
    assert how in verdict["problems"][0]
    assert any(how in line for line in lines(tmp_path, "outbox")), "it is told"


def test_pairs_without_a_result_are_for_the_check_to_judge(tmp_path: Path) -> None:
    assert finish(tmp_path, bench={"exit": 1})[0] == 1
    (night,) = nights(tmp_path)
    assert not night.died
    assert final(tmp_path, night)["problems"] == []


def test_a_night_past_its_deadline_is_finished_without_training_before_a_new_one(
    tmp_path: Path,
) -> None:
    results, long_ago = tmp_path / "results", datetime.now(UTC) - timedelta(hours=20)
    old = NightState(
        night="scripted-old",
        suite="scripted",
        config_sha256="c0ffee",
        started_at=long_ago,
        deadline_at=long_ago,
    )
    (results / old.night).mkdir(parents=True)
    (results / old.night / "run.json").write_text("{}")
    save(results, old)
    stranger = old.model_copy(update={"night": "other-old", "suite": "other"})
    save(results, stranger)
    finish(tmp_path)
    by_name = {night.night: night for night in nights(tmp_path)}
    assert by_name[old.night].over
    assert not by_name["other-old"].over
    assert not [line for line in lines(tmp_path, "jobs") if "old" in line]
    (tonight,) = by_name.keys() - {old.night, "other-old"}
    assert [line for line in lines(tmp_path, "outbox") if line.endswith(": regression")] == [
        f"{old.night}: regression",
        f"{tonight}: regression",
    ]
    assert "the night was not resumed in time" in final(tmp_path, by_name[old.night])["problems"][0]


def test_another_suite_content_is_another_night(tmp_path: Path) -> None:
    process = start(tmp_path, bench={"seconds": 30})
    wait_until(lambda: len(lines(tmp_path, "jobs")) == 1)
    process.kill()
    process.communicate()
    finish(tmp_path, suite_hash="decaf", check={"alarm": False})
    first, second = nights(tmp_path)
    assert (first.over, second.over) == (True, True)
    assert [line.split()[0] for line in lines(tmp_path, "jobs")] == [first.night] + 3 * [
        second.night
    ]


def test_a_damaged_state_file_is_named_and_passed_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC)
    good = NightState(
        night="n2",
        suite="s",
        config_sha256="",
        started_at=now,
        deadline_at=now,
        stages={"bench": StageDone()},
    )
    save(tmp_path, good)
    (tmp_path / "nightly" / "n1").mkdir()
    (tmp_path / "nightly" / "n1" / STATE_FILE).write_text("{")
    assert pending(tmp_path, "s") == [good]
    assert "n1/nightly.json: not a night's state" in capsys.readouterr().err
