"""The two YAML files: where they are wrong is said by line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from folders import ROOT

from harness.errors import BenchError
from harness.schema.record import Pair
from report.regressions.acknowledged import latest_for, load_acknowledged
from report.regressions.thresholds import CheckConfig, load_config

PAIR = Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")


def write(folder: Path, text: str) -> Path:
    file = folder / "file.yaml"
    file.write_text(text)
    return file


def test_the_shipped_file_is_what_is_built_in() -> None:
    assert load_config(ROOT / "configs" / "check.yaml") == CheckConfig()


def test_every_threshold_says_its_unit() -> None:
    lines = (ROOT / "configs" / "check.yaml").read_text().split("comparable:")[0].splitlines()
    values = [line for line in lines if line.startswith("  ")]
    assert len(values) == len(CheckConfig().thresholds.model_dump())
    for line in values:
        assert any(
            unit in line.partition("#")[2]
            for unit in ("standard deviations", "percent", "nights", "share")
        )


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("thresholds:\n  sigmas: 2.7\n  sigma_long: 3\n", ":3", "did you mean 'sigmas_long'"),
        (
            "thresholds:\n  min_nights: 2\n",
            ":2",
            "2 does not fit\n  allowed: greater than or equal to 3",
        ),
        (
            "thresholds:\n  min_nights: 70\n",
            ":1",
            "baseline_nights (60) is less than min_nights (70)",
        ),
        ("thresholds: {sigmas_alone: 1}\n", ":1", "sigmas_alone (1) is less than sigmas (2.3)"),
        ("comparable:\n  card: maybe\n", ":2", "'maybe' does not fit"),
        ("thresholds:\n  sigmas: 1\n  sigmas: 2\n", ":3", "written twice"),
        ("thresholds: [\n", ":2", "not valid YAML"),
        ("5\n", ":1", "5 does not fit\n  allowed: a mapping"),
    ],
)
def test_what_is_wrong_is_said_by_line(tmp_path: Path, text: str, place: str, message: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(BenchError) as caught:
        load_config(file)
    assert str(caught.value).startswith(f"{file}{place}: ")
    assert message in str(caught.value)
    assert "\n  fix: " in str(caught.value)


def test_everything_wrong_is_listed(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        load_config(write(tmp_path, "thresholds:\n  sigmas: 0\n  longest_tail: 0\n"))
    assert "file.yaml:2" in str(caught.value)
    assert "file.yaml:3" in str(caught.value)


def test_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no such file"):
        load_config(tmp_path / "nowhere.yaml")


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "# nothing\n")) == CheckConfig()


ENTRY = (
    "acknowledged:\n- date: 2026-02-03\n  pair: {workload: 'tiny-*'}\n  reason: torch 2.7\n  "
    "commit: 1234567\n"
)


def test_an_acknowledgement_is_of_pairs_and_from_a_moment_on(tmp_path: Path) -> None:
    (entry,) = load_acknowledged(tmp_path, write(tmp_path, ENTRY))
    assert entry.since == datetime(2026, 2, 3, tzinfo=UTC)
    assert entry.commit == "1234567"
    assert entry.is_of(PAIR)
    assert not entry.is_of(PAIR.model_copy(update={"workload": "large-sst2"}))
    assert latest_for(PAIR, datetime(2026, 2, 2, 23, tzinfo=UTC), [entry]) is None
    assert latest_for(PAIR, datetime(2026, 2, 3, tzinfo=UTC), [entry]) == entry


def test_a_time_of_day_with_its_zone(tmp_path: Path) -> None:
    (entry,) = load_acknowledged(
        tmp_path, write(tmp_path, ENTRY.replace("2026-02-03", "2026-02-03T04:00:00+02:00"))
    )
    assert entry.since == datetime(2026, 2, 3, 2, tzinfo=UTC)


def test_beside_the_results_or_nowhere(tmp_path: Path) -> None:
    assert load_acknowledged(tmp_path) == []
    (tmp_path / "acknowledged.yaml").write_text(ENTRY)
    assert len(load_acknowledged(tmp_path)) == 1


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (ENTRY.replace("reason: torch 2.7", "why: torch"), ":4", "unknown key"),
        (ENTRY.replace("  reason: torch 2.7\n", ""), ":2", "reason: 'reason' is missing"),
        (ENTRY.replace("2026-02-03", "yesterday"), ":2", "does not fit"),
        (ENTRY.replace("workload", "work"), ":3", "known keys: workload, baseline, candidate"),
    ],
)
def test_a_wrong_acknowledgement_is_said_by_line(
    tmp_path: Path, text: str, place: str, message: str
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(BenchError) as caught:
        load_acknowledged(tmp_path, file)
    assert f"{file}{place}: " in str(caught.value)
    assert message in str(caught.value)
