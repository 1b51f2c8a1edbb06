"""What enters an image tower, where it stops and goes on, what it ends in, and whose weights it runs with."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import Backbone, VisionTower
from clipprompt.backbone._injection import Channels, Injected
from clipprompt.backbone._vision_towers import wrap_vision_tower
from clipprompt.errors import UserError
from tests.backbone.reduced import reduced_visual
from tests.conftest import assert_close

# An attention pool and no class token; rotary positions; mean and a projection outside; two poolers; CLIP's own.
TRANSFORMERS = ["ViT-B-16-SigLIP", "EVA02-B-16", "vit_medium_patch16_gap_256", "coca", "tiny_vit"]
STAGES = ["convnext_base", "MobileCLIP2-S0", "tiny_rn"]
transformers = pytest.mark.parametrize("name", TRANSFORMERS, indirect=True, scope="module")
towers = pytest.mark.parametrize("name", [*TRANSFORMERS, *STAGES], indirect=True, scope="module")
plain_pools = pytest.mark.parametrize("name", ["EVA02-B-16", "tiny_vit"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def tower(name: str, request: pytest.FixtureRequest) -> VisionTower:
    if name.startswith("tiny"):
        backbone: Backbone = request.getfixturevalue(f"{name}_backbone")
        return backbone.vision
    return wrap_vision_tower(reduced_visual(name))


def _images(n: int = 2, side: int = 64) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(1))


def _drawn(*sizes: int, seed: int = 2) -> Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


def _n_run(tower: VisionTower) -> int:
    """The number of layers that the trunk runs: the last may be left to the pooling."""
    for n in range(len(tower.block_names), -1, -1):
        try:
            tower.trunk_to(_images(1), n)
        except ValueError:
            continue
        return n
    raise AssertionError


def _all_over(tower: VisionTower, first: int = 0) -> Injected:
    """Tokens in every layer from ``first``, each time another number, and something added to one."""
    own = tower.trunk(_images(1)).states.shape[1]
    tokens = {i: _drawn(1 + i, tower.width, seed=i) for i in range(first, tower.n_layers)}
    return Injected(tokens=tokens, added={tower.n_layers - 1: _drawn(own, tower.width, seed=9)})


@transformers
def test_nothing_injected_is_the_tower(tower: VisionTower) -> None:
    plain = tower.trunk(_images())
    assert torch.equal(tower.trunk(_images(), injected=Injected()).states, plain.states)
    added = Injected(added={i: torch.zeros(plain.states.shape[1], tower.width) for i in range(tower.n_layers)})
    assert torch.equal(tower.trunk(_images(), injected=added).states, plain.states)


@transformers
def test_tokens_by_layer_are_deep_prompts(tower: VisionTower) -> None:
    prompts, deep = _drawn(2, tower.width), _drawn(2, 2, tower.width, seed=3)
    injected = Injected(tokens={0: prompts, 1: deep[0], 2: deep[1]})
    both = (tower.trunk(_images(), prompts, deep), tower.trunk(_images(), injected=injected))
    assert torch.equal(both[0].states, both[1].states)


@transformers
def test_tokens_stand_alike_in_any_order(tower: VisionTower) -> None:
    tokens, order = _drawn(4, tower.width), [2, 0, 3, 1]
    one, other = (tower.trunk(_images(), injected=Injected(tokens={1: t})) for t in (tokens, tokens[order]))
    assert_close(tower.pool(one), tower.pool(other), 1e-5)
    assert_close(one.states[:, -4:][:, order], other.states[:, -4:], 1e-5)


@towers
def test_a_walk_that_stops_goes_on_bit_for_bit(tower: VisionTower) -> None:
    last = _n_run(tower)
    assert last in (tower.n_layers or len(tower.block_names), tower.n_layers - 1)
    whole = tower.trunk(_images())
    for layer in range(last + 1):
        rest = tower.trunk_from(tower.trunk_to(_images(), layer), layer)
        assert torch.equal(rest.states, whole.states)
        assert rest.grid == whole.grid
    kept = tower.trunk_to(_images(), 1)
    kept = kept._replace(states=kept.states.half())  # as a cache keeps them
    assert_close(tower.final(tower.trunk_from(kept, 1)), tower.final(whole), 1e-2)
    with pytest.raises(ValueError, match=r"layer|block"):
        tower.trunk_to(_images(), last + 1)


@transformers
def test_prompts_of_later_layers_enter_a_walk_that_goes_on(tower: VisionTower) -> None:
    for layer in range(_n_run(tower) + 1):
        if layer == tower.n_layers:
            continue
        injected = _all_over(tower, layer)
        whole = tower.trunk(_images(), injected=injected)
        rest = tower.trunk_from(tower.trunk_to(_images(), layer), layer, injected)
        assert torch.equal(rest.states, whole.states)
        assert whole.states.shape[1] == tower.trunk(_images(1)).states.shape[1] + tower.n_layers


@transformers
def test_what_no_layer_would_see_is_refused(tower: VisionTower) -> None:
    with pytest.raises(ValueError, match=f"prompts enter layer {tower.n_layers}"):
        tower.trunk(_images(), injected=Injected(tokens={tower.n_layers: _drawn(1, tower.width)}))
    with pytest.raises(ValueError, match="prompts enter layer 0; layers 1"):
        tower.trunk_from(tower.trunk_to(_images(), 1), 1, Injected(tokens={0: _drawn(1, tower.width)}))
    with pytest.raises(ValueError, match="changes the pixels"):
        tower.trunk_from(tower.trunk_to(_images(), 1), 1, Injected(frame=_drawn(3, 96, 96)))


@towers
def test_a_frame_goes_around_the_images(tower: VisionTower) -> None:
    frame = _drawn(3, 128, 128).requires_grad_()
    framed = F.pad(_images(), (32,) * 4) + frame.detach() * F.pad(torch.zeros(64, 64), (32,) * 4, value=1.0)
    hidden = tower.trunk(_images(), injected=Injected(frame=frame))
    assert torch.equal(hidden.states, tower.trunk(framed).states)
    assert hidden.grid == (128 // tower.patch_size,) * 2
    (gradient,) = torch.autograd.grad(hidden.states.square().sum(), frame)
    assert gradient[:, 32:-32, 32:-32].abs().max() == 0
    assert gradient[:, :32].abs().max() > 0


@pytest.mark.parametrize("side", [64, 65, 62])
def test_a_frame_that_images_do_not_fit_is_refused(tiny_vit_backbone: Backbone, side: int) -> None:
    with pytest.raises(UserError, match=f"images of 64 x 64 pixels do not fit into a learnt frame of {side} x {side}"):
        tiny_vit_backbone.vision.trunk(_images(), injected=Injected(frame=torch.zeros(3, side, side)))


@transformers
def test_channels_are_a_convolution_over_all_of_them(tower: Any) -> None:
    patch = tower.patch_size
    channels = Channels(_drawn(2, 64, 64), 0.1 * _drawn(tower.width, 2, patch, patch, seed=3))
    stem: Any = next(m for m in tower.module.modules() if isinstance(m, torch.nn.Conv2d))
    joined = torch.cat([_images(), channels.pixels.expand(2, -1, -1, -1)], dim=1)
    kernel = torch.cat([stem.weight, channels.kernel], dim=1)
    both = F.conv2d(joined, kernel, stem.bias, stride=patch).flatten(2).transpose(1, 2)
    alone = F.conv2d(_images(), stem.weight, stem.bias, stride=patch).flatten(2).transpose(1, 2)
    grid = (64 // patch,) * 2
    entered = tower._embed(_images(), grid, channels) - tower._embed(_images(), grid, None)
    assert_close(entered[:, tower.n_prefix :], both - alone, 1e-4)
    assert entered[:, : tower.n_prefix].abs().sum() == 0
    with pytest.raises(UserError, match="learnt for images of 64 x 64"):
        tower.trunk(_images(1, 8 * patch), injected=Injected(channels=channels))


def test_a_stem_of_convolutions_takes_no_channels() -> None:
    tower = wrap_vision_tower(reduced_visual("MobileCLIP-B"))
    with pytest.raises(UserError, match="embeds its patches at once"):
        tower.trunk(_images(), injected=Injected(channels=Channels(_drawn(1, 64, 64), _drawn(tower.width, 1, 16, 16))))


@pytest.mark.parametrize(
    ("injected", "line"),
    [
        (Injected(tokens={0: torch.zeros(1, 512)}), "visual prompts need a transformer"),
        (Injected(added={0: torch.zeros(16, 512)}), "visual prompts need a transformer"),
        (Injected(channels=Channels(torch.zeros(1, 64, 64), torch.zeros(1))), "prompts on channels need patches"),
    ],
    ids=["tokens", "added", "channels"],
)
def test_convolutions_take_a_frame_alone(tiny_rn_backbone: Backbone, injected: Injected, line: str) -> None:
    tower = tiny_rn_backbone.vision
    assert (tower.n_layers, tower.layer_widths) == (0, ())
    for walk in (lambda: tower.trunk(_images(), injected=injected), lambda: tower.trunk_from(_any(tower), 1, injected)):
        with pytest.raises(UserError, match=f"{line}.*ModifiedResNet"):
            walk()
    with pytest.raises(UserError, match="attention needs a transformer"):
        tower.attention(_images(), None, 0)


def _any(tower: VisionTower) -> Any:
    return tower.trunk_to(_images(), 1)


@towers
def test_the_final_feature_is_projected_to_the_pooled_one(tower: VisionTower) -> None:
    hidden = tower.trunk(_images())
    final = tower.final(hidden)
    assert final.shape == (2, tower.final_width)
    projected = _to_joint(tower, final)
    assert torch.equal(projected, tower.pool(hidden))


def _to_joint(tower: Any, final: Tensor) -> Tensor:
    projected: Tensor = tower._pool.c_proj(final) if hasattr(tower, "_pool") else tower._to_joint(final)
    return projected


@plain_pools
def test_other_tokens_are_pooled_by_their_mean(tower: Any) -> None:
    """Against all tokens of the last layer, by the tower's own norm; EVA02 here has a class token and pools it."""
    injected = Injected(tokens={0: _drawn(3, tower.width)})
    hidden = tower.trunk(_images(), injected=injected)
    states = _after_all_layers(tower, hidden)
    spans = {"class": (0, 1), "image": (1, 17), "prompts": (17, 20), "all": (1, 20)}
    for pool, (first, last) in spans.items():
        assert_close(tower.final(hidden, pool), states[:, first:last].mean(dim=1), 1e-5)


