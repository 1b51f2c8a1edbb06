"""The page of where prompts look: for each picture a grid, prompts from above and layers from left to right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from clipprompt.inference.heat import heat_overlay
from clipprompt.reports.pages._render import data_uri, render

if TYPE_CHECKING:
    from clipprompt.inference.explain_attention import LayerAttention, PictureAttention


def attention_page(
    title: str,
    found: Sequence[PictureAttention],
    *,
    n_prompts: int | None = None,
    facts: Mapping[str, str] | None = None,
) -> str:
    """One self-contained page.

    Args:
        title: heading, such as the prompt's folder.
        found: pictures.
        n_prompts: those of each picture that give it most; None for all.
        facts: what else stands at the top, such as method and backbone.
    """
    return render(
        "attention.html",
        title=title,
        facts=dict(facts or {}),
        pictures=[_picture(entry, n_prompts) for entry in found],
    )


def _picture(entry: PictureAttention, n_prompts: int | None) -> dict[str, Any]:
    prompts = entry.strongest(n_prompts or entry.n_prompts)
    return {
        "path": entry.path,
        "uri": Markup(data_uri(entry.picture, "jpeg")),  # base64: nothing in it ends an attribute
        "ratio": f"{entry.picture.width / entry.picture.height:.4f}",
        "layers": [layer.layer for layer in entry.layers],
        "n_left_out": entry.n_prompts - len(prompts),
        "rows": [(prompt + 1, [_cell(layer, prompt) for layer in entry.layers]) for prompt in prompts],
    }


def _cell(layer: LayerAttention, prompt: int) -> dict[str, str] | None:
    """The heat of a prompt in a layer, and the share that it gives the picture; None where the layer has it not."""
    if prompt >= len(layer.maps):
        return None
    heat = heat_overlay(layer.maps[prompt])
    return {"heat": "" if heat is None else data_uri(heat, "png"), "share": f"{100 * layer.shares[prompt]:.0f} %"}
