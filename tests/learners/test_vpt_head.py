from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import ImageStates, create_learner, load_learner
from clipprompt.learners.vpt_head import VPTHead
from tests.conftest import Golden, assert_close
from tests.golden.tiny_clip import tiny_plain_vit_state_dict
from tests.learners import _golden

NAMES = ["cat", "dog", "air balloon"]
# Options of every place, with what is learnt beside the head.
PLACES: dict[str, tuple[dict[str, Any], dict[str, tuple[int, ...]]]] = {
    "shallow": ({"n_ctx": 4, "depth": 1}, {"visual_ctx": (4, 128)}),
    "deep": ({"n_ctx": 4}, {"visual_ctx": (4, 128), "deep_visual_ctx": (2, 4, 128)}),
    "last layer": ({"n_ctx": 4, "first_layer": 2}, {"visual_ctx": (4, 128)}),
    "200": ({"n_ctx": 200, "depth": 1}, {"visual_ctx": (200, 128)}),
    "add": ({"where": "add", "first_layer": 1}, {"visual_ctx": (17, 128), "deep_visual_ctx": (1, 17, 128)}),
    "pad": ({"where": "pad", "n_ctx": 8}, {"border_rows": (3, 16, 80), "border_columns": (3, 64, 16)}),
    "channels": ({"where": "channels", "n_ctx": 2}, {"pixels": (2, 64, 64), "kernel": (128, 2, 16, 16)}),
}
places = pytest.mark.parametrize("place", PLACES)


@pytest.fixture(scope="module")
def plain_vit() -> Backbone:
    """The ViT of the golden numbers, as timm builds it."""
    sizes = {"img_size": 64, "embed_dim": 64, "depth": 3, "num_heads": 2, "mlp_ratio": 2, "num_classes": 0}
    model = timm.create_model("vit_tiny_patch16_224", **sizes)
    weights = tiny_plain_vit_state_dict(0)
    model.load_state_dict({key: value for key, value in weights.items() if not key.startswith("head")})
    return Backbone.from_timm(model, name="plain ViT")


@pytest.fixture(params=["kmnp_vpt_shallow", "kmnp_vpt_deep"])
def variant(
    request: pytest.FixtureRequest, plain_vit: Backbone, golden: Callable[[str], Golden]
) -> tuple[VPTHead, Golden]:
    expected = golden(request.param)
    depth = 1 if request.param == "kmnp_vpt_shallow" else None
    names = [f"class {i}" for i in range(len(expected["init/head.bias"]))]
    return _golden.create_with("vpt_head", plain_vit, names, expected, n_ctx=5, depth=depth), expected


def test_forward_matches_golden(variant: tuple[VPTHead, Golden], inputs: Golden) -> None:
    learner, expected = variant
    assert_close(learner(inputs["images_vit"]), expected["logits"], _golden.FORWARD)
    assert_close(learner.image_state(inputs["images_vit"]), expected["features"], _golden.FORWARD)
    plain = learner.backbone.vision.final(learner.backbone.vision.trunk(inputs["images_vit"]))
    assert_close(plain, expected["features_without_prompts"], _golden.FORWARD)


def test_gradients_match_golden(variant: tuple[VPTHead, Golden], inputs: Golden) -> None:
    _golden.check_gradients(variant[0], inputs["images_vit"], variant[1])


def test_five_steps_match_golden(variant: tuple[VPTHead, Golden], inputs: Golden) -> None:
    _golden.check_five_steps(variant[0], inputs["images_vit"], variant[1])


@places
def test_what_is_learnt_and_gets_gradients(tiny_vit_backbone: Backbone, inputs: Golden, place: str) -> None:
    options, sizes = PLACES[place]
    learner = create_learner("vpt_head", tiny_vit_backbone, NAMES, **options)
    named = {key: p for key, p in learner.named_parameters() if not key.startswith("head")}
    assert {key: tuple(p.shape) for key, p in named.items()} == sizes
    learner.loss(inputs["images_vit"], torch.tensor([0, 1, 2, 0, 1])).backward()
    for parameter in named.values():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0
    assert all(p.grad is None for p in tiny_vit_backbone.model.parameters())


