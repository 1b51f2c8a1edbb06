"""Modules put into a tower: split attention, what follows a feed-forward, and LoRA beside projections."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
import timm
import torch
from torch import nn

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.backbone._split import projections_of
from clipprompt.backbone.insertion import Letter, Lora, Rank, add_lora, insert_after_feed_forward, split_attention
from clipprompt.errors import UserError
from tests.conftest import Golden, assert_close

TEXTS = ["a cat", "a photo of a very long dog", "two", "a photo of a cat"]


def _of_timm(name: str, **options: Any) -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Backbone.from_timm(timm.create_model(name, **options))


@pytest.fixture(scope="module")
def towers(tiny_vit_backbone: Backbone) -> dict[str, Backbone]:
    eva = {"depth": 2, "img_size": 28, "embed_dim": 48, "num_heads": 4}
    swin = {"embed_dim": 8, "depths": (1, 2), "num_heads": (2, 2), "img_size": 32, "window_size": 4}
    return {
        "open_clip": tiny_vit_backbone,
        "timm": _of_timm("test_vit"),
        "eva": _of_timm("eva02_tiny_patch14_224", **eva),
        "swin": _of_timm("swin_tiny_patch4_window7_224", **swin),
        "convnext": _of_timm("test_convnext"),
        "convnext_maps": _of_timm("test_convnext", conv_mlp=True),
    }


of_all = pytest.mark.parametrize("kind", ["open_clip", "timm", "eva", "swin", "convnext", "convnext_maps"])


def _images(backbone: Backbone) -> torch.Tensor:
    side = backbone.image_size
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def _feature(backbone: Backbone, images: torch.Tensor) -> torch.Tensor:
    return backbone.vision.final(backbone.vision.trunk(images))


def _blocks(backbone: Backbone) -> list[nn.Module]:
    return [backbone.vision.module.get_submodule(name) for name in backbone.vision.block_names]


def _disturb(lora: Lora, size: float = 0.05) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in lora.parameters.values():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("kind", ["open_clip", "timm", "eva", "swin"])
def test_split_attention_answers_as_packed_over_the_same_numbers(towers: dict[str, Backbone], kind: str) -> None:
    backbone, forked = towers[kind], towers[kind].fork()
    for block in _blocks(forked):
        split_attention(block)
    images = _images(backbone)
    assert_close(_feature(forked, images), _feature(backbone, images), 1e-6)
    hidden = backbone.vision.trunk(images)
    assert_close(forked.vision.project(hidden), backbone.vision.project(hidden), 1e-6)
    block, split = _blocks(backbone)[0], _blocks(forked)[0]
    for letter in "qkv":
        _, layer, row = projections_of(block)[letter]
        weight = block.get_parameter(projections_of(block)[letter].weight)
        part = weight if row is None else weight.chunk(3)[row]
        assert split.get_submodule(layer).get_parameter("weight").data_ptr() == part.data_ptr()


def test_a_text_tower_shares_its_prefix_with_split_attention(tiny_vit_backbone: Backbone) -> None:
    forked = tiny_vit_backbone.fork()
    for block in forked.text.blocks:
        split_attention(block)
    tokens = tiny_vit_backbone.tokenize(TEXTS)
    assert_close(forked.text.encode_tokens(tokens), tiny_vit_backbone.text.encode_tokens(tokens), 1e-6)
    every = forked.text.encode_all_tokens(tokens)
    assert_close(every, tiny_vit_backbone.text.encode_all_tokens(tokens), 1e-6)


def test_blocks_of_open_clip_call_split_attention_as_they_call_their_own(tiny_vit_backbone: Backbone) -> None:
    block, forked = tiny_vit_backbone.text.blocks[0], tiny_vit_backbone.fork().text.blocks[0]
    split_attention(forked)
    states = torch.randn(2, 5, tiny_vit_backbone.text_width, generator=torch.Generator().manual_seed(0))
    heads = block.get_submodule("attn").num_heads
    causal = torch.full((5, 5), -torch.inf).triu(1)
    for mask in (None, causal, causal.repeat(2 * int(heads), 1, 1)):  # type: ignore[arg-type]
        assert_close(forked(states, attn_mask=mask), block(states, attn_mask=mask), 1e-6)


@of_all
def test_what_follows_a_feed_forward_sees_its_output_in_every_block(towers: dict[str, Backbone], kind: str) -> None:
    backbone, images = towers[kind], _images(towers[kind])
    whole = _feature(backbone, images)

    class Scale(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return states * self.factor

    widths: list[int] = []

    def make(block: int, width: int) -> nn.Module:
        assert block == len(widths)
        widths.append(width)
        return Scale(0.0)

    silent, neutral = backbone.fork(), backbone.fork()
    insert_after_feed_forward(silent, make)
    insert_after_feed_forward(neutral, lambda block, width: Scale(1.0))
    assert len(widths) == len(backbone.vision.block_names)
    assert torch.equal(_feature(neutral, images), whole)
    zeroed = backbone.fork()  # the residual branch of a feed-forward whose last layer gives zero
    for block in _blocks(zeroed):
        mlp: Any = block.get_submodule("mlp")
        last = mlp.c_proj if hasattr(mlp, "c_proj") else mlp.fc2
        last.weight, last.bias = (
            nn.Parameter(torch.zeros_like(x), requires_grad=False) for x in (last.weight, last.bias)
        )
    assert_close(_feature(silent, images), _feature(zeroed, images), 1e-6)
    assert not torch.equal(_feature(silent, images), whole)


CASES: list[tuple[str, tuple[Letter, ...], int]] = [
    ("open_clip", ("q", "k", "v"), 2),
    ("open_clip", ("out", "fc1", "fc2"), 5),
    ("timm", ("q", "v", "fc2"), 1),
    ("timm", ("k", "out", "fc1"), 16),
    ("eva", ("q", "k", "v", "out"), 3),
    ("swin", ("q", "k", "v", "out", "fc1", "fc2"), 4),
    ("convnext", ("fc1", "fc2"), 2),
]


@pytest.mark.parametrize(("kind", "projections", "rank"), CASES)
def test_merged_lora_equals_the_sum_of_both_ways_and_goes_back_bit_for_bit(
    towers: dict[str, Backbone], kind: str, projections: tuple[Letter, ...], rank: int
) -> None:
    backbone, images = towers[kind], _images(towers[kind])
    before, fingerprint = _feature(backbone, images), backbone.fingerprint()
    lora = add_lora(backbone, ["image"], projections, Rank(rank, 3.0), torch.Generator().manual_seed(0))
    assert_close(_feature(lora.backbone, images), before, 1e-6)
    _disturb(lora)
    beside = _feature(lora.backbone, images).detach()
    assert (beside - before).abs().max() > 1e-7
    lora.merge()
    assert_close(_feature(lora.backbone, images), beside, 1e-5)
    merged, plain = lora.backbone.model, backbone.model
    assert [type(module) for module in merged.modules()] == [type(module) for module in plain.modules()]
    lora.unmerge()
    assert torch.equal(_feature(lora.backbone, images), beside)
    assert torch.equal(_feature(backbone, images), before)
    assert backbone.fingerprint() == fingerprint


def test_merged_weights_are_the_sum_that_the_paper_writes(tiny_vit_backbone: Backbone) -> None:
    lora = add_lora(tiny_vit_backbone, ["image"], ["k", "fc1"], Rank(2, 5.0), torch.Generator(), layers=[1])
    assert set(lora.parameters) == {"image/1/k/A", "image/1/k/B", "image/1/fc1/A", "image/1/fc1/B"}
    assert all(lora.parameters[f"image/1/{one}/B"].abs().max() == 0 for one in ("k", "fc1"))
    _disturb(lora)
    lora.merge()
    ours, theirs = (_blocks(one)[1] for one in (lora.backbone, tiny_vit_backbone))
    a, b = (lora.parameters[f"image/1/fc1/{one}"].detach() for one in "AB")
    assert_close(ours.get_parameter("mlp.c_fc.weight"), theirs.get_parameter("mlp.c_fc.weight") + 5 / 2 * b @ a, 1e-6)
    a, b = (lora.parameters[f"image/1/k/{one}"].detach() for one in "AB")
    packed, frozen = (one.get_parameter("attn.in_proj_weight") for one in (ours, theirs))
    width = len(b)
    assert_close(packed[width : 2 * width], frozen[width : 2 * width] + 5 / 2 * b @ a, 1e-6)
    assert torch.equal(packed[:width], frozen[:width])
    assert torch.equal(packed[2 * width :], frozen[2 * width :])
    assert _blocks(lora.backbone)[0].get_parameter("mlp.c_fc.weight") is _blocks(tiny_vit_backbone)[0].get_parameter(
        "mlp.c_fc.weight"
    )


def test_lora_in_the_text_tower_reaches_prefix_and_suffix(tiny_vit_backbone: Backbone) -> None:
    tokens = tiny_vit_backbone.tokenize(TEXTS)
    lora = add_lora(tiny_vit_backbone, ["text"], ["q", "k", "v", "fc2"], Rank(2, 2.0), torch.Generator())
    _disturb(lora)
    shared = lora.backbone.text.encode_tokens(tokens)
    alone = torch.cat([lora.backbone.text.encode_tokens(one[None]) for one in tokens])
    assert_close(shared, alone.detach(), 1e-5)
    lora.merge()
    assert_close(lora.backbone.text.encode_tokens(tokens), shared.detach(), 1e-5)
    assert (shared - tiny_vit_backbone.text.encode_tokens(tokens)).abs().max() > 1e-3


def test_numbers_are_float32_in_a_rounded_tower() -> None:
    backbone = load_backbone("mini-vit", device="cpu", precision="bf16")
    lora = add_lora(backbone, ["image", "text"], ["q", "out"], Rank(2, 1.0), torch.Generator())
    assert all(parameter.dtype == torch.float32 and parameter.requires_grad for parameter in lora.parameters.values())
    _disturb(lora, 0.02)
    beside = _feature(lora.backbone, _images(backbone)).detach()
    lora.merge()
    assert _blocks(lora.backbone)[0].get_parameter("attn.in_proj_weight").dtype == torch.bfloat16
    assert_close(_feature(lora.backbone, _images(backbone)), beside, 0.03)


def test_a_seed_draws_the_same_numbers_and_leaves_the_global_state_alone(tiny_vit_backbone: Backbone) -> None:
    state = torch.random.get_rng_state()
    first, again, other = (
        add_lora(tiny_vit_backbone, ["image"], ["q"], Rank(2, 1.0), torch.Generator().manual_seed(seed)).parameters
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["image/0/q/A"], other["image/0/q/A"])
    assert first["image/0/q/A"].abs().max() <= first["image/0/q/A"].shape[1] ** -0.5


def test_without_peft_one_line_says_what_to_install(
    tiny_vit_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "peft":
            raise ImportError("no peft")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r'LoRA needs peft, which is not installed: pip install "clipprompt\[lora\]"'):
        add_lora(tiny_vit_backbone, ["image"], ["q"], Rank(2, 1.0), torch.Generator())


@pytest.mark.parametrize(
    ("kind", "towers_", "projections", "layers", "message"),
    [
        pytest.param("convnext", ["image"], ["q"], None, "'q'.*with fc1, fc2; attention needs a transf", id="convnext"),
        pytest.param("convnext_maps", ["image"], ["fc1"], None, "with none that LoRA knows", id="maps"),
        pytest.param("open_clip", ["image"], ["q"], [3], "layer 3: the image tower .* 0 to 2", id="layer"),
        pytest.param("timm", ["text"], ["q"], None, "needs a text tower", id="text of timm"),
    ],
)  # fmt: skip
def test_what_lora_cannot_be_put_beside_is_told_in_one_line(
    towers: dict[str, Backbone], kind: str, towers_: Any, projections: Any, layers: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        add_lora(towers[kind], towers_, projections, Rank(1, 1.0), torch.Generator(), layers=layers)
    assert "\n" not in str(error.value)


def test_a_tower_without_feed_forwards_takes_no_adapters(tiny_rn_backbone: Backbone, inputs: Golden) -> None:
    with pytest.raises(UserError, match="or a ConvNeXt; the image tower of tiny_rn is built of Bottleneck"):
        insert_after_feed_forward(tiny_rn_backbone.fork(), lambda block, width: nn.Identity())
    assert tiny_rn_backbone.encode_image(inputs["images_rn"]).isfinite().all()
