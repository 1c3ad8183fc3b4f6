"""Tables between markers: rewritten, found stale, and refused where the markers make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_factory import four_pairs, make_run, write_run

from harness.errors import BenchError
from report.tables.markdown_files import refresh
from report.tables.render import render

ROOT = Path(__file__).parent.parent


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
    assert "| two " in path.read_text()
    path.write_text(path.read_text().replace("20.00%", "21.00%"))
    assert refresh([path], results, check=True)[0] == [path]


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


def test_the_projects_own_tables_are_fresh() -> None:
    files = [
        path
        for path in (
            ROOT / "README.md",
            ROOT / "results" / "README.md",
            *sorted((ROOT / "docs").glob("*.md")),
        )
        if path.exists()
    ]
    assert refresh(files, ROOT / "results", check=True) == ([], [])
