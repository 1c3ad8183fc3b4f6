"""The page as text: nothing of a run is in it unescaped, nothing is loaded, and it says what was
recorded.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from folders import ROOT
from hostile import HOSTILE, hostile_picture, hostile_run
from report_factory import four_pairs, make_job, make_run, write_run

from harness.schema.record import Host, State
from report.html import jobs as page_jobs
from report.html.build import make_page
from report.html.provenance import compare_arms, compare_runs
from report.html.sorting import sort_key
from report.loading.runs import load_runs
from report.plots import Picture
from report.tables.registry import build

COMMITTED = [ROOT / "results" / name for name in ("published", "smoke-20261123-012757")]


class Parsed(HTMLParser):
    """Elements with their attributes, and the text of `script` and `style` elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.texts: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in self.raw:
            self.raw[self.inside].append(data)
        else:
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_whatever_a_run_says_stays_text(tmp_path: Path) -> None:
    left_out = Picture("losses", "none", HOSTILE, HOSTILE, "", "")
    text = make_page(
        [hostile_run()],
        tmp_path / "page.html",
        problems=[HOSTILE],
        pictures=[hostile_picture(), left_out],
    )
    page = Parsed(text)
    assert (
        len(page.all("script"))
        == len(page.all("style"))
        == len(page.all("title"))
        == len(page.all("img"))
        == 1
    )
    assert (page.raw["script"], page.raw["style"]) == (
        [(ROOT / "report/html/page.js").read_text()],
        [(ROOT / "report/html/page.css").read_text()],
    )
    handlers = [
        name for _, attributes in page.elements for name in attributes if name.startswith("on")
    ]
    assert handlers == []
    assert all("style" not in attributes for _, attributes in page.elements)
    # and it is there: a run by this name can be found on its page
    assert HOSTILE in page.texts
    (image,) = page.all("img")
    assert image["alt"] == HOSTILE
    assert (image["src"] or "").startswith("data:image/svg+xml,%3Csvg")


def test_policy_allows_its_own_script_and_style_and_nothing_is_loaded() -> None:
    runs, _ = load_runs(COMMITTED)
    page = Parsed(make_page(runs, ROOT / "page.html"))
    (policy,) = [meta["content"] or "" for meta in page.all("meta") if "http-equiv" in meta]
    directives = dict(directive.strip().split(" ", 1) for directive in policy.split(";"))
    for name in ("script", "style"):
        digest = base64.b64encode(
            hashlib.sha256("".join(page.raw[name]).encode()).digest()
        ).decode()
        assert directives[f"{name}-src"] == f"'sha256-{digest}'"
    assert (
        directives["default-src"] == directives["base-uri"] == directives["form-action"] == "'none'"
    )
    assert directives["img-src"] == "data:"
    links = [
        attributes[name] or ""
        for _, attributes in page.elements
        for name in ("href", "src")
        if name in attributes
    ]
    assert links
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    assert "@import" not in page.raw["style"][0]
    assert "url(" not in page.raw["style"][0]


