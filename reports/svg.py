"""From a matplotlib figure to SVG that lives inside a page: it takes the page's colours and fonts, and needs
neither inline styles nor anything from outside, so the page's content security policy can forbid both.

Figures are drawn in stand-in colours; each becomes a CSS variable, so a figure follows the light or dark
theme of its page. Style attributes become classes named after what they say: equal input, equal bytes.
"""

import hashlib
import io
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast
from xml.etree import ElementTree as ET

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from isobench.reports import units

_SVG = "{http://www.w3.org/2000/svg}"
_TOLD = "told:"
"""Begins the identifier of a group whose marks say something."""
_HREF = "{http://www.w3.org/1999/xlink}href"

INK, MUTED, GRID, PAPER = "#000001", "#000002", "#000003", "#000004"
SERIES = tuple(f"#0000{number:02x}" for number in range(0x11, 0x19))
"""Stand-ins for the text and the eight series colours of the page."""

_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    **{colour: f"--series-{number}" for number, colour in enumerate(SERIES, start=1)},
}

_MEASURES = {"d", "x", "y", "width", "height", "transform", "points"}
"""Attributes in pixels."""

_STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be selected, searched and read aloud
    "svg.hashsalt": "isobench",
    "text.parse_math": False,  # a name may hold dollar signs
    "axes.formatter.use_mathtext": False,
    "font.size": 12,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the layout is the same everywhere
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 12,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 1,
    "hatch.color": PAPER,
    "hatch.linewidth": 1.6,
    "legend.frameon": False,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "ytick.major.size": 0,
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """An SVG element, and the style rules its classes stand for."""

    markup: str
    rules: Mapping[str, str]


def tell(artist: Artist, texts: Sequence[str]) -> None:
    """Give each mark of a drawn thing, in the order they were drawn, what it says when it is pointed at."""
    artist.set_gid(_TOLD + json.dumps([units.plain(text) for text in texts]))


def style() -> AbstractContextManager[None]:
    """The settings a figure is made under; whoever draws one does it within."""
    return rc_context(cast("Any", _STYLE))


def drawing(figure: Figure, name: str, label: str) -> Drawing:
    """Render a figure. ``name`` keeps its identifiers apart from other figures', ``label`` is read aloud."""
    tree = ET.fromstring(_saved(figure))  # noqa: S314 - matplotlib's own output
    _title(tree)
    rules: dict[str, str] = {}
    for parent in list(tree.iter()):
        for child in list(parent):
            if child.tag in {f"{_SVG}metadata", f"{_SVG}style"}:
                parent.remove(child)
    for element in tree.iter():
        element.tag = element.tag.removeprefix(_SVG)
        _name_apart(element, name)
        _style_by_class(element, name, rules)
    for size in ("width", "height", "version"):
        tree.attrib.pop(size, None)
    _slim(tree, rules)
    tree.attrib |= {"role": "img", "aria-label": units.plain(label)}
    return Drawing(ET.tostring(tree, encoding="unicode"), rules)


def _saved(figure: Figure) -> bytes:
    file = io.BytesIO()
    with style(), warnings.catch_warnings():
        # The browser has fonts for what matplotlib's lacks; here a glyph only takes part in the layout.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        cast("Any", FigureCanvasSVG(figure)).print_svg(file, metadata=metadata)
    return file.getvalue()


def _title(tree: ET.Element) -> None:
    """Put the texts of :func:`tell` where a browser looks for them."""
    for group in tree.iter(f"{_SVG}g"):
        if not group.get("id", "").startswith(_TOLD):
            continue
        texts = json.loads(group.attrib.pop("id").removeprefix(_TOLD))
        marks = list(group.iter(f"{_SVG}use")) or group.findall(f"{_SVG}path")
        # What matplotlib left out, such as a mark that is no number, would shift all others.
        for mark, text in zip(marks, texts, strict=True) if len(marks) == len(texts) else ():
            ET.SubElement(mark, f"{_SVG}title").text = text


def _slim(tree: ET.Element, rules: Mapping[str, str]) -> None:
    """Without what nobody sees, half of it all: blanks between elements, names nobody refers to, groups that
    say nothing, and hundredths of a hundredth of a pixel.
    """
    said = [value for element in tree.iter() for value in element.attrib.values()]
    used = {name for text in (*said, *rules.values()) for name in re.findall(r"^#(.+)|url\(#([^)]+)\)", text)}
    named = {name for pair in used for name in pair}
    for element in tree.iter():
        if element.get("id") not in named:
            element.attrib.pop("id", None)
        for attribute in _MEASURES & element.attrib.keys():
            text = re.sub(r"-?\d+\.\d+", _to_hundredths, element.attrib[attribute])
            element.set(attribute, " ".join(text.split()))
        if element.text and not element.text.strip():
            element.text = None
        element.tail = None
    for parent in tree.iter():
        while any(child.tag == "g" and not child.attrib for child in parent):
            parent[:] = [kept for child in parent for kept in _without_idle(child)]


def _without_idle(element: ET.Element) -> Sequence[ET.Element]:
    return tuple(element) if element.tag == "g" and not element.attrib else (element,)


def _to_hundredths(number: re.Match[str]) -> str:
    return f"{round(float(number[0]), 2) + 0.0:.10g}"


def _name_apart(element: ET.Element, name: str) -> None:
    if "id" in element.attrib:
        element.attrib["id"] = f"{name}-{element.attrib['id']}"
    if link := element.attrib.pop(_HREF, None):
        element.attrib["href"] = link.replace("#", f"#{name}-")
    if clip := element.attrib.get("clip-path"):
        element.attrib["clip-path"] = clip.replace("#", f"#{name}-")


def _style_by_class(element: ET.Element, name: str, rules: dict[str, str]) -> None:
    style = element.attrib.pop("style", None)
    for attribute in ("fill", "stroke"):
        if colour := element.attrib.pop(attribute, None):
            style = f"{style or ''};{attribute}: {colour}"
    if not style:
        return
    found = "; ".join(filter(None, map(_declaration, style.split(";"))))
    text = re.sub(r"url\(#", f"url(#{name}-", found)
    key = f"k{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    rules[key] = text
    element.attrib["class"] = key


def _declaration(text: str) -> str:
    """One style declaration in terms of the page: its colours, and only the size of a font."""
    prop, _, value = (part.strip() for part in text.partition(":"))
    if prop == "font":
        size = re.search(r"[\d.]+px", value)
        return f"font-size: {size[0]}" if size else ""
    if prop in {"", "font-family"}:
        return ""
    return f"{prop}: var({_VARIABLES[value]})" if value in _VARIABLES else f"{prop}: {value}"
