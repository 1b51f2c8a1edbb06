"""Every kind of image tower that open_clip builds, against open_clip's and timm's own forward."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from open_clip.timm_model import TimmModel
from torch import Tensor

from clipprompt.backbone import VisionTower
from clipprompt.backbone._vision_towers import wrap_vision_tower
from clipprompt.errors import UserError
from tests.backbone.reduced import FEATURE_MAPS, TIMM_VITS, reduced_visual
from tests.conftest import assert_close

kinds = pytest.mark.parametrize("visual", [*TIMM_VITS, *FEATURE_MAPS, "coca"], indirect=True)
transformers = pytest.mark.parametrize("visual", [*TIMM_VITS, "coca"], indirect=True)
timm_vits = pytest.mark.parametrize("visual", TIMM_VITS, indirect=True)
feature_maps = pytest.mark.parametrize("visual", FEATURE_MAPS, indirect=True)


@pytest.fixture(scope="module")
def visual(request: pytest.FixtureRequest) -> Any:
    return reduced_visual(request.param)


@pytest.fixture(scope="module")
def tower(visual: Any) -> VisionTower:
    return wrap_vision_tower(visual)


def _images(visual: Any, *size: int, n: int = 3) -> Tensor:
    return torch.randn(n, 3, *(size or visual.image_size), generator=torch.Generator().manual_seed(1))


def _prompts(tower: VisionTower, n: int = 2, depth: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    drawn = [torch.randn(*shape, n, tower.width, generator=generator) for shape in ((), (depth - 1,))]
    return drawn[0].requires_grad_(), drawn[1].requires_grad_()


@kinds
def test_pooled_features_are_open_clips(visual: Any, tower: VisionTower) -> None:
    images = _images(visual)
    expected = visual(images)
    assert_close(tower.pool(tower.trunk(images)), expected, 1e-5)
    assert expected.shape == (3, tower.embed_dim)
    assert (expected[0] - expected[1]).abs().max() > 0.01 * expected.abs().max()


@pytest.mark.parametrize("visual", [*TIMM_VITS, "convnext_base", "MobileCLIP2-S0"], indirect=True)
def test_other_sizes_are_timms_own(visual: Any, tower: VisionTower) -> None:
    """Learnt positions are resampled and rotary ones computed as timm does when a model is set to another size."""
    size = (6 * tower.patch_size, 5 * tower.patch_size)
    images = _images(visual, *size)
    resized = copy.deepcopy(visual)
    if tower.n_layers:
        resized.set_input_size(size)
    hidden = tower.trunk(images)
    assert hidden.grid == (6, 5)
    assert_close(tower.pool(hidden), resized(images), 1e-5)
    assert tower.project(hidden).shape == (3, 30, tower.embed_dim)
    assert_close(tower.pool(tower.trunk(_images(visual))), visual(_images(visual)), 1e-5)


@timm_vits
@pytest.mark.parametrize("size", [(), (96, 80)])
def test_prompts_are_tokens_that_the_blocks_attend_to(visual: Any, tower: VisionTower, size: tuple[int, ...]) -> None:
    """Against timm's own blocks with the prompts between class token and patches, replaced in layer 1 and passed on."""
    size = tuple(side // 16 * tower.patch_size for side in size)
    prompts, deep = _prompts(tower)
    reference = copy.deepcopy(visual)
    if size:
        reference.set_input_size(size)
    images = _images(visual, *size)
    expected = reference.head(reference.trunk.forward_head(_inserted(reference.trunk, images, prompts, deep)))
    assert_close(tower.pool(tower.trunk(images, prompts, deep)), expected, 1e-5)


def _inserted(trunk: Any, images: Tensor, prompts: Tensor, deep: Tensor) -> Tensor:
    embedded = trunk._pos_embed(trunk.patch_embed(images))
    states, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
    first, n = trunk.num_prefix_tokens, prompts.shape[0]
    batch = (len(images), -1, -1)
    states = trunk.norm_pre(torch.cat([states[:, :first], prompts.expand(batch), states[:, first:]], dim=1))
    for index, block in enumerate(trunk.blocks):
        if 1 <= index <= len(deep):
            states = torch.cat([states[:, :first], deep[index - 1].expand(batch), states[:, first + n :]], dim=1)
        if rope is None:
            states = block(states)
        else:
            block.attn.num_prefix_tokens = first + n
            states = block(states, rope=rope)
    return trunk.norm(torch.cat([states[:, :first], states[:, first + n :]], dim=1))


@transformers
def test_prompts_matter_and_they_alone_get_gradients(visual: Any, tower: VisionTower) -> None:
    images = _images(visual)
    prompts, deep = _prompts(tower)
    features = [tower.pool(tower.trunk(images, *given)) for given in ((), (prompts,), (prompts, deep))]
    features[2].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in (prompts, deep))
    assert all(p.grad is None for p in visual.parameters())
    assert (features[0] - features[1]).abs().max() > 1e-3
    assert (features[1] - features[2]).abs().max() > 1e-3


