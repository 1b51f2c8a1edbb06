"""Packing and chunks: where every text stands, and that nothing but memory depends on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.backbone._packing import ROW_LENGTH, pack
from tests.backbone.stand_ins import TEXTS, TOKENIZERS, make_model
from tests.conftest import assert_close

CPU = torch.device("cpu")
LENGTHS = [(1,), (5, 5), (4, 6, 3, 7, 5) * 40, (77,), (60, 2, 2, 2), (24,) * 100, (4, 5, 77) * 9]


@pytest.mark.parametrize("lengths", LENGTHS)
def test_every_text_stands_once_in_one_piece(lengths: tuple[int, ...]) -> None:
    packing = pack(lengths, CPU)
    ends = packing.ends + torch.arange(len(packing.texts))[:, None] * packing.texts.shape[1]
    for text, length in enumerate(lengths):
        row, place = (packing.texts == text).nonzero(as_tuple=True)
        assert len(set(row.tolist())) == 1
        assert place.tolist() == list(range(int(place[0]), int(place[0]) + length))
        assert packing.places[row, place].tolist() == list(range(length))
        assert int(ends.flatten()[packing.order[text]]) == int(row[0]) * packing.texts.shape[1] + int(place[-1])


@pytest.mark.parametrize("lengths", LENGTHS)
def test_a_position_sees_its_own_text_up_to_itself(lengths: tuple[int, ...]) -> None:
    packing = pack(lengths, CPU)
    sees = packing.sees()
    counts = sees.sum(dim=-1)
    own = packing.texts >= 0
    assert torch.equal(counts[own], packing.places[own] + 1)
    assert bool((counts > 0).all())  # a softmax over nothing is not a number


@pytest.mark.parametrize("lengths", [LENGTHS[2], LENGTHS[5], tuple(range(3, 13)) * 20])
def test_rows_are_full(lengths: tuple[int, ...]) -> None:
    texts = pack(lengths, CPU).texts
    assert texts.shape[1] <= 1.2 * ROW_LENGTH
    assert sum(lengths) >= 0.9 * texts.numel()


def _encode(
    backbone: Backbone, groups: int, n_classes: int, *, own: bool
) -> Callable[..., tuple[Tensor, list[Tensor]]]:
    generator = torch.Generator().manual_seed(groups * 100 + n_classes)
    width = backbone.text.width
    prefix = (torch.randn(groups, 4, width, generator=generator) * 0.1).requires_grad_()
    shape = (groups, n_classes, 9, width) if own else (n_classes, 9, width)
    suffix = (torch.randn(shape, generator=generator) * 0.1).requires_grad_()
    deep = (torch.randn(2, groups, 3, width, generator=generator) * 0.1).requires_grad_()
    ends = torch.randint(2, 9, (n_classes,), generator=generator)
    weight = torch.randn(groups, n_classes, backbone.embed_dim, generator=generator)

    def run(positions: int | None) -> tuple[Tensor, list[Tensor]]:
        features = backbone.text.encode(suffix, ends, prefix, deep, positions_at_once=positions)
        return features.detach(), list(torch.autograd.grad((features * weight).sum(), [prefix, suffix, deep]))

    return run


@pytest.mark.parametrize("positions", [1, 50, 150, 500])
@pytest.mark.parametrize(("groups", "n_classes"), [(1, 60), (5, 1), (5, 30), (3, 7)])
@pytest.mark.parametrize("own", [False, True])
def test_chunks_of_any_size_change_no_number(
    tiny_vit_backbone: Backbone, groups: int, n_classes: int, own: bool, positions: int
) -> None:
    run = _encode(tiny_vit_backbone, groups, n_classes, own=own)
    (whole, expected), (chunked, found) = run(None), run(positions)
    assert_close(chunked, whole, 1e-6)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, 1e-5)


def _held(run: Callable[[], Any]) -> int:
    """Bytes that the forward pass keeps for the backward pass, each storage once."""
    kept: dict[int, int] = {}
    held = []  # so that no storage is freed and its address given anew

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(kept.values())


@pytest.mark.parametrize(("groups", "n_classes"), [(1, 400), (20, 20)])
def test_chunks_hold_the_activations_of_one(tiny_vit_backbone: Backbone, groups: int, n_classes: int) -> None:
    tower = tiny_vit_backbone.text
    prefix = torch.zeros(groups, 4, tower.width, requires_grad=True)
    suffix, ends = torch.zeros(n_classes, 5, tower.width), torch.full((n_classes,), 4)
    whole, tenth = (
        _held(lambda n=n: tower.encode(suffix, ends, prefix, positions_at_once=n))
        for n in (10_000, groups * n_classes * 5 // 10)
    )
    assert tenth < whole / 3


def test_chunks_of_whole_texts_hold_the_activations_of_one() -> None:
    text, layout = TEXTS["siglip"]
    tower = Backbone.from_open_clip(make_model(text), TOKENIZERS[layout]()).text
    prefix = torch.zeros(1, 3, tower.width, requires_grad=True)
    suffix, ends = torch.zeros(100, 4, tower.width), torch.full((100,), 3)
    whole, tenth = (
        _held(lambda n=n: tower.encode(suffix, ends, prefix, positions_at_once=n))
        for n in (10_000, 10 * tower.context_length)
    )
    assert tenth < whole / 3


def test_without_gradients_nothing_is_held(tiny_vit_backbone: Backbone) -> None:
    tower = tiny_vit_backbone.text
    suffix, ends = torch.zeros(50, 5, tower.width), torch.full((50,), 4)
    with torch.no_grad():
        assert _held(lambda: tower.encode(suffix, ends, torch.zeros(2, 3, tower.width), positions_at_once=20)) == 0


def test_the_prefix_is_not_copied_for_every_class(tiny_vit_backbone: Backbone) -> None:
    """A long prefix before many short names: what is held must grow with the names, not with prefix times names."""
    tower = tiny_vit_backbone.text
    suffix, ends = torch.zeros(256, 4, tower.width), torch.full((256,), 3)
    held = [
        _held(lambda n=n: tower.encode(suffix, ends, torch.zeros(1, n, tower.width, requires_grad=True)))
        for n in (1, 65)
    ]
    copies = 256 * 64 * 2 * tower.width * 4 * tower.n_layers  # keys and values of 64 positions for every class
    assert held[1] - held[0] < copies / 5
