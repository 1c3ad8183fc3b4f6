"""Drawings of pages in fewer bytes: nothing that is seen of them changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from folders import ROOT

from report.html.build import make_page
from report.html.compact import compact
from report.html.files import pictures_of
from report.loading.runs import load_run
from report.plots import Picture, render
from report.regressions.check import Rules

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
TENTH = 0.1001  # of a point: what places may differ by
SHORT = re.compile(r"^#(.)(.)(.)$")

Seen = tuple[str, str, dict[str, str], list[float]]


def declarations(style: str) -> dict[str, str]:
    found = {}
    for each in style.split(";"):
        name, _, value = (part.strip() for part in each.partition(":"))
        if name:
            found[name] = SHORT.sub(r"#\1\1\2\2\3\3", value)
    return {
        name: re.sub(r"url\(.*\)", "url", value) for name, value in found.items()
    }  # ids have other names


def seen_in(svg: str) -> list[Seen]:
    """Everything that is drawn, in its order: its kind, text and style; its place and what clips
    it.
    """
    root = ElementTree.fromstring(svg)
    sheet = "".join(element.text or "" for element in root.iter(f"{SVG}style"))
    classes = {name: declarations(said) for name, said in re.findall(r"\.(\w+)\{([^}]*)\}", sheet)}
    marks = {element.attrib["id"]: element for element in root.iter() if "id" in element.attrib}

    def style_of(element: ElementTree.Element) -> dict[str, str]:
        of_class = classes.get(element.attrib.get("class", ""), {})
        return {**of_class, **declarations(element.attrib.get("style", ""))}

    def clip_of(element: ElementTree.Element, above: list[float]) -> list[float]:
        used = re.search(r"url\(#([^)]+)\)", element.attrib.get("clip-path", ""))
        if used is None:
            return above
        (rect,) = marks[used[1]]
        return [float(rect.attrib[name]) for name in ("x", "y", "width", "height")]

    def walk(element: ElementTree.Element, clip: list[float]) -> Iterator[Seen]:
        for child in element:
            kind = child.tag.removeprefix(SVG)
            if kind in ("defs", "style", "clipPath"):
                continue
            within = clip_of(child, clip)
            if kind == "g":
                yield from walk(child, within)
                continue
            style, what = style_of(child), child.attrib.get("d", "") + "".join(child.itertext())
            if kind == "use":
                link = child.attrib.get("href") or child.attrib[LINK]
                mark = marks[link.removeprefix("#")]
                what = mark.attrib["d"]
                style = {**style, **style_of(mark)}
            elif kind == "text" and not what:
                continue
            numbers = [float(child.attrib.get(name, 0)) for name in ("x", "y")]
            turned = child.attrib.get("transform", "")
            if not turned.startswith(("rotate(0", "rotate(-0")):
                numbers += map(float, re.findall(r"-?[\d.]+", turned))
            yield kind, what, style, [*numbers, *within]

    return [*walk(root, [])]


def drawn(*kinds: str) -> list[Picture]:
    runs = [
        load_run(ROOT / "results" / name)
        for name in ("smoke-20261123-012757", "glue-sst2-today-roberta-base-20261130-030525")
    ]
    return [picture for picture in render(runs, kinds) if picture.svg]


@pytest.mark.parametrize(
    "kind", ["gains", "throughput", "distribution", "steps", "losses", "telemetry", "breakeven"]
)
def test_nothing_that_is_seen_changes(kind: str) -> None:
    pictures = drawn(kind)
    assert pictures
    for picture in pictures:
        before, after = seen_in(picture.svg), seen_in(compact(picture.svg))
        assert len(before) == len(after) > 10
        for one, other in zip(before, after, strict=True):
            assert one[:3] == other[:3]
            assert other[3] == pytest.approx(one[3], abs=TENTH)
        assert len(compact(picture.svg)) < 0.9 * len(picture.svg)


def test_texts_stay_to_the_letter_and_what_is_used_is_there() -> None:
    svg = (
        '<svg style="font-family: \'A B\'" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'width="9pt" height="9pt" xmlns="http://www.w3.org/2000/svg">\n<defs/><g><g>'
        '<text x="1.25" y="2.04" style="fill: #222222"> a="b"  &lt;c&gt; \'d\' </text></g>'
        '<path id="p-m" d="M0 0l0 3.5" style="stroke: #123456"/>'
        '<use xlink:href="#p-m" x="3.96" y="4" style="fill: #222222; stroke: #000000"/></g></svg>'
    )
    root = ElementTree.fromstring(compact(svg))
    text = root.find(f"{SVG}text")
    assert text is not None
    assert text.text == " a=\"b\"  <c> 'd' "
    assert (text.attrib["x"], text.attrib["y"]) == ("1.2", "2")
    use, path = root.find(f"{SVG}use"), root.find(f"{SVG}path")
    assert use is not None
    assert path is not None
    assert use.attrib["href"] == f"#{path.attrib['id']}"
    assert declarations(path.attrib["style"]) == {"fill": "#222222", "stroke": "#123456"}
    assert root.attrib["style"] == "font-family: 'A B'"
    assert not root.findall(f".//{SVG}g")


def test_a_mark_that_is_used_in_two_styles_keeps_both() -> None:
    svg = (
        '<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg">'
        '<defs><path id="m" d="M0 0l1 1"/></defs>'
        '<use xlink:href="#m" style="fill: #111111"/><use xlink:href="#m" style="fill: #222222"/>'
        "</svg>"
    )
    before, after = seen_in(svg), seen_in(compact(svg))
    assert [each[2] for each in after] == [{"fill": "#111111"}, {"fill": "#222222"}]
    assert before == after


def test_the_page_of_many_plots_is_half_as_large_and_holds_the_drawings() -> None:
    """It was 1,043,677 bytes when drawings were told in full."""
    run = load_run(ROOT / "results" / "matrix-cpu-20261123-055801")
    pictures = pictures_of([run], Rules())
    text = make_page([run], ROOT / "page.html", pictures=pictures)
    assert len(text.encode()) < 525_000
    addresses: list[Any] = re.findall(r'src="data:image/svg\+xml,([^"]*)"', text)
    shown = [picture for picture in pictures if picture.svg]
    assert len(addresses) == len(shown) == 45
    for address, picture in zip(addresses, shown, strict=True):
        assert "&" not in address
        assert "<" not in address
        said = "".join(ElementTree.fromstring(unquote(address)).itertext())
        for element in ElementTree.fromstring(picture.svg).iter(f"{SVG}text"):
            assert "".join(element.itertext()) in said
