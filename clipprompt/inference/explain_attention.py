r"""Where the prompts of an image tower look: how each of them attends to the places of a picture.

[class][places 1 … P][prompts 1 … n] --layer--> softmax weights (heads, L, L) --mean over heads--> rows of the prompts

Of a prompt's row the part that falls on the places is a map, and its sum the share that the prompt gives the picture;
the rest goes to the class token, to registers and to prompts. A weight is what a token reads, no cause of an answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from clipprompt.backbone import Injected, VisionTower
from clipprompt.datasets.decoding import open_image
from clipprompt.errors import UserError
from clipprompt.features.images import check_loading
from clipprompt.learners import Learner

_WITH_TOKENS = "vpt, vpt_head, ivlp, promptsrc and maple"


@runtime_checkable
class _Injects(Protocol):
    """A learner that says itself what it puts into the tower."""

    def injected(self) -> Injected:
        """What stands where."""


@dataclass(frozen=True)
class LayerAttention:
    """What the prompts of a layer attend to.

    Attributes:
        layer: counted from 0.
        maps: (n, rows, columns), float32: weights of the places; a prompt's row of all tokens sums to 1.
    """

    layer: int
    maps: npt.NDArray[np.float32]

    @property
    def shares(self) -> npt.NDArray[np.float32]:
        """(n,): how much of each prompt's attention falls on places."""
        shares: npt.NDArray[np.float32] = self.maps.sum(axis=(1, 2))
        return shares


@dataclass(frozen=True)
class PictureAttention:
    """A picture as the tower sees it, and the layers that were asked for.

    Attributes:
        path: of the file.
        picture: resized and cropped.
        layers: in their order.
    """

    path: str
    picture: Image.Image
    layers: tuple[LayerAttention, ...]

    @property
    def n_prompts(self) -> int:
        """The most prompts that a layer has."""
        return max(len(entry.maps) for entry in self.layers)

    def strongest(self, n: int) -> list[int]:
        """The ``n`` prompts, counted from 0 and in their order, that give the picture most, by the mean over layers."""
        given = np.zeros(self.n_prompts)
        for entry in self.layers:
            given[: len(entry.maps)] += entry.shares
        return sorted(np.argsort(-given, kind="stable")[:n].tolist())


def explain_attention(
    learner: Learner, paths: Iterable[str | os.PathLike[str]], *, layers: Sequence[int] | None = None
) -> Iterator[PictureAttention | UserError]:
    """Yields where the prompts look on pictures, or what is wrong with a file.

    Args:
        learner: a trained one with prompt tokens in the image tower.
        paths: of pictures, one in memory at a time.
        layers: counted from 0; all that have prompts by default.

    Raises:
        UserError: before the first picture, if the learner has no prompt tokens in a tower whose attention can be
            shown, or a layer has none.
    """
    tokens = prompt_tokens(learner)
    chosen = _layers(learner, tokens, layers)
    transform = check_loading(learner.backbone, 1, 0)
    for path in paths:
        try:
            image = open_image(path)
        except UserError as error:
            yield error
            continue
        pixels = transform.pixels(image)
        maps = _attend(learner, transform.normalise(pixels[None]), tokens, chosen)
        yield PictureAttention(os.fsdecode(path), _as_picture(pixels), tuple(maps))


def prompt_tokens(learner: Learner) -> Injected:
    """The prompts that a learner puts among the tokens of its image tower.

    Raises:
        UserError: if it has none.
    """
    with torch.no_grad():
        found = learner.injected() if isinstance(learner, _Injects) else Injected(tokens=_by_layer(learner))
    if not found.tokens:
        how = f" (where={where})" if (where := getattr(learner.options, "where", None)) else ""
        raise UserError(f"{learner.name}{how} has no prompt tokens in its image tower; {_WITH_TOKENS} have some")
    return found


def _by_layer(learner: Any) -> dict[int, Tensor]:
    """Prompts at the input, and those that replace them: parameters, or of MaPLe made from the text side's."""
    if hasattr(learner, "visual_prompts"):
        first, deep = learner.visual_prompts()
    else:
        first, deep = getattr(learner, "visual_ctx", None), getattr(learner, "deep_visual_ctx", None)
    if first is None:
        return {}
    return {0: first, **dict(enumerate(() if deep is None else deep, 1))}


def _layers(learner: Learner, injected: Injected, asked: Sequence[int] | None) -> list[int]:
    first, end = min(injected.tokens), learner.backbone.vision.n_layers
    if asked is None:
        return list(range(first, end))
    for layer in asked:
        if not first <= layer < end:
            raise UserError(f"layer {layer} has no prompts: those of this {learner.name} are in {first} to {end - 1}")
    return sorted(set(asked))


@torch.no_grad()
def _attend(learner: Learner, batch: Tensor, injected: Injected, layers: Sequence[int]) -> list[LayerAttention]:
    """One picture (1, 3, H, W), with the weights that a learner tunes beside its prompts, if there are any."""
    tower, images = learner.backbone.vision, batch.to(learner.backbone.device)
    own = {name.replace("/", "."): value for name, value in getattr(learner, "weights", {}).items()}
    grid = (batch.shape[2] // tower.patch_size, batch.shape[3] // tower.patch_size)

    def attend() -> list[Tensor]:
        return [tower.attention(images, injected, layer) for layer in layers]

    found = tower.run_with(own, attend) if own else attend()
    return [LayerAttention(layer, _of_prompts(one, tower, grid)) for layer, one in zip(layers, found, strict=True)]


def _of_prompts(attention: Tensor, tower: VisionTower, grid: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Of weights (1, heads, L, L) the rows of the prompts at the places, (n, rows, columns), as the mean over heads."""
    start = tower.n_prefix
    end = start + grid[0] * grid[1]
    rows = attention[0].float().mean(dim=0)[end:, start:end]
    return rows.reshape(-1, *grid).cpu().numpy().astype(np.float32)


def _as_picture(pixels: Tensor) -> Image.Image:
    """Pixels (3, H, W) as the transform gives them: bytes, or of a transform of another make any numbers."""
    if pixels.dtype != torch.uint8:
        low, high = pixels.amin(), pixels.amax()
        pixels = ((pixels - low) / (high - low).clamp(min=1e-9) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
