from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.backbone._text import TextTower
from tests.conftest import Golden, assert_close

FORWARD = 1e-4


def _images(backbone: Backbone, inputs: Golden) -> torch.Tensor:
    return inputs["images_vit" if backbone.image_size == 64 else "images_rn"]


def _kind(backbone: Backbone) -> str:
    return "vit" if backbone.image_size == 64 else "rn"


def test_encoders_match_golden(
    tiny_backbone: Backbone, inputs: Golden, texts: dict[str, list[str]], golden: Callable[[str], Golden]
) -> None:
    expected, kind = golden("encoders"), _kind(tiny_backbone)
    assert_close(
        tiny_backbone.encode_image(_images(tiny_backbone, inputs)), expected[f"{kind}/image_features_raw"], FORWARD
    )
    names = texts["classnames_clean"]
    photo = tiny_backbone.encode_text(tiny_backbone.tokenize([f"a photo of a {name}." for name in names]))
    assert_close(photo, expected[f"{kind}/photo_text_features_raw"], FORWARD)
    for key, strings in (("caption", texts["captions"]), ("classname", names)):
        features = F.normalize(tiny_backbone.encode_text(tiny_backbone.tokenize(strings)), dim=-1)
        assert_close(features, expected[f"{kind}/{key}_text_features"], FORWARD)
    assert_close(torch.tensor(tiny_backbone.logit_scale), expected[f"{kind}/logit_scale"].exp(), 1e-6)


def test_towers_equal_open_clip(tiny_backbone: Backbone, inputs: Golden, texts: dict[str, list[str]]) -> None:
    images, tokens = _images(tiny_backbone, inputs), tiny_backbone.tokenize(texts["captions"])
    with torch.no_grad():
        assert_close(tiny_backbone.encode_image(images), tiny_backbone.model.encode_image(images), 1e-5)
        assert_close(tiny_backbone.encode_text(tokens), tiny_backbone.model.encode_text(tokens), 1e-5)


def test_caption_tokens_match_golden(
    tiny_rn_backbone: Backbone, inputs: Golden, golden: Callable[[str], Golden]
) -> None:
    tokens = inputs["caption_tokens"]
    expected = golden("tai_dpt")["caption/token_features"].transpose(0, 1)
    with torch.no_grad():
        features = F.normalize(tiny_rn_backbone.text.encode_all_tokens(tokens), dim=-1)
    for row, end in enumerate(tiny_rn_backbone.text.end_positions(tokens).tolist()):
        assert_close(features[row, : end + 1], expected[row, : end + 1], FORWARD)


@pytest.mark.parametrize(("name", "n_deep"), [("vpt_shallow", 0), ("vpt_deep", 2), ("ivlp", 2)])
def test_visual_prompts_match_golden(
    tiny_vit_backbone: Backbone, inputs: Golden, golden: Callable[[str], Golden], name: str, n_deep: int
) -> None:
    expected = golden(name)
    deep = expected["init/deep_visual_ctx"] if n_deep else None
    hidden = tiny_vit_backbone.vision.trunk(inputs["images_vit"], expected["init/visual_ctx"], deep)
    assert_close(F.normalize(tiny_vit_backbone.vision.pool(hidden), dim=-1), expected["image_features"], FORWARD)


@pytest.mark.parametrize("name", ["ivlp", "maple", "coop_end"])
def test_text_prompts_match_golden(tiny_vit_backbone: Backbone, golden: Callable[[str], Golden], name: str) -> None:
    expected, tower = golden(name), tiny_vit_backbone.text
    prompts = expected["prompts_head"]
    tokens = expected.get("tokenized_prompts")
    assert tokens is not None
    ends = tower.end_positions(tokens)
    n_shared = 1 + expected["init/ctx"].shape[0]
    deep = expected.get("init/deep_ctx")
    features = tower.encode(prompts[:, n_shared:], ends - n_shared, prompts[:1, :n_shared], deep)[0]
    assert_close(F.normalize(features, dim=-1), expected["text_features"], FORWARD)


@pytest.mark.parametrize("n_shared", [1, 2, 5])
@pytest.mark.parametrize("positions", [None, 1, 12])
def test_shared_prefix_equals_full_texts_forward_and_backward(
    tiny_vit_backbone: Backbone, n_shared: int, positions: int | None
) -> None:
    tower = tiny_vit_backbone.text
    generator = torch.Generator().manual_seed(n_shared)
    prefix = torch.randn(2, n_shared, tower.width, generator=generator) * 0.1
    suffix = torch.randn(4, 6, tower.width, generator=generator) * 0.1
    ends = torch.tensor([2, 5, 3, 5])
    weight = torch.randn(2, 4, tiny_vit_backbone.embed_dim, generator=generator)
    results = []
    for share in (True, False):
        left, right = prefix.clone().requires_grad_(), suffix.clone().requires_grad_()
        if share:
            features = tower.encode(right, ends, left, positions_at_once=positions)
        else:
            full = [torch.cat([one.expand(4, -1, -1), right], dim=1) for one in left]
            features = torch.stack([tower.encode(text, ends + n_shared) for text in full])
        (features * weight).sum().backward()
        results.append((features.detach(), left.grad, right.grad))
    for shared, plain in zip(*results, strict=True):
        assert shared is not None
        assert plain is not None
        assert_close(shared, plain, 1e-5)


