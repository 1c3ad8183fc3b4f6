"""The main tables of committed runs, word by word: golden/<run>.<view>.md holds what is expected.

After a change that is meant, the files are written anew:

    UPDATE_GOLDEN=1 make test PYTEST_ARGS=tests/unit/report/tables/test_golden_tables.py
"""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import ROOT
from golden import assert_golden

from report.loading.runs import load_runs
from report.tables.render import render

GOLDEN = Path(__file__).parent / "golden"
TABLES = (
    ("published", "runtimes"),
    ("published", "gains"),
    ("published", "headline"),
    ("smoke-20261123-012757", "runtimes"),
    ("smoke-20261123-012757", "steady"),
    ("smoke-20261123-012757", "gains"),
    ("smoke-20261123-012757", "gpu"),
    ("smoke-20261123-012757", "answer"),
    ("smoke-20261123-012757", "headline"),
    ("glue-sst2-blocks-20261123-084909", "steady"),
    ("glue-sst2-blocks-20261123-084909", "gains"),
    ("glue-sst2-blocks-20261123-084909", "gpu"),
    ("glue-sst2-blocks-20261123-084909", "answer"),
    ("glue-sst2-blocks-20261123-084909", "full"),
    ("glue-sst2-full-20261129-233635", "headline"),
    ("minilm-sst2-full-20261129-203919", "headline"),
    ("minilm-sst2-full-20261129-203919", "metrics"),
    ("minilm-sst2-full-20261129-203919", "prediction"),
    ("inference-20261123-150854", "inference"),
    ("matrix-cpu-20261123-055801", "matrix"),
    ("ort-switches-20261123-022947", "summary"),
)


@pytest.mark.parametrize(("run", "view"), TABLES)
def test_a_table_is_what_it_was(run: str, view: str) -> None:
    # Without the runs beside it: a new A/A run of the host must not change the table.
    runs, problems = load_runs([ROOT / "results" / run], beside=[])
    assert problems == []
    assert_golden(render(runs, "markdown", view), GOLDEN / f"{run}.{view}.md")


def test_every_file_is_of_a_table() -> None:
    expected = {f"{run}.{view}.md" for run, view in TABLES}
    assert {path.name for path in GOLDEN.iterdir()} == expected
