"""`harness nightly` and `--pairs` at the command line, and one real night that is killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runner_support import processes_of, wait_until

from harness import cli
from harness.config import load_suite
from harness.config.selection import only_pairs
from harness.errors import BenchError
from harness.nightly.child import _what_it_said
from harness.nightly.lock import night_lock
from harness.nightly.state import STATE_FILE, Night
from harness.plan import make_plan
from harness.store import read_records

ROOT = Path(__file__).resolve().parents[1]
SMOKE = ROOT / "configs" / "smoke.yaml"
PAIR = "bert-tiny-sst2:pytorch:onnxruntime"


def test_only_the_named_pairs_are_planned(tmp_path: Path) -> None:
    suite = load_suite(SMOKE)
    whole, part = (make_plan(one, device="cpu", cache_dir=tmp_path) for one in (suite, only_pairs(suite, [PAIR])))
    assert {job.workload.name for job in whole.jobs} == {"roberta-tiny-sst2", "bert-tiny-sst2"}
    assert {job.workload.name for job in part.jobs} == {"bert-tiny-sst2"}
    assert {job.id for job in part.jobs} < {job.id for job in whole.jobs}, "the same jobs, by their ids"
    assert [pair.workload for pair in part.pairs] == ["bert-tiny-sst2"]


def test_a_pair_keeps_its_declared_differences() -> None:
    suite = load_suite(ROOT / "configs" / "glue-sst2-sdpa.yaml")
    declared = next(pair for pair in suite.resolved_pairs() if pair.differs)
    (kept,) = only_pairs(suite, [f"{declared.workload}:{declared.baseline}:{declared.candidate}"]).resolved_pairs()
    assert kept == declared


def test_an_unknown_pair_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", str(SMOKE), "--device", "cpu", "--pairs", "bert-tiny-sst2:onnxruntime:pytorch"]) == 2
    error = capsys.readouterr().err
    assert "--pairs bert-tiny-sst2:onnxruntime:pytorch: the suite has no such pair" in error
    assert f"one of roberta-tiny-sst2:pytorch:onnxruntime, {PAIR}" in error


@pytest.mark.parametrize("budget", ["0", "-1", "nan"])
def test_a_budget_is_above_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str], budget: str) -> None:
    arguments = ["nightly", str(SMOKE), "--device", "cpu", "--results", str(tmp_path), "--budget-minutes", budget]
    assert cli.main(arguments) == 2
    assert "needs a number above 0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_suite_that_cannot_be_read_begins_no_night(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["nightly", str(SMOKE), "--set", "training.batch_size=x", "--results", str(tmp_path)]) == 2
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
        with pytest.raises(BenchError, match=rf"another night is running \(pid {os.getpid()}\)"), night_lock(lock):
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
    ],
)
def test_what_a_program_said_is_its_error(tail: bytes, said: str) -> None:
    assert _what_it_said(tail) == said


@pytest.mark.slow
def test_a_real_night_killed_while_it_trains_goes_on_and_is_told_once(tmp_path: Path) -> None:
    results = tmp_path / "results"
    command = [sys.executable, "-m", "harness.cli", "nightly", "configs/nightly-smoke.yaml", "--device", "cpu"]
    command += ["--results", str(results), "--lock", str(tmp_path / "lock"), "--set", "measurement.blocks.seconds=1"]
    command += ["--channel", f"json={tmp_path / 'alerts.json'}"]
    command += ["--set", "measurement.contention=note"]  # other tests run on the same cores
    environment = {**os.environ, "BENCH_TEST_FOLDER": str(tmp_path)}
    first = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def records() -> list[str]:
        return [record.id for folder in results.glob("nightly-smoke-*") for record in read_records(folder)[0]]

    wait_until(records, 120)  # the first launch of the pair is on disk
    time.sleep(1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    wait_until(lambda: not processes_of(tmp_path), 20)
    before = records()
    second = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
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
