"""How every plot looks and how it becomes bytes: colours, lines, text sizes, names, SVG and PNG.

Plots are drawn for a width of 8 to 11 cm, one column of a paper or a phone: text of 8 points stays
above 5.5.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import write_atomically, write_text
from report.loading.runs import Run
from report.tables.arm_rows import arm_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Entries = Sequence[tuple[Any, str]]  # handles and labels

# Okabe and Ito's colours, told apart with any kind of colour vision; their yellow is too pale for
# lines on white. Then Tol's indigo and wine, and a dark olive, each as far from all others as two
# of Okabe and Ito's are from each other.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#332288",
    "#882255",
    "#4D4D00",
    "#000000",
)
# As many markers as colours, and a number of lines and hatches that repeats later: ten arms differ
# in colour and in marker, and all that share a line differ in both.
LINES: tuple[object, ...] = (
    "-",
    (0, (5, 1.6)),
    (0, (1.2, 1.2)),
    (0, (6, 1.4, 1.2, 1.4)),
    (0, (2.5, 1.2)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "*", "h")
HATCHES = ("", "////", "||||", "\\\\\\\\", "xxxx")
INK, GREY, PALE = "#222222", "#666666", "#dddddd"
DARK_MODE = {  # what colours become on a dark page; the ground goes with them
    "#ffffff": "#0d1117",
    INK: "#e6edf3",
    GREY: "#9da7b3",
    "#bbbbbb": "#6e7681",
    PALE: "#3d444d",
    COLOURS[0]: "#4ba3e3",
    COLOURS[1]: "#f0883e",
    COLOURS[6]: "#a79bf2",
    COLOURS[7]: "#e68ab4",
    COLOURS[8]: "#cbc86f",
    COLOURS[9]: "#f6f8fa",
}
FONT = "DejaVu Sans"  # matplotlib's own
WIDTH = 4.4  # inches
SMALL = 7.0  # points
DPI = 220  # of PNG
# Of pictures for pages: letters as text, and lines of thousands of steps to a third of a point.
ON_SCREEN: dict[str, object] = {"svg.fonttype": "none", "path.simplify_threshold": 0.33}
LEGEND_COLUMNS, LEGEND_LINE = 2, 10  # and points
LONGEST_SLUG = 120  # characters, each of them a byte
ELLIPSIS = "…"

SETTINGS: dict[str, object] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.formatter.use_mathtext": False,
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "figure.titlesize": 9,
    "figure.titleweight": "bold",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so a plot looks the same on every host
    "font.size": 8,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    # pixels: a step of a long series that moves a line by less is not written
    "path.simplify_threshold": 0.3,
    "savefig.dpi": DPI,
    # readable without any font installed, and a name in it can never be markup
    "svg.fonttype": "path",
    "svg.hashsalt": "training-backend-bench",
    "text.color": INK,
    "text.parse_math": False,  # a `$` in a name is a `$`
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 7.5,
}


@contextmanager
def style() -> Iterator[None]:
    """What plots are drawn and saved in, whatever the reader's matplotlibrc says. Good as a
    decorator, too.
    """
    import matplotlib.style

    with matplotlib.style.context(["default", SETTINGS]):
        yield


@dataclass(frozen=True)
class Look:
    """How an arm is drawn: in colour, in grey and with a marker of its own. `label`: the name that
    tables and the page give the arm.
    """

    colour: str
    line: object
    marker: str
    hatch: str
    label: str = ""


def looks_of(runs: Sequence[Run]) -> dict[str, Look]:
    """A look for every arm, the same in all plots of `runs`, in the order in which pairs name the
    arms.
    """
    declared = [
        arm for run in runs for pair in run.info.pairs for arm in (pair.baseline, pair.candidate)
    ]
    recorded = [job.arm.name for run in runs for job in run.jobs]
    names = list(dict.fromkeys([*declared, *recorded]))
    labels = arm_labels(runs)
    return {arm: look(number, labels.get(arm, arm)) for number, arm in enumerate(names)}


def look(number: int, label: str = "") -> Look:
    """The look of the arm of this number, from 0."""
    one_of = (COLOURS, LINES, MARKERS, HATCHES)
    colour, line, marker, hatch = (choices[number % len(choices)] for choices in one_of)
    return Look(str(colour), line, str(marker), str(hatch), label)


def new_figure(height: float) -> Figure:
    """An empty figure of the common width and this height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def name(text: str, most: int = 40) -> str:
    """A name as it is drawn: on one line, without control characters, its middle left out from
    `most` letters on.
    """
    clean = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text)
    clean = " ".join(clean.split())
    if len(clean) <= most:
        return clean
    head = (most - 1) * 2 // 3
    return clean[:head] + ELLIPSIS + clean[head + 1 - most :]