@transformers
def test_no_prompts_are_the_plain_tower(visual: Any, tower: VisionTower) -> None:
    none = torch.empty(0, tower.width)
    plain, prompted = tower.trunk(_images(visual)), tower.trunk(_images(visual), none, none[None])
    assert torch.equal(tower.pool(plain), tower.pool(prompted))
    assert torch.equal(tower.project(plain), tower.project(prompted))


@transformers
def test_deep_prompts_replace_as_many(visual: Any, tower: VisionTower) -> None:
    prompts, deep = _prompts(tower)
    for given in ((None, deep), (prompts[:1], deep)):
        with pytest.raises(ValueError, match="2 deep prompts cannot replace"):
            tower.trunk(_images(visual), *given)


@transformers
def test_prompts_of_each_image_are_its_own(visual: Any, tower: VisionTower) -> None:
    images = _images(visual)
    generator = torch.Generator().manual_seed(3)
    prompts, deep = (torch.randn(*shape, 2, tower.width, generator=generator) for shape in ((3,), (2, 3)))
    together = tower.pool(tower.trunk(images, prompts, deep))
    alone = [tower.pool(tower.trunk(images[i : i + 1], prompts[i], deep[:, i])) for i in range(3)]
    assert_close(together, torch.cat(alone), 1e-5)


@kinds
def test_a_batch_is_its_images_one_by_one(visual: Any, tower: VisionTower) -> None:
    images = _images(visual)
    whole = tower.trunk(images)
    single = [tower.trunk(image[None]) for image in images]
    assert_close(tower.pool(whole), torch.cat([tower.pool(one) for one in single]), 1e-5)
    assert_close(tower.project(whole), torch.cat([tower.project(one) for one in single]), 1e-5)


@kinds
def test_the_images_own_feature_comes_first_among_regions(visual: Any, tower: VisionTower) -> None:
    hidden = tower.trunk(_images(visual))
    regions = tower.project(hidden, mean_token=True)
    assert torch.equal(regions[:, 0], tower.pool(hidden))
    assert torch.equal(regions[:, 1:], tower.project(hidden))


@timm_vits
def test_places_are_the_value_path(visual: Any, tower: VisionTower) -> None:
    """Against timm's own attention under masks that let each place see itself alone."""
    trunk, images = visual.trunk, _images(visual)
    first, hidden = trunk.num_prefix_tokens, tower.trunk(images)
    places = slice(first, first + hidden.grid[0] * hidden.grid[1])
    if trunk.attn_pool is None:
        states = trunk.blocks[-1](hidden.states, attn_mask=torch.eye(hidden.states.shape[1], dtype=torch.bool))
        states = trunk.norm(states)[:, places]
    else:
        keys = trunk.forward_features(images)
        see = torch.eye(keys.shape[1], dtype=torch.bool)[places, None]
        states = torch.stack([trunk.attn_pool(keys, attn_mask=mask) for mask in see], dim=1)
    assert_close(tower.project(hidden), visual.head(trunk.head(trunk.fc_norm(states))), 1e-5)


def test_places_of_coca_are_what_its_first_query_reads_from_each_alone() -> None:
    visual = reduced_visual("coca")
    tower = wrap_vision_tower(visual)
    hidden = tower.trunk(_images(visual))
    read = [visual.ln_post(visual.attn_pool(hidden.states[:, i : i + 1])[:, 0]) @ visual.proj for i in range(1, 17)]
    assert_close(tower.project(hidden), torch.stack(read, dim=1), 1e-5)