def test_every_fragment_that_is_linked_to_exists() -> None:
    runs, _ = load_runs(COMMITTED)
    page = Parsed(make_page(runs, ROOT / "page.html"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(link["href"] or "")[1:] for link in page.all("a")} <= set(ids)
    named = {
        attributes["aria-labelledby"]
        for _, attributes in page.elements
        if "aria-labelledby" in attributes
    }
    assert named <= set(ids)


def test_the_answers_come_first_with_interval_and_verdict(tmp_path: Path) -> None:
    jobs = [
        make_job(arm, replicate, runtime_s=seconds + replicate * 0.1, step_s=0.5)
        for replicate in range(4)
        for arm, seconds in (("pytorch", 100.0), ("onnxruntime", 80.0))
    ]
    text = make_page([make_run(jobs)], tmp_path / "page.html")
    answers = text[text.index('class="data answers"') : text.index('id="tables"')]
    cells = re.findall(r'<td class="answer".*?</td>', answers, re.DOTALL)
    end_to_end, steady = (
        re.sub(r"<svg.*?</svg>|<[^>]+>", "", cell, flags=re.DOTALL).split() for cell in cells
    )
    assert end_to_end[:2] == ["+24.95%", "faster"]
    assert end_to_end[3] == "to"
    assert steady[:2] == ["0.00%", "undecided"]
    assert (
        text.index('id="gains"')
        < text.index('id="tables"')
        < text.index('id="provenance"')
        < text.index('id="jobs"')
    )


def test_cells_are_those_of_the_tables_and_notes_stand_under_them() -> None:
    runs, _ = load_runs(COMMITTED)
    page = Parsed(make_page(runs, ROOT / "page.html"))
    for table in build(runs).tables:
        shown = {cell for cells in table.cells for cell in cells if cell} | set(table.notes)
        assert shown <= set(page.texts), table.name


def test_columns_of_numbers_are_sorted_by_what_was_measured() -> None:
    runs, _ = load_runs([*COMMITTED, ROOT / "results" / "glue-sst2-steady-20261123-003540"])
    compared = 0
    for table in build(runs).tables:
        for j, column in enumerate(table.columns):
            if not column.right:
                continue
            assert column.sort is not None, f"{column.title} of {table.name}"
            for row, cells in zip(table.rows, table.cells, strict=True):
                assert bool(sort_key(column, row, cells[j])) >= bool(re.match(r"-?\d", cells[j])), (
                    column.title,
                    row,
                )
            # the order of raw numbers never contradicts the one that is displayed
            if column.title in ("Runtime(s)", "Throughput (95%)", "Steady step(ms)", "n"):
                shown = [cells[j] for cells in table.cells if cells[j]]
                keys = [
                    sort_key(column, row, c[j])
                    for row, c in zip(table.rows, table.cells, strict=True)
                    if c[j]
                ]
                order = sorted(range(len(keys)), key=lambda i: float(keys[i]))
                displayed = [float(re.match(r"-?[\d.]+", shown[i])[0]) for i in order]
                assert displayed == sorted(displayed), column.title
                compared += 1
    assert compared >= 5


def test_equal_as_displayed_is_not_equal_when_sorted() -> None:
    jobs = [
        make_job("pytorch", 0, runtime_s=100.001),
        make_job("onnxruntime", 0, runtime_s=100.002),
    ]
    (runtimes,) = build([make_run(jobs)], "runtimes").tables
    column = next(column for column in runtimes.columns if column.title == "Runtime(s)")
    cells = [column.show(row) for row in runtimes.rows]
    assert cells == ["100.0", "100.0"]
    assert [sort_key(column, row, "100.0") for row in runtimes.rows] == ["100.001", "100.002"]


def test_logs_are_linked_to_where_they_are_and_nowhere_else(tmp_path: Path) -> None:
    jobs = [
        make_job("pytorch", 0, log="logs/a b.log"),
        make_job("pytorch", 1, log="logs/missing.log"),
        make_job("pytorch", 2, log="../outside.log"),
        make_job("pytorch", 3, log="javascript:alert(1)"),
        make_job("pytorch", 4, log="logs/" + "x" * 5000),
        make_job("pytorch", 5, log=None),
    ]
    folder = write_run(tmp_path / "results" / "mine", make_run(jobs, pairs=[]))
    (folder / "logs").mkdir()
    (folder / "logs" / "a b.log").write_text("said")
    (folder / "javascript:alert(1)").write_text("odd, but a file of the run")
    (tmp_path / "results" / "outside.log").write_text("not the run's")
    runs, _ = load_runs([folder])
    page = Parsed(make_page(runs, tmp_path / "pages" / "page.html"))
    links = [link["href"] for link in page.all("a") if not (link["href"] or "").startswith("#")]
    assert links == ["../results/mine/logs/a%20b.log", "../results/mine/javascript%3Aalert%281%29"]


def test_what_differs_between_arms_and_between_runs() -> None:
    jobs = [
        make_job("pytorch", 0, attention="sdpa", packages={"torch": "2.6.0", "numpy": "1.26.4"}),
        make_job(
            "onnxruntime",
            0,
            attention="eager",
            packages={"torch": "2.6.0", "onnx": "1.16.2", "numpy": "1.26.4"},
        ),
    ]
    given = {
        "OMP_NUM_THREADS": "1",
        "BENCH_SLACK_WEBHOOK": "https://hook.example/it",
    }  # older records hold such
    one = make_run(
        jobs, run="one", packages={"torch": "2.6.0"}, environment=given, host=Host(cpu="Abacus")
    )
    other = make_run(
        jobs, run="other", packages={"torch": "2.7.1"}, environment=given, host=Host(cpu="Sieve")
    )
    (arms,) = compare_arms(one)
    assert arms.columns == ("pytorch", "onnxruntime")
    assert {
        (fact.name, fact.values) for fact in arms.differing if fact.kind in ("arm", "package")
    } == {
        ("backend", ("pytorch", "onnxruntime")),
        ("attention", ("sdpa", "eager")),
        ("onnx", (None, "1.16.2")),
    }
    assert ("torch", ("2.6.0", "2.6.0")) in {(fact.name, fact.values) for fact in arms.same}
    runs = compare_runs([one, other])
    assert runs is not None
    values = {fact.values for fact in runs.differing}
    assert {("2.6.0", "2.7.1"), ("Abacus", "Sieve")} <= values
    same = {(fact.name, fact.values) for fact in runs.same if fact.kind == "environment"}
    assert same == {("OMP_NUM_THREADS", ("1", "1"))}
    alone = compare_runs([one])
    assert alone is not None
    assert (alone.differing, bool(alone.same)) == ((), True)


def test_publications_have_no_provenance_and_no_jobs() -> None:
    runs, _ = load_runs(COMMITTED[:1])
    text = make_page(runs, ROOT / "page.html")
    assert 'id="provenance"' not in text
    assert 'id="jobs"' not in text
    assert "+17.98%" in text


def test_of_very_many_jobs_those_without_a_result_are_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(page_jobs, "MAX_JOBS", 3)
    jobs = [*four_pairs(), make_job("pytorch", 4, state=State.TIMEOUT, reason="too slow")]
    listed, said = page_jobs.job_list([make_run(jobs)], tmp_path / "page.html")
    assert [(job.state, job.reason) for job in listed] == [("timeout", "too slow")]
    assert said.startswith("9 jobs")
    assert said in make_page([make_run(jobs)], tmp_path / "page.html")


def test_times_that_are_no_numbers_do_not_stop_the_page(tmp_path: Path) -> None:
    jobs = [
        make_job(arm, 0, runtime_s=float("inf"), step_s=float("nan"))
        for arm in ("pytorch", "onnxruntime")
    ]
    assert "no result" in make_page([make_run(jobs)], tmp_path / "page.html")


def test_a_run_without_pairs_or_jobs_has_a_page(tmp_path: Path) -> None:
    assert "This run declares no pairs." in make_page(
        [make_run([], pairs=[])], tmp_path / "page.html"
    )


def page_command(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "report.cli", "page", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )


def test_the_command_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    """With plots, by two processes whose hashes of strings differ."""
    pages = []
    for seed in ("1", "2"):
        out = tmp_path / seed / "page.html"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-m", "report.cli", "page", *map(str, COMMITTED), "-o", str(out)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )
        assert (done.returncode, done.stderr) == (0, "")
        pages.append(out.read_bytes())
    assert pages[0] == pages[1]
    assert b"<img src=" in pages[0]
    assert len(pages[0]) < 4_000_000


def test_what_was_set_aside_is_on_the_page_and_in_the_exit_code(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "torn", make_run(four_pairs()), tail=b'{"id": "x')
    done = page_command(folder, "--no-plots", "-o", tmp_path / "page.html")
    assert done.returncode == 1
    assert "jobs.jsonl:9: not JSON" in done.stderr
    assert "jobs.jsonl:9: not JSON" in (tmp_path / "page.html").read_text()


def test_a_file_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    done = page_command(COMMITTED[0], "--no-plots", "-o", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("report: ")
    assert "Traceback" not in done.stderr
