"""The page in a real Chromium: it renders without complaints, sorts, filters and fits a phone, and
no foreign script runs.

Chromium's own command line is enough: a copy of the page gets a script that does what its reader
would do and writes down what is then seen, and `--dump-dom` prints it.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT
from history_support import noisy, write_history
from hostile import hostile_picture, hostile_run
from report_factory import four_pairs, make_job, make_run, write_run

from report.html.build import make_page
from report.html.site import SiteOptions, make_site
from report.loading.runs import load_runs
from report.plots import render

NAMES = ("published", "smoke-20261123-012757", "glue-sst2-steady-20261123-003540")
EXECUTABLES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((found for name in EXECUTABLES if (found := shutil.which(name))), None)
POLICY = re.compile(r"<meta http-equiv=.Content-Security-Policy.[^>]*>")
RUNTIMES = "#tables article:has(th:nth-child(4)):nth-of-type(2)"  # the first table after the gains
# What the scripts of the tests use.
HELPERS = """
const all = (selector) => [...document.querySelectorAll(selector)];
const shown = (block) => all(block + " tbody tr").filter((row) => row.offsetParent !== null);
const column = (block, at) => shown(block).map((row) => row.cells[at].textContent.trim());
const place = (block, title) =>
  all(block + " thead th").findIndex((cell) => cell.textContent.trim() === title);
const header = (block, at) => all(block + " thead th")[at];
const sortBy = (block, at) => header(block, at).querySelector("button").click();
const unfold = () => all("details").forEach((details) => { details.open = true; });
const settled = () => new Promise((done) => setTimeout(done, 50));
"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium on this host (apt-get install chromium): the page was not opened",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of three committed runs and one with a log; with the gains plotted."""
    folder = tmp_path_factory.mktemp("page")
    logged = make_run([make_job("pytorch", 0, log="logs/a b.log"), *four_pairs()[2:]], run="logged")
    write_run(folder / "logged", logged)
    (folder / "logged" / "logs").mkdir()
    (folder / "logged" / "logs" / "a b.log").write_text("said")
    runs, _ = load_runs([*(ROOT / "results" / name for name in NAMES), folder / "logged"])
    return make_page(runs, folder / "page.html", pictures=render(runs, ["gains"]))


def browse(folder: Path, text: str, *flags: str) -> tuple[str, list[str]]:
    """The document that Chromium has after it loaded a page, and what its console said."""
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",  # a container's root has no user namespaces; the page is our own
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=10000",
        "--window-size=1280,900",
        "--enable-logging=stderr",
        *flags,
        "--dump-dom",
        path.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def result(document: str) -> Any:
    """What the script of a test wrote into the document."""
    found = re.search(r'<pre id="result">(.*?)</pre>', document, re.DOTALL)
    assert found is not None, "the script of the test did not run to its end"
    return json.loads(html.unescape(found[1]))


def with_script(page: str, script: str, *, unfolded: bool = True) -> str:
    """The page without its policy and with a script, whose result is written into the document.
    `unfolded`: the script finds everything unfolded.
    """
    text, removed = POLICY.subn("", page)
    assert removed == 1
    added = f"""<script>{HELPERS}
