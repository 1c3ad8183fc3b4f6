"""Every bad config gives the error it must give: file, line, the value and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import load_suite
from harness.errors import BenchError

FOLDER = Path(__file__).parent / "bad_configs"
BAD = sorted(FOLDER.glob("[0-9]*.yaml"))


def test_there_are_at_least_twenty() -> None:
    assert len(BAD) >= 20


@pytest.mark.parametrize("file", BAD, ids=lambda f: f.stem)
def test_bad_config(file: Path) -> None:
    expected = [
        line.removeprefix("# expect: ") for line in file.read_text().splitlines() if line.startswith("# expect: ")
    ]
    assert expected
    with pytest.raises(BenchError) as caught:
        load_suite(file)
    for text in expected:
        assert text in str(caught.value)


def test_the_good_config_they_extend_is_good() -> None:
    assert load_suite(FOLDER / "good.yaml").suite == "good"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.batch_size=none", "--set training.batch_size=none: training.batch_size: 'none' does not fit"),
        ("training.batch_size", "needs KEY=VALUE"),
        ("workloads.3.model=tiny", "workloads is a list of 1"),
        ("suite.name=x", "suite holds a single value"),
        ("training.batch=4", "unknown key 'batch'"),
    ],
)
def test_bad_override(override: str, expected: str) -> None:
    with pytest.raises(BenchError) as caught:
        load_suite(FOLDER / "good.yaml", [override])
    assert expected in str(caught.value)


def test_missing_file() -> None:
    with pytest.raises(BenchError, match="no such suite"):
        load_suite(FOLDER / "nowhere.yaml")


def test_every_finding_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(
        f"extends: {FOLDER}/good.yaml\ntraining: {{batchsize: 1, precision: fp8}}\n".replace(str(tmp_path), ".")
    )
    with pytest.raises(BenchError) as caught:
        load_suite(file)
    assert "batchsize" in str(caught.value)
    assert "fp8" in str(caught.value)
