"""The site of all runs: its pages, what is made anew and what is kept, and what was set aside."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from folders import ROOT
from history_support import HOST, noisy, write_history, write_night
from hostile import HOSTILE, hostile_run
from report_factory import four_pairs, make_job, make_run, write_run

from harness.errors import BenchError
from harness.schema.record import Pair
from report.cli import main
from report.html.site import Site, SiteOptions, make_site

PLAIN = SiteOptions(plots=False)


class Links(HTMLParser):
    """Where a page leads to, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.texts: list[str] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("href", "src")]
        self.scripts += tag == "script"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def site_of(results: Path, out: Path) -> Site:
    return make_site([results], out, PLAIN)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three nights of a suite with a slow last one, and a run of another suite."""
    folder = tmp_path / "results"
    factors = noisy(14)
    factors[-2:, 1] *= 1.4
    write_history(folder, factors[-13:])
    write_run(folder / "other", make_run(four_pairs(), run="other", suite="another"))
    return folder


def test_every_run_has_a_page_and_stands_in_the_index(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    site = site_of(results, out)
    assert (site.made, site.kept, site.problems) == (13 + 1 + 1, 0, [])
    index = Links((out / "index.html").read_text())
    pages = {link for link in index.found if link.endswith(".html")}
    assert pages == {
        *(f"runs/night-{number:03d}.html" for number in range(13)),
        "runs/other.html",
        *(f"history/{file.name}" for file in (out / "history").iterdir()),
    }
    for page in (*pages, "index.html"):
        links = Links((out / page).read_text())
        for link in links.found:
            assert link.startswith(("#", "data:")) or (out / page).parent.joinpath(link).is_file()
    said = " ".join(index.texts)
    assert "1 regression" in said
    assert "ONNX Runtime trains tiny on sst2" in said
    assert said.index("1 regression") < said.index("ONNX Runtime trains")
    dates = re.findall(r"20\d\d-\d\d-\d\d \d\d:\d\d", said)
    assert len(dates) == 1 + 14
    assert "Abacus" in said


def test_only_what_changed_is_made_anew(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    site_of(results, out)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*/*.html")}
    assert len(before) == 15
    again = site_of(results, out)
    assert (again.made, again.kept) == (0, 15)
    write_night(results, 13, (1.0, 1.4))
    grown = site_of(results, out)
    assert (grown.made, grown.kept) == (2, 14), "the night and its suite's history"
    jobs = results / "other" / "jobs.jsonl"
    jobs.write_text("".join(jobs.read_text().splitlines(keepends=True)[:-2]))
    changed = site_of(results, out)
    assert (changed.made, changed.kept) == (1, 15)
    kept = {file for file, when in before.items() if file.stat().st_mtime_ns == when}
    assert len(kept) == 13
    (out / "runs" / "night-003.html").unlink()
    assert site_of(results, out).made == 1, "a page that is gone"


def test_histories_of_different_models_have_pages_of_their_own(tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "site"
    for night, model in enumerate(("base", "large", "base", "large")):
        name = f"night-{night}"
        jobs = [make_job(arm, model=model) for arm in ("pytorch", "onnxruntime")]
        created_at = f"2026-01-0{night + 1}T00:00:00+00:00"
        run = make_run(jobs, run=name, suite="models", created_at=created_at, host=HOST)
        write_run(results / name, run)
    site = site_of(results, out)
    found = {entry.workloads: entry for entry in site.histories.values()}
    assert {of: entry.nights for of, entry in found.items()} == {"base-sst2": 2, "large-sst2": 2}
    assert "large-sst2" in found["large-sst2"].page
    assert "large-sst2" not in found["base-sst2"].page  # the older one keeps its address
    for night, of in enumerate(("base-sst2", "large-sst2") * 2):
        page = (out / "runs" / f"night-{night}.html").read_text()
        assert f"../{found[of].page}" in page
    said = " ".join(Links((out / "index.html").read_text()).texts)
    assert "missing" not in said
    assert {"base-sst2", "large-sst2"} <= set(said.split())


def test_a_kept_page_is_the_one_that_would_be_made(results: Path, tmp_path: Path) -> None:
    site_of(results, tmp_path / "one")
    write_night(results, 13)
    site_of(results, tmp_path / "one")
    site_of(results, tmp_path / "other")
    pages = sorted(
        file.relative_to(tmp_path / "one") for file in (tmp_path / "one").rglob("*.html")
    )
    assert len(pages) == 17
    for page in pages:
        assert (tmp_path / "one" / page).read_bytes() == (tmp_path / "other" / page).read_bytes()


def test_a_new_noise_floor_is_on_the_pages_of_its_host(tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "site"
    write_night(results, 0)
    assert "noise floor (A/A)" not in page_of(results, out, "night-000")
    jobs = [
        make_job(arm, replicate, step_s=0.5 + 0.001 * replicate + 0.0005 * place, backend="pytorch",
                 device="Abacus GPU")
        for replicate in range(3)
        for place, arm in enumerate(("one", "two"))
    ]  # fmt: skip
    pair = Pair(workload="tiny-sst2", baseline="one", candidate="two")
    info = json.loads((results / "night-000" / "run.json").read_text())
    identical = make_run(jobs, [pair], run="aa", created_at="2026-01-02T00:00:00+00:00",
                         host=info["host"], config={"arms": {"one": {"backend": "pytorch"},
                         "two": {"backend": "pytorch"}}})  # fmt: skip
    write_run(results / "aa", identical)
    assert "noise floor (A/A)" in page_of(results, out, "night-000")


def page_of(results: Path, out: Path, run: str) -> str:
    site_of(results, out)
    return (out / "runs" / f"{run}.html").read_text()


def test_pages_of_runs_that_are_gone_are_removed_and_nothing_else(
    results: Path, tmp_path: Path
) -> None:
    out = tmp_path / "site"
    site_of(results, out)
    (out / "runs" / "mine.html").write_text("not this command's")
    shutil.rmtree(results / "other")
    site = site_of(results, out)
    assert site.removed == 1
    assert not (out / "runs" / "other.html").exists()
    assert (out / "runs" / "mine.html").exists()
    assert "runs/other.html" not in (out / "index.html").read_text()


def test_bad_runs_are_named_and_the_others_are_there(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "broken").mkdir()
    (results / "broken" / "run.json").write_text('{"run": ')
    (results / "headless").mkdir()
    (results / "headless" / "jobs.jsonl").write_text("{}\n")
    with (results / "other" / "jobs.jsonl").open("a") as file:
        file.write('{"id": "torn')
    out = tmp_path / "site"
    command = ["index", str(results), "-o", str(out), "--no-plots"]
    for made in (15, 0):  # and as long as they are there
        assert main(command) == 1
        said = capsys.readouterr()
        assert f"{made} pages made" in said.out
        for name in ("broken", "headless", "jobs.jsonl:9"):
            assert name in said.err
            assert name in (out / "index.html").read_text()
    shutil.rmtree(results / "broken")
    shutil.rmtree(results / "headless")
    shutil.rmtree(results / "other")
    assert main(command) == 0


def test_a_folder_within_and_names_that_meet(results: Path, tmp_path: Path) -> None:
    write_run(results / "more" / "other", make_run(four_pairs(), run="other"))
    write_run(results / "more" / "Other", make_run(four_pairs(), run="Other"))
    site = site_of(results, tmp_path / "site")
    pages = {Path(page).stem for page in site.runs}
    assert {"other", "other-2", "Other-3"} <= pages or {"other", "Other-2", "other-3"} <= pages


def test_hostile_names_stay_text_in_the_index(tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_run(results / 'x"><img src=y>', hostile_run())
    site = site_of(results, tmp_path / "site")
    assert site.problems == []
    index = Links((tmp_path / "site" / "index.html").read_text())
    assert index.scripts == 1
    assert HOSTILE in index.texts
    (page,) = [link for link in index.found if link.startswith("runs/")]
    assert (tmp_path / "site" / unquote(page)).is_file()
    assert [link for link in index.found if link == "y"] == []


def test_bad_input_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match="holds no run"):
        site_of(tmp_path / "empty", tmp_path / "site")
    with pytest.raises(BenchError, match="cannot be read"):
        site_of(tmp_path / "nowhere", tmp_path / "site")
    write_run(tmp_path / "results" / "one", make_run(four_pairs()))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "index.html").write_text("my own site")
    with pytest.raises(BenchError, match="did not make"):
        site_of(tmp_path / "results", mine)
    assert (mine / "index.html").read_text() == "my own site"
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot be written"):
        site_of(tmp_path / "results", tmp_path / "file")


def test_a_damaged_state_makes_everything_anew(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    site_of(results, out)
    for content in ("{", "[]", '{"format": 1, "runs": [{}], "histories": []}', '{"format": 99}'):
        (out / "index.json").write_text(content)
        assert site_of(results, out).made == 15


def test_the_committed_runs_have_pages(tmp_path: Path) -> None:
    """Those of several suites and hosts, and the nights in a folder within."""
    results = tmp_path / "results"
    for name in ("published", "smoke-20261123-012757", "aa-20261123-144327", "nightly-history"):
        shutil.copytree(ROOT / "results" / name, results / name)
    site = site_of(results, tmp_path / "site")
    assert site.problems == []
    assert len(site.runs) == 3 + 14
    (history,) = site.histories.values()
    assert (history.suite, history.nights, history.summary) == ("nightly-smoke", 13, "1 regression")
    headlines = {entry.run: entry.headline for entry in site.runs.values()}
    assert "noise floor" in headlines["aa-20261123-144327"]
    page = tmp_path / "site" / "runs" / "nightly-smoke-20261123-035624.html"
    assert f"../{history.page}" in Links(page.read_text()).found
