r"""Visual prompt tuning with a linear head (VPT, Jia 2022, arXiv 2203.12119), on any image tower.

    prepend   [class][patches][visual_ctx 1 … n]      -> layer i      [deep 1, 1 … n] -> layer i+1 … layer j -> head
    add       [class + ctx][patches + ctx]            -> layer i      …
    pad       a learnt border around the pixels       -> the tower as it is
    channels  pixels beside the colours, with weights of the patch embedding of their own

Depth 1 is VPT-shallow, all layers are VPT-deep, and bias learns the tower's bias terms too (VPT + bias). Where prompts
start behind the first layer, the layers before them are computed once for each picture.

Prompts start as in the original, uniform within sqrt(6 / (3 p^2 + W)) for patches of p pixels. Where we depart from it:
prompts stand behind the patches, which attention does not see; padding goes around the picture, of which no pixel is
lost; a mask of dropout serves all pictures of a step, so that processes which share a batch agree.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from clipprompt.backbone import Backbone, Channels, Hidden, Injected, first_convolution
from clipprompt.errors import UserError
from clipprompt.learners._base import Features, ImageStates, LearnerOptions
from clipprompt.learners._head import HeadLearner, HeadOptions
from clipprompt.learners._step_dropout import StepDropout
from clipprompt.learners._tower_weights import copy_weights, names_read, run_with_copies

Where = Literal["prepend", "add", "pad", "channels"]


class VPTHeadOptions(HeadOptions):
    """Options of ``vpt_head``."""

    n_ctx: int = Field(
        10,
        ge=1,
        le=200,
        description="prompts of each layer; or pixels of padding; or channels; add has one for each token",
    )
    depth: int | None = Field(
        None, ge=1, description="layers with prompts of their own; 1 is VPT-shallow; none = all that follow"
    )
    first_layer: int = Field(0, ge=0, description="the first layer with prompts, counted from 0")
    where: Where = Field("prepend", description="prepend (tokens), add (to the embeddings), pad, channels (pixels)")
    bias: bool = Field(False, description="learn the image tower's bias terms too")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the prompts' numbers left out at a training step")


class VPTHead(HeadLearner):
    """Prompts in the image tower and a linear head.

    Parameters, beside the head's, and with ``bias`` the ``weights``:
        prepend, add: ``visual_ctx`` (n, W) of the first layer with prompts and ``deep_visual_ctx`` (J-1, n, W) of those
            after it, a list of such where the tower has several widths. With ``add``, n is the number of its tokens.
        pad: ``border_rows`` (3, 2n, W + 2n) above and below the picture and ``border_columns`` (3, H, 2n) beside it.
        channels: ``pixels`` (n, H, W) and what embeds them, ``kernel`` (W, n, p, p).
    """

    Options: ClassVar[type[LearnerOptions]] = VPTHeadOptions
    puts_prompts: ClassVar[bool] = True
    options: VPTHeadOptions
    visual_ctx: nn.Parameter
    deep_visual_ctx: nn.Parameter | nn.ParameterList | None

    def __init__(self, backbone: Backbone, options: VPTHeadOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        _check(backbone, options)
        make = {"pad": self._make_border, "channels": self._make_channels}.get(options.where, self._make_tokens)
        make(generator)
        if options.bias:
            pool = "all" if options.pool == "prompts" else options.pool
            names = [name for name in names_read(backbone, pool) if name.endswith("bias")]
            self.weights = copy_weights(backbone.vision, names)
        elif options.first_layer > 0:
            self.frozen_part = f"before-{options.first_layer}"
        self._dropout = StepDropout(self, options.dropout, generator)
        if options.where != "prepend" or options.pool != "own":  # what the tower refuses is said now
            with torch.no_grad():
                self.image_state(_black(backbone))

    def injected(self) -> Injected:
        """What stands where in the image tower's walk, with gradients."""
        options = self.options
        if options.where == "pad":
            return Injected(frame=self._frame())
        if options.where == "channels":
            return Injected(channels=Channels(self._dropout(self.pixels), self.kernel))
        prompts = {options.first_layer + i: self._dropout(ctx) for i, ctx in enumerate(self._layers())}
        return Injected(tokens=prompts) if options.where == "prepend" else Injected(added=prompts)

    def encode_images(self, images: Tensor) -> ImageStates:
        """States that enter the first layer with prompts; where that is the input, the feature itself."""
        if self.frozen_part is None:
            return super().encode_images(images)
        with torch.no_grad():
            hidden = self.backbone.vision.trunk_to(images.to(self.backbone.device), self.options.first_layer)
        return ImageStates(hidden.states, hidden.grid)

    def image_state(self, images: Tensor) -> Tensor:
        """The prompted tower's feature (B, W_out)."""
        tower, injected = self.backbone.vision, self.injected()

        def feature() -> Tensor:
            return tower.final(tower.trunk(images, injected=injected), self.options.pool)

        return run_with_copies(tower, self.weights, feature) if self.options.bias else feature()

    def states_to_feature(self, states: ImageStates) -> Tensor:
        """The feature (B, W_out): the prompted layers', where those before are frozen."""
        if self.frozen_part is None:
            return super().states_to_feature(states)
        tower, hidden = self.backbone.vision, Hidden(states.values, states.grid)
        hidden = tower.trunk_from(hidden, self.options.first_layer, self.injected())
        return tower.final(hidden, self.options.pool)

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The training loss, with dropout."""
        with self._dropout.step():
            return super().loss(inputs, labels)

    def loss_from(self, features: Features, labels: Tensor) -> Tensor:
        """The training loss from encoded images, with dropout where prompts come after them."""
        with self._dropout.step():
            return super().loss_from(features, labels)

    def _layers(self) -> list[Tensor]:
        """The prompts of each layer."""
        deep = self.deep_visual_ctx
        stacks = [] if deep is None else [deep] if isinstance(deep, nn.Parameter) else list(deep)
        return [self.visual_ctx, *(stack[i] for stack in stacks for i in range(len(stack)))]

    def _make_tokens(self, generator: torch.Generator) -> None:
        first, *deep = self._token_sizes()
        self.visual_ctx = self._uniform(first, first[1], generator)
        stacks = [self._uniform((len(list(run)), *size), size[1], generator) for size, run in groupby(deep)]
        if len(stacks) > 1:
            self.deep_visual_ctx = nn.ParameterList(stacks)
        else:
            self.register_parameter("deep_visual_ctx", stacks[0] if stacks else None)

    def _token_sizes(self) -> list[tuple[int, int]]:
        """The number and width of the prompts of each layer that has some."""
        options, widths = self.options, self.backbone.vision.layer_widths
        last = len(widths) if options.depth is None else options.first_layer + options.depth
        sizes: list[tuple[int, int]] = []
        for width, run in groupby(range(options.first_layer, last), key=widths.__getitem__):
            layers = list(run)  # layers of one width have as many tokens
            n = options.n_ctx if options.where == "prepend" else _n_tokens(self.backbone, layers[0])
            sizes += [(n, width)] * len(layers)
        return sizes

    def _make_border(self, generator: torch.Generator) -> None:
        n, side = self.options.n_ctx, self.backbone.image_size
        self.border_rows = self._pixels((3, 2 * n, side + 2 * n), generator)
        self.border_columns = self._pixels((3, side, 2 * n), generator)

    def _make_channels(self, generator: torch.Generator) -> None:
        n, side = self.options.n_ctx, self.backbone.image_size
        self.pixels = self._pixels((n, side, side), generator)
        width, _, *patch = first_convolution(self.backbone.vision.module).weight.shape
        self.kernel = self._uniform((width, n, *patch), width, generator)

    def _uniform(self, sizes: tuple[int, ...], width: int, generator: torch.Generator) -> nn.Parameter:
        """What has W = ``width`` as the original starts it: by Glorot's rule for what embeds a patch."""
        n_inputs = first_convolution(self.backbone.vision.module).weight[0].numel()
        bound = (6 / (n_inputs + width)) ** 0.5
        return nn.Parameter(torch.empty(sizes).uniform_(-bound, bound, generator=generator).to(self.backbone.device))

    def _pixels(self, sizes: tuple[int, ...], generator: torch.Generator) -> nn.Parameter:
        """Pixels as normalised pictures have them, within a standard deviation of their mean."""
        return nn.Parameter(torch.empty(sizes).uniform_(-1, 1, generator=generator).to(self.backbone.device))

    def _frame(self) -> Tensor:
        """The border (3, H + 2n, W + 2n) around nothing."""
        n, rows, columns = self.options.n_ctx, self._dropout(self.border_rows), self._dropout(self.border_columns)
        side = columns.shape[1]
        between = torch.cat([columns[..., :n], columns.new_zeros(3, side, side), columns[..., n:]], dim=2)
        return torch.cat([rows[:, :n], between, rows[:, n:]], dim=1)


