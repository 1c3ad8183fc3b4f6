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
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from folders import ROOT
from history_support import noisy, write_history
from hostile import HOSTILE, hostile_picture, hostile_run
from report_factory import four_pairs, make_job, make_run, write_run

from harness.schema.record import Host, Pair, State
from report.html import jobs as page_jobs
from report.html.build import PageOptions, make_page
from report.html.files import pictures_of, rules_beside
from report.html.history import courses_among, slower_since
from report.html.provenance import compare_arms, compare_runs
from report.html.sorting import sort_key
from report.html.terms import meaning
from report.loading.runs import Run, load_runs
from report.plots import Picture, render
from report.regressions.check import Rules
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


def answers_of(text: str) -> list[list[str]]:
    """The cells of gains on a page: per row the steady state and end to end, in words."""
    main = text[text.index('id="gains"') : text.index('id="tables"')]
    rows = re.findall(r'<tr id="pair-.*?</tr>', main, re.DOTALL)
    return [
        [
            " ".join(re.sub(r"<[^>]+>", " ", cell).split())
            for cell in re.findall(r'<td class="answer .*?</td>', row, re.DOTALL)
        ]
        for row in rows
    ]


def run_of_times(
    baseline: list[float],
    candidate: list[float],
    name: str = "onnxruntime",
    backend: str = "onnxruntime",
) -> Run:
    """A run of one pair with these seconds for each steady step, and nothing end to end."""
    jobs = [
        make_job(arm, replicate, runtime_s=None, step_s=seconds, backend=of)
        for replicate, both in enumerate(zip(baseline, candidate, strict=True))
        for arm, seconds, of in zip(("pytorch", name), both, ("pytorch", backend), strict=True)
    ]
    pair = Pair(workload="tiny-sst2", baseline="pytorch", candidate=name)
    return make_run(jobs, [pair])


def test_the_verdict_comes_first_then_the_forest_plot_and_the_rest_is_folded(
    tmp_path: Path,
) -> None:
    jobs = [
        make_job(arm, replicate, runtime_s=seconds + replicate * 0.1, step_s=0.5)
        for replicate in range(4)
        for arm, seconds in (("pytorch", 100.0), ("onnxruntime", 80.0))
    ]
    text = make_page([make_run(jobs)], tmp_path / "page.html")
    assert answers_of(text) == [
        ["+0.00 to +0.00% not distinguishable", "+24.95% faster +24.89 to +25.02%"]
    ]
    names = ("verdict", "gains", "tables", "replicates", "provenance", "jobs", "terms", "notes")
    places = [text.index(f'id="{name}"') for name in names]
    assert places == sorted(places)
    page = Parsed(text)
    folded = [each.get("id") for each in page.all("details") if "id" in each]
    assert folded == [*names[2:]]
    assert not any("open" in each for each in page.all("details"))
    said = " ".join(page.texts)
    for word in ("Which backend", "How sure", "batch size", "learn the same", "become slower"):
        assert said.index(word) < said.index("Throughput gain")
    assert text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        ([0.50, 0.51, 0.50, 0.51], "faster"),
        ([2.00, 2.01, 2.00, 2.01], "slower"),
        ([0.50, 2.00, 0.50, 2.00], "not distinguishable"),
    ],
)
def test_a_gain_that_is_not_told_from_0_is_its_interval_and_no_number(
    tmp_path: Path, candidate: list[float], words: str
) -> None:
    text = make_page([run_of_times([1.0] * 4, candidate)], tmp_path / "page.html")
    ((answer, _),) = answers_of(text)
    number = re.match(r"[+−]\d+\.\d+%", answer)
    assert words in answer
    assert bool(number) == (words != "not distinguishable")


def test_identical_arms_are_the_noise_floor_even_where_0_is_outside(tmp_path: Path) -> None:
    run = run_of_times([1.0] * 4, [1.1, 1.11, 1.1, 1.11], "again", "pytorch")
    text = make_page([run], tmp_path / "page.html")
    ((answer, _),) = answers_of(text)
    assert answer.endswith("noise floor")
    head = text[: text.index('id="tables"')]
    words = re.sub(r"<style>.*?</style>|<[^>]+>", " ", head, flags=re.DOTALL)
    assert "slower" not in words.replace("Did anything become slower?", "")
    assert "faster" not in words.replace("the first arm is faster", "")
    assert "the arms are identical" in words


