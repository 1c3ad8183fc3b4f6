"""`harness nightly` and `--pairs` at the command line: what is planned, refused and locked."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from alerts_support import marked
from folders import ROOT
from runner_support import make_job

from harness import cli
from harness.config import load_suite
from harness.config.selection import only_pairs
from harness.errors import BenchError
from harness.launcher.environment import environment_for
from harness.nightly.night import _what_it_said
from harness.nightly.state import night_lock
from harness.planning.plan import make_plan
from report.alerts.channels.registry import CHANNELS, variables
from report.alerts.delivery import PROXIES
from report.alerts.pipeline import _channel
from report.alerts.secrets import Secrets

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
    suite = load_suite(ROOT / "configs" / "glue-sst2.yaml")
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
