"""A panel as an ``svg`` element of a page: its text is text, and its greys are those of the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree

from clipprompt.printable import printable
from clipprompt.reports.drawing.figure import GREY, INK, LINE, SILVER, draw_to, new_figure
from clipprompt.reports.drawing.panel import Panel, place

_THEME = {"#ffffff": "card", INK: "ink", GREY: "muted", LINE: "line", SILVER: "rule"}
_LONG = re.compile(r"-?\d+\.\d{3,}")
"""A number with more decimals than can be seen."""

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


def panel_svg(panel: Panel, prefix: str) -> str:
    """The panel as an ``svg`` element to stand in a page: its text is text, and its greys are those of the page.

    Args:
        panel: without its title, which is the page's to write.
        prefix: of the ids inside, which must differ between the pictures of a page.
    """
    figure = new_figure(*panel.size, layout=None)
    figure.patch.set_visible(False)
    place(figure, panel, 0.0, 0.0)
    file = io.BytesIO()
    draw_to(figure, file, "svg", text_as_paths=False)
    return _for_page(file.getvalue(), prefix, f"{panel.title}: {panel.alt}")


def _for_page(svg: bytes, prefix: str, alt: str) -> str:
    root = ElementTree.fromstring(svg)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg.decode()))
    root[:] = _slimmed(root)
    for element in root.iter():
        element.attrib = _attributes(element, used, prefix)
        element.tag = element.tag.removeprefix(_SVG)
        if element.tag != "text":
            element.text = None  # line feeds
        element.tail = None
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": printable(alt)}
    return ElementTree.tostring(root, encoding="unicode")


def _slimmed(parent: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """What is drawn, without descriptions of the file and without groups that only name their parts."""
    for child in parent:
        children = list(_slimmed(child))
        if child.tag == f"{_SVG}g" and child.attrib.keys() <= {"id"}:
            yield from children
        elif child.tag not in (f"{_SVG}metadata", f"{_SVG}style"):
            child[:] = children
            yield child


def _attributes(element: ElementTree.Element, used: set[str], prefix: str) -> dict[str, str]:
    found = {name.replace(_XLINK, "xlink:"): value for name, value in element.attrib.items()}
    name = found.pop("id", None)
    if name in used:
        found["id"] = f"{prefix}{name}"
    for key in ("xlink:href", "clip-path"):
        if key in found:
            found[key] = found[key].replace("#", f"#{prefix}")
    if "style" in found:
        found["style"] = themed(re.sub(r"font-family: [^;]*;?", "", found["style"]))
    if found.get("transform", "").startswith("rotate(-0 "):
        del found["transform"]
    for key in found.keys() & {"d", "x", "y", "transform"}:
        found[key] = _LONG.sub(lambda number: f"{float(number[0]):.2f}", found[key]).strip()
    return found


def themed(style: str) -> str:
    """Style with the greys of a page, light or dark, in place of ours."""
    for colour, name in _THEME.items():
        style = re.sub(colour, f"var(--{name})", style, flags=re.IGNORECASE)
    return style