def test_every_pair_has_a_permalink_that_stays(tmp_path: Path) -> None:
    one = make_run(four_pairs(), run="one")
    more = make_run(
        [*four_pairs(), *(job for job in [make_job("extra", 0), make_job("extra", 1)])],
        [
            Pair(workload="tiny-sst2", baseline="pytorch", candidate="extra"),
            Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime"),
        ],
        run="one",
    )
    link = "pair-tiny-sst2-onnxruntime-over-pytorch"
    for run in (one, more):
        page = Parsed(make_page([run], tmp_path / "page.html"))
        assert link in [row.get("id") for row in page.all("tr")]
        assert f"#{link}" in [each["href"] for each in page.all("a")]
    other = make_run(four_pairs(), run="other")
    page = Parsed(make_page([one, other], tmp_path / "page.html"))
    found = {row["id"] for row in page.all("tr") if (row.get("id") or "").startswith("pair-")}
    assert found == {f"pair-{run}-tiny-sst2-onnxruntime-over-pytorch" for run in ("one", "other")}


def test_pairs_whose_names_look_alike_in_a_link_have_links_of_their_own(tmp_path: Path) -> None:
    """A name of one pair may be cut where another's goes on."""
    pairs = [
        Pair(workload="w", baseline="a-over-b", candidate="c"),
        Pair(workload="w", baseline="b", candidate="c-over-a"),
    ]
    page = Parsed(make_page([make_run([], pairs)], tmp_path / "page.html"))
    ids = [row["id"] for row in page.all("tr") if "id" in row]
    assert len(ids) == len(set(ids)) == 2


def test_numbers_lead_to_the_replicates_they_come_from(tmp_path: Path) -> None:
    run = make_run(four_pairs(), git={"commit": "0123456789abcdef0123"})
    text = make_page(
        [run],
        tmp_path / "page.html",
        options=PageOptions(commit_url="https://forge.example/x/commit/{commit}"),
    )
    tables = text[text.index('id="tables"') : text.index('id="replicates"')]
    linked = re.findall(r'<td class="number"[^>]*><a href="#([gj]-[0-9a-f]+)">([^<]+)</a>', tables)
    plain = re.findall(r'<td class="number"[^>]*>([^<]+)</td>', tables)
    assert len(linked) > 10
    assert plain == []
    for target, _ in linked:
        rows = re.findall(rf'<tr[^>]* data-of="{target}".*?</tr>', text)
        assert len(rows) == 4, "a replicate each"
        assert text.count(f'id="{target}"') == 1
    gain = re.search(r'<td class="answer end_to_end".*?<a href="#(g-\w+)">\+25.00%', text)
    assert gain is not None
    of_pair = re.findall(rf'<tr[^>]* data-of="{gain[1]}".*?</tr>', text)
    assert all("+25.0%" in row and "forge.example" in row for row in of_pair)
    commits = [each["href"] for each in Parsed(text).all("a") if "forge" in (each["href"] or "")]
    assert set(commits) == {"https://forge.example/x/commit/0123456789abcdef0123"}
    assert len(commits) == 1 + 4, "of the run, and of every replicate"


def test_what_is_no_commit_is_no_address(tmp_path: Path) -> None:
    run = make_run(four_pairs(), git={"commit": "javascript:alert(1)"})
    options = PageOptions(commit_url="https://forge.example/{commit}")
    page = Parsed(make_page([run], tmp_path / "page.html", options=options))
    assert {(link["href"] or "")[0] for link in page.all("a")} == {"#"}


def test_every_column_says_what_it_means() -> None:
    """Of every committed run, in the words of the metric's declaration or of the page's terms."""
    folders = [folder.parent for folder in sorted((ROOT / "results").glob("*/run.json"))]
    seen: set[str] = set()
    for folder in folders:
        runs, _ = load_runs([folder])
        for table in build(runs).tables:
            for column in table.columns:
                seen.add(column.title)
                assert meaning(column.title).endswith("."), f"{column.title} of {table.name}"
    assert len(seen) > 40
    assert meaning("no such word") == ""
    text = make_page(load_runs(folders[:1])[0], ROOT / "page.html")
    headers = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', text[text.index("<main") :])
    bare = [header for header in headers if "<abbr" not in header and "Forest plot" not in header]
    assert [header for header in bare if header not in ("Name", "Value")] == [], "no tooltip"


def test_pictures_stand_at_their_natural_size() -> None:
    runs, _ = load_runs(COMMITTED)
    pictures = render(runs, ["throughput", "losses"])
    page = Parsed(make_page(runs, ROOT / "page.html", pictures=pictures))
    sizes = [(int(image["width"] or 0), int(image["height"] or 0)) for image in page.all("img")]
    drawn = [picture.svg for picture in pictures if picture.svg]
    points = [re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg) for svg in drawn]
    assert sizes == [
        (round(float(found[1]) * 4 / 3), round(float(found[2]) * 4 / 3))
        for found in points
        if found
    ]
    assert len(sizes) > 2


