"""Names of before: read in suites, in `--set` and in recorded runs; what they identify stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from folders import CONFIGS, RESULTS

from harness.config import load, load_suite
from harness.errors import BenchError
from harness.planning.plan import make_plan
from harness.results.run_folder import read_info
from harness.schema import terms
from harness.schema.record import SCHEMA_VERSION
from harness.schema.record_io import read_line, written_line

SMOKE = CONFIGS / "smoke.yaml"
# As they were before the names changed.
SMOKE_SHA256 = "91eb899cd67790fd0001273ba9d861e40e9043c70be652b0e1ab819908cc731d"
SMOKE_IDS = ["994dcc33254714db", "83267a8ba5661b9e", "f18ace5480308d6b"]
IN_TURNS = RESULTS / "glue-sst2-blocks-20261123-055130"


@pytest.fixture(autouse=True)
def nobody_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test is the first to name an old name."""
    monkeypatch.setattr(load, "_told", set())


def written(folder: Path, measurement: str) -> Path:
    suite = folder / "old.yaml"
    suite.write_text(f"extends: {SMOKE}\nmeasurement:\n  {measurement}\n")
    return suite


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        (
            "launches: 6",
            "replicates: 6",
            "`measurement.launches` is called `measurement.replicates`",
        ),
        (
            "protocol: blocks",
            "protocol: interleaved",
            "the protocol `blocks` is called `interleaved`",
        ),
        (
            "protocol: epochs",
            "protocol: sequential",
            "the protocol `epochs` is called `sequential`",
        ),
        (
            "blocks: {seconds: 3}",
            "interleaved: {seconds: 3}",
            "`measurement.blocks` is called `measurement.interleaved`",
        ),
        (
            "parity: {twin_steps: 4}",
            "parity: {steps: 4}",
            "`measurement.parity.twin_steps` is called `measurement.parity.steps`",
        ),
        (
            "adaptive: {max_pairs: 10}",
            "adaptive: {max_replicates: 10}",
            "`measurement.adaptive.max_pairs` is called `measurement.adaptive.max_replicates`",
        ),
    ],
)
def test_a_suite_with_an_old_name_is_the_suite_with_the_new_one_and_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, note: str
) -> None:
    before = load_suite(written(tmp_path, old))
    load_suite(written(tmp_path, old))
    told = capsys.readouterr().err
    assert told == f"note: {tmp_path / 'old.yaml'}:3: {note} now\n"
    assert before == load_suite(written(tmp_path, new))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("measurement.launches=6", "measurement.replicates=6"),
        ("measurement.protocol=blocks", "measurement.protocol=interleaved"),
        ("measurement.blocks.seconds=3", "measurement.interleaved.seconds=3"),
        ("measurement.parity.twin_steps=4", "measurement.parity.steps=4"),
        ("measurement.adaptive.min_pairs=4", "measurement.adaptive.min_replicates=4"),
        (
            "measurement={launches: 3, parity: {twin_steps: 4}}",
            "measurement={replicates: 3, parity: {steps: 4}}",
        ),
    ],
)
def test_set_takes_old_names_too(capsys: pytest.CaptureFixture[str], old: str, new: str) -> None:
    before = load_suite(SMOKE, [old])
    assert capsys.readouterr().err.startswith(f"note: --set {old}: ")
    assert before == load_suite(SMOKE, [new])
    assert capsys.readouterr().err == ""


def test_an_old_name_overrides_the_new_one_of_the_suite_that_it_extends(tmp_path: Path) -> None:
    assert load_suite(SMOKE).measurement.replicates != 6
    assert load_suite(written(tmp_path, "launches: 6")).measurement.replicates == 6


@pytest.mark.parametrize(
    "both", ["{launches: 2, replicates: 3}", "{blocks: {seconds: 1}, interleaved: {seconds: 2}}"]
)
def test_both_names_of_one_setting_are_an_error(tmp_path: Path, both: str) -> None:
    suite = tmp_path / "both.yaml"
    suite.write_text(f"extends: {SMOKE}\nmeasurement: {both}\n")
    with pytest.raises(
        BenchError, match="are two names of one setting, and both are given"
    ) as told:
        load_suite(suite)
    assert told.value.place == f"{suite}:2"
    with pytest.raises(BenchError, match="are two names of one setting"):
        load_suite(SMOKE, [f"measurement={both}"])


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        (["measurement.launches=2", "measurement.replicates=3"], "measurement.launches=2"),
        (["measurement.replicates=3", "measurement.launches=2"], "measurement.launches=2"),
        (
            ["measurement.blocks.seconds=1", "measurement.interleaved={steps: 5}"],
            "measurement.blocks.seconds=1",
        ),
    ],
)
def test_both_names_of_one_setting_by_two_overrides_are_an_error(
    overrides: list[str], place: str
) -> None:
    with pytest.raises(BenchError, match="are two names of one setting, and both are") as told:
        load_suite(SMOKE, overrides)
    assert told.value.place == f"--set {place}"


