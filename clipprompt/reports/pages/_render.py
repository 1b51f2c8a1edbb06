"""Templates, and pictures as data inside the page."""

from __future__ import annotations

import base64
import hashlib
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from clipprompt.printable import printable

if TYPE_CHECKING:
    from PIL import Image

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """Fills a template; every value is escaped unless it is `Markup`."""
    return _environment().get_template(template).render(values)


@cache
def asset(name: str) -> Markup:
    """A style sheet or script of ours, to stand in the page as it is."""
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


@cache
def script_hash(name: str) -> str:
    """What the page's security policy calls a script of ours; a browser runs no other."""
    digest = hashlib.sha256(asset(name).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def data_uri(picture: Image.Image, kind: Literal["jpeg", "png"]) -> str:
    """A picture as text: JPEG of quality 80 for photos, PNG for heat maps."""
    file = io.BytesIO()
    if kind == "jpeg":
        picture.convert("RGB").save(file, "JPEG", quality=80, optimize=True)
    else:
        picture.save(file, "PNG", optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(asset=asset, script_hash=script_hash)
    environment.filters["printable"] = printable
    return environment