def test_positions_after_a_texts_own_end_do_not_matter(tiny_vit_backbone: Backbone) -> None:
    tower = tiny_vit_backbone.text
    suffix = torch.randn(3, 8, tower.width, generator=torch.Generator().manual_seed(0))
    ends = torch.tensor([4, 7, 2])
    changed = suffix.clone()
    changed[0, 5:] += 1.0
    changed[2, 3:] += 1.0
    assert torch.equal(tower.encode(suffix, ends), tower.encode(changed, ends))


@pytest.mark.parametrize("side", [96, 160])
def test_other_image_sizes_interpolate_positions(tiny_backbone: Backbone, side: int) -> None:
    generator = torch.Generator().manual_seed(side)
    images = torch.randn(2, 3, side, side + 32, generator=generator)
    hidden = tiny_backbone.vision.trunk(images)
    n_places = hidden.grid[0] * hidden.grid[1]
    assert hidden.grid == (side // tiny_backbone.vision.patch_size, (side + 32) // tiny_backbone.vision.patch_size)
    assert tiny_backbone.vision.pool(hidden).shape == (2, 64)
    assert tiny_backbone.vision.project(hidden).shape == (2, n_places, 64)
    assert torch.isfinite(tiny_backbone.vision.pool(hidden)).all()


def test_a_batch_equals_its_images_one_by_one(tiny_backbone: Backbone, inputs: Golden) -> None:
    images = _images(tiny_backbone, inputs)
    single = torch.cat([tiny_backbone.encode_image(image[None]) for image in images])
    assert_close(tiny_backbone.encode_image(images), single, 1e-5)


def test_backbone_gets_no_gradient_and_stays_in_evaluation_mode(tiny_backbone: Backbone, inputs: Golden) -> None:
    tower: TextTower = tiny_backbone.text
    prefix = torch.randn(1, 3, tower.width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    suffix = torch.zeros(2, 2, tower.width)
    tower.encode(suffix, torch.tensor([1, 1]), prefix).sum().backward()
    assert prefix.grad is not None
    assert prefix.grad.abs().max() > 0
    assert all(p.grad is None and not p.requires_grad for p in tiny_backbone.model.parameters())
    assert not any(module.training for module in tiny_backbone.model.modules())


def test_dense_features_of_a_vit_are_the_last_block_with_every_place_on_its_own(
    tiny_vit_backbone: Backbone, inputs: Golden
) -> None:
    """The value path against open_clip's own block under a mask that lets each position see itself alone."""
    tower, visual = tiny_vit_backbone.vision, tiny_vit_backbone.model.visual
    hidden = tower.trunk(inputs["images_vit"])
    alone = torch.full((17, 17), -torch.inf).fill_diagonal_(0.0)
    states = visual.transformer.resblocks[-1](hidden.states, attn_mask=alone)
    assert_close(tower.project(hidden), (visual.ln_post(states) @ visual.proj)[:, 1:], 1e-5)
    regions = tower.project(hidden, mean_token=True)
    assert_close(regions[:, 0], tiny_vit_backbone.encode_image(inputs["images_vit"]), 1e-5)


def test_many_classes_are_chunked_and_give_the_same_features(
    tiny_vit_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = tiny_vit_backbone.text
    tokens = tiny_vit_backbone.tokenize([f"a photo of a thing number {i}." for i in range(30)])
    whole = tower.encode_tokens(tokens)
    monkeypatch.setattr("clipprompt.backbone._text.POSITIONS_AT_ONCE", 16)
    assert_close(tower.encode_tokens(tokens), whole, 1e-5)


def test_resized_positions_keep_a_linear_ramp() -> None:
    """A plane stays one away from the border, up to the ripple of bicubic weights; the first position is kept."""
    from clipprompt.backbone._vision import resize_positions

    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    positions = torch.cat([torch.full((1, 2), 7.0), torch.stack([rows, columns], dim=-1).flatten(0, 1)])
    resized = resize_positions(positions, (8, 8), (16, 16))
    assert torch.equal(resized[0], positions[0])
    inner = resized[1:].reshape(16, 16, 2)[4:12, 4:12]
    expected = (torch.arange(4, 12) + 0.5) / 2 - 0.5
    assert_close(inner[..., 0], expected[:, None].expand(8, 8), 2e-2)
    assert_close(inner[..., 1], expected.expand(8, 8), 2e-2)


def test_batch_norms_do_not_move_when_somebody_calls_train(tiny_rn_backbone: Backbone, inputs: Golden) -> None:
    before = tiny_rn_backbone.fingerprint()
    tiny_rn_backbone.model.train()
    tiny_rn_backbone.encode_image(inputs["images_rn"])
    assert tiny_rn_backbone.fingerprint() == before
    assert not tiny_rn_backbone.model.visual.training
    tiny_rn_backbone.model.eval()
