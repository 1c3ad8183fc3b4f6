"""Markdown, CSV and JSON: any name stays text, numbers stay raw, every key is documented."""

from __future__ import annotations

import csv
import io
import json

import pytest
from report_factory import PROVEN, four_pairs, make_job, make_run

from harness.record import JobRecord, Pair, State, Timing
from report.keys import describe_key
from report.tables import build, render
from report.views import VIEWS


@pytest.mark.parametrize(
    "name", ["a|b", "two\nlines", "<script>alert(1)</script>", "`code` *x* [l](u)", "<!-- /table -->"]
)
def test_names_stay_text_in_markdown(name: str) -> None:
    pair = Pair(workload=name, baseline="pytorch", candidate=name)
    failing = make_job("onnxruntime", state=State.CRASHED, reason=f"{name} broke")
    run = make_run([make_job(), failing], [pair], run=name, notes=[name])
    for view in VIEWS:
        text = render([run, make_run([], [pair], run="other")], view=view)
        assert "<script" not in text
        assert "<!--" not in text
        assert "[l](" not in text
        table = [line for line in text.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1
        assert len(table) == len(build([run, make_run([], [pair], run="other")], view).tables[0].rows) + 2
        assert ("a\\|b" in text) == ("|" in name)


@pytest.mark.parametrize("name", ["a|b", "two\nlines", 'quo"ted,', "<script>alert(1)</script>"])
def test_names_survive_csv_and_json(name: str) -> None:
    run = make_run(four_pairs(), run=name)
    rows = list(csv.DictReader(io.StringIO(render([run], "csv"), newline="")))
    assert {row["run"] for row in rows} == {name}
    assert json.loads(render([run], "json"))["tables"]["runtimes"][0]["run"] == name


def test_csv_and_json_hold_raw_numbers_and_only_documented_keys() -> None:
    run = make_run([make_job(runtime_s=100.0), make_job("onnxruntime", runtime_s=30.0)])
    content = json.loads(render([run], "json"))
    assert content["tables"]["gains"][0]["throughput_gain"] == pytest.approx(100 / 30 - 1, abs=1e-14)
    keys = {key for rows in content["tables"].values() for row in rows for key in row}
    assert content["keys"].keys() == keys
    rows = list(csv.DictReader(io.StringIO(render([run], "csv"))))
    assert [row["table"] for row in rows] == ["runtimes", "runtimes", "steady", "steady", "gains", "gains"]
    assert float(rows[4]["throughput_gain"]) == content["tables"]["gains"][0]["throughput_gain"]
    assert rows[0]["throughput_gain"] == ""
    assert keys | {"table"} == rows[0].keys()
    with pytest.raises(KeyError):
        describe_key("nonsense_low")


def test_an_interval_that_overflows_is_still_json() -> None:
    def job(arm: str, launch: int, runtime_s: float) -> JobRecord:
        return make_job(arm, launch, timing=Timing(train_runtime_s=runtime_s), engagement=PROVEN)

    jobs = [job("pytorch", 0, 1e300), job("onnxruntime", 0, 1e-3), job("pytorch", 1, 1.0), job("onnxruntime", 1, 1e3)]
    row = json.loads(render([make_run(jobs)], "json"))["tables"]["gains"][0]
    assert row["throughput_gain_high"] is None
    assert row["throughput_gain"] is not None
