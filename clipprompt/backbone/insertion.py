r"""Modules of a learner inside a tower: bottlenecks behind each feed-forward, and LoRA beside chosen projections.

    block:  x + attention( q  k  v ) -> out      x + mlp( fc1 -> fc2 -> [bottleneck] )
                           |  |  |      |                 |      |
                           +--+--+-- W + alpha / r * B A -+------+

They go into a fork of the backbone, which shares every number with it; nobody else's tower changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from clipprompt.backbone._loading import undisturbed
from clipprompt.backbone._split import Projection, projections_of, split_attention
from clipprompt.errors import UserError

if TYPE_CHECKING:
    from clipprompt.backbone import Backbone

__all__ = ["Letter", "Lora", "Rank", "add_lora", "insert_after_feed_forward", "split_attention"]

Letter = Literal["q", "k", "v", "out", "fc1", "fc2"]
"""A projection of a block: of its attention (q, k, v, out) or its feed-forward (fc1, fc2)."""
Tower = Literal["image", "text"]
_NAME = "default"  # peft's own for the only adapter of a layer


class Rank(NamedTuple):
    """How large LoRA's matrices are, and by how much they count.

    Attributes:
        rank: r, rows of A and columns of B.
        alpha: their product is multiplied by alpha / r.
    """

    rank: int
    alpha: float


def insert_after_feed_forward(backbone: Backbone, make: Callable[[int, int], nn.Module]) -> None:
    """Puts a module behind the last projection of each block's feed-forward, within the residual branch.

    Args:
        backbone: a fork.
        make: the module for a block's number and its width; it takes and gives (…, width).

    Raises:
        UserError: if the blocks of the image tower have no feed-forward.
    """
    for number, block in enumerate(_blocks(backbone, "image")):
        feed_forward: Any = getattr(block, "mlp", None)
        name = next((name for name in ("c_proj", "fc2") if hasattr(feed_forward, name)), None)
        last = None if name is None else getattr(feed_forward, name)
        if name is None or not isinstance(last, nn.Linear | nn.Conv2d):
            raise UserError(
                "what follows each block's MLP needs a transformer image tower, or a ConvNeXt; the image tower of "
                f"{backbone.name} is built of {type(block).__name__}"
            )
        is_map = isinstance(last, nn.Conv2d)
        width = last.out_channels if isinstance(last, nn.Conv2d) else last.out_features
        setattr(feed_forward, name, _Followed(last, make(number, width), colours_first=is_map))


class _Followed(nn.Module):
    """A layer and what follows it; of feature maps (N, W, rows, columns) the second sees (N, rows, columns, W)."""

    def __init__(self, layer: nn.Module, after: nn.Module, *, colours_first: bool) -> None:
        super().__init__()
        self.layer, self.after, self.colours_first = layer, after, colours_first

    def forward(self, states: Tensor) -> Tensor:
        out: Tensor = self.layer(states)
        if self.colours_first:
            mapped: Tensor = self.after(out.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            return mapped
        followed: Tensor = self.after(out)
        return followed


class _Place(NamedTuple):
    """One projection with LoRA beside it: peft's layer, and where its sum with the frozen weight belongs."""

    tower: Tower
    block: int
    projection: Projection
    layer: Any


class Lora:
    """LoRA in a backbone (Hu 2022, arXiv 2106.09685): every chosen W becomes W + alpha / r * B A.

    Attributes:
        source: the backbone as it is, which is never changed.
        parameters: A (r, in) and B (out, r) of each projection, float32, as ``image/BLOCK/PROJECTION/A``.
    """

    def __init__(self, source: Backbone, beside: Backbone, places: Mapping[str, _Place]) -> None:
        self.source = source
        self.parameters: dict[str, nn.Parameter] = {}
        self._beside, self._places = beside, dict(places)
        self._merged: Backbone | None = None
        for key, place in places.items():
            self.parameters[f"{key}/A"] = place.layer.lora_A[_NAME].weight
            self.parameters[f"{key}/B"] = place.layer.lora_B[_NAME].weight

    @property
    def backbone(self) -> Backbone:
        """With A and B beside the weights, and gradients; or merged into them, between ``merge`` and ``unmerge``."""
        return self._merged or self._beside

    @property
    def is_merged(self) -> bool:
        """Whether the backbone is one of plain weights."""
        return self._merged is not None

    @torch.inference_mode(False)
    @torch.no_grad()
    def merge(self) -> None:
        """Makes a backbone of plain weights, as A and B are now: its blocks are built, and cost, as the source's."""
        merged, own = self.source.fork(), set[tuple[Tower, int, str]]()
        for tower, number, projection, layer in self._places.values():
            path, _, name = projection.weight.rpartition(".")
            owner = _blocks(merged, tower)[number].get_submodule(path)
            if (tower, number, projection.weight) not in own:  # q, k and v may be rows of one
                own.add((tower, number, projection.weight))
                setattr(owner, name, nn.Parameter(getattr(owner, name).clone(), requires_grad=False))
            weight: Tensor = getattr(owner, name)
            rows = weight if projection.rows is None else weight.chunk(3)[projection.rows]
            rows.copy_(rows.float() + layer.get_delta_weight(_NAME).float())
        self._merged = merged

    def unmerge(self) -> None:
        """Goes back to A and B beside the frozen weights, which merging has not touched."""
        self._merged = None