def _after_all_layers(tower: Any, hidden: Any) -> Tensor:
    states: Tensor = tower._layers(hidden.grid, 3)[-1](hidden.states)
    normed: Tensor = tower._visual.ln_post(states) if hasattr(tower._visual, "ln_post") else tower._trunk.norm(states)
    return tower._trunk.fc_norm(normed) if hasattr(tower, "_trunk") else normed


@pytest.mark.parametrize(
    ("name", "pool", "line"),
    [
        ("ViT-B-16-SigLIP", "class", "pool=class needs a class token"),
        ("tiny_vit", "prompts", "pool=prompts needs prompts among the tokens"),
        ("tiny_rn", "image", "pool=image needs a transformer image tower; this backbone's is a ModifiedResNet"),
        ("coca", "all", "reads its tokens through an attention pool: pool=own"),
    ],
    indirect=["name"],
    scope="module",
)
def test_pools_of_tokens_that_are_not_there_are_refused(tower: VisionTower, pool: Any, line: str) -> None:
    hidden = tower.trunk(_images())
    with pytest.raises(UserError, match=line) as error:
        tower.final(hidden, pool)
    assert "\n" not in str(error.value)


@towers
def test_blocks_are_named_in_the_order_of_the_walk(tower: VisionTower) -> None:
    modules = dict(tower.module.named_modules())
    assert all(block in modules for block in tower.block_names)
    assert len(set(tower.block_names)) == len(tower.block_names) > 2
    assert tower.layer_widths == (tower.width,) * tower.n_layers
    seen: list[str] = []
    hooks = [
        modules[block].register_forward_pre_hook(lambda *_, block=block: seen.append(block))
        for block in tower.block_names
        if not tower.module.__class__.__module__.startswith("open_clip.transformer")
    ]
    tower.final(tower.trunk(_images()))
    for hook in hooks:
        hook.remove()
    assert not hooks or seen == list(tower.block_names)