def _black(backbone: Backbone) -> Tensor:
    return torch.zeros(1, 3, backbone.image_size, backbone.image_size, device=backbone.device)


def _n_tokens(backbone: Backbone, layer: int) -> int:
    """How many tokens of the tower's own enter a layer."""
    with torch.no_grad():
        return backbone.vision.trunk_to(_black(backbone), layer).states.shape[1]


def _check(backbone: Backbone, options: VPTHeadOptions) -> None:
    """Refuses prompts for which the tower has no place.

    Raises:
        UserError: naming the option, its value and what can be given.
    """
    tower, where, first, depth = backbone.vision, options.where, options.first_layer, options.depth
    if where != "pad" and not tower.n_layers:
        raise UserError(
            f"vpt_head where={where} needs a transformer image tower, such as ViT-B-16's; {backbone.name} has none, "
            "but where=pad puts prompts around its pixels"
        )
    if options.pool == "prompts" and where != "prepend":
        raise UserError(f"pool=prompts reads tokens of prompts, which where={where} has not; use own, class or image")
    if where in ("pad", "channels") and (first or depth is not None):
        raise UserError(f"where={where} enters before the first layer: leave out first_layer and depth")
    if first + (depth or 1) > max(tower.n_layers, 1):
        asked = f"first_layer {first}" + (f" with depth {depth}" if depth else "")
        raise UserError(f"{asked} is too large: the image tower of {backbone.name} has {tower.n_layers} layers")
    if where == "pad" and len(set(tower.layer_widths)) == 1:
        _check_padding(options.n_ctx, tower.patch_size)


def _check_padding(n: int, patch: int) -> None:
    """Refuses a picture that would not grow by whole patches."""
    if 2 * n % patch:
        step = patch // math.gcd(patch, 2)
        raise UserError(
            f"where=pad with n_ctx {n}: on both sides together that must be a multiple of the patches' {patch} pixels; "
            f"the nearest is {max(1, round(n / step)) * step}"
        )
