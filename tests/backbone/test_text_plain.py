"""Text towers of every kind against open_clip's own forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from open_clip.hf_model import HFTextEncoder
from open_clip.model import convert_weights_to_lp
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from tests.backbone.stand_ins import TEXTS, TOKENIZERS, StandInTransformer, encode_text, make_model
from tests.conftest import assert_close

NAMES = ["cat", "red traffic light", "boeing 737"]
TEXTS_OF_ALL_LENGTHS = ["", "a cat", "a photo of a cat.", "one two three four five six seven eight nine ten"]
POOLERS = ["mean_pooler", "cls_pooler", "cls_last_hidden_state_pooler"]
KINDS = [*TEXTS, "hugging face, xlm", "hugging face, mt5", "hugging face, nllb"]
kinds = pytest.mark.parametrize("kind", KINDS)
MakeEncoder = Callable[..., HFTextEncoder]


def _layout(kind: str) -> str:
    return TEXTS[kind][1] if kind in TEXTS else kind.rpartition(" ")[2]


@pytest.fixture
def backbone(kind: str, hugging_face: MakeEncoder) -> Backbone:
    tokenizer = TOKENIZERS[_layout(kind)]()
    if kind in TEXTS:
        return Backbone.from_open_clip(make_model(TEXTS[kind][0]), tokenizer, name="stand-in")
    model = make_model({})
    model.text = hugging_face("mean_pooler", tokenizer.pad).eval()
    return Backbone.from_open_clip(model, tokenizer, name="stand-in")


@kinds
def test_features_of_texts_equal_open_clip(backbone: Backbone) -> None:
    tokens = backbone.tokenize(TEXTS_OF_ALL_LENGTHS)
    features = F.normalize(backbone.encode_text(tokens), dim=-1)
    assert_close(features, encode_text(backbone.model, tokens), 1e-5)
    assert_close(F.normalize(backbone.encode_text(tokens[1:2]), dim=-1), features[1:2], 1e-5)


@kinds
@pytest.mark.parametrize("specific", [False, True])
def test_a_context_of_words_is_the_text_with_those_words(backbone: Backbone, specific: bool) -> None:
    """The whole way through a learner: [start][ctx][name . end], padding, and where the feature is read."""
    learner = create_learner("coop", backbone, NAMES, n_ctx=1, ctx_init="many big shiny", class_specific=specific)
    plain = backbone.tokenize([f"many big shiny {name}." for name in NAMES])
    assert_close(learner.class_features(), encode_text(backbone.model, plain), 1e-5)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not TOKENIZERS[_layout(kind)]().marks_spaces])
@pytest.mark.parametrize(("position", "template"), [("middle", "many {} big."), ("front", "{} many big.")])
def test_a_name_may_stand_before_words_of_the_context(backbone: Backbone, position: str, template: str) -> None:
    learner = create_learner("coop", backbone, NAMES, ctx_init="many big", class_token_position=position)
    plain = backbone.tokenize([template.replace("{}", name) for name in NAMES])
    assert_close(learner.class_features(), encode_text(backbone.model, plain), 1e-5)


@kinds
def test_the_end_tokens_row_is_the_texts_own_feature(backbone: Backbone) -> None:
    tokens = backbone.tokenize(TEXTS_OF_ALL_LENGTHS)
    ends = backbone.text.end_positions(tokens)
    with torch.no_grad():
        rows = backbone.text.encode_all_tokens(tokens[:, : int(ends.max()) + 1])
    assert rows.shape == (len(tokens), int(ends.max()) + 1, backbone.embed_dim)
    own = F.normalize(rows[torch.arange(len(tokens)), ends], dim=-1)
    assert_close(own, encode_text(backbone.model, tokens), 1e-5)


@kinds
def test_chunks_change_nothing_forward_or_backward(backbone: Backbone) -> None:
    tower = backbone.text
    generator = torch.Generator().manual_seed(0)
    n_start = tower.layout.n_start
    tokens = backbone.tokenize([f"{name}." for name in NAMES])
    ends = tower.end_positions(tokens) - n_start
    suffix = tower.embed_tokens(tokens[:, n_start : n_start + int(ends.max()) + 1])
    start = tower.embed_tokens(tokens[:1, :n_start]).expand(2, -1, -1)
    weight = torch.randn(2, len(NAMES), backbone.embed_dim, generator=generator)
    results = []
    for positions in (None, 1):
        context = torch.randn(2, 4, tower.width, generator=torch.Generator().manual_seed(1)).requires_grad_()
        features = tower.encode(suffix, ends, torch.cat([start, context], dim=1), positions_at_once=positions)
        (features * weight).sum().backward()
        assert context.grad is not None
        results.append((features.detach(), context.grad))
    for whole, chunked in zip(*results, strict=True):
        assert whole.abs().max() > 0
        assert_close(chunked, whole, 1e-5)


@kinds
def test_left_parts_are_computed_side_by_side(backbone: Backbone) -> None:
    tower = backbone.text
    generator = torch.Generator().manual_seed(0)
    n_start, n_deep = tower.layout.n_start, 2 if tower.takes_deep_prompts else 0
    prefix = torch.randn(2, n_start + 3, tower.width, generator=generator)
    suffix = torch.randn(2, 4, 3, tower.width, generator=generator)
    deep = torch.randn(n_deep, 2, 3, tower.width, generator=generator) if n_deep else None
    ends = torch.tensor([0, 2, 1, 2])
    both = tower.encode(suffix, ends, prefix, deep)
    for group in range(2):
        own = None if deep is None else deep[:, group]
        assert_close(both[group], tower.encode(suffix[group], ends, prefix[group : group + 1], own)[0], 1e-5)


@kinds
def test_deep_prompts_replace_what_the_layers_made_of_the_context(backbone: Backbone) -> None:
    """Those that equal what stands there anyway change nothing; others do."""
    tower, n_start = backbone.text, backbone.text.layout.n_start
    generator = torch.Generator().manual_seed(0)
    prefix = torch.randn(1, n_start + 3, tower.width, generator=generator)
    suffix, ends = torch.randn(2, 3, tower.width, generator=generator), torch.tensor([2, 1])
    deep = torch.randn(1, 3, tower.width, generator=generator)
    if not tower.takes_deep_prompts:
        with pytest.raises(UserError, match="the layers of stand-in's text tower cannot be prompted"):
            tower.encode(suffix, ends, prefix, deep)
        return
    seen: list[torch.Tensor] = []
    source = getattr(backbone.model, "text", backbone.model)
    hook = source.transformer.resblocks[0].register_forward_hook(lambda _, __, out: seen.append(out))
    plain = tower.encode(suffix, ends, prefix)
    hook.remove()
    assert (tower.encode(suffix, ends, prefix, deep) - plain).abs().max() > 1e-3
    if seen:  # the shared left part of a causal tower does not go through the block's own forward
        same = seen[0][:1, n_start : n_start + 3]
        assert_close(tower.encode(suffix[:1], ends[:1], prefix, same), plain[:, :1], 1e-5)


@pytest.mark.parametrize("pooler", POOLERS)
def test_every_pooling_of_hugging_face_towers(hugging_face: MakeEncoder, pooler: str) -> None:
    model = make_model({})
    model.text = hugging_face(pooler, 1).eval()
    backbone = Backbone.from_open_clip(model, TOKENIZERS["xlm"]())
    learner = create_learner("coop", backbone, NAMES, ctx_init="many big")
    plain = backbone.tokenize([f"many big {name}." for name in NAMES])
    assert_close(learner.class_features(), encode_text(model, plain), 1e-5)


class Scaled(StandInTransformer):
    """Scales token embeddings itself, so that those of the table are not what it works with."""

    def forward(self, attention_mask: Any, input_ids: Any = None, inputs_embeds: Any = None) -> Any:
        if inputs_embeds is None:
            inputs_embeds = 4 * self.embed_tokens(input_ids)
        return super().forward(attention_mask, inputs_embeds=inputs_embeds)


def test_a_tower_that_treats_embeddings_in_another_way_than_tokens_is_refused(hugging_face: MakeEncoder) -> None:
    model = make_model({})
    model.text = hugging_face("mean_pooler", 1, Scaled).eval()
    with pytest.raises(UserError, match="something else of embeddings than of their tokens"):
        Backbone.from_open_clip(model, TOKENIZERS["xlm"]())


def test_a_hugging_face_tower_of_mixed_precision_is_refused(hugging_face: MakeEncoder) -> None:
    model = make_model({})
    model.text = hugging_face("mean_pooler", 1).eval()
    convert_weights_to_lp(model, torch.bfloat16)
    with pytest.raises(UserError, match="computes in fp32 only; load it with precision fp32"):
        Backbone.from_open_clip(model, TOKENIZERS["xlm"](), name="stand-in")


REFUSED = {
    "no pooling": ({"no_causal_mask": True, "pool_type": "none"}, "clip", "no feature for a whole text"),
    "another end token": ({"no_causal_mask": True, "pool_type": "eos", "eos_id": 9}, "clip", "does not end its texts"),
    "no largest end token": ({"no_causal_mask": True}, "xlm", "does not end its texts with the token"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_kinds_are_refused_in_one_line(kind: str) -> None:
    text, layout, message = REFUSED[kind]
    with pytest.raises(UserError, match=message) as error:
        Backbone.from_open_clip(make_model(text), TOKENIZERS[layout](), name="stand-in")
    assert "\n" not in str(error.value)


def test_a_tokenizer_that_pads_on_the_left_is_refused() -> None:
    tokenizer = TOKENIZERS["clip"]()

    def pad_left(texts: list[str], context_length: int) -> torch.Tensor:
        return tokenizer(texts, context_length).flip(1)

    with pytest.raises(UserError, match="the tokenizer of 'stand-in' ends or pads its texts in a way"):
        Backbone.from_open_clip(make_model({"no_causal_mask": True, "pool_type": "last"}), pad_left, name="stand-in")


@pytest.mark.parametrize("kind", ["siglip", "class token"])
def test_bfloat16_towers_stay_close_to_float32(kind: str) -> None:
    text, layout = TEXTS[kind]
    exact = Backbone.from_open_clip(make_model(text), TOKENIZERS[layout]())
    rough_model = make_model(text).to(torch.bfloat16)
    rough = Backbone.from_open_clip(rough_model, TOKENIZERS[layout]())
    tokens = exact.tokenize(TEXTS_OF_ALL_LENGTHS)
    assert rough.text.dtype is torch.bfloat16
    features = rough.encode_text(tokens)
    assert features.dtype is torch.float32
    assert_close(features, exact.encode_text(tokens), 5e-2)
