"""Image towers that are convolutions or stages of them: one walk over blocks, and nothing to stand prompts beside.

stem -> block 0 -> block 1 -> [smaller, wider] -> block 2 … -> the last feature map, its places as tokens
                ^ trunk_to(1)                   ^ trunk_to(2): behind what leads from one stage to the next

A learner can put pixels around the images, and go on from the states that enter a block; tokens need attention layers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from clipprompt.backbone._injection import Injected, by_layer, frame_images
from clipprompt.backbone._vision import Hidden, Pool, check_size, compute_dtype
from clipprompt.backbone._weights import WeightedTower
from clipprompt.errors import UserError


class Step(NamedTuple):
    """A part of the tower.

    Attributes:
        run: what it does to a feature map.
        name: in the module, of a block; None for what stands between blocks.
    """

    run: Callable[[Tensor], Tensor]
    name: str | None = None


class StagesTower(WeightedTower, ABC):
    """A frozen image tower of stages: a ``VisionTower`` that takes no tokens.

    Attributes:
        kind: what it is, for the lines that refuse.
        only_size: rows and columns of pixels that alone are taken; None where others are too.
    """

    n_layers = 0
    n_prefix = 0
    layer_widths: tuple[int, ...] = ()
    patch_size: int
    kind: str
    _steps: Sequence[Step]
    only_size: tuple[int, int] | None = None
    _colours_last = False

    @property
    def block_names(self) -> tuple[str, ...]:
        """The blocks' names in ``module``, in the order of the walk."""
        return tuple(step.name for step in self._steps if step.name is not None)

    def trunk(
        self,
        images: Tensor,
        prompts: Tensor | None = None,
        deep: Tensor | None = None,
        *,
        injected: Injected | None = None,
    ) -> Hidden:
        """The last feature map as tokens.

        Args:
            images: (B, 3, H, W), H and W multiples of ``patch_size``; some towers take their native size alone.
            prompts: must be None: a feature map has no tokens to prompt.
            deep: must be None.
            injected: a frame of pixels around the images, of any width, or nothing.

        Returns:
            Hidden states (B, P, W).

        Raises:
            UserError: if prompts are given, or the size does not fit.
        """
        injected = injected or by_layer(prompts, deep)
        self._refuse_tokens(injected)
        self._check_images(images)
        return self._enter(frame_images(images, injected.frame), len(self.block_names))

    def trunk_to(self, images: Tensor, layer: int) -> Hidden:
        """The states that enter a block.

        Args:
            images: (B, 3, H, W).
            layer: the block's number; that of all blocks for the whole trunk.

        Raises:
            UserError: if the size does not fit.
            ValueError: for a block that is not there.
        """
        self._check_images(images)
        return self._enter(images, layer)

    def trunk_from(self, hidden: Hidden, layer: int, injected: Injected | None = None) -> Hidden:
        """The rest of the trunk from the states that enter block ``layer``.

        Raises:
            UserError: if tokens are given.
            ValueError: for a block that is not there, or a frame, which enters by ``trunk``.
        """
        injected = injected or Injected()
        self._refuse_tokens(injected)
        if injected.changes_pixels:
            raise ValueError("what changes the pixels enters by trunk: within it, they are gone")
        return self._run(self._as_map(hidden), self._position(layer), len(self._steps))

    def final(self, hidden: Hidden, pool: Pool = "own") -> Tensor:
        """The image's feature before the projection into the joint space.

        Args:
            hidden: from ``trunk``.
            pool: ``own`` is all that there is.

        Returns:
            float32 (B, ``final_width``).

        Raises:
            UserError: for another pool.
        """
        if pool != "own":
            raise UserError(f"pool={pool} needs a transformer image tower; this backbone's is a {self.kind}: pool=own")
        return self._final(hidden).float()

    def attention(self, images: Tensor, injected: Injected | None, layer: int) -> Tensor:
        """Refuses: nothing here attends."""
        raise UserError(f"attention needs a transformer image tower; this backbone's is a {self.kind}")

    @abstractmethod
    def _final(self, hidden: Hidden) -> Tensor:
        """The image's feature before the projection into the joint space."""

    def _check_images(self, images: Tensor) -> None:
        check_size(images, self.patch_size)
        height, width = images.shape[-2:]
        if self.only_size and (height, width) != self.only_size:
            rows, columns = self.only_size
            raise UserError(f"images of {width} x {height} pixels: this {self.kind} takes {columns} x {rows} only")

    def _enter(self, images: Tensor, layer: int) -> Hidden:
        if self.module.training:  # whoever holds the model may have called train(); its batch norms must not move
            self.module.eval()
        return self._run(images.to(compute_dtype(self.module)), 0, self._position(layer))

    def _refuse_tokens(self, injected: Injected) -> None:
        if injected.tokens or injected.added:
            raise UserError(f"visual prompts need a transformer image tower; this backbone's is a {self.kind}")
        if injected.channels is not None:
            raise UserError(f"prompts on channels need patches embedded at once; this backbone's is a {self.kind}")

    def _position(self, layer: int) -> int:
        """The number of steps before block ``layer``."""
        positions = [i for i, step in enumerate(self._steps) if step.name is not None] + [len(self._steps)]
        if not 0 <= layer < len(positions):
            raise ValueError(f"there is no block {layer}: the image tower has {len(positions) - 1}")
        return positions[layer]

    def _run(self, maps: Tensor, first: int, last: int) -> Hidden:
        for step in self._steps[first:last]:
            maps = step.run(maps)
        if self._colours_last:
            return Hidden(maps.flatten(1, 2), (maps.shape[1], maps.shape[2]))
        return Hidden(maps.flatten(2).transpose(1, 2), (maps.shape[2], maps.shape[3]))

    def _as_map(self, hidden: Hidden) -> Tensor:
        maps: Tensor = hidden.states.to(compute_dtype(self.module)).unflatten(1, hidden.grid)
        return maps if self._colours_last else maps.permute(0, 3, 1, 2)


def blocks_of(name: str, blocks: Any) -> list[Step]:
    """The steps of a sequence of blocks that has this name; none where it is empty."""
    named: Any = blocks.named_children() if isinstance(blocks, nn.Sequential) else ()
    return [Step(block, f"{name}.{child}") for child, block in named]