@transformers
def test_attention_is_what_the_layer_weighs(tower: VisionTower) -> None:
    injected = Injected(tokens={1: _drawn(2, tower.width)})
    n = tower.trunk(_images(1)).states.shape[1]
    weights = [tower.attention(_images(), injected, layer) for layer in range(tower.n_layers)]
    assert [w.shape[-1] for w in weights] == [n, *[n + 2] * (tower.n_layers - 1)]
    for w in weights:
        assert w.dtype == torch.float32
        assert w.shape[0] == 2
        assert_close(w.sum(dim=-1), torch.ones(w.shape[:-1]), 1e-5)
    with pytest.raises(UserError, match=f"layer {tower.n_layers} is not there"):
        tower.attention(_images(), None, tower.n_layers)


def test_attention_is_open_clips_own(tiny_vit_backbone: Backbone) -> None:
    tower: Any = tiny_vit_backbone.vision
    states = tower.trunk_to(_images(), 1).states
    block = tower._blocks[1]
    normed = block.ln_1(states)
    _, expected = block.attn(normed, normed, normed, need_weights=True, average_attn_weights=False)
    assert_close(tower.attention(_images(), None, 1), expected, 1e-5)


@towers
def test_a_tower_runs_with_other_weights_for_a_call(tower: VisionTower) -> None:
    own = {key: p.detach().clone() for key, p in tower.module.named_parameters()}
    plain = tower.pool(tower.trunk(_images()))
    assert torch.equal(tower.run_with(own, lambda: tower.pool(tower.trunk(_images()))), plain)
    name = next(key for key in own if key.startswith(tower.block_names[-1]))
    changed = {name: (own[name] * 1.5 + 0.1).requires_grad_()}
    other = tower.run_with(changed, lambda: tower.pool(tower.trunk(_images())))
    assert (other - plain).abs().max() > 1e-5
    other.square().sum().backward()
    assert changed[name].grad is not None
    assert torch.equal(tower.pool(tower.trunk(_images())), plain)
    assert all(p.grad is None for p in tower.module.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_weights_are_cast_and_their_gradients_are_not(dtype: torch.dtype) -> None:
    tower = wrap_vision_tower(reduced_visual("vit_medium_patch16_gap_256").to(dtype))
    name = f"{tower.block_names[0]}.mlp.fc1.bias"
    weight = dict(tower.module.named_parameters())[name].detach().float().requires_grad_()
    with torch.no_grad():
        plain = tower.final(tower.trunk(_images()))
    feature = tower.run_with({name: weight}, lambda: tower.final(tower.trunk(_images())))
    assert torch.equal(feature, plain)
    feature.sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("weights", "line"),
    [({"no.such": torch.zeros(1)}, "no.such is no parameter"), ({"ln_pre.bias": torch.zeros(2)}, "has shape")],
    ids=["unknown", "shape"],
)
def test_weights_that_do_not_fit_are_refused(
    tiny_vit_backbone: Backbone, weights: dict[str, Tensor], line: str
) -> None:
    with pytest.raises(ValueError, match=line):
        tiny_vit_backbone.vision.run_with(weights, lambda: None)
