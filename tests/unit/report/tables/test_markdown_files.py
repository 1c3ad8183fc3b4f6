"""Tables between markers: rewritten, found stale, and refused where the markers make no sense."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from folders import ROOT
from report_factory import four_pairs, make_run, write_run

from harness.errors import BenchError
from report.commands.readme import draw
from report.tables.markdown_files import documents, refresh
from report.tables.render import render


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        write_run(tmp_path / "results" / name, make_run(four_pairs(), run=name))
    return tmp_path / "results"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "README.md"
    path.write_text(text, newline="")
    return path


def test_a_table_is_written_between_its_markers_and_nothing_else_changes(
    tmp_path: Path, results: Path
) -> None:
    path = write(tmp_path, "# Top\n<!-- table: one view=gains -->\nold\n<!-- /table -->\nend")
    assert refresh([path], results) == ([path], [])
    table = render([make_run(four_pairs(), run="one")], view="gains")
    assert (
        path.read_text()
        == f"# Top\n<!-- table: one view=gains -->\n\n{table}\n<!-- /table -->\nend"
    )
    assert refresh([path], results) == ([], [])


def test_check_finds_what_is_stale_and_rewrites_nothing(tmp_path: Path, results: Path) -> None:
    path = write(tmp_path, "<!-- table: one two -->\n<!-- /table -->\n")
    assert refresh([path], results, check=True)[0] == [path]
    assert path.read_text() == "<!-- table: one two -->\n<!-- /table -->\n"
    refresh([path], results)
    assert refresh([path], results, check=True)[0] == []
    assert "| **two** " in path.read_text()
    path.write_text(path.read_text().replace("25.00%", "26.00%"))
    assert refresh([path], results, check=True)[0] == [path]


def test_a_note_stands_once_for_the_same_runs_of_a_document(tmp_path: Path, results: Path) -> None:
    markers = ("one view=runtimes", "one view=gains", "two view=gains", "one two view=steady")
    path = write(
        tmp_path, "".join(f"<!-- table: {each} -->\n<!-- /table -->\n" for each in markers)
    )
    refresh([path], results)
    tables = path.read_text().split("<!-- /table -->\n")
    assert ["- random weights" in table for table in tables[:4]] == [True, False, True, True]
    assert ["What was run" in table for table in tables[:4]] == [True, False, True, True]
    assert refresh([path], results)[0] == []


def test_line_ends_and_texts_without_markers_stay(tmp_path: Path, results: Path) -> None:
    path = write(tmp_path, "a\r\n<!-- table: one -->\r\n<!-- /table -->\r\n")
    refresh([path], results)
    written = path.read_bytes()
    assert written.count(b"\n") == written.count(b"\r\n")
    assert refresh([path], results)[0] == []
    assert refresh([write(tmp_path, "no marker at all")], results) == ([], [])


def test_markers_in_a_code_block_are_text(tmp_path: Path, results: Path) -> None:
    text = (
        "```\n<!-- table: RUN -->\n```\n~~~~\n<!-- table: RUN -->\n~~~\n<!-- table: RUN -->\n~~~~\n"
    )
    assert refresh([write(tmp_path, text)], results) == ([], [])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a\n<!-- table: one -->\nb", r"README\.md:2: no end"),
        ("<!-- table: one -->\n<!-- table: two -->\n<!-- /table -->", r"README\.md:1: no end"),
        ("<!-- table: three -->\n<!-- /table -->", r"README\.md:1: three: no such run"),
        ("<!-- table: -->\n<!-- /table -->", r"README\.md:1: the marker names no run"),
        (
            "<!-- table: one view=upside -->\n<!-- /table -->",
            r"README\.md:1: unknown option view=upside",
        ),
        (
            "<!-- table: one colour=red -->\n<!-- /table -->",
            r"README\.md:1: unknown option colour=red",
        ),
        (
            "<!-- table: one footer=yes -->\n<!-- /table -->",
            r"README\.md:1: unknown option footer=yes",
        ),
        ("<!-- table: one -->\n<!-- /plot -->", r"README\.md:1: no end of this table"),
        ("<!-- plot: one kind=gains -->\n<!-- /plot -->", r"README\.md:1: a plot needs a kind"),
        (
            "<!-- plot: one kind=gains file=../g.svg -->\n<!-- /plot -->",
            r"README\.md:1: a plot needs a kind and an SVG file below",
        ),
    ],
)
def test_bad_markers_are_named_by_line_and_nothing_is_written(
    tmp_path: Path, results: Path, text: str, error: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BenchError, match=error):
        refresh([path], results)
    assert path.read_text() == text


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, results: Path) -> None:
    with pytest.raises(BenchError, match="cannot be read"):
        refresh([tmp_path / "missing.md"], results)


def test_without_footer_the_list_of_what_was_run_is_left_out(tmp_path: Path, results: Path) -> None:
    path = write(tmp_path, "<!-- table: one view=gains footer=no -->\n<!-- /table -->\n")
    refresh([path], results)
    table = render([make_run(four_pairs(), run="one")], view="gains")
    assert "What was run" not in path.read_text()
    assert table[: table.index("What was run")] in path.read_text()


def test_a_plot_is_drawn_into_the_file_that_its_marker_names(tmp_path: Path, results: Path) -> None:
    path = write(tmp_path, "<!-- plot: one kind=gains file=images/g.svg -->\nx\n<!-- /plot -->\n")
    svg = tmp_path / "images" / "g.svg"
    assert refresh([path], results) == ([], [])  # nobody to draw: it stays
    assert refresh([path], results, check=True, draw=draw)[0] == [path, svg]
    assert not svg.exists()
    assert refresh([path], results, draw=draw)[0] == [path, svg]
    assert "\n![Forest plot of throughput gains in percent. tiny" in path.read_text()
    assert "](images/g.svg)\n" in path.read_text()
    assert refresh([path], results, check=True, draw=draw)[0] == []
    svg.write_text(svg.read_text().replace("#0072b2", "#0072b3"))
    assert refresh([path], results, check=True, draw=draw)[0] == [svg]
    path.write_text("<!-- plot: one kind=losses file=g.svg -->\n<!-- /plot -->\n")
    with pytest.raises(BenchError, match=r"README\.md:1: .*nothing to draw"):
        refresh([path], results, draw=draw)


def test_the_colours_of_a_plots_file_follow_light_and_dark(results: Path) -> None:
    _, svg = draw([make_run(four_pairs(), run="one")], "gains")
    tree = ElementTree.fromstring(svg)
    (sheet,) = tree.iter("{http://www.w3.org/2000/svg}style")
    rules = dict(re.findall(r"\[style\*=\"(.*?)\"\] \{ (.*?) !important \}", str(sheet.text)))
    assert str(sheet.text).startswith("@media (prefers-color-scheme: dark)")
    assert rules["fill: #ffffff"] == "fill: #0d1117"  # the ground, so that no text stands on white
    drawn = set(re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", svg[svg.index("</style>") :]))
    assert drawn == set(rules)


def test_documents_are_those_of_the_project_its_results_each_run_and_docs(tmp_path: Path) -> None:
    names = ["README.md", "docs/a.md", "docs/deep/b.md", "results/README.md", "results/r/README.md"]
    for name in (*names, "other.md", "results/r/other.md", "results/r/logs/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = documents(tmp_path, tmp_path / "results")
    assert sorted(str(path.relative_to(tmp_path)) for path in found) == sorted(names)


def test_the_projects_own_tables_and_plots_are_fresh() -> None:
    files = documents(ROOT, ROOT / "results")
    assert len(files) > 20
    assert refresh(files, ROOT / "results", check=True, draw=draw) == ([], [])


def test_the_readme_is_short_and_says_the_answer_first() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    rows = [line for line in lines[: lines.index("<!-- /table -->")] if line.startswith("| ")]
    assert 1 <= len(rows) - 1 <= 5
    assert max(map(len, rows)) <= 150


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only git knows which runs are committed")
def test_each_committed_run_has_a_readme_and_a_line_in_the_index() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "results/*/run.json"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    index = (ROOT / "results" / "README.md").read_text()
    folders = {Path(name).parts[1] for name in listed.stdout.split()}
    assert folders
    for folder in folders:
        assert f"({folder}/README.md)" in index
        own = (ROOT / "results" / folder / "README.md").read_text()
        outside = re.sub(r"(?s)<!-- table.*?<!-- /table -->", "", own).splitlines()
        assert 2 <= len(outside) <= 20


def test_links_between_documents_lead_somewhere() -> None:
    documents_ = [*documents(ROOT, ROOT / "results"), ROOT / "CONTRIBUTING.md"]
    for path in documents_:
        text = re.sub(r"(?s)```.*?```", "", path.read_text())
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            file, _, anchor = target.partition("#")
            if ":" in file:
                continue
            to = (path.parent / file).resolve() if file else path
            assert to.exists(), f"{path}: {target}"
            if anchor:
                headings = re.findall(r"(?m)^#+ (.*)$", to.read_text())
                anchors = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
                assert anchor in anchors, f"{path}: {target}"


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("results/new/README.md", False),
        ("results/new/run.json", True),
        ("results/new/series/a.parquet", True),
        ("results/new/logs/README.md", True),
        ("results/plot.svg", True),
        ("results/published/run.json", False),
    ],
)
def test_git_ignores_new_runs_but_not_their_readme(
    tmp_path: Path, name: str, ignored: bool
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    done = subprocess.run(["git", "check-ignore", "-q", name], cwd=tmp_path)
    assert (done.returncode == 0) == ignored