def luminance(colour: str) -> float:
    """The relative luminance of #rrggbb, by WCAG 2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_contrast_in_light_and_dark() -> None:
    """At least 4.5 to 1 on every ground that it stands on: level AA of WCAG 2."""
    style = (ROOT / "report/html/page.css").read_text()
    colours = {
        name: (light, dark)
        for name, light, dark in re.findall(
            r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", style
        )
    }
    on = {
        ("card", "ground", "lit", "hover"): ("ink", "quiet", "accent"),
        ("card",): ("faster", "slower", "plain"),
        ("good",): ("good-ink",),
        ("bad",): ("bad-ink",),
        ("telling",): ("telling-ink",),
    }
    compared = 0
    for grounds, inks in on.items():
        for ground in grounds:
            for ink in inks:
                for mode in (0, 1):
                    one, other = sorted(luminance(colours[name][mode]) for name in (ground, ink))
                    assert (other + 0.05) / (one + 0.05) >= 4.5, (ground, ink, mode)
                    compared += 1
    assert compared == 36


# several nights


def test_the_last_nights_verdict_and_the_history_come_first(tmp_path: Path) -> None:
    factors = noisy(14)
    factors[-2:, 1] *= 1.4
    runs, _ = load_runs([write_history(tmp_path / "results", factors)])
    text = make_page(runs, tmp_path / "page.html", pictures=pictures_of(runs, Rules()))
    page = Parsed(text)
    head = text[: text.index('id="gains"')]
    words = " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", head, flags=re.DOTALL).split())
    assert "Last night: 1 regression" in words
    assert words.index("candidate regressed") < words.index("Which backend should I use?")
    assert "Yes: tiny-sst2: ONNX Runtime over PyTorch, candidate regressed since" in words
    assert 'id="plot-history-' in head, "the picture stands before the gains"
    main = text[text.index('id="gains"') : text.index('id="earlier"')]
    assert re.findall(r'<h3 id="(run-[^"]+)"', main) == ["run-night-013"]
    earlier = text[text.index('id="earlier"') : text.index('id="tables"')]
    assert len(re.findall(r'<h3 id="run-', earlier)) == 13
    nights = text[text.index("Every night of") : text.index('id="gains"')]
    assert nights.count("<tr>") == 1 + 14, "the head and a row for every night"
    assert nights.index("night-013") < nights.index("night-000")
    assert page.texts.count(f"{runs[0].info.suite}: 14 nights") == 1


def test_a_steady_history_says_no_and_two_nights_are_too_few(tmp_path: Path) -> None:
    for nights, answer in ((14, "No: 1 steady, against the 13 nights"), (2, "Not known yet")):
        results = write_history(tmp_path / str(nights), noisy(nights))
        runs, _ = load_runs([results])
        (course,) = courses_among(runs, Rules())
        assert slower_since([course], elsewhere=False)[0].startswith(answer)
        assert (course.nights, course.worst) == (nights, "good" if nights > 2 else "telling")
    alone, _ = load_runs([tmp_path / "14" / "night-003"])
    assert courses_among(alone, Rules()) == []
    assert slower_since([], elsewhere=False)[0].startswith("Not known from one run")


def test_fourteen_nights_are_quick_to_make_and_light(tmp_path: Path) -> None:
    """With all plots, of the committed nights; in processor time, for a busy host is slower."""
    runs, _ = load_runs([ROOT / "results" / "nightly-history"])
    assert len(runs) == 14
    begin = time.process_time()
    rules = rules_beside(runs)
    text = make_page(
        runs,
        tmp_path / "page.html",
        pictures=pictures_of(runs, rules),
        options=PageOptions(rules),
    )
    assert time.process_time() - begin < 10
    assert len(text.encode()) < 1_000_000
    assert "Last night: 1 regression" in text
    assert text.count("<img") > 2


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
    assert "logs" not in make_page(
        runs, tmp_path / "pages" / "page.html", options=PageOptions(logs=False)
    ).replace("logs/missing.log", "")
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
    assert "no interval" in text
    assert "#g-" not in text, "a published number comes from no replicate that is known"


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


def test_a_dash_is_standard_output(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "results" / "mine", make_run(four_pairs()))
    done = page_command(folder, "--no-plots", "-o", "-", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("<!DOCTYPE html>")
    assert done.stdout.endswith("</html>\n")
    assert [file.name for file in tmp_path.iterdir()] == ["results"], "no file called -"


@pytest.mark.parametrize("address", ["https://forge.example/commit/", "javascript:{commit}"])
def test_an_address_without_a_place_for_the_commit_is_refused(tmp_path: Path, address: str) -> None:
    done = page_command(COMMITTED[0], "-o", tmp_path / "page.html", "--commit-url", address)
    assert done.returncode == 2
    assert "--commit-url" in done.stderr
    assert not (tmp_path / "page.html").exists()


def test_a_file_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    done = page_command(COMMITTED[0], "--no-plots", "-o", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("report: ")
    assert "Traceback" not in done.stderr
