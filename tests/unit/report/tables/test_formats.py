"""Markdown, LaTeX, terminal, CSV and JSON: any name stays text, numbers stay raw, every key is
documented.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from folders import ROOT
from report_factory import PROVEN, four_pairs, make_job, make_run

from harness.schema.record import InferenceResult, JobRecord, Pair, State, Timing
from report.analysis.metrics import DETAIL, ESSENTIAL
from report.tables.latex import escape
from report.tables.registry import VIEWS, build
from report.tables.render import render
from report.tables.rows import describe_key
from report.tables.table import raw
from report.tables.terminal import fitting, terminal, wrapped


@pytest.mark.parametrize(
    "name",
    ["a|b", "two\nlines", "<script>alert(1)</script>", "`code` *x* [l](u)", "<!-- /table -->"],
)
def test_names_stay_text_in_markdown(name: str) -> None:
    pair = Pair(workload=name, baseline="pytorch", candidate=name)
    failing = make_job("onnxruntime", state=State.CRASHED, reason=f"{name} broke")
    inference = InferenceResult(state="failed", reason=f"{name} broke")
    run = make_run(
        [make_job(inference=inference, metrics={"accuracy": 0.5}), failing],
        [pair],
        run=name,
        notes=[name],
    )
    for view in VIEWS:
        text = render([run, make_run([], [pair], run="other")], view=view)
        assert "<script" not in text
        assert "<!--" not in text
        assert "[l](" not in text
        table = [line for line in text.splitlines() if line.startswith("|")]
        if view == "headline":  # sentences
            assert len(text.splitlines()) == 4  # a line that counts, and one for each pair
            assert ("a\\|b" in text) == ("|" in name)
            continue
        if view in (
            "cards",
            "claims",
            "scaling",
            "prediction",
        ):  # one card, no claim, one process, no series: nothing to say
            assert not table
            continue
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1
        shown = build([run, make_run([], [pair], run="other")], view).tables[0]
        names = [line for line in table if line.startswith("| **")]  # of the runs, above their rows
        assert len(table) == len(shown.rows) + len(names) + 2
        if shown.columns[0].title == "Run" and len(shown.rows) > 2:
            assert len(names) == len({row.run for row in shown.rows}) == 2
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
    assert content["tables"]["gains"][0]["throughput_gain"] == pytest.approx(
        100 / 30 - 1, abs=1e-14
    )
    keys = {key for rows in content["tables"].values() for row in rows for key in row}
    assert content["keys"].keys() == keys
    rows = list(csv.DictReader(io.StringIO(render([run], "csv"))))
    assert [row["table"] for row in rows] == [
        "runtimes",
        "runtimes",
        "steady",
        "steady",
        "gains",
        "gains",
    ]
    assert float(rows[4]["throughput_gain"]) == content["tables"]["gains"][0]["throughput_gain"]
    assert rows[0]["throughput_gain"] == ""
    assert keys | {"table"} == rows[0].keys()
    with pytest.raises(KeyError):
        describe_key("nonsense_low")


def test_an_interval_that_overflows_is_still_json() -> None:
    def job(arm: str, replicate: int, runtime_s: float) -> JobRecord:
        return make_job(arm, replicate, timing=Timing(train_runtime_s=runtime_s), engagement=PROVEN)

    jobs = [
        job("pytorch", 0, 1e300),
        job("onnxruntime", 0, 1e-3),
        job("pytorch", 1, 1.0),
        job("onnxruntime", 1, 1e3),
    ]
    row = json.loads(render([make_run(jobs)], "json"))["tables"]["gains"][0]
    assert row["throughput_gain_high"] is None
    assert row["throughput_gain"] is not None


SPECIAL = r"\ { } & % $ # _ ~ ^ < > | \" ' ` [ ] -- ± ∞ × − … –"


def test_latex_has_booktabs_rules_and_a_row_for_each() -> None:
    text = render([make_run(four_pairs())], "latex", "gains")
    assert (
        text.count(r"\begin{tabular}") == text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    )
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == 2
    columns = re.search(r"\\begin{tabular}{([lr]+)}", text)
    assert columns is not None
    assert {row.count(" & ") + 1 for row in body} == {len(columns[1])}
    assert r"25.00\%" in body[0]
    assert (
        r"\caption{Gain of ONNX Runtime over PyTorch (sst2, fp32, batch 8, attention eager)}"
        in text
    )


@pytest.mark.parametrize(
    "name",
    [r"\input{/etc/passwd}", "a&b", "50%", "{", "[x] y", "a\x1bb", "two\n\nlines", "x--y", "x---y"],
)
def test_names_stay_text_in_latex(name: str) -> None:
    said = escape(name)
    plain = re.sub(
        r"\\(text[a-z]+|ensuremath|ldots|pm|infty|times)\b|\\[{}&%$#_]|{\[}|{\]}", "", said
    )
    assert not re.search(r"[\\&%$#_^~\[\]\n\x1b]", plain)
    assert "--" not in said
    pair = Pair(workload=name, baseline="pytorch", candidate="onnxruntime")
    assert said in render([make_run([], [pair])], "latex", "gains")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    run = make_run(four_pairs(), run=SPECIAL, notes=[SPECIAL])
    tables = "".join(render([run, make_run([], run="[empty]")], "latex", view) for view in VIEWS)
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{textcomp}"
        r"\usepackage{booktabs}\extrafloats{100}"
        r"\begin{document}"
        + tables.replace(r"\end{table}", "\\end{table}\\clearpage")
        + r"\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("width", [40, 80, 100, 120, 200, 400])
def test_the_terminal_form_fits_its_width(width: int) -> None:
    jobs = four_pairs()
    jobs[0] = make_job("pytorch", 0, state=State.CRASHED)
    for view in VIEWS:
        document = build([make_run(jobs), make_run([], run="empty")], view)
        text = terminal(document, width)
        if view == "headline":  # one sentence alone is to be copied whole
            assert len(text.splitlines()) == 1
            continue
        assert max(map(len, text.splitlines())) <= width
        assert terminal(document, width) == text
        for table in document.tables:
            shown = fitting(table, width)
            assert all(
                index in shown
                for index, column in enumerate(table.columns)
                if column.importance == ESSENTIAL
            )
            if width == 400:
                assert len(shown) == len(table.columns)


def test_a_narrow_terminal_loses_details_first_and_says_so() -> None:
    (table,) = (document := build([make_run(four_pairs())], "full")).tables
    left_out = [
        table.columns[index]
        for index in range(len(table.columns))
        if index not in fitting(table, 100)
    ]
    kept = [table.columns[index] for index in fitting(table, 100)]
    assert any(column.importance == DETAIL for column in left_out)
    assert not any(column.importance == DETAIL for column in kept) or all(
        column.importance == DETAIL for column in left_out
    )
    said = " ".join(terminal(document, 100).split())
    for column in left_out:
        assert column.title in said.split("left out: ")[1].split("(--format")[0]


def test_the_interval_and_n_are_the_last_columns_to_go() -> None:
    jobs = [
        make_job(arm, k, timing=Timing(setup_s=2.0, train_runtime_s=seconds + k,
                                       train_samples_per_s=800 / seconds))
        for k in range(4)
        for arm, seconds in (("pytorch", 100.0), ("onnxruntime", 80.0))
    ]  # fmt: skip
    for view, last in (("runtimes", {"n", "Runtime 95%"}), ("gains", {"n"}), ("steady", {"n"})):
        (table,) = build([make_run(jobs)], view).tables
        titles = [column.title for column in table.columns]
        assert last <= {*titles} | {"Runtime 95%"}
        left: set[str] = set()
        for width in range(200, 20, -1):
            shown = {titles[index] for index in fitting(table, width)}
            gone = {*titles} - shown
            if (gone & last) - left:
                others = {
                    column.title for column in table.columns if column.importance < ESSENTIAL
                } - last
                assert others <= gone, "they go before"
            left = gone
        assert (last & {*titles}) <= left


def test_no_name_is_split_in_the_middle_of_a_word() -> None:
    name = "efficient-attention-of-a-very-long-suite"
    pair = Pair(workload="tiny-sst2", baseline="pytorch", candidate=name)
    jobs = [make_job("pytorch"), make_job(name, backend="onnxruntime", engagement=PROVEN)]
    run = make_run([*jobs, make_job("onnxruntime")], [pair], run="smoke-20010203-040506-again")
    for width in (60, 80, 100, 120):
        for view in ("gains", "steady", "full"):
            text = terminal(build([run, make_run(four_pairs())], view), width)
            words = {word for line in text.splitlines() for word in re.split(r"[\s,;:()]+", line)}
            pieces = {piece for word in words for piece in word.split("-")}
            assert "smoke-20010203-040506-again" in text
            assert {"efficient", "attention", "long", "suite"} <= pieces
            assert not {"effi", "atten", "attenti", "efficien", "sui"} & pieces


def test_a_text_is_broken_between_words_and_in_a_long_word_after_a_hyphen() -> None:
    assert wrapped("ONNX Runtime over PyTorch", 16) == ["ONNX Runtime", "over PyTorch"]
    assert wrapped("over glue-sst2-steady-b8", 12) == ["over", "glue-sst2-", "steady-b8"]
    assert wrapped("5.32% (-0.49 to 11.46)", 17, number=True) == ["5.32%", "(-0.49 to 11.46)"]
    assert wrapped("5.32% (-0.49 to 11.46)", 30, number=True) == ["5.32% (-0.49 to 11.46)"]
    assert wrapped("", 5) == [""]


def test_a_runs_name_stands_once_above_its_rows() -> None:
    runs = [make_run(four_pairs(), run=name) for name in ("one-run", "other-run")]
    for form in ("markdown", "terminal", "latex"):
        text = render(runs, form, "gains").split("What was run:")[0]
        head = text.split("synthetic data")[0]
        for name in ("one-run", "other-run"):
            assert head.count(name) == 1, form
        assert head.index("one-run") < head.index("tiny") < head.index("other-run")


def test_where_even_the_essential_columns_do_not_fit_rows_are_a_list() -> None:
    text = terminal(build([make_run(four_pairs())], "full"), 30)
    assert "- Model tiny; Gain of ONNX" in text
    said = " ".join(text.split())
    assert "Throughput (95%) 25.00% (25.00 to 25.00); n 4" in said
    assert "left out" not in text


def test_numbers_are_never_cut_on_a_terminal() -> None:
    (table,) = (document := build([make_run(four_pairs())], "gains")).tables
    text = terminal(document, 80)
    for index in fitting(table, 80):
        if table.columns[index].right:
            assert all(row[index] in text for row in table.cells)


def test_control_characters_do_not_reach_the_terminal() -> None:
    evil = "a\x1b[31mb\x07[bold]c[/bold]\r\x9b2J"
    text = terminal(build([make_run(four_pairs(), run=evil, notes=[evil])]), 200)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert "[bold]c[/bold]" in text  # rich's markup is text, too


def test_a_terminal_is_written_to_in_its_width_and_anything_else_in_markdown(
    tmp_path: Path,
) -> None:
    import pty

    command = [sys.executable, "-m", "report.cli", "tables", "published"]
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=child) as process:
        os.close(child)
        shown = b""
        while True:
            try:
                chunk = os.read(parent, 4096)
            except OSError:  # how a pseudo-terminal says that the other side is closed
                break
            if not chunk:
                break
            shown += chunk
    os.close(parent)
    assert process.returncode == 0
    text = shown.decode()
    assert "\x1b[1m" in text
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines)) <= 60
    assert not any(line.startswith("|") for line in lines)
    piped = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert "| roberta-large |" in piped


def test_the_full_form_by_hand() -> None:
    (table,) = build([make_run(four_pairs(100.0, 80.0))], "full").tables
    rows = [
        dict(zip((column.title for column in table.columns), cells, strict=True))
        for cells in table.cells
    ]
    assert [row["Runtime or step"] for row in rows] == ["100.0 / 80.00 s", "500.0 / 400.0 ms"]
    assert [row["Samples(/s)"] for row in rows] == ["8.000 / 10.00", "16.00 / 20.00"]
    assert [row["Set-up(s)"] for row in rows] == ["", "2.000 / 2.000"]
    assert raw(table)[0]["baseline_runtime_s"] == 100.0
    assert describe_key("baseline_runtime_s_low").meaning.endswith("; of the pair's baseline")