@places
def test_prompts_change_what_the_head_reads(tiny_vit_backbone: Backbone, inputs: Golden, place: str) -> None:
    learner: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, **PLACES[place][0])
    tower = tiny_vit_backbone.vision
    plain = tower.final(tower.trunk(inputs["images_vit"]))
    states = learner.encode_images(inputs["images_vit"])
    assert (learner.states_to_feature(states) - plain).abs().max() > 1e-3
    assert learner.injected().changes_pixels == (place in ("pad", "channels"))


@pytest.mark.parametrize(
    ("options", "layers"),
    [({}, [0, 1, 2]), ({"depth": 1}, [0]), ({"first_layer": 1}, [1, 2]), ({"first_layer": 1, "depth": 1}, [1])],
    ids=["deep", "shallow", "from the second", "the second"],
)
@pytest.mark.parametrize("where", ["prepend", "add"])
def test_prompts_enter_the_layers_that_are_asked_for(
    tiny_vit_backbone: Backbone, where: str, options: dict[str, int], layers: list[int]
) -> None:
    learner: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, where=where, **options)
    injected = learner.injected()
    prompts, nothing = (injected.tokens, injected.added) if where == "prepend" else (injected.added, injected.tokens)
    assert (sorted(prompts), dict(nothing)) == (layers, {})
    assert torch.equal(prompts[layers[0]], learner.visual_ctx)
    assert all(torch.equal(prompts[i], learner.deep_visual_ctx[i - layers[0] - 1]) for i in layers[1:])


def test_prompts_of_zero_add_nothing(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    learner: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, where="add")
    with torch.no_grad():
        learner.visual_ctx.zero_()
        learner.deep_visual_ctx.zero_()
    tower = tiny_vit_backbone.vision
    plain = tower.final(tower.trunk(inputs["images_vit"]))
    assert torch.equal(learner.image_state(inputs["images_vit"]), plain)


def test_a_picture_is_seen_whole_within_its_border(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    learner: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, where="pad", n_ctx=8)
    frame = learner.injected().frame
    assert frame.shape == (3, 80, 80)
    assert frame[:, 8:-8, 8:-8].abs().max() == 0
    assert (frame != 0).sum() == learner.border_rows.numel() + learner.border_columns.numel()
    assert learner.backbone.vision.trunk(inputs["images_vit"], injected=learner.injected()).grid == (5, 5)


@pytest.mark.parametrize("kind", ["rn", "convnext"])
@pytest.mark.parametrize("n_ctx", [1, 5])
def test_convolutions_take_padding_of_any_width(tiny_rn_backbone: Backbone, n_ctx: int, kind: str) -> None:
    backbone = tiny_rn_backbone if kind == "rn" else Backbone.from_timm(timm.create_model("test_convnext"))
    side = backbone.image_size
    learner = create_learner("vpt_head", backbone, NAMES, where="pad", n_ctx=n_ctx)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    learner.loss(images, torch.tensor([0, 1])).backward()
    gradients = [p.grad for key, p in learner.named_parameters() if key.startswith("border")]
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("first_layer", [1, 2])
@pytest.mark.parametrize("where", ["prepend", "add"])
def test_layers_before_the_prompts_are_frozen(
    tiny_vit_backbone: Backbone, inputs: Golden, where: str, first_layer: int
) -> None:
    options = {"where": where, "first_layer": first_layer, "n_ctx": 3}
    learner: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, **options)
    assert learner.frozen_part == f"before-{first_layer}"
    states = learner.encode_images(inputs["images_vit"])
    assert isinstance(states, ImageStates)
    assert (states.values.requires_grad, states.values.shape, states.grid) == (False, (5, 17, 128), (4, 4))
    assert torch.equal(states.values, tiny_vit_backbone.vision.trunk_to(inputs["images_vit"], first_layer).states)
    assert torch.equal(learner.states_to_feature(states), learner.image_state(inputs["images_vit"]))
    logits = learner.logits_from(ImageStates(states.values.half(), states.grid))
    assert_close(logits, learner(inputs["images_vit"]), 1e-2)


