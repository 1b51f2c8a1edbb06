"""Prompts in the windows of a Swin Transformer, against timm's own forward and a slow walk window by window."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.backbone._injection import Channels, Injected
from clipprompt.backbone._swin import SwinTower
from clipprompt.errors import UserError
from tests.conftest import assert_close

# Pixels of a side: windows fill the first map, which is shifted in every second block; or they reach over its edges.
sizes = pytest.mark.parametrize("swin", [32, 24], indirect=True, ids=["whole windows", "filled up"])


@pytest.fixture(scope="module", params=[32])
def swin(request: pytest.FixtureRequest) -> SwinTransformer:
    """Two stages of two blocks, widths 8 and 16, with random weights that make every part matter."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = SwinTransformer(
            img_size=request.param,
            patch_size=4,
            depths=(2, 2),
            num_heads=(2, 4),
            embed_dim=8,
            window_size=4,
            num_classes=3,
        )
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture
def tower(swin: SwinTransformer) -> SwinTower:
    vision = Backbone.from_timm(swin, name="swin").vision
    assert isinstance(vision, SwinTower)
    return vision


def _images(tower: SwinTower, n: int = 2) -> Tensor:
    assert tower.only_size is not None
    return torch.randn(n, 3, *tower.only_size, generator=torch.Generator().manual_seed(1))


def _tokens(tower: SwinTower, *layers: int, n: int = 3) -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {i: torch.randn(n, tower.layer_widths[i], generator=generator).requires_grad_() for i in layers}