def wrapped(text: str, width: int, lines: int = 2) -> str:
    """A text over `lines` lines of `width` letters at most, cut at its end. It breaks behind blanks
    and - _ . / too.
    """
    broken = [""]
    for piece in re.findall(r".+?(?:[-_./ ]+|$)", name(text, 10_000)):
        if broken[-1] and len(broken[-1]) + len(piece.rstrip()) > width:
            broken.append("")
        broken[-1] += piece
    shown = [name(line, width) for line in broken[:lines]]
    if len(broken) > lines:
        shown[-1] = shown[-1][: width - 1].rstrip(ELLIPSIS) + ELLIPSIS
    return "\n".join(shown)


def entry(text: str, most: int = 22) -> str:
    """A name as the label of a legend's entry, which matplotlib leaves out if it begins with an
    underscore.
    """
    label = name(text, most)
    return f" {label}" if label.startswith("_") else label


def legend_above(
    axes: Axes, title: str = "", entries: Entries | None = None, **title_style: Any
) -> None:
    """A legend between the panel and its title, where it hides nothing; of all that is labelled, or
    of `entries`.
    """
    handles, labels = zip(*entries, strict=True) if entries else axes.get_legend_handles_labels()
    rows = -(-len(labels) // LEGEND_COLUMNS)
    axes.set_title(title, pad=3 + LEGEND_LINE * rows, **title_style)
    if labels:
        axes.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(-0.01, 0.98),
            ncols=LEGEND_COLUMNS,
            fontsize=SMALL,
            borderaxespad=0.2,
            labelspacing=0.2,
            handlelength=2.8,
        )


def minus(text: str) -> str:
    """A number in words with a typographic minus, as axes have it."""
    return text.replace("-", "−")


def heading(figure: Figure, title: str, runs: Sequence[Run]) -> None:
    """A figure's title, and in small print below it which run it is of and on which device."""
    devices = sorted({job.device for run in runs for job in run.jobs})
    of = f"{len(runs)} runs" if len(runs) > 1 else name(runs[0].info.run, 50)
    figure.suptitle(f"{name(title, 60)}\n", x=0.012, ha="left", linespacing=1.3)
    below = 1 - 0.2 / float(figure.get_size_inches()[1])
    figure.text(
        0.012, below, name(f"{of}; {', '.join(devices)}", 88), va="top", fontsize=SMALL, color=GREY
    )


def slug(*parts: str) -> str:
    """`parts` as one name that is good for a file and an XML id: ASCII letters, digits and - _ .
    only.

    Where letters of other scripts or the end had to go, a digest of the whole tells such names
    apart.
    """
    text = "-".join(
        filter(None, (re.sub(r"[^\w.]+", "-", part, flags=re.ASCII).strip("-.") for part in parts))
    )
    if len(text) <= LONGEST_SLUG and all(part.isascii() for part in parts):
        return text
    digest = hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:8]
    return f"{text[: LONGEST_SLUG - 9].rstrip('-.')}-{digest}"


def listed(said: Sequence[str], most: int = 30) -> str:
    """ "a; b; c", or "a; b; 5 more"."""
    return "; ".join([*said[:most], f"{len(said) - most} more"] if len(said) > most else said)