def add_lora(
    backbone: Backbone,
    towers: Sequence[Tower],
    projections: Sequence[Letter],
    rank: Rank,
    generator: torch.Generator,
    *,
    layers: Sequence[int] | None = None,
    dropout: Callable[[int], nn.Module] | None = None,
) -> Lora:
    """Puts LoRA beside projections of a fork of a backbone, by means of peft.

    A starts uniform within 1 / sqrt(in), B zero, so that nothing changes at first.

    Args:
        backbone: which stays as it is.
        towers: image, text or both.
        projections: of each block.
        rank: of the matrices.
        generator: of A, drawn on the CPU.
        layers: numbers of the blocks, from 0; None for all.
        dropout: what A's input goes through, for the place's number; None for nothing.

    Raises:
        UserError: if peft is not installed, or the towers have no such projections or layers.
    """
    from_peft = _import_peft()
    beside = backbone.fork()
    places: dict[str, _Place] = {}
    for tower, number, block in _chosen(beside, towers, layers):
        found = projections_of(block)
        for letter in projections:
            if letter not in found:
                raise UserError(_missing(letter, tower, block, found, backbone.name))
        if {"q", "k", "v"} & set(projections):
            split_attention(block)
        _inject(from_peft, block, [found[letter].layer for letter in projections], rank)
        for letter in projections:
            layer = block.get_submodule(found[letter].layer)
            _start(layer, rank.rank, generator)
            if dropout is not None:
                layer.get_submodule("lora_dropout").add_module(_NAME, dropout(len(places)))
            places[f"{tower}/{number}/{letter}"] = _Place(tower, number, found[letter], layer)
    return Lora(backbone, beside, places)


def _import_peft() -> Any:
    try:
        import peft  # seconds, and an extra
    except ImportError as error:
        raise UserError('LoRA needs peft, which is not installed: pip install "clipprompt[lora]"') from error
    return peft


def _inject(peft: Any, block: nn.Module, names: list[str], rank: Rank) -> None:
    config = peft.LoraConfig(r=rank.rank, lora_alpha=rank.alpha, lora_dropout=0.0, target_modules=names)
    with undisturbed(seed=0):  # peft draws A from the global state; it is drawn anew
        peft.inject_adapter_in_model(config, block)


def _start(layer: Any, rank: int, generator: torch.Generator) -> None:
    """A from the generator, B zero, both float32 whatever the tower's type, with gradients."""
    for part, starts_at_zero in ((layer.lora_A[_NAME], False), (layer.lora_B[_NAME], True)):
        shape, device = part.weight.shape, part.weight.device
        drawn = torch.empty(shape).uniform_(-1, 1, generator=generator) * shape[1] ** -0.5
        part.weight = nn.Parameter((torch.zeros(shape) if starts_at_zero else drawn).to(device))


def _chosen(
    backbone: Backbone, towers: Sequence[Tower], layers: Sequence[int] | None
) -> Iterator[tuple[Tower, int, nn.Module]]:
    for tower in towers:
        blocks = _blocks(backbone, tower)
        for number in range(len(blocks)) if layers is None else layers:
            if not 0 <= number < len(blocks):
                raise UserError(
                    f"layer {number}: the {tower} tower of {backbone.name} has layers 0 to {len(blocks) - 1}"
                )
            yield tower, number, blocks[number]


def _blocks(backbone: Backbone, tower: Tower) -> list[nn.Module]:
    """The blocks of a tower, in order.

    Raises:
        UserError: for a text tower whose layers are another library's.
    """
    if tower == "image":
        return [backbone.vision.module.get_submodule(name) for name in backbone.vision.block_names]
    blocks = list(backbone.text.blocks)
    if not blocks:
        raise UserError(
            f"the text tower of {backbone.name} is not built of open_clip's blocks, so nothing can be put into it"
        )
    return blocks


def _missing(letter: Letter, tower: Tower, block: nn.Module, found: Mapping[str, Projection], name: str) -> str:
    there = ", ".join(one for one in get_args(Letter) if one in found) or "none that LoRA knows"
    if tower == "image" and "q" not in found:
        there += "; attention needs a transformer image tower"
    return f"projection {letter!r}: the {tower} tower of {name} is built of {type(block).__name__}, with {there}"
