"""Which class wraps which text tower."""

from __future__ import annotations

from typing import Any

from open_clip.hf_model import HFTextEncoder
from open_clip.model import CLIP
from open_clip.transformer import TextTransformer

from clipprompt.backbone._layout import TextLayout
from clipprompt.backbone._text import TextTower, reads_to_the_right
from clipprompt.backbone._text_hf import HFTextTower
from clipprompt.backbone._text_plain import PlainTextTower
from clipprompt.backbone._text_tower import AnyTextTower
from clipprompt.errors import UserError

_HF_LENGTH = 77  # open_clip's own, where neither tokenizer nor model says how long a text may be


def wrap_text_tower(model: Any, tokenizer: Any, name: str) -> AnyTextTower:
    """Wraps the text tower of an open_clip model.

    Args:
        model: a ``CLIP``, ``CustomTextCLIP`` or ``CoCa``.
        tokenizer: which says how texts are laid out.
        name: of the backbone.

    Raises:
        UserError: naming what is not supported.
    """
    source = model if isinstance(model, CLIP) else model.text
    if isinstance(source, HFTextEncoder):
        return HFTextTower(source, TextLayout(tokenizer, _hf_length(source, tokenizer), name), name)
    if not isinstance(source, CLIP | TextTransformer):
        raise UserError(f"the text tower of {name!r} is a {type(source).__name__}, which is not supported")
    layout = TextLayout(tokenizer, source.context_length, name)
    return TextTower(source, layout) if reads_to_the_right(source) else PlainTextTower(source, layout, name)


def without_text(name: str) -> str:
    """Why whatever reads texts does not work on the backbone ``name``, an image tower alone."""
    return f"needs a text tower, and {name} has images alone; methods with a head, such as linear and vpt_head, work"


def _hf_length(source: HFTextEncoder, tokenizer: Any) -> int:
    """The tokenizer's, for the model's own is how many positions it has, some of them reserved, or nothing."""
    return getattr(tokenizer, "context_length", None) or _HF_LENGTH