def test_an_error_below_an_old_name_is_told_at_the_line_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"measurement\.interleaved\.seconds") as told:
        load_suite(written(tmp_path, "blocks: {seconds: -1}"))
    assert told.value.place == f"{tmp_path / 'old.yaml'}:3"


def test_ids_and_hashes_are_those_of_before() -> None:
    """Of jobs and of the configuration: a run that began before goes on, and is not begun anew."""
    plan = make_plan(load_suite(SMOKE), device="cpu", cache_dir=Path("c"))
    assert plan.config_sha256 == SMOKE_SHA256
    assert [job.id for job in plan.jobs][:3] == SMOKE_IDS


def test_a_setting_that_came_later_is_in_the_hash_where_it_changes_something() -> None:
    off, on = (
        make_plan(
            load_suite(SMOKE, [f"measurement.interleaved.keep_awake={value}"]),
            device="cpu",
            cache_dir=Path("c"),
        )
        for value in ("false", "true")
    )
    assert off.config_sha256 == SMOKE_SHA256
    assert on.config_sha256 != SMOKE_SHA256
    assert on.config["measurement"]["interleaved"]["keep_awake"] is True
    assert off.config["measurement"]["interleaved"]["keep_awake"] is False


def test_a_recorded_line_is_read_by_its_old_names_and_written_by_the_new_ones() -> None:
    lines = (IN_TURNS / "jobs.jsonl").read_bytes().splitlines()
    for line in lines:
        old, record = json.loads(line), read_line(line)
        assert (record.replicate, record.parity_run) == (old["launch"], old["twin"])
        assert (record.turns is None) == (old["blocks"] is None)
        if record.turns is not None:
            assert record.turns.step_s == old["blocks"]["step_s"]
        new = json.loads(written_line(record))
        assert new["schema_version"] == SCHEMA_VERSION
        assert not terms.FIELDS.keys() & new.keys()
        assert read_line(written_line(record)) == record
    assert any(read_line(line).turns for line in lines)


def test_the_suite_of_a_recorded_run_has_the_new_names() -> None:
    before = json.loads((IN_TURNS / "run.json").read_text())["config"]["measurement"]
    measurement = read_info(IN_TURNS).config["measurement"]
    assert (measurement["protocol"], before["protocol"]) == ("interleaved", "blocks")
    assert measurement["replicates"] == before["launches"]
    assert measurement["interleaved"] == before["blocks"]
    assert measurement["parity"]["steps"] == before["parity"]["twin_steps"]


def test_how_stopping_ended_is_read_by_its_old_names(tmp_path: Path) -> None:
    pair = {"workload": "w", "baseline": "a", "candidate": "b", "state": "precision not reached"}
    pair |= {"target_pp": 0.5, "minutes": 3.0}
    info = json.loads((IN_TURNS / "run.json").read_text())
    info["stopping"] = [{**pair, "pairs": 8, "needed_pairs": 20}]
    info["config"]["measurement"]["adaptive"] = {"min_pairs": 4, "max_pairs": 8}
    (tmp_path / "run.json").write_text(json.dumps(info))
    found = read_info(tmp_path)
    (stopping,) = found.stopping
    assert (stopping.replicates, stopping.needed_replicates) == (8, 20)
    assert found.config["measurement"]["adaptive"] == {"min_replicates": 4, "max_replicates": 8}


def test_the_hash_of_an_adaptive_suite_is_over_the_old_names() -> None:
    config = {"measurement": {"adaptive": {"min_replicates": 4, "max_replicates": 8}}}
    before = terms.suite_in_old_names(config)
    assert before["measurement"]["adaptive"] == {"min_pairs": 4, "max_pairs": 8}
    assert config["measurement"]["adaptive"] == {"min_replicates": 4, "max_replicates": 8}


def test_a_renamed_suite_has_the_ids_and_the_hash_that_it_had(tmp_path: Path) -> None:
    renamed = load_suite(CONFIGS / "glue-sst2-interleaved.yaml")
    as_before = renamed.replace(suite="glue-sst2-blocks")
    plans = [make_plan(suite, device="cuda", cache_dir=tmp_path) for suite in (renamed, as_before)]
    assert plans[0].config_sha256 == plans[1].config_sha256
    assert [job.id for job in plans[0].jobs] == [job.id for job in plans[1].jobs]
