"""timm's ConvNeXt and ResNet as image towers: stages to go on from, and pixels around the picture."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.backbone._injection import Channels, Injected
from clipprompt.errors import UserError
from tests.conftest import assert_close

N_BLOCKS = {"test_convnext": 9, "test_resnet": 4}


@pytest.fixture(scope="module", params=N_BLOCKS)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    found = load_backbone(f"timm:{request.param}", "random", device="cpu")
    generator = torch.Generator().manual_seed(3)
    for parameter in found.model.parameters():  # as made, the last norm of a block is nothing
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return found


def _images(*size: int) -> Tensor:
    return torch.randn(2, 3, *(size or (64, 64)), generator=torch.Generator().manual_seed(1))


def _frame(m: int, side: int = 64) -> Tensor:
    drawn = torch.randn(3, side + 2 * m, side + 2 * m, generator=torch.Generator().manual_seed(2))
    return drawn.requires_grad_()


def _framed(images: Tensor, frame: Tensor, m: int) -> Tensor:
    """The pictures with the frame's four sides put on one after another."""
    side = images.shape[-1]
    sides = frame.expand(len(images), -1, -1, -1)
    middle = [sides[..., m : m + side, :m], images, sides[..., m : m + side, m + side :]]
    return torch.cat([sides[..., :m, :], torch.cat(middle, dim=-1), sides[..., m + side :, :]], dim=-2)


def test_features_are_what_timm_pools(backbone: Backbone) -> None:
    images, trunk, tower = _images(), backbone.model.visual.trunk, backbone.vision
    states = trunk.forward_features(images)
    pooled = trunk.forward_head(states, pre_logits=True)
    assert_close(tower.trunk(images).states, states.flatten(2).transpose(1, 2), 1e-6)
    assert_close(tower.final(tower.trunk(images)), pooled, 1e-6)
    assert_close(backbone.encode_image(images), pooled, 1e-6)
    assert tower.final_width == backbone.embed_dim == pooled.shape[1]
    assert (pooled[0] - pooled[1]).abs().max() > 0.01 * pooled.abs().max()


def test_the_trunk_goes_on_from_any_block(backbone: Backbone) -> None:
    images, tower = _images(), backbone.vision
    assert len(tower.block_names) == N_BLOCKS[backbone.name.removeprefix("timm:")]
    modules = dict(tower.module.named_modules())
    assert all(type(modules[name]).__name__.endswith(("Block", "Bottleneck")) for name in tower.block_names)
    for layer in range(len(tower.block_names) + 1):
        assert torch.equal(tower.trunk_from(tower.trunk_to(images, layer), layer).states, tower.trunk(images).states)


def test_blocks_before_the_one_gone_on_from_are_not_run_again(backbone: Backbone) -> None:
    tower, last = backbone.vision, len(backbone.vision.block_names) - 1
    hidden = tower.trunk_to(_images(), last)
    modules = dict(tower.module.named_modules())
    run: list[str] = []
    hooks = [
        modules[name].register_forward_hook(lambda *_, name=name: run.append(name))  # type: ignore[misc]
        for name in tower.block_names
    ]
    tower.trunk_from(hidden, last)
    for hook in hooks:
        hook.remove()
    assert run == [tower.block_names[-1]]


@pytest.mark.parametrize("m", [1, 5, 16])
def test_a_frame_of_any_width_stands_around_the_picture(backbone: Backbone, m: int) -> None:
    tower, images, frame = backbone.vision, _images(), _frame(m)
    hidden = tower.trunk(images, injected=Injected(frame=frame))
    assert_close(hidden.states, tower._run(_framed(images, frame, m), 0, len(tower._steps)).states, 1e-6)  # type: ignore[attr-defined]
    tower.final(hidden).square().sum().backward()
    assert frame.grad is not None
    assert frame.grad[:, m:-m, m:-m].abs().max() == 0
    assert frame.grad[:, :m].abs().max() > 0
    assert all(parameter.grad is None for parameter in backbone.model.parameters())


def test_a_frame_that_is_as_large_as_the_stride_makes_more_places(backbone: Backbone) -> None:
    tower = backbone.vision
    assert tower.trunk(_images()).grid == (2, 2)
    assert tower.trunk(_images(), injected=Injected(frame=_frame(16))).grid == (3, 3)


REFUSED: dict[str, tuple[Any, str]] = {
    "tokens": (Injected(tokens={0: torch.zeros(1, 8)}), "visual prompts need a transformer image tower"),
    "added": (Injected(added={0: torch.zeros(4, 8)}), "visual prompts need a transformer image tower"),
    "channels": (Injected(channels=Channels(torch.zeros(1, 64, 64), torch.zeros(8, 1, 4, 4))), "prompts on channels"),
    "frame of another size": (Injected(frame=torch.zeros(3, 80, 90)), "do not fit into a learnt frame of 90 x 80"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_feature_maps_do_not_take_is_refused(backbone: Backbone, case: str) -> None:
    injected, message = REFUSED[case]
    with pytest.raises(UserError, match=message) as error:
        backbone.vision.trunk(_images(), injected=injected)
    assert "\n" not in str(error.value)


def test_other_pools_and_sizes_are_refused(backbone: Backbone) -> None:
    tower = backbone.vision
    with pytest.raises(UserError, match="pool=prompts needs a transformer image tower"):
        tower.final(tower.trunk(_images()), "prompts")
    with pytest.raises(UserError, match="images of 70 x 64 pixels: both sides must be multiples of 32"):
        tower.trunk(_images(64, 70), injected=Injected(frame=_frame(1)))
