"""The command line as a user meets it: real processes, exit statuses, one message per error, a fast
start.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from folders import ROOT
from report_factory import four_pairs, make_run, write_run
from report_process import report

from report.commands import tables
from report.loading.filters import GROUPS
from report.tables.registry import VIEWS
from report.tables.render import FORMATS


def test_the_published_tables_by_name_and_by_folder() -> None:
    by_name = report("tables", "published")
    assert (by_name.returncode, by_name.stderr) == (0, "")
    assert "| roberta-large | ONNX Runtime |" in by_name.stdout
    assert report("tables", ROOT / "results" / "published").stdout == by_name.stdout


def test_formats_and_views(tmp_path: Path) -> None:
    write_run(tmp_path / "results" / "mine", make_run(four_pairs()))
    done = report("tables", "mine", "--format", "json", "--view", "gains", cwd=tmp_path)
    assert list(json.loads(done.stdout)["tables"]) == ["gains"]
    assert report(
        "tables", "mine", "--format", "csv", "--results", tmp_path / "results"
    ).stdout.startswith("table,run,")


def test_what_was_set_aside_is_on_stderr_and_in_the_exit_code(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "torn", make_run(four_pairs()), tail=b'{"id": "x')
    done = report("tables", folder)
    assert done.returncode == 1
    assert "| tiny" in done.stdout
    assert "jobs.jsonl:9: not JSON" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [["tables", "nowhere"], ["tables"], ["readme", "nowhere.md"], [], ["sing"]]
)
def test_bad_input_is_one_message_and_exit_code_2(arguments: list[str]) -> None:
    done = report(*arguments)
    assert done.returncode == 2
    assert "report" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_readme_rewrites_and_checks(tmp_path: Path) -> None:
    write_run(tmp_path / "results" / "mine", make_run(four_pairs()))
    (tmp_path / "README.md").write_text("<!-- table: mine -->\n<!-- /table -->\n")
    assert report("readme", "--check", "README.md", cwd=tmp_path).returncode == 1
    assert report("readme", "README.md", cwd=tmp_path).returncode == 0
    assert report("readme", "--check", "README.md", cwd=tmp_path).returncode == 0


def test_without_a_file_the_readmes_and_the_docs_are_rewritten_and_nothing_else(
    tmp_path: Path,
) -> None:
    write_run(tmp_path / "results" / "mine", make_run(four_pairs()))
    marked = [
        "README.md",
        "results/README.md",
        "results/mine/README.md",
        "docs/a.md",
        "docs/deep/b.md",
    ]
    for name in (*marked, "other.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("<!-- table: mine view=gains -->\n<!-- /table -->\n")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert report("readme", cwd=tmp_path).stdout.split()[::2] == [f"{name}:" for name in marked]
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
    assert "| tiny" not in (tmp_path / "other.md").read_text()
    assert all("| tiny" in (tmp_path / name).read_text() for name in marked)
    assert report("readme", cwd=tmp_path).stdout == ""


def test_make_report_rewrites_the_marked_tables() -> None:
    done = subprocess.run(
        ["make", "-n", "report", "ARGS=--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == ".venv/bin/report readme --check"
    listed = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "make report " in listed


def test_filters_groups_and_the_full_form() -> None:
    done = report(
        "tables",
        "published",
        "--full",
        "--model",
        "*-large",
        "--group-by",
        "model",
        "--gpu",
        "a100",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("roberta-large: Gains in full")
    assert "| roberta-large |" in done.stdout
    assert "roberta-base" not in done.stdout
    nothing = report("tables", "published", "--task", "mnli")
    assert nothing.returncode == 2
    assert "--task mnli: no run has anything of it" in nothing.stderr
    assert report("tables", "published", "--full", "--view", "gains").returncode == 2


def test_help_loads_no_library_that_takes_time_to_import() -> None:
    code = (
        "import contextlib, sys, report.cli as cli\n"
        "with contextlib.suppress(SystemExit):\n"
        "    cli.main(['--help'])\n"
        "print('\\n'.join({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    slow = {
        "jinja2",
        "matplotlib",
        "numpy",
        "pandas",
        "pyarrow",
        "pydantic",
        "rich",
        "scipy",
        "urllib3",
    }
    assert not set(done.stderr.splitlines()) & slow


def test_the_report_loads_no_training_stack_and_meets_the_harness_only_in_its_record() -> None:
    code = (
        "import sys, report.cli as cli; cli.main(['tables', 'published']); "
        "print('\\n'.join(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.splitlines())
    assert not loaded & {"torch", "transformers", "onnxruntime", "optimum", "pandas", "matplotlib"}
    assert {name for name in loaded if name.startswith("harness")} == {
        "harness",
        "harness.errors",
        "harness.files",
        "harness.paths",
        "harness.schema",
        "harness.schema.base",
        "harness.schema.clocks",
        "harness.schema.compiled",
        "harness.schema.glue",
        "harness.schema.input_errors",
        "harness.schema.record",
        "harness.schema.record_io",
        "harness.schema.redaction",
        "harness.schema.replicates",
        "harness.schema.variables",
        "harness.schema.workload",
        "harness.schema.stats",
        "harness.schema.terms",
    }


def test_the_choices_named_for_a_fast_help_are_those_there_are() -> None:
    assert tuple(FORMATS) == tables.FORMATS
    assert tuple(VIEWS) == tuple(tables.VIEWS)
    assert tuple(name for name, view in VIEWS.items() if view.asked_only) == tables.ON_REQUEST
    assert tuple(GROUPS) == tables.GROUPS


def test_plot_names_the_pictures_it_made(tmp_path: Path) -> None:
    done = report(
        "plot", "smoke-20261123-012757", "--kind", "steps", "--format", "png", "--out", tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    names = [f"steps-smoke-20261123-012757-{model}-tiny-sst2.png" for model in ("roberta", "bert")]
    assert done.stdout.split() == [str(tmp_path / name) for name in names]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in names)
