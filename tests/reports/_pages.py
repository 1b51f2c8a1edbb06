"""Reads a page as a browser does, strictly: what is opened is closed."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_VOID = {"meta", "img", "input", "br", "wbr"}


class Page(HTMLParser):
    """Elements with their attributes, the visible text, and the text of styles and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.raw: dict[str, str] = {"style": "", "script": ""}
        self.open: list[str] = []
        self._text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.raw:
            self.raw[self.open[-1]] += data
        else:
            self._text.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self._text).split())

    def all(self, tag: str, css_class: str | None = None) -> list[dict[str, str]]:
        found = [attributes for name, attributes in self.elements if name == tag]
        return [a for a in found if css_class is None or css_class in a.get("class", "").split()]


def assert_self_contained(page: Page) -> None:
    """No address but of data inside the page, and a policy that forbids any other."""
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") for name in attributes), "inline handlers are code"
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"url\(|@import|https?:", page.raw["style"])
    assert not re.search(r"fetch\(|import\b|https?:|innerHTML", page.raw["script"])
    (policy,) = (a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