(async () => {{
  {"unfold();" if unfolded else ""}
  const value = await (async () => {{ {script} }})();
  const output = document.createElement("pre");
  output.id = "result";
  output.textContent = JSON.stringify(value);
  document.body.append(output);
  parent.postMessage(value, "*");
}})();
</script>"""
    return text.replace("</body>", f"{added}</body>")


def seen(folder: Path, page: str, script: str, *flags: str, unfolded: bool = True) -> Any:
    """What a script returns in the page."""
    document, complaints = browse(folder, with_script(page, script, unfolded=unfolded), *flags)
    assert complaints == []
    return result(document)


def test_nothing_complains_and_every_picture_is_drawn(page: str, tmp_path: Path) -> None:
    document, complaints = browse(tmp_path, page)
    assert complaints == []
    assert "<th" in document
    assert document.count("<button") > page.count("<button")  # the page's own script ran
    script = """
    await Promise.all([...document.images].map((image) => image.decode()));
    return [...document.images].map((image) => image.naturalWidth);
    """
    widths = seen(tmp_path, page, script)
    assert widths
    assert min(widths) > 100


def test_a_header_sorts_by_number_and_back(page: str, tmp_path: Path) -> None:
    script = f"""
    const block = "{RUNTIMES}", at = place(block, "Runtime(s)"), found = [column(block, at)];
    for (const click of [1, 2, 3]) {{
      sortBy(block, at);
      found.push([header(block, at).getAttribute("aria-sort"), column(block, at)]);
    }}
    return found;
    """
    before, (up, rising), (down, falling), (none, after) = seen(tmp_path, page, script)
    assert (up, down, none) == ("ascending", "descending", None)
    numbers = [float(cell) for cell in rising if cell]
    assert len(numbers) > 10
    assert numbers == sorted(numbers)
    assert [str(number) for number in numbers] != sorted(str(number) for number in numbers)
    assert [float(cell) for cell in falling if cell] == numbers[::-1]
    assert after == before


def test_rows_without_a_value_stay_last(page: str, tmp_path: Path) -> None:
    script = """
    const block = "#tables article:nth-of-type(1)", at = place(block, "n"), found = [];
    for (const click of [1, 2]) { sortBy(block, at); found.push(column(block, at)); }
    return found;
    """
    for cells in seen(tmp_path, page, script):
        assert "" in cells
        assert cells[-cells.count("") :] == [""] * cells.count("")


def test_text_and_answers_sort_too(page: str, tmp_path: Path) -> None:
    run = "run-glue-sst2-steady-20261123-003540"
    script = f"""
    const block = "{RUNTIMES}", at = place(block, "Model");
    sortBy(block, at);
    const answers = "article[aria-labelledby={run}]";
    const gain = place(answers, "Steady state");
    sortBy(answers, gain);
    return [column(block, at), shown(answers).map((row) => Number(row.cells[gain].dataset.sort))];
    """
    models, answers = seen(tmp_path, page, script)
    assert models == sorted(models)
    assert len(set(models)) > 2
    assert answers == sorted(answers)
    assert len(set(answers)) == 6


def test_typing_filters_one_table_and_says_how_many(page: str, tmp_path: Path) -> None:
    script = f"""
    const block = "{RUNTIMES}", input = all(block + " input")[0], total = shown(block).length;
    input.value = "Large onnx";
    input.dispatchEvent(new Event("input", {{bubbles: true}}));
    return [total, shown(block).map((row) => row.textContent),
            all(block + " output")[0].textContent,
            all("#jobs tbody tr").every((row) => !row.hidden)];
    """
    total, rows, said, others_are_shown = seen(tmp_path, page, script)
    assert rows
    assert all("roberta-large" in row and "ONNX" in row for row in rows)
    assert said == f"{len(rows)} of {total} rows"
    assert others_are_shown


def test_choosing_a_run_filters_the_whole_page(page: str, tmp_path: Path) -> None:
    script = f"""
    const chooser = document.querySelector("select[data-facet=run]");
    chooser.value = "published";
    chooser.dispatchEvent(new Event("change", {{bubbles: true}}));
    return [column("{RUNTIMES}", 0), all("#gains article").map((one) => one.offsetParent !== null)];
    """
    runs, panels = seen(tmp_path, page, script)
    assert set(runs) == {"published"}
    assert panels == [True, False, False, False]


def test_nothing_is_wider_than_the_window(page: str, tmp_path: Path) -> None:
    """In frames as wide as a phone, a small phone, a tablet and a desktop."""
    script = """
    all("details").forEach((details) => { details.open = true; });
    const cards = all(".answers *");
    return {width: innerWidth, needed: document.documentElement.scrollWidth,
            cut: cards.filter((card) => card.getBoundingClientRect().right > innerWidth).length,
            cards: all(".answers .gain").length};
    """
    (tmp_path / "framed.html").write_text(with_script(page, script), encoding="utf-8")
    sizes = (320, 375, 768, 1280)
    frames = "".join(f'<iframe src="framed.html" width="{width}"></iframe>' for width in sizes)
    around = f"""<body><style>iframe {{ border: 0 }}</style><script>
    const found = [];
    addEventListener("message", (message) => {{
      if (found.push(message.data) < {len(sizes)}) return;
      const output = document.createElement("pre");
      output.id = "result";
      output.textContent = JSON.stringify(found);
      document.body.append(output);
    }});
    </script>{frames}</body>"""
    document, _ = browse(tmp_path, around)
    found = {each["width"]: each for each in result(document)}
    assert sorted(found) == sorted(sizes)
    for width, each in found.items():
        assert each["needed"] == width
        if width < 700:  # the answers are cards, with nothing cut off
            assert each["cards"] > 0
            assert each["cut"] == 0


def test_a_link_unfolds_what_it_leads_to_and_marks_the_rows(page: str, tmp_path: Path) -> None:
    script = """
    const folded = all("section > details").filter((details) => !details.open).length;
    const number = document.querySelector("#gains .gain a");
    const before = document.getElementById("replicates").open;
    number.click();
    await settled();
    const target = document.querySelector(number.getAttribute("href"));
    const lit = all("tr.lit");
    const box = target.getBoundingClientRect();
    return {folded, before, open: document.getElementById("replicates").open,
            others: document.getElementById("jobs").open,
            inView: box.top >= 0 && box.bottom <= innerHeight,
            same: lit.every((row) => row.dataset.of === target.dataset.of), lit: lit.length};
    """
    found = seen(tmp_path, page, script, unfolded=False)
    assert found["folded"] >= 6
    assert (found["before"], found["open"], found["others"]) == (False, True, False)
    assert found["inView"]
    assert found["same"]
    assert found["lit"] > 1


def test_a_permalink_in_the_address_leads_to_its_pair(page: str, tmp_path: Path) -> None:
    script = """
    const link = all(".permalink")[3];
    location.hash = link.getAttribute("href");
    await settled();
    const box = link.closest("tr").getBoundingClientRect();
    return [box.top >= 0 && box.bottom <= innerHeight,
            getComputedStyle(link.closest("tr").cells[1]).backgroundColor !== "rgba(0, 0, 0, 0)"];
    """
    assert seen(tmp_path, page, script, unfolded=False) == [True, True]


def test_a_term_is_explained_to_pointer_and_keyboard(page: str, tmp_path: Path) -> None:
    script = """
    const tip = document.getElementById("tip"), found = [];
    const hosts = [document.querySelector("#gains .lead .term"),
                   header("#gains article", place("#gains article", "Parity"))
                     .querySelector("button")];
    for (const host of hosts) {
      host.focus();
      const box = tip.getBoundingClientRect();
      found.push([document.activeElement === host, tip.hidden, tip.textContent,
                  host.getAttribute("aria-describedby"),
                  box.left >= 0 && box.right <= innerWidth && box.top >= 0]);
      dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"}));
      found.push([tip.hidden, host.hasAttribute("aria-describedby")]);
      host.dispatchEvent(new PointerEvent("pointerenter"));
      found.push([tip.hidden]);
      host.dispatchEvent(new PointerEvent("pointerleave"));
      found.push([tip.hidden]);
    }
    return found;
    """
    found = seen(tmp_path, page, script, unfolded=False)
    for said, escaped, over, left in (found[:4], found[4:]):
        assert said[:2] == [True, False]
        assert said[2].endswith(".")
        assert said[3:] == ["tip", True]
        assert (escaped, over, left) == ([True, False], [False], [True])
    assert "learned alike" in found[4][2]


def test_the_index_filters_its_runs_and_fits_a_phone(tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_history(results, noisy(3))
    write_run(results / "other", make_run(four_pairs(), run="other", suite="another"))
    make_site([results], tmp_path / "site", SiteOptions(plots=False))
    text = (tmp_path / "site" / "index.html").read_text()
    script = """
    const before = shown("#runs").length;
    const chooser = document.querySelector("select[data-facet=suite]");
    chooser.value = "another";
    chooser.dispatchEvent(new Event("change", {bubbles: true}));
    return [before, column("#runs", 1), shown("#histories").length];
    """
    before, runs, histories = seen(tmp_path, text, script)
    assert before == 4
    assert [run.split()[0] for run in runs] == ["other"]
    assert histories == 0, "the history is of the other suite"
    (tmp_path / "framed.html").write_text(
        with_script(text, "return document.documentElement.scrollWidth"), encoding="utf-8"
    )
    around = """<body><script>addEventListener("message", (message) => {
    const output = document.createElement("pre");
    output.id = "result";
    output.textContent = JSON.stringify(message.data);
    document.body.append(output);
    });</script><iframe src="framed.html" width="390" style="border: 0"></iframe></body>"""
    document, _ = browse(tmp_path, around)
    assert result(document) == 390


def test_light_and_dark_by_system_and_by_choice(page: str, tmp_path: Path) -> None:
    script = """
    const red = () => Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]);
    const before = red();
    document.getElementById("theme").click();
    return [before, red()];
    """
    light, dark = seen(tmp_path, page, script)
    assert light > 200
    assert dark < 50
    (tmp_path / "dark").mkdir()
    flag = "--blink-settings=preferredColorScheme=0"
    dark, light = seen(tmp_path / "dark", page, script, flag)
    assert dark < 50
    assert light > 200


def test_the_policy_refuses_a_foreign_script(page: str, tmp_path: Path) -> None:
    script = "<script>document.title = 'a foreign script ran'</script>"
    document, complaints = browse(tmp_path, page.replace("</body>", f"{script}</body>"))
    title = re.search("<title>(.*?)</title>", document)
    assert title is not None
    assert title[1] != "a foreign script ran"
    assert len(complaints) == 1
    assert "Content Security Policy" in complaints[0]


def test_hostile_names_run_nothing(tmp_path: Path) -> None:
    made = make_page(
        [hostile_run()],
        tmp_path / "page.html",
        problems=["<b>x"],
        pictures=[hostile_picture()],
    )
    _, complaints = browse(tmp_path, made)  # without its policy, which would hide what is wrong
    assert complaints == []
    script = (
        "return [document.scripts.length, document.images.length, all('#gains h3')[0].textContent]"
    )
    scripts, images, title = seen(tmp_path, made, script)
    assert (scripts, images) == (2, 1)  # the page's own script and this one
    assert title.startswith("<script>alert(1)")
