"""An interval that leaves its value undetermined is told as open wherever a person reads it, and is
exact where a program does.
"""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
from alerts_support import finding, verdict
from report_factory import make_job, make_run

import report
from report import plots
from report.alerts.render_markdown import overview_markdown
from report.exports import csv_long
from report.html.build import make_page
from report.loading.runs import Run
from report.tables.gain_axis import gain_axis
from report.tables.gain_rows import gain_rows
from report.tables.registry import build
from report.tables.render import render
from report.text import OPEN_NOTE, is_open, is_open_gain

NOTE = f"- {OPEN_NOTE}"


def made(*times: tuple[float, float]) -> Run:
    """A replicate for each (baseline, candidate) in seconds end to end; steps take a 200th."""
    jobs = [
        make_job(arm, replicate, runtime_s=seconds, step_s=seconds / 200)
        for replicate, both in enumerate(times)
        for arm, seconds in zip(("pytorch", "onnxruntime"), both, strict=True)
    ]
    return make_run(jobs)


@pytest.fixture(scope="module")
def cold() -> Run:
    """Two replicates, the candidate's first of which compiled its kernels."""
    return made((10.0, 110.0), (10.5, 14.0))


@pytest.mark.parametrize(
    ("value", "low", "high", "opened"),
    [
        (1.0, 0.1, 10.0, False),  # by exactly the factor
        (1.0, 0.0999, 10.0, True),
        (1.0, 0.1, 10.01, True),
        (62.18, 0.0, 1432115.78, True),
        (1.0, None, None, False),  # no interval
        (1.0, 0.0, None, True),  # an end that overflowed
        (None, None, None, False),
    ],
)
def test_an_interval_is_open_beyond_a_factor_of_ten(
    value: float | None, low: float | None, high: float | None, opened: bool
) -> None:
    assert is_open(value, low, high) is opened
    shifted = (None if each is None else each - 1 for each in (value, low, high))
    if value != 1.0 or high != 10.0 or low != 0.1:  # where rounding does not decide
        one, least, most = shifted
        assert is_open_gain(one, least, most) is opened


def test_a_wide_gain_within_the_factor_keeps_its_ends() -> None:
    assert not is_open_gain(-0.2452, -0.8848, 3.9472)
    assert is_open_gain(-0.6217, -0.9691, 3.6386)


def test_tables_and_words_say_open_and_one_note_explains_it(cold: Run) -> None:
    text = render([cold])
    row = next(line for line in text.splitlines() if "ONNX Runtime |" in line)
    assert " open |" in row
    gains = [line for line in text.splitlines() if "(open) |" in line]
    assert len(gains) == 2, "end to end and in steady state"
    assert "not distinguishable" in text
    assert "end to end (open, n = 2)" in text
    assert "replicates in all" not in text, "an open interval foretells nothing"
    assert text.count(NOTE) == 1
    assert NOTE in render([cold], view="gains")
    assert NOTE not in render([made((10.0, 8.0), (10.5, 8.2))])


def test_a_single_sentence_explains_itself(cold: Run) -> None:
    assert render([cold], view="headline").endswith(f"; {OPEN_NOTE}.\n")


def test_raw_rows_and_exports_keep_the_ends(cold: Run) -> None:
    rows = json.loads(render([cold], "json", "gains"))["tables"]["gains"]
    ends = [(row["throughput_gain_low"], row["throughput_gain_high"]) for row in rows]
    d = [math.log(10.0 / 110.0), math.log(10.5 / 14.0)]
    half = 12.7062 * abs(d[0] - d[1]) / 2
    assert ends == [
        pytest.approx((math.expm1(sum(d) / 2 - half), math.expm1(sum(d) / 2 + half)), rel=1e-3)
    ] * len(ends)
    frame = report.frame(cold)
    gains = frame[frame.kind == "gain"]
    assert list(gains.throughput_gain_high) == [high for _, high in ends]
    (data,) = csv_long.files([cold]).values()
    for line in csv.DictReader(io.StringIO(data.decode())):
        assert "open" not in line.values()


def test_a_page_says_open_and_explains_it(cold: Run, tmp_path: Path) -> None:
    page = make_page([cold], tmp_path / "page.html")
    assert ">open<" in page
    assert OPEN_NOTE.capitalize() in page
    assert "e+0" not in page


def test_an_open_interval_does_not_set_the_axis_of_plots(cold: Run) -> None:
    axis = gain_axis(gain_rows(cold))
    assert axis.high < math.log(10)
    assert axis.low > -2 * math.log(10)
    pictures = plots.render([cold], ["gains", "throughput"])
    assert len(pictures) == 2
    for picture in pictures:
        assert "(open), n = 2" in picture.alt
        assert OPEN_NOTE.capitalize() in picture.caption


def test_other_views_say_open_too(cold: Run) -> None:
    for view in ("answer", "summary", "full"):
        (table, *_) = build([cold], view).tables
        assert any("(open)" in cell for row in table.cells for cell in row), view
        assert OPEN_NOTE in table.notes, view


def test_alerts_say_open_too() -> None:
    night = verdict(finding(gain=-0.72, gain_low=-1.0, gain_high=2.6e5))
    assert "−72.0% (open)" in overview_markdown(night)
    narrow = verdict(finding(gain=0.2, gain_low=0.1, gain_high=0.3))
    assert "+20.0% (+10.0% to +30.0%)" in overview_markdown(narrow)
