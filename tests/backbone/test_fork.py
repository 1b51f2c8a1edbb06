"""A copy of a backbone's modules over the same tensors."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.backbone._blocks import COMPILED
from tests.conftest import Golden


def _tensors(backbone: Backbone) -> list[torch.Tensor]:
    return list(chain(backbone.model.parameters(), backbone.model.buffers()))


def _features(backbone: Backbone, inputs: Golden) -> tuple[torch.Tensor, torch.Tensor]:
    images = inputs["images_vit" if backbone.image_size == 64 else "images_rn"]
    return backbone.encode_image(images), backbone.encode_text(backbone.tokenize(["a photo of a cat."]))


def test_a_fork_has_the_same_tensors_and_answers(tiny_backbone: Backbone, inputs: Golden) -> None:
    forked = tiny_backbone.fork()
    assert all(a is b for a, b in zip(_tensors(forked), _tensors(tiny_backbone), strict=True))
    for ours, theirs in zip(_features(forked, inputs), _features(tiny_backbone, inputs), strict=True):
        assert torch.equal(ours, theirs)
    assert forked.fingerprint() == tiny_backbone.fingerprint()
    assert forked.tokenizer is tiny_backbone.tokenizer


def test_nothing_put_into_a_fork_reaches_the_backbone(tiny_backbone: Backbone, inputs: Golden) -> None:
    before, fingerprint = _features(tiny_backbone, inputs), tiny_backbone.fingerprint()
    forked = tiny_backbone.fork()
    theirs = set(map(id, tiny_backbone.model.modules()))
    assert not any(id(module) in theirs for module in forked.model.modules())
    for _, module in list(forked.model.named_modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter + 0.5, requires_grad=False))
    after = _features(tiny_backbone, inputs)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert tiny_backbone.fingerprint() == fingerprint


def test_towers_of_a_fork_walk_its_own_modules(tiny_backbone: Backbone, inputs: Golden) -> None:
    forked = tiny_backbone.fork()
    before = _features(forked, inputs)
    for block in (*map(forked.vision.module.get_submodule, forked.vision.block_names), *forked.text.blocks):
        for name, parameter in list(block.named_parameters()):
            owner, _, last = name.rpartition(".")
            setattr(block.get_submodule(owner), last, nn.Parameter(parameter * 1.5, requires_grad=False))
    assert not any(torch.equal(a, b) for a, b in zip(before, _features(forked, inputs), strict=True))


def test_a_fork_runs_no_compiled_walk() -> None:
    backbone = load_backbone("mini-vit", device="cpu")
    block = backbone.text.blocks[0]
    setattr(block, COMPILED, None)
    assert not hasattr(backbone.fork().text.blocks[0], COMPILED)
    assert hasattr(block, COMPILED)