@feature_maps
def test_places_of_an_even_feature_map_are_the_image(visual: Any, tower: VisionTower) -> None:
    """Where all places are alike, each has the feature of the image."""
    hidden = tower.trunk(_images(visual))
    even = hidden._replace(states=hidden.states.mean(dim=1, keepdim=True).expand_as(hidden.states))
    assert_close(tower.project(even), tower.pool(even)[:, None].expand_as(tower.project(even)), 1e-5)
    places = tower.project(hidden)
    assert (places[:, 0] - places[:, -1]).abs().max() > 0.01 * places.abs().max()


@pytest.mark.parametrize("visual", [name for name in FEATURE_MAPS if not name.startswith("swin")], indirect=True)
def test_feature_maps_take_no_prompts(visual: Any, tower: VisionTower) -> None:
    assert tower.n_layers == 0
    kind = type(visual.trunk).__name__
    with pytest.raises(UserError, match=f"need a transformer image tower; this backbone's is a {kind}"):
        tower.trunk(_images(visual), torch.zeros(1, tower.width))


@kinds
@pytest.mark.parametrize("dtype", [torch.bfloat16], ids=["bf16"])
def test_low_precision_is_near_float32(visual: Any, tower: VisionTower, dtype: torch.dtype) -> None:
    half = wrap_vision_tower(copy.deepcopy(visual).to(dtype))
    images = _images(visual)
    prompts, deep = _prompts(tower) if len(set(tower.layer_widths)) == 1 else (None, None)
    exact, rounded = (one.trunk(images, prompts, deep) for one in (tower, half))
    for read in ("pool", "project"):
        features = getattr(half, read)(rounded)
        assert features.dtype == torch.float32
        assert_close(features, getattr(tower, read)(exact), 0.1)
    if prompts is not None:
        half.pool(rounded).sum().backward()
        assert prompts.grad is not None
        assert torch.isfinite(prompts.grad).all()


@kinds
def test_a_tower_put_into_training_mode_leaves_it(visual: Any, tower: VisionTower) -> None:
    before = tower.pool(tower.trunk(_images(visual)))
    visual.train()
    assert torch.equal(tower.pool(tower.trunk(_images(visual))), before)
    assert not any(module.training for module in visual.modules())


def test_a_native_size_that_leaves_a_rest_is_taken() -> None:
    """SigLIP's 384 pixels are 27 patches of 14 and a rest of 6."""
    visual = reduced_visual("EVA01-g-14", img_size=60)
    tower = wrap_vision_tower(visual)
    assert_close(tower.pool(tower.trunk(_images(visual, 60, 60))), visual(_images(visual, 60, 60)), 1e-5)
    with pytest.raises(UserError, match="images of 61 x 60 pixels: both sides must be multiples of 14"):
        tower.trunk(_images(visual, 60, 61))


def test_windows_take_their_own_size_only() -> None:
    tower = wrap_vision_tower(reduced_visual("swin_base_patch4_window7_224"))
    with pytest.raises(UserError, match="images of 256 x 224 pixels: this SwinTransformer takes 224 x 224 only"):
        tower.trunk(torch.zeros(1, 3, 224, 256))


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"model_name": "test_efficientnet"},
        "is a EfficientNet; supported are .* of open_clip, VisionTransformer, .* of timm",
    ),
    ({"model_name": "vit_relpos_small_patch16_224", "pool": "avg"}, "is a VisionTransformerRelPos; supported are"),
    ({"model_name": "convnext_atto", "pool": "rot_attn"}, "ends in a RotAttentionPool2d"),
    ({"model_name": "vit_tiny_patch16_224", "pool": "max"}, "pooling 'max' is not supported; token, avg and map are"),
    ({"model_name": "vit_small_patch16_rope_mixed_224", "pool": "avg"}, "has a RotaryEmbeddingMixed"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_other_towers_are_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        wrap_vision_tower(TimmModel(embed_dim=32, **arguments))
    assert "\n" not in str(error.value)
