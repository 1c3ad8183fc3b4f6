"""Every bad config gives the error it must give: file, line, the value and what is allowed."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from folders import BAD_CONFIGS, CONFIGS

from harness.config import load_suite
from harness.config.load import OTHER_CONFIGS
from harness.errors import BenchError
from report.regressions.thresholds import CheckConfig

FOLDER = BAD_CONFIGS
BAD = sorted(FOLDER.glob("[0-9]*.yaml"))


def test_there_are_at_least_twenty() -> None:
    assert len(BAD) >= 20


@pytest.mark.parametrize("file", BAD, ids=lambda f: f.stem)
def test_bad_config(file: Path) -> None:
    expected = [
        line.removeprefix("# expect: ")
        for line in file.read_text().splitlines()
        if line.startswith("# expect: ")
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
        (
            "training.batch_size=none",
            "--set training.batch_size=none: training.batch_size: 'none' does not fit",
        ),
        (
            "training.batch_size=abc",
            "--set training.batch_size=abc: training.batch_size: 'abc' does not fit\n"
            "  allowed: an integer",
        ),
        ("training.batch_size=1.5", "1.5 does not fit\n  allowed: an integer"),
        ("training.learning_rate=fast", "'fast' does not fit\n  allowed: a number"),
        ("training.evaluate=often", "'often' does not fit\n  allowed: true or false"),
        ("training.batch_size", "needs KEY=VALUE"),
        ("workloads.3.model=tiny", "workloads is a list of 1"),
        ("suite.name=x", "suite holds a single value"),
        ("training.batch=4", "unknown key 'batch'"),
        ("models.tiny.config.layer_norm_eps=nan", "'nan' is text"),
        ("models.tiny.config.layer_norm_eps='1e-6'", "'1e-6' is text"),
        ("models.tiny.config.layer_norm_eps=-1", "-1 is not above 0"),
        ("models.tiny.config.hidden_size=-1", "-1 is no size"),
        ("models.tiny.config.hidden_size=1e-6", "1e-06 is no size"),
        ("models.tiny.config.num_hidden_layers=true", "True is no size"),
    ],
)
def test_bad_override(override: str, expected: str) -> None:
    with pytest.raises(BenchError) as caught:
        load_suite(FOLDER / "good.yaml", [override])
    assert expected in str(caught.value)


def test_a_count_in_a_models_config_may_be_written_as_any_other_number() -> None:
    suite = load_suite(FOLDER / "good.yaml", ["models.tiny.config.hidden_size=1e2"])
    size = suite.models["tiny"].config["hidden_size"]
    assert (size, type(size)) == (100, int)


def test_a_named_pipe_is_no_suite(tmp_path: Path) -> None:
    """Opening it would wait for somebody who writes to it."""
    os.mkfifo(pipe := tmp_path / "pipe.yaml")
    with pytest.raises(BenchError, match="is a named pipe"):
        load_suite(pipe)


def test_missing_file() -> None:
    with pytest.raises(BenchError, match="no such suite"):
        load_suite(FOLDER / "nowhere.yaml")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("smok", "did you mean smoke? Or the path of a YAML file; `ls configs`"),
        ("chek", "fix: the path of a YAML file; `ls configs`"),
        ("nothing-like-it", "fix: the path of a YAML file; `ls configs`"),
    ],
)
def test_a_mistyped_suite_is_told_the_closest_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    with pytest.raises(BenchError, match="no such suite") as here:
        load_suite(Path("configs") / f"{given}.yaml")
    assert said in str(here.value)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match="no such suite") as elsewhere:
        load_suite(Path("configs") / f"{given}.yaml")
    assert said in str(elsewhere.value)


def test_the_thresholds_of_the_check_are_no_suite() -> None:
    with pytest.raises(BenchError) as told:
        load_suite(CONFIGS / "check.yaml")
    assert told.value.place == str(CONFIGS / "check.yaml")
    assert told.value.message == "this file holds the thresholds of `report check`, not a suite"


def test_the_keys_of_the_check_are_known() -> None:
    assert OTHER_CONFIGS["check"][0] == CheckConfig.model_fields.keys()


def test_every_finding_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(
        f"extends: {FOLDER}/good.yaml\ntraining: {{batchsize: 1, precision: fp8}}\n".replace(
            str(tmp_path), "."
        )
    )
    with pytest.raises(BenchError) as caught:
        load_suite(file)
    assert "batchsize" in str(caught.value)
    assert "fp8" in str(caught.value)


@pytest.mark.parametrize(
    "section", ["suite", "models", "tasks", "arms", "stacks", "workloads.0.name"]
)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x" * 201, "the name has 201 bytes"),
        ("模" * 67, "the name has 201 bytes"),
        ("-x", "a name does not begin with -"),
        (".x", "a name does not begin with ."),
        ("a/b", "a name is made of letters, digits and - _ . +"),
        ("🚀", "a name is made of letters, digits and - _ . +"),
    ],
)
def test_names_are_checked_where_they_are_given(section: str, name: str, said: str) -> None:
    values = {
        "suite": name,
        "models": {name: {"architecture": "bert-tiny"}},
        "tasks": {name: {"source": "synthetic"}},
        "arms": {name: {"backend": "pytorch"}},
        "stacks": {name: {"python": "/x"}},
        "workloads.0.name": name,
    }
    given = f"{section}={json.dumps(values[section], ensure_ascii=False)}"
    with pytest.raises(BenchError, match=re.escape(said)) as caught:
        load_suite(FOLDER / "good.yaml", [given])
    assert caught.value.place.startswith(f"--set {given}"[:40])


def test_the_longest_names_allowed_are_good_together() -> None:
    name = "模型" * 16  # 96 bytes
    suite = load_suite(
        FOLDER / "good.yaml",
        [f"models={{{name}: {{architecture: bert-tiny}}}}", f"workloads.0.model={name}"],
    )
    assert suite.resolved_workloads()[0].name == f"{name}-sst2"


def test_a_workloads_name_that_is_put_together_too_long_is_named_with_its_parts() -> None:
    model, task = "模型" * 16, "任务" * 16 + "xyz"  # 96 and 99 bytes
    words = [
        f"models={{{model}: {{architecture: bert-tiny}}}}",
        f"tasks={{{task}: {{source: synthetic}}}}",
    ]
    words += [f"workloads=[{{model: {model}, task: {task}, sweep: {{learning_rate: [0.001]}}}}]"]
    with pytest.raises(
        BenchError, match=r"its workload would be called .* bytes, and 200 are allowed"
    ) as caught:
        load_suite(FOLDER / "good.yaml", words)
    assert "shorter names of models and tasks" in str(caught.value)