def test_no_gradient_flows_below_the_prompts(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    """The memory of activations is that of the layers with prompts and those after them."""
    kept = []
    for first_layer in (0, 1, 2):
        learner = create_learner("vpt_head", tiny_vit_backbone, NAMES, first_layer=first_layer, depth=1, n_ctx=1)
        saved: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=saved: s.append(t.numel()) or t, lambda t: t):
            learner.loss(inputs["images_vit"], torch.tensor([0, 1, 2, 0, 1]))
        kept.append(sum(saved))
    assert kept[0] > 1.3 * kept[1] > 1.3 * 1.3 * kept[2]


@pytest.mark.parametrize(("where", "first_layer"), [("prepend", 0), ("add", 1)])
def test_prompts_start_as_the_original_starts_them(tiny_vit_backbone: Backbone, where: str, first_layer: int) -> None:
    options = {"where": where, "first_layer": first_layer, "n_ctx": 100}
    learner: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, **options)
    bound = math.sqrt(6 / (3 * 16 * 16 + 128))
    for prompts in (learner.visual_ctx, learner.deep_visual_ctx):
        assert prompts.abs().max() <= bound
        assert prompts.abs().max() > 0.98 * bound
        assert prompts.detach().mean().abs() < 0.05 * bound
    again: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, **options)
    other: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, seed=1, **options)
    assert torch.equal(again.visual_ctx, learner.visual_ctx)
    assert not torch.equal(other.visual_ctx, learner.visual_ctx)


@pytest.mark.parametrize("pool", ["class", "image", "prompts", "all"])
def test_the_head_reads_the_tokens_that_it_is_told(tiny_vit_backbone: Backbone, inputs: Golden, pool: str) -> None:
    learner: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, pool=pool, n_ctx=3)
    own: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, pool="own", n_ctx=3)
    own.load_state_dict(learner.state_dict())
    read = [one.image_state(inputs["images_vit"]) for one in (learner, own)]
    assert torch.equal(*read) == (pool == "class")


def test_bias_terms_are_learnt_with_the_prompts(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    learner: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, bias=True, first_layer=1, n_ctx=3)
    without: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, first_layer=1, n_ctx=3)
    alone: Any = create_learner("bias", tiny_vit_backbone, NAMES)
    assert learner.frozen_part is None  # the bias terms of the first layers are learnt too
    assert set(learner.weights) == set(alone.weights)
    assert torch.equal(learner(inputs["images_vit"]), without(inputs["images_vit"]))  # they start as the tower's
    learner.loss(inputs["images_vit"], torch.tensor([0, 1, 2, 0, 1])).backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in learner.weights.values())
    assert all(p.grad is None for p in tiny_vit_backbone.model.parameters())


@pytest.mark.parametrize("first_layer", [0, 1])
def test_dropout_is_a_function_of_seed_and_step(tiny_vit_backbone: Backbone, inputs: Golden, first_layer: int) -> None:
    options = {"dropout": 0.5, "n_ctx": 4, "first_layer": first_layer}
    images, labels = inputs["images_vit"], torch.tensor([0, 1, 2, 0, 1])

    def losses(learner: Any, n: int) -> list[float]:
        return [learner.loss(images, labels).item() for _ in range(n)]

    learner: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, **options)
    state = torch.random.get_rng_state()
    curve = losses(learner, 4)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len(set(curve)) == 4
    resumed: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, **options)
    losses(resumed, 2)
    again: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, **options)
    again.gathered = dict(resumed.gathered)  # as a checkpoint keeps it
    assert losses(again, 2) == curve[2:]
    plain: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, **{**options, "dropout": 0.0})
    plain.load_state_dict(learner.state_dict())
    assert torch.equal(learner(images), plain(images))
    with torch.no_grad():
        assert torch.equal(learner.loss(images, labels), plain.loss(images, labels))


def test_dropout_leaves_the_mean_of_prompts_and_half_of_their_numbers(tiny_vit_backbone: Backbone) -> None:
    learner: Any = create_learner("vpt_head", tiny_vit_backbone, NAMES, dropout=0.5, n_ctx=200, depth=1)
    nn.init.ones_(learner.visual_ctx)
    with learner._dropout.step():
        dropped: Tensor = learner.injected().tokens[0]
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped.detach().mean() - 1).abs() < 0.05