def to_svg(figure: Figure, prefix: str = "", *, outlines: bool = True) -> str:
    """The figure as one `<svg>` element.

    Args:
        figure: The figure.
        prefix: What ids begin with, for a page may hold several figures.
        outlines: Letters as outlines, which look the same everywhere, and lines as fine as print
            needs them; else letters as text, drawn in the reader's own font, and lines as fine as
            screens: a fraction of the bytes.
    """
    import matplotlib

    text = io.StringIO()
    how = {"svg.fonttype": "path"} if outlines else ON_SCREEN
    with style(), matplotlib.rc_context(how):
        figure.savefig(
            text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    svg = text.getvalue()
    svg = re.sub(r"<!--.*?-->\n?", "", svg[svg.index("<svg ") :], flags=re.DOTALL)
    # Its style sheet would hold for a whole page; inherited from the root it does the same here.
    svg = re.sub(r" *<style type=\"text/css\">.*?</style>\n", "", svg, flags=re.DOTALL)
    # A hundredth of a point is finer than any print, a tenth than any screen: half the bytes.
    digits = re.compile(r"(\.\d\d)\d+" if outlines else r"(\.\d)\d+")
    svg = re.sub(r' d="[^"]*"', lambda path: digits.sub(r"\1", path[0]).replace("\n", ""), svg)
    if not outlines:
        svg = re.sub(r' d="[^"]*"', lambda path: _short_lines(path[0]), svg)
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
        svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
        svg = re.sub(r"\n\s*", "\n", svg)
    # The font is said once, and for hosts without it one with the same widths.
    svg = svg.replace(f"font-family: '{FONT}'; ", "")
    inherited = "stroke-linejoin: round; stroke-linecap: butt"
    if not outlines:
        inherited += f"; font-family: '{FONT}', Verdana, sans-serif"
    svg = svg.replace("<svg ", f'<svg style="{inherited}" ', 1)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg) if prefix else svg


def _short_lines(data: str) -> str:
    """The data of a path of straight lines in fewer letters: each point by its distance from the
    one before, in tenths, so that roundings do not add up. Other paths as they are.
    """
    if not re.fullmatch(r' d="(M|L|z|-?[\d.]+| )*"', data):
        return data
    said: list[str] = []
    x = y = 0
    for command, one, other in re.findall(r"([MLz]) ?(-?[\d.]+)? ?(-?[\d.]+)?", data):
        if command == "z":
            said.append("z")
            continue
        to_x, to_y = round(10 * float(one)), round(10 * float(other))
        if command == "M":
            said.append(f"M{_tenths(to_x)} {_tenths(to_y)}l")
        else:
            said.append(f"{_tenths(to_x - x)} {_tenths(to_y - y)} ")
        x, y = to_x, to_y
    joined = re.sub(r" (?=[-Mz]|$)", "", "".join(said))
    return f' d="{re.sub("l(?=M|z|$)", "", joined)}"'


def _tenths(count: int) -> str:
    """A number of tenths: -5 as "-.5"."""
    return f"{count / 10:g}".replace("0.", ".", 1) if abs(count) < 10 else f"{count / 10:g}"


def to_svg_file(figure: Figure) -> str:
    """The figure as a whole SVG file, whose colours follow the reader's choice of light or dark."""
    svg = to_svg(figure)
    rules = "".join(
        f'[style*="{part}: {light.lower()}"] {{ {part}: {dark} !important }}\n'
        for light, dark in DARK_MODE.items()
        for part in ("fill", "stroke")
        if f"{part}: {light.lower()}" in svg
    )
    sheet = f"<style>@media (prefers-color-scheme: dark) {{\n{rules}}}</style>\n"
    begin = svg.index(">") + 1
    return f'<?xml version="1.0" encoding="utf-8"?>\n{svg[:begin]}\n{sheet}{svg[begin:].lstrip()}'


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG or PNG, by the path's suffix; the same figure gives the same bytes."""
    if path.suffix == ".svg":
        write_text(path, to_svg_file(figure))
        return
    content = io.BytesIO()
    with style():
        figure.savefig(
            content, format=path.suffix.lstrip("."), dpi=DPI, metadata={"Software": None}
        )
    write_atomically(path, content.getvalue())