def slow_block(block: Any, maps: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
    """One block for one picture: places (rows, columns, W), prompts (n, W), window by window and head by head."""
    (rows, columns), side, shift = maps.shape[:2], block.window_size[0], block.shift_size[0]
    normed, told, read = block.norm1(maps), [], torch.zeros_like(maps)
    tall, wide = -(-rows // side) * side, -(-columns // side) * side
    for top in range(0, tall, side):
        for left in range(0, wide, side):
            spots = [(top + i, left + j) for i in range(side) for j in range(side)]  # of the shifted map
            inside = [row < rows and column < columns for row, column in spots]
            sources = [((row + shift) % rows, (column + shift) % columns) for row, column in spots]
            pairs = list(zip(sources, inside, strict=True))
            places = [normed[source] if ok else torch.zeros_like(normed[0, 0]) for source, ok in pairs]
            logits = _place_logits(block, spots, side, shift, tall, wide)
            mixed = _slow_attention(block.attn, torch.stack([*places, *block.norm1(prompts)]), logits)
            for (source, ok), state in zip(pairs, mixed, strict=False):
                if ok:
                    read[source] = state
            told.append(mixed[len(spots) :])
    maps, prompts = maps + read, prompts + torch.stack(told).mean(dim=0)
    return maps + block.mlp(block.norm2(maps)), prompts + block.mlp(block.norm2(prompts))


def _place_logits(block: Any, spots: list[tuple[int, int]], side: int, shift: int, tall: int, wide: int) -> Tensor:
    """What is added between a window's places: their relative position, and -100 across the picture's edges."""

    def part(spot: int, length: int) -> int:
        return 0 if shift == 0 or spot < length - side else 1 if spot < length - shift else 2

    logits = torch.zeros(len(spots), len(spots), block.attn.num_heads)
    for a, (row, column) in enumerate(spots):
        for b, (other_row, other_column) in enumerate(spots):
            down, right = row - other_row + side - 1, column - other_column + side - 1
            logits[a, b] = block.attn.relative_position_bias_table[down * (2 * side - 1) + right]
            parts = [(part(y, tall), part(x, wide)) for y, x in ((row, column), (other_row, other_column))]
            logits[a, b] += 0.0 if parts[0] == parts[1] else -100.0
    return logits


def _slow_attention(attention: Any, states: Tensor, logits: Tensor) -> Tensor:
    queries, keys, values = attention.qkv(states).chunk(3, dim=-1)
    width, n_places, out = queries.shape[-1] // attention.num_heads, len(logits), []
    for head in range(attention.num_heads):
        columns = slice(head * width, (head + 1) * width)
        scores = queries[:, columns] @ keys[:, columns].T * width**-0.5
        scores[:n_places, :n_places] += logits[..., head]
        out.append(scores.softmax(dim=-1) @ values[:, columns])
    mixed: Tensor = attention.proj(torch.cat(out, dim=-1))
    return mixed


def slow_trunk(swin: SwinTransformer, image: Tensor, tokens: Mapping[int, Tensor]) -> Tensor:
    """All blocks for one picture (3, H, W); prompts are left out where a stage ends. Returns tokens (P + n, W)."""
    modules: Any = swin
    maps, index = modules.patch_embed(image[None])[0], 0
    for stage in modules.layers:
        maps, prompts = stage.downsample(maps[None])[0], torch.zeros(0, stage.blocks[0].dim)
        for block in stage.blocks:
            maps, prompts = slow_block(block, maps, tokens.get(index, prompts))
            index += 1
    states: Tensor = modules.norm(torch.cat([maps.flatten(0, 1), prompts]))
    return states


@sizes
def test_without_prompts_it_is_timms_forward(swin: SwinTransformer, tower: SwinTower) -> None:
    images = _images(tower)
    states = swin.forward_features(images)
    hidden = tower.trunk(images)
    assert_close(hidden.states, states.flatten(1, 2), 1e-6)
    assert_close(tower.pool(hidden), swin.forward_head(states, pre_logits=True), 1e-6)
    assert (tower.layer_widths, tower.n_layers, tower.n_prefix) == ((8, 8, 16, 16), 4, 0)


@sizes
def test_the_slow_walk_without_prompts_is_timms_forward(swin: SwinTransformer, tower: SwinTower) -> None:
    (image,) = _images(tower, n=1)
    with torch.no_grad():
        assert_close(slow_trunk(swin, image, {}), swin.forward_features(image[None]).flatten(1, 2)[0], 1e-5)


@sizes
@pytest.mark.parametrize("layers", [(0,), (1,), (0, 1, 2, 3), (2,), (1, 3)], ids=str)
def test_prompts_in_windows_are_the_slow_walk(swin: SwinTransformer, tower: SwinTower, layers: tuple[int, ...]) -> None:
    tokens, images = _tokens(tower, *layers), _images(tower)
    with torch.no_grad():
        hidden = tower.trunk(images, injected=Injected(tokens=tokens))
        assert_close(hidden.states, torch.stack([slow_trunk(swin, image, tokens) for image in images]), 1e-5)


def test_prompts_of_a_stage_do_not_reach_the_next(tower: SwinTower) -> None:
    images, tokens = _images(tower), _tokens(tower, 0, 2)
    shallow = tower.trunk(images, tokens[0])
    assert shallow.states.shape[1] == 4 * 4
    assert not torch.allclose(shallow.states, tower.trunk(images).states)
    assert tower.trunk(images, injected=Injected(tokens=tokens)).states.shape[1] == 4 * 4 + 3


def test_the_order_of_prompts_has_no_meaning_and_each_image_may_have_its_own(tower: SwinTower) -> None:
    images, tokens = _images(tower), _tokens(tower, 0, 3)
    pooled = tower.pool(tower.trunk(images, injected=Injected(tokens=tokens)))
    turned = {layer: tokens[layer].flip(0) for layer in tokens}
    assert_close(tower.pool(tower.trunk(images, injected=Injected(tokens=turned))), pooled, 1e-5)
    each = {layer: torch.stack([one, 2 * one]) for layer, one in tokens.items()}
    own = tower.pool(tower.trunk(images, injected=Injected(tokens=each)))
    assert_close(own[:1], pooled[:1], 1e-5)
    assert not torch.allclose(own[1], pooled[1])


def test_gradients_reach_the_prompts_of_every_block_and_nothing_else(swin: SwinTransformer, tower: SwinTower) -> None:
    tokens = _tokens(tower, 0, 1, 2, 3)
    tower.final(tower.trunk(_images(tower), injected=Injected(tokens=tokens)), "all").square().sum().backward()
    assert all(one.grad is not None and one.grad.abs().max() > 0 for one in tokens.values())
    assert all(parameter.grad is None for parameter in swin.parameters())


@pytest.mark.parametrize("layer", range(4))
def test_the_trunk_goes_on_from_any_block(tower: SwinTower, layer: int) -> None:
    images, injected = _images(tower), Injected(tokens=_tokens(tower, *range(layer, 4)))
    whole = tower.trunk(images, injected=injected).states
    assert torch.equal(tower.trunk_from(tower.trunk_to(images, layer), layer, injected).states, whole)


def test_pools_are_means_of_the_last_tokens(tower: SwinTower) -> None:
    hidden = tower.trunk(_images(tower), injected=Injected(tokens=_tokens(tower, 3)))
    assert_close(tower.final(hidden), hidden.states[:, :16].mean(1), 1e-6)
    assert_close(tower.final(hidden, "image"), hidden.states[:, :16].mean(1), 1e-6)
    assert_close(tower.final(hidden, "prompts"), hidden.states[:, 16:].mean(1), 1e-6)
    assert_close(tower.final(hidden, "all"), hidden.states.mean(1), 1e-6)
    assert tower.project(hidden, mean_token=True).shape == (2, 17, tower.embed_dim)
    assert torch.equal(tower.project(hidden, mean_token=True)[:, 0], tower.pool(hidden))


def test_low_precision_is_near_float32(swin: SwinTransformer, tower: SwinTower) -> None:
    tokens, images = _tokens(tower, 0, 1, 2, 3), _images(tower)
    half = Backbone.from_timm(copy.deepcopy(swin).to(torch.bfloat16), name="swin").vision
    exact, rounded = (one.pool(one.trunk(images, injected=Injected(tokens=tokens))) for one in (tower, half))
    assert rounded.dtype == torch.float32
    assert_close(rounded, exact, 0.1)


def test_prompts_added_to_the_places_of_a_block_are_part_of_what_enters_it(tower: SwinTower) -> None:
    added = {0: torch.randn(64, 8), 3: torch.randn(16, 16)}
    images, tokens = _images(tower), _tokens(tower, 2)
    hidden = tower.trunk_to(images, 0)
    by_hand = tower.trunk_from(hidden._replace(states=hidden.states + added[0]), 0, Injected(tokens, {3: added[3]}))
    assert torch.equal(tower.trunk(images, injected=Injected(tokens, added)).states, by_hand.states)


def test_prompts_on_channels_are_a_wider_patch_embedding(swin: SwinTransformer, tower: SwinTower) -> None:
    generator = torch.Generator().manual_seed(4)
    channels = Channels(torch.randn(2, 32, 32, generator=generator), torch.randn(8, 2, 4, 4, generator=generator))
    wider: Any = copy.deepcopy(swin)
    wider.patch_embed.proj.weight.data = torch.cat([wider.patch_embed.proj.weight, channels.kernel], dim=1)
    images = _images(tower)
    expected = wider.forward_features(torch.cat([images, channels.pixels.expand(2, -1, -1, -1)], dim=1))
    assert_close(tower.trunk(images, injected=Injected(channels=channels)).states, expected.flatten(1, 2), 1e-5)


def test_nothing_goes_around_the_picture(tower: SwinTower) -> None:
    with pytest.raises(UserError, match=r"takes pictures of 32 x 32 pixels alone, .*; where=prepend, add"):
        tower.trunk(_images(tower), injected=Injected(frame=torch.zeros(3, 40, 40)))


def test_tokens_have_the_width_of_their_block(tower: SwinTower) -> None:
    with pytest.raises(ValueError, match="prompts of width 8 enter block 2, whose width is 16"):
        tower.trunk(_images(tower), injected=Injected(tokens={2: torch.zeros(1, 8)}))
    with pytest.raises(ValueError, match="prompts enter layer 1; layers 2 to 3 are walked"):
        tower.trunk_from(tower.trunk_to(_images(tower), 2), 2, Injected(tokens=_tokens(tower, 1)))


def test_pools_that_are_not_there_are_refused(tower: SwinTower) -> None:
    hidden = tower.trunk(_images(tower), injected=Injected(tokens=_tokens(tower, 0)))
    with pytest.raises(UserError, match="pool=class needs a class token, which a SwinTransformer has not"):
        tower.final(hidden, "class")
    with pytest.raises(UserError, match="pool=prompts needs prompts in the last stage of this image tower"):
        tower.final(hidden, "prompts")
    with pytest.raises(UserError, match="a SwinTransformer's do within windows"):
        tower.attention(_images(tower), None, 0)
    with pytest.raises(UserError, match="images of 64 x 64 pixels: this SwinTransformer takes 32 x 32 only"):
        tower.trunk(torch.zeros(1, 3, 64, 64))
