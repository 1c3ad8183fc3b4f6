"""The view `answer`: one narrow row per pair, with both gains and what qualifies them."""

from __future__ import annotations

from folders import PUBLISHED
from report_factory import four_pairs, make_interleaved_job, make_job, make_run

from harness.schema.record import State
from report.loading.runs import Run, load_run
from report.tables.registry import VIEWS, build
from report.tables.table import Table, raw


def answer(*runs: Run) -> Table:
    (table,) = build(runs, "answer").tables
    return table


def cells(table: Table, row: int = 0) -> dict[str, str]:
    return dict(zip([column.title for column in table.columns], table.cells[row], strict=True))


def test_a_pair_is_one_row_with_the_gains_of_both_times() -> None:
    run = make_run(four_pairs())
    table = answer(run)
    end_to_end, steady = sorted(
        raw(build([run], "gains").tables[0]), key=lambda row: row["measure"] != "end_to_end"
    )
    assert len(table.rows) == 1
    said = cells(table)
    assert said["ONNX Runtime against"] == "PyTorch"
    assert said["Gain, end to end"].startswith("25.00% (")
    assert raw(table)[0]["throughput_gain"] == end_to_end["throughput_gain"]
    assert raw(table)[0]["steady_throughput_gain"] == steady["throughput_gain"]
    assert raw(table)[0]["steady_throughput_gain_high"] == steady["throughput_gain_high"]
    assert said["Replicates"] == "4"
    assert "random weights: no pretrained model was loaded" in table.notes
    assert "one replicate of whole trainings gives no interval" not in table.notes


def test_one_replicate_has_no_interval_and_the_note_says_so() -> None:
    table = answer(make_run([make_job(), make_job("onnxruntime", runtime_s=80.0)]))
    assert cells(table)["Gain, end to end"] == "25.00%"
    assert cells(table)["Replicates"] == "1"
    assert "one replicate of whole trainings gives no interval" in table.notes


def test_a_pair_without_a_gain_says_none_and_the_reason_once() -> None:
    failed = make_job("onnxruntime", state=State.CRASHED, reason="broke")
    table = answer(make_run([make_job(), failed]))
    assert cells(table)["Gain, end to end"] == "none"
    assert [note for note in table.notes if "crashed" in note] == [
        "onnxruntime over pytorch on tiny-sst2: no result: onnxruntime: crashed in 1 of 1 replicate"
    ]


def test_published_gains_are_as_printed_and_other_arms_are_named() -> None:
    table = answer(load_run(PUBLISHED))
    assert [cells(table, row)["Gain, end to end"] for row in (0, 1)] == ["3.08%", "17.98%"]
    assert cells(table)["GPU"] == "A100 (published)"
    assert "Replicates" not in cells(table)
    assert "Gain, steady state" not in cells(table)


def test_what_measured_only_the_steady_state_has_no_gain_end_to_end() -> None:
    jobs = [
        make_interleaved_job(arm, partner, replicate, [step_s] * 8)
        for replicate in (0, 1)
        for arm, partner, step_s in (
            ("pytorch", "onnxruntime", 0.5),
            ("onnxruntime", "pytorch", 0.4),
        )
    ]
    table = answer(make_run(jobs))
    assert "Gain, end to end" not in cells(table)
    assert cells(table)["Gain, steady state"].endswith(" to 25.00)")
    assert raw(table)[0]["throughput_gain"] is None


def test_nobody_sees_the_view_unasked() -> None:
    assert VIEWS["answer"].asked_only
    assert "answer" not in {table.name for table in build([make_run(four_pairs())]).tables}


def test_rows_of_two_runs_that_look_the_same_stand_under_their_runs() -> None:
    first = make_run(four_pairs(), run="first")
    table = answer(first, make_run(four_pairs(), run="second"))
    assert [cells(table, row)["Run"] for row in (0, 1)] == ["first", "second"]
    elsewhere = [job.model_copy(update={"device": "NVIDIA A100"}) for job in four_pairs()]
    told_apart = answer(first, make_run(elsewhere, run="second"))
    assert "Run" not in cells(told_apart)
