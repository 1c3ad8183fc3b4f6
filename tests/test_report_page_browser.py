"""The page in a real Chromium, as its reader has it: it sorts, filters, fits a phone, and asks for
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import chromium
import pytest
from report_factory import four_pairs, make_job, make_run, write_run
from test_report_page import hostile_picture, hostile_run

from report.html.build import make_page
from report.loading.runs import load_runs
from report.plots import render

ROOT = Path(__file__).parent.parent
NAMES = ("published", "smoke-20261123-012757", "glue-sst2-steady-20261123-003540")

pytestmark = pytest.mark.skipif(
    chromium.executable() is None,
    reason="no Chromium on this host (apt-get install chromium): the page was not opened",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three committed runs and one with a log; with the gains plotted."""
    folder = tmp_path_factory.mktemp("page")
    logged = make_run([make_job("pytorch", 0, log="logs/a b.log"), *four_pairs()[2:]], run="logged")
    write_run(folder / "logged", logged)
    (folder / "logged" / "logs").mkdir()
    (folder / "logged" / "logs" / "a b.log").write_text("said")
    runs, _ = load_runs([*(ROOT / "results" / name for name in NAMES), folder / "logged"])
    path = folder / "page.html"
    path.write_text(make_page(runs, path, pictures=render(runs, ["gains"])), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Tab]:
    with chromium.browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def tab(started: chromium.Tab, page: Path) -> chromium.Tab:
    """The page, opened afresh in a window of a desktop."""
    started.resize(1280, 900)
    started.prefer("light")
    started.open(page)
    return started


RUNTIMES = "#tables article:has(th:nth-child(4)):nth-of-type(2)"  # the first table after the gains


def column(tab: chromium.Tab, block: str, number: int) -> list[str]:
    """The cells of a column in rows that are shown."""
    cells: list[str] = tab.js(
        f"[...document.querySelectorAll('{block} tbody tr')].filter(row => row.offsetParent "
        "!== null)"
        f".map(row => row.cells[{number}].textContent.trim())"
    )
    return cells


def header(tab: chromium.Tab, block: str, title: str) -> int:
    """The place of the column with this title."""
    found: int = tab.js(
        f"[...document.querySelectorAll('{block} thead th')].findIndex(th => "
        f"th.textContent.trim() === '{title}')"
    )
    assert found >= 0, title
    return found


def test_a_click_on_a_header_sorts_by_number_then_back(tab: chromium.Tab) -> None:
    at = header(tab, RUNTIMES, "Runtime(s)")
    before = column(tab, RUNTIMES, at)
    button = f"{RUNTIMES} thead th:nth-child({at + 1}) button"
    state = f"document.querySelector('{RUNTIMES} thead th:nth-child({at + 1})').getAttribute('aria-sort')"
    tab.click(button)
    assert tab.js(state) == "ascending"
    numbers = [float(cell) for cell in column(tab, RUNTIMES, at) if cell]
    assert numbers == sorted(numbers)
    assert len(numbers) > 10
    assert [str(number) for number in numbers] != sorted(
        str(number) for number in numbers
    )  # as text it is another order
    tab.click(button)
    assert tab.js(state) == "descending"
    assert [float(cell) for cell in column(tab, RUNTIMES, at) if cell] == numbers[::-1]
    tab.click(button)
    assert tab.js(state) is None
    assert column(tab, RUNTIMES, at) == before


def test_rows_without_a_value_stay_last(tab: chromium.Tab) -> None:
    block = "#tables article:nth-of-type(1)"
    at = header(tab, block, "n")
    for _ in range(2):
        tab.click(f"{block} thead th:nth-child({at + 1}) button")
        cells = column(tab, block, at)
        assert "" in cells
        assert cells[-cells.count("") :] == [""] * cells.count("")


def test_the_keyboard_sorts_text(tab: chromium.Tab) -> None:
    at = header(tab, RUNTIMES, "Model")
    tab.js(f"document.querySelector('{RUNTIMES} thead th:nth-child({at + 1}) button').focus()")
    tab.press("Enter", "\r")
    models = column(tab, RUNTIMES, at)
    assert models == sorted(models)
    assert len(set(models)) > 2


def test_the_answers_sort_too(tab: chromium.Tab) -> None:
    block = f"article[aria-labelledby=run-{NAMES.index('glue-sst2-steady-20261123-003540') + 1}]"
    tab.click(f"{block} thead th:nth-child(3) button")  # steady state
    gains = [float(cell.split("%")[0].replace("−", "-")) for cell in column(tab, block, 2)]
    assert gains == sorted(gains)
    assert len(gains) == 6


