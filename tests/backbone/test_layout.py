"""What stands around the words of a text, read off tokenizers."""

from __future__ import annotations

import open_clip
import pytest
import torch

from clipprompt.backbone._layout import TextLayout
from tests.backbone.stand_ins import LENGTH, TOKENIZERS

# Start tokens, the first tokens behind the words of an empty text, and the tokens of a full stop.
EXPECTED = {
    "clip": (1, (511, 0), 1),
    "siglip": (0, (1, 1), 0),
    "siglip2": (0, (1, 0), 0),
    "clipa": (1, (0, 0), 1),
    "clips": (1, (6, 0), 1),
    "xlm": (1, (3, 1), 1),
    "mt5": (0, (1, 0), 1),
    "nllb": (0, (2, 8), 1),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_layouts_are_read_off_the_tokenizer(kind: str) -> None:
    layout = TextLayout(TOKENIZERS[kind](), LENGTH, "stand-in")
    assert (layout.n_start, layout.ending[:2], layout.n_stop) == EXPECTED[kind]
    assert len(layout.ending) == LENGTH - layout.n_start
    assert layout.check().shape == (1, LENGTH)


def test_clips_own_tokenizer_has_a_start_an_end_and_a_full_stop() -> None:
    layout = TextLayout(open_clip.SimpleTokenizer(), 77, "clip")
    assert (layout.n_start, layout.n_lead, layout.n_stop) == (1, 1, 1)
    assert layout.ending == (49407, *[0] * 75)


def test_a_text_that_is_cut_without_an_end_token_ends_where_it_is_cut() -> None:
    layout = TextLayout(TOKENIZERS["clip"](), LENGTH, "stand-in")
    assert layout.end_positions(torch.tensor([[510, 30, 31, 511], [510, 30, 31, 32]])).tolist() == [3, 3]


def test_what_stands_behind_the_padding_stays_last() -> None:
    tokenizer = TOKENIZERS["clips"]()
    layout = TextLayout(tokenizer, LENGTH, "stand-in")
    tokens = tokenizer(["one two three"])
    (places,) = layout.places_after(layout.end_positions(tokens))
    assert [layout.ending[place] for place in places.tolist() if place >= 0] == tokens[0, 4:].tolist()
    assert tokens[0, -1] == 7
