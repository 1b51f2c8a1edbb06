"""Where prompts look, in numbers: for a terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clipprompt.errors import UserError, nearest

if TYPE_CHECKING:
    from rich.console import RenderableType

    from clipprompt.inference.explain_attention import PictureAttention

FORMATS = ("table", "json", "html", "png", "pdf", "svg")


def check_attention_format(name: str) -> None:
    """Checks the name of a format.

    Raises:
        UserError: for an unknown one, with the nearest suggested.
    """
    if name not in FORMATS:
        raise UserError(f"unknown format {name!r}{nearest(name, FORMATS)}; choose one of {', '.join(FORMATS)}")


def attention_json(found: Sequence[PictureAttention]) -> str:
    """All numbers: for each picture its ``path`` and ``layers`` with ``layer``, ``shares`` (n) and ``maps``."""
    pictures = [
        {
            "path": entry.path,
            "layers": [
                {"layer": one.layer, "shares": one.shares.tolist(), "maps": one.maps.tolist()} for one in entry.layers
            ],
        }
        for entry in found
    ]
    return json.dumps(pictures, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def attention_table(found: Sequence[PictureAttention], n_prompts: int) -> RenderableType:
    """For a rich console: the share of each prompt's attention that falls on the picture, by layer, in percent.

    Args:
        found: pictures.
        n_prompts: those of each picture that give it most.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    for entry in found:
        table = Table(box=SIMPLE_HEAD)
        table.add_column("prompt", justify="right", no_wrap=True)
        for layer in entry.layers:
            table.add_column(f"layer {layer.layer}", justify="right")
        for prompt in entry.strongest(n_prompts):
            shares = (f"{100 * one.shares[prompt]:.0f} %" if prompt < len(one.maps) else "" for one in entry.layers)
            table.add_row(str(prompt + 1), *shares)
        parts += [Text(entry.path, style="bold"), table]
    told = "Share of a prompt's attention that falls on the places of the picture; -o attention.html shows where."
    return Group(*parts, Text(told, style="dim"))
