"""The page on adding a metric, followed: its change applied to a copy of the report, its commands
run there.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from folders import ROOT

PAGE = ROOT / "docs" / "adding-a-metric.md"
CHANGE = re.compile(r"^```diff\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEY, HEADER, SERIES = "steady_step_median_s", "Median step(ms)", "steady-step-median"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a copy of the report to which the page's change is applied."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(
        ROOT / "report", folder / "report", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("harness", "results"):
        (folder / name).symlink_to(ROOT / name)
    (change,) = CHANGE.findall(PAGE.read_text(encoding="utf-8"))
    subprocess.run(
        ["git", "apply", "--verbose", "-"], cwd=folder, input=change, text=True, check=True
    )
    return folder


def run(command: str, checkout: Path) -> str:
    """What a command of the page prints, by the interpreter of the tests."""
    words = shlex.split(command)
    programs = {
        ".venv/bin/report": [sys.executable, "-m", "report.cli"],
        ".venv/bin/python": [sys.executable],
    }
    done = subprocess.run(
        [*programs[words[0]], *words[1:]],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_declaration_is_seen_everywhere(checkout: Path) -> None:
    (commands,) = COMMANDS.findall(PAGE.read_text(encoding="utf-8"))
    table, rows, export, frame = (run(line, checkout) for line in commands.splitlines())
    head, _, *body = (line for line in table.splitlines() if line.startswith("|"))
    column = [cell.strip() for cell in head.split("|")].index(HEADER)
    shown = [line.split("|")[column].strip() for line in body]
    values = [float(row[KEY]) for row in csv.DictReader(io.StringIO(rows))]
    assert len(values) >= 4
    assert shown == [f"{value * 1e3:.2f}" for value in values]
    exported = [row for row in csv.DictReader(io.StringIO(export)) if row["measure"] == SERIES]
    assert [float(row["value"]) for row in exported] == values
    assert {(row["unit"], row["better"]) for row in exported} == {("s", "smaller")}
    assert "count" in frame
    assert f"Name: {KEY}" in frame


def test_without_the_change_nothing_of_it_is_there() -> None:
    assert f'key="{KEY}"' not in (ROOT / "report/analysis/metrics.py").read_text(encoding="utf-8")
