"""Drawings in fewer bytes, for pages that hold dozens of them as images.

An image is a document of its own, so its ids and classes may be short. What every element repeats
becomes a class, groups that say nothing go, and places are told to a tenth of a point, as lines are
(report.plots.style).
"""

from __future__ import annotations

import itertools
import re
import string
from collections import Counter
from collections.abc import Iterator
from xml.etree import ElementTree

_SVG, _LINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
_PLACES = ("x", "y", "width", "height")
_EMPTY = ("g", "defs", "text")  # say nothing without a child, a text or an id
_TAG = re.compile(r"<[^<>]+>")
_LONG = re.compile(r"(?:\.0|(\.[1-9]))\d*")  # the decimals of a number; the first is kept
_UNTURNED = re.compile(r"rotate\(-?0[ )]")
_PAIRS = re.compile(r"#([0-9a-f])\1([0-9a-f])\2([0-9a-f])\3\b")
_USED = re.compile(r"url\(#([^)]+)\)")


def compact(svg: str) -> str:
    """The same drawing as one `<svg>` element with a style sheet.

    Args:
        svg: An `<svg>` element as report.plots.style.to_svg makes it for screens.

    Returns:
        The element in fewer letters. Its classes and ids hold for a document of its own only.
    """
    root = ElementTree.fromstring(svg)
    _without_groups(root)
    names = _names()
    ids = {element.attrib["id"]: next(names) for element in root.iter() if "id" in element.attrib}
    for element in root.iter():
        if element is not root:
            _shorten(element)
        _rename(element, ids)
    _style_marks_once(root)
    _classify(root)
    ElementTree.register_namespace("", _SVG)
    text = ElementTree.tostring(root, encoding="unicode").replace(" />", "/>")
    # Single quotes need no other letters in a page, where double ones end the attribute.
    return _TAG.sub(lambda tag: re.sub(r'="([^"\']*)"', r"='\1'", tag[0]), text)


def _without_groups(element: ElementTree.Element) -> None:
    """Take out groups without an attribute, whose children stay, and what is empty."""
    if _kind(element) == "text":
        return  # its blanks are shown
    kept: list[ElementTree.Element] = []
    for child in element:
        _without_groups(child)
        child.tail = None
        said = len(child) or child.text or "id" in child.attrib
        if _kind(child) in _EMPTY and not said:
            continue
        kept += [*child] if _kind(child) == "g" and not child.attrib else [child]
    element.text = None
    element[:] = kept


def _shorten(element: ElementTree.Element) -> None:
    attributes = element.attrib
    for name in _PLACES:
        if name in attributes:
            attributes[name] = _LONG.sub(r"\1", attributes[name])
    turned = attributes.get("transform", "")
    if _UNTURNED.match(turned):
        del attributes["transform"]
    elif turned.startswith(("rotate(", "translate(")):
        attributes["transform"] = _LONG.sub(r"\1", turned)
    if "style" in attributes:
        said = re.sub(r"\s*([:;])\s*", r"\1", attributes["style"])
        attributes["style"] = _PAIRS.sub(r"#\1\2\3", said)


def _rename(element: ElementTree.Element, ids: dict[str, str]) -> None:
    attributes = element.attrib
    if "id" in attributes:
        attributes["id"] = ids[attributes["id"]]
    if _LINK in attributes:
        attributes["href"] = f"#{ids[attributes.pop(_LINK).removeprefix('#')]}"
    for name, value in attributes.items():
        attributes[name] = _USED.sub(lambda found: f"url(#{ids[found[1]]})", value)


def _style_marks_once(root: ElementTree.Element) -> None:
    """Give a mark the style of its uses where that is the same in all of them; its own goes
    first.
    """
    uses: dict[str, list[ElementTree.Element]] = {}
    for element in root.iter():
        if _kind(element) == "use":
            uses.setdefault(element.attrib["href"].removeprefix("#"), []).append(element)
    marks = {element.attrib["id"]: element for element in root.iter() if "id" in element.attrib}
    for name, of_mark in uses.items():
        styles = {element.attrib.get("style", "") for element in of_mark}
        if len(styles) == 1 and (mark := marks.get(name)) is not None:
            both = {**_declarations(styles.pop()), **_declarations(mark.attrib.get("style", ""))}
            mark.attrib["style"] = ";".join(map(":".join, both.items()))
            for element in of_mark:
                element.attrib.pop("style", None)


def _declarations(style: str) -> dict[str, str]:
    return {
        name: value for name, _, value in (each.partition(":") for each in style.split(";")) if name
    }


def _classify(root: ElementTree.Element) -> None:
    """Styles that several elements have become classes. Those that name an id stay where they
    are.
    """
    styled = [each for each in root.iter() if each is not root and "style" in each.attrib]
    counted = Counter(each.attrib["style"] for each in styled)
    names = _names()
    classes = {
        style: next(names)
        for style, count in counted.most_common()
        if count > 1 and "url(" not in style
    }
    for element in styled:
        if element.attrib["style"] in classes:
            element.attrib["class"] = classes[element.attrib.pop("style")]
    if classes:
        sheet = ElementTree.Element(f"{{{_SVG}}}style")
        sheet.text = "".join(f".{name}{{{style}}}" for style, name in classes.items())
        root.insert(0, sheet)


def _kind(element: ElementTree.Element) -> str:
    return element.tag.removeprefix(f"{{{_SVG}}}")


def _names() -> Iterator[str]:
    """The words a, b, … z, aa, ab, …"""
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            yield "".join(letters)
