"""What a command line means that leaves things out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from folders import CONFIGS

from harness.commands import run
from harness.commands.options import DEFAULT_SUITES
from harness.commands.resolve import find_suite


@pytest.mark.parametrize(("device", "suite"), [("cpu", "smoke"), ("cuda", "glue-sst2")])
def test_without_a_name_the_device_decides_which_suite(device: Any, suite: str) -> None:
    assert DEFAULT_SUITES[device] == suite
    found = find_suite(None, device)
    assert found.resolve() == (CONFIGS / f"{suite}.yaml").resolve()


def test_help_says_which_suites_those_are(capsys: pytest.CaptureFixture[str]) -> None:
    commands = argparse.ArgumentParser().add_subparsers()
    run.register(commands)
    with pytest.raises(SystemExit):
        commands.choices["run"].parse_args(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "(default: glue-sst2 on a GPU, smoke without one)" in told


def test_a_path_is_that_file_or_none(tmp_path: Path) -> None:
    missing = str(tmp_path / "smoke.yaml")
    assert find_suite(missing, "cpu") == Path(missing)


@pytest.mark.parametrize("given", ["glue-sst2-blocks", "configs/glue-sst2-blocks.yaml"])
def test_the_old_name_of_a_suite_finds_it_and_the_new_one_is_told(
    given: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CONFIGS.parent)
    assert find_suite(given, "cuda") == Path("configs/glue-sst2-interleaved.yaml")
    assert capsys.readouterr().err == (
        "note: the suite `glue-sst2-blocks` is called `glue-sst2-interleaved` now\n"
    )
