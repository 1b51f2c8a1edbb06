"""The page that says what a prompt has learnt: nearest words of its vectors, and captions as each class reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clipprompt.reports.explained import grouped, how_near
from clipprompt.reports.pages._render import render

if TYPE_CHECKING:
    from clipprompt.inference.explain import CaptionAttention, ClassAttention, ContextWords


def explain_page(
    title: str,
    context: ContextWords | None,
    captions: Sequence[CaptionAttention],
    facts: Mapping[str, str] | None = None,
) -> str:
    """One self-contained page.

    Args:
        title: heading, such as the prompt's folder.
        context: nearest words of the learnt vectors; None leaves that part out.
        captions: words that classes attend to; empty leaves that part out.
        facts: what else stands at the top, such as method and backbone.
    """
    return render(
        "explain.html",
        title=title,
        facts=dict(facts or {}),
        groups=list(grouped(context)) if context else [],
        how_near=how_near(context) if context else "",
        captions=[(entry, [_line(entry, attention) for attention in entry.classes]) for entry in captions],
    )


def _line(entry: CaptionAttention, attention: ClassAttention) -> dict[str, Any]:
    """A class's row: every word with its share, and the strongest share, at which the shading is full."""
    strongest = max(attention.weights)
    shades = (round(weight / strongest, 2) for weight in attention.weights)
    words = zip(entry.words, attention.weights, shades, strict=True)
    return {"label": attention.label, "logit": attention.logit, "words": list(words)}
