"""Using what was learnt: tags for pictures, thresholds, heat maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clipprompt.inference._tags import ImageTags, Tag

if TYPE_CHECKING:
    from clipprompt.inference.tagger import Tagger

__all__ = ["ImageTags", "Tag", "Tagger"]


def __getattr__(name: str) -> Any:
    if name != "Tagger":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from clipprompt.inference.tagger import Tagger  # imported when first asked for: it needs torch

    return Tagger