def test_typing_filters_one_table_and_says_how_many(tab: chromium.Tab) -> None:
    tab.js(f"document.querySelector('{RUNTIMES} input').focus()")
    total = len(column(tab, RUNTIMES, 0))
    tab.type("Large onnx")
    shown = tab.js(
        f"[...document.querySelectorAll('{RUNTIMES} tbody tr:not([hidden])')].map(row => "
        "row.textContent)"
    )
    assert shown
    assert all("roberta-large" in row and "ONNX" in row for row in shown)
    assert (
        tab.js(f"document.querySelector('{RUNTIMES} output').textContent")
        == f"{len(shown)} of {total} rows"
    )
    assert tab.js("[...document.querySelectorAll('#jobs tbody tr')].every(row => !row.hidden)")


def test_choosing_a_run_filters_the_whole_page(tab: chromium.Tab) -> None:
    tab.js(
        "(() => { const chooser = document.querySelector('select[data-facet=run]'); chooser.value "
        "= 'published';"
        "chooser.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )
    assert set(column(tab, RUNTIMES, 0)) == {"published"}
    panels = tab.js(
        "[...document.querySelectorAll('#gains article')].map(panel => panel.offsetParent !== null)"
    )
    assert panels == [True, False, False, False]


def test_nothing_complains_and_nothing_is_asked_for(tab: chromium.Tab, page: Path) -> None:
    for selector in ("#theme", f"{RUNTIMES} thead th button"):
        tab.click(selector)
    tab.js("Promise.all([...document.images].map(image => image.decode()))")
    assert tab.js("document.images.length") > 0
    assert tab.js("[...document.images].every(image => image.naturalWidth > 100)")
    assert tab.complaints == []
    assert [address for address in tab.requests if not address.startswith("data:")] == [
        page.resolve().as_uri()
    ]


def test_the_policy_holds_against_what_would_slip_in(tab: chromium.Tab) -> None:
    ran = "(() => { const script = document.createElement('script'); script.textContent = 'window.ran = 1';"
    assert tab.js(ran + "document.body.append(script); return window.ran })()") is None
    assert tab.js("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')") == "refused"
    refused = [event for event in tab.events if event["method"] == "Log.entryAdded"]
    assert all("Content Security Policy" in str(event) for event in refused)
    assert len(refused) >= 2


@pytest.mark.parametrize(("width", "height"), [(375, 812), (320, 640), (768, 1024), (1280, 900)])
def test_nothing_is_wider_than_the_window(
    tab: chromium.Tab, page: Path, width: int, height: int
) -> None:
    tab.resize(width, height, phone=width < 700)
    tab.open(page)
    tab.js("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    assert tab.js("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    if width < 700:  # the answers are cards, with nothing cut off
        assert tab.js("document.querySelectorAll('.answers .gain').length") > 0
        assert tab.js(
            "[...document.querySelectorAll('.answers *')].every(e => "
            "e.getBoundingClientRect().right <= innerWidth)"
        )


def test_light_and_dark_by_system_and_by_choice(tab: chromium.Tab, page: Path) -> None:
    def brightness() -> float:
        red: float = tab.js(
            "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
        )
        return red

    tab.js("localStorage.clear()")
    tab.open(page)
    assert brightness() > 200
    tab.prefer("dark")
    assert brightness() < 50
    tab.click("#theme")
    assert brightness() > 200
    tab.open(page)
    assert brightness() > 200  # remembered
    tab.js("localStorage.clear()")


def test_without_scripts_it_is_plain_tables(tab: chromium.Tab, page: Path) -> None:
    rows = tab.js("document.querySelectorAll('tbody tr').length")
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(page)
        assert tab.js("document.querySelectorAll('tbody tr').length") == rows
        assert tab.js(
            "[...document.querySelectorAll('#tables tbody tr')].every(row => row.offsetParent "
            "!== null)"
        )
        assert tab.js("document.querySelectorAll('th button').length") == 0
        assert tab.js(
            "[...document.querySelectorAll('input, select, #theme')].every(e => e.offsetParent "
            "=== null)"
        )
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


def test_the_link_to_a_log_leads_to_it(tab: chromium.Tab, page: Path) -> None:
    addresses = tab.js("[...document.querySelectorAll('#jobs a')].map(link => link.href)")
    assert [Path(unquote(urlsplit(address).path)) for address in addresses] == [
        page.parent.resolve() / "logged" / "logs" / "a b.log"
    ]


def test_hostile_names_run_nothing(started: chromium.Tab, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    made = make_page([hostile_run()], path, problems=["<b>x"], pictures=[hostile_picture()])
    path.write_text(made, encoding="utf-8")
    started.open(path)
    started.js("Promise.all([...document.images].map(image => image.decode()))")
    assert started.js("document.scripts.length") == 1
    assert started.js("document.images.length") == 1
    assert started.js("document.querySelector('#gains h3').textContent").startswith(
        "<script>alert(1)"
    )
    assert [
        event for event in started.events if event["method"] == "Page.javascriptDialogOpening"
    ] == []
    assert started.complaints == []
    assert [address for address in started.requests if not address.startswith("data:")] == [
        path.as_uri()
    ]