@places
def test_it_is_saved_and_loaded(tiny_vit_backbone: Backbone, inputs: Golden, place: str, tmp_path: Any) -> None:
    learner = create_learner("vpt_head", tiny_vit_backbone, NAMES, seed=3, **PLACES[place][0])
    learner.save(tmp_path)
    loaded = load_learner(tmp_path, tiny_vit_backbone)
    assert torch.equal(loaded(inputs["images_vit"]), learner(inputs["images_vit"]))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"n_ctx": 0}, "option n_ctx = 0"),
        ({"n_ctx": 201}, "option n_ctx = 201"),
        ({"where": "left"}, "option where = 'left'"),
        ({"dropout": 1.0}, "option dropout = 1.0"),
        ({"depth": 4}, "first_layer 0 with depth 4 is too large: the image tower of tiny_vit has 3 layers"),
        ({"first_layer": 3}, "first_layer 3 is too large: the image tower of tiny_vit has 3 layers"),
        ({"where": "pad", "n_ctx": 10}, "multiple of the patches' 16 pixels; the nearest is 8"),
        ({"where": "pad", "n_ctx": 8, "depth": 1}, "where=pad enters before the first layer: leave out first_layer"),
        ({"where": "channels", "first_layer": 1}, "where=channels enters before the first layer"),
        ({"where": "add", "pool": "prompts"}, "pool=prompts reads tokens of prompts, which where=add has not"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_options_get_one_line(tiny_vit_backbone: Backbone, options: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line) as error:
        create_learner("vpt_head", tiny_vit_backbone, NAMES, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, "vpt_head where=prepend needs a transformer image tower.*tiny_rn has none, but where=pad"),
        ({"where": "add"}, "where=add needs a transformer image tower"),
        ({"where": "pad", "pool": "image"}, "pool=image needs a transformer image tower"),
    ],
    ids=["prepend", "add", "pool"],
)
def test_what_convolutions_have_no_place_for_is_refused(
    tiny_rn_backbone: Backbone, options: dict[str, Any], line: str
) -> None:
    with pytest.raises(UserError, match=line):
        create_learner("vpt_head", tiny_rn_backbone, NAMES, **options)


def test_pictures_of_another_size_do_not_fit_a_border(tiny_vit_backbone: Backbone) -> None:
    learner = create_learner("vpt_head", tiny_vit_backbone, NAMES, where="pad", n_ctx=8)
    with pytest.raises(UserError, match="images of 96 x 96 pixels do not fit into a learnt frame of 80 x 80"):
        learner(torch.zeros(1, 3, 96, 96))


@pytest.fixture(scope="module")
def swin() -> Backbone:
    sizes = {"img_size": 64, "patch_size": 4, "window_size": 4, "embed_dim": 16, "num_heads": (2, 4)}
    return Backbone.from_timm(SwinTransformer(**sizes, depths=(2, 2), num_classes=0), name="small Swin")


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"depth": 2}, {"visual_ctx": (10, 16), "deep_visual_ctx": (1, 10, 16)}),  # the first stage
        ({}, {"visual_ctx": (10, 16), "deep_visual_ctx.0": (1, 10, 16), "deep_visual_ctx.1": (2, 10, 32)}),
        ({"first_layer": 1}, {"visual_ctx": (10, 16), "deep_visual_ctx": (2, 10, 32)}),
        ({"where": "add", "first_layer": 2}, {"visual_ctx": (64, 32), "deep_visual_ctx": (1, 64, 32)}),
    ],
    ids=["first stage", "every stage", "from the second block", "added in the second stage"],
)
def test_prompts_have_the_width_of_their_stage(
    swin: Backbone, options: dict[str, Any], sizes: dict[str, tuple[int, ...]]
) -> None:
    learner: Any = create_learner("vpt_head", swin, NAMES, **options)
    named = {key: p for key, p in learner.named_parameters() if not key.startswith("head")}
    assert {key: tuple(p.shape) for key, p in named.items()} == sizes
    first = options.get("first_layer", 0)
    prompts = learner.injected().tokens or learner.injected().added
    assert {layer: t.shape[-1] for layer, t in prompts.items()} == {
        layer: swin.vision.layer_widths[layer] for layer in range(first, first + options.get("depth", 4 - first))
    }
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(learner(images), learner.head(learner.image_state(images)))
    learner.loss(images, torch.tensor([0, 1])).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in named.values())
