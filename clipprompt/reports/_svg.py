"""A panel as an ``svg`` element of a page: its text is text, and its greys are those of the page, light or dark."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

from clipprompt.printable import printable
from clipprompt.reports._figure import GREY, INK, LINE, SILVER, draw_to, new_figure
from clipprompt.reports._panel import Panel, place

_THEME = {"#ffffff": "card", INK: "ink", GREY: "muted", LINE: "line", SILVER: "rule"}
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


def panel_svg(panel: Panel, prefix: str) -> str:
    """The panel as an ``svg`` element to stand in a page: its text is text, and its greys are those of the page.

    Args:
        panel: without its title, which is the page's to write.
        prefix: of the ids inside, which must differ between the pictures of a page.
    """
    figure = new_figure(*panel.size, layout=None)
    figure.patch.set_visible(False)
    place(figure, panel, 0.0, 0.0, with_title=False)
    file = io.BytesIO()
    draw_to(figure, file, "svg", text_as_paths=False)
    return _for_page(file.getvalue(), prefix, f"{panel.title}: {panel.alt}")


def _for_page(svg: bytes, prefix: str, alt: str) -> str:
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag in (f"{_SVG}metadata", f"{_SVG}style")]:
            parent.remove(child)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg.decode()))
    for element in root.iter():
        element.attrib = _attributes(element, used, prefix)
        element.tag = element.tag.removeprefix(_SVG)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": printable(alt)}
    return ElementTree.tostring(root, encoding="unicode")


def _attributes(element: ElementTree.Element, used: set[str], prefix: str) -> dict[str, str]:
    found = {name.replace(_XLINK, "xlink:"): value for name, value in element.attrib.items()}
    if found.get("id") in used:
        found["id"] = prefix + found["id"]
    else:
        found.pop("id", None)
    for name in ("xlink:href", "clip-path"):
        if name in found:
            found[name] = found[name].replace("#", f"#{prefix}")
    if "style" in found:
        found["style"] = themed(re.sub(r"font-family: [^;]*;?", "", found["style"]))
    return found


def themed(style: str) -> str:
    """Style with the greys of a page, light or dark, in place of ours."""
    for colour, name in _THEME.items():
        style = re.sub(colour, f"var(--{name})", style, flags=re.IGNORECASE)
    return style
