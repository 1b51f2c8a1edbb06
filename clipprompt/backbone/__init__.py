"""The frozen CLIP that all learners share: two towers with injection points, tokenizer and transform.

Backbones from timm have an image tower alone. This folder is the only one that imports open_clip and timm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import open_clip
import torch
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CustomTextCLIP
from torch import Tensor

from clipprompt.backbone._blocks import cast_layer_scales
from clipprompt.backbone._fork import fork
from clipprompt.backbone._injection import Channels, Injected
from clipprompt.backbone._loading import (
    RANDOM,
    brings_its_weights,
    check_device,
    check_open_clip,
    check_precision,
    evaluation_transform,
    load_open_clip,
    resolve_device,
)
from clipprompt.backbone._templates import resolve_templates
from clipprompt.backbone._text_tower import AnyTextTower
from clipprompt.backbone._text_towers import without_text, wrap_text_tower
from clipprompt.backbone._timm import PREFIX, ImageModel, check_timm, load_timm, timm_transform, wrap_timm_model
from clipprompt.backbone._transform import ImageTransform
from clipprompt.backbone._vision import Hidden, Pool, VisionTower, compute_dtype, first_convolution
from clipprompt.backbone._vision_towers import wrap_vision_tower
from clipprompt.errors import UserError

__all__ = [
    "AnyTextTower",
    "Backbone",
    "Channels",
    "Hidden",
    "ImageTransform",
    "Injected",
    "Pool",
    "VisionTower",
    "brings_its_weights",
    "check_backbone",
    "check_device",
    "first_convolution",
    "has_text_tower",
    "load_backbone",
    "resolve_device",
    "resolve_templates",
    "without_text",
]

_PRECISION_OF = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


class Backbone:
    """A frozen CLIP, or an image tower of timm. It is no ``nn.Module``: a learner that holds one owns no weight of it.

    Attributes:
        name: what it was loaded by.
        pretrained: weights tag, ``random``, a file, or None where the name says it all.
        has_text: whether there is a text tower. Where not, whatever needs one raises a ``UserError``.
        text: the text tower.
        vision: the image tower.
        tokenizer: texts to ids.
        preprocess: evaluation transform, PIL image to (3, H, W), in one step or two; None when none was given.
        logit_scale: factor of the cosines, already exponentiated.
        embed_dim: E, size of the joint space; of an image tower alone, of its pooled feature.
    """

    def __init__(self, model: Any, tokenizer: Any, preprocess: Any, name: str, pretrained: str | None) -> None:
        if not isinstance(model, CLIP | CustomTextCLIP | CoCa | ImageModel):
            raise UserError(f"backbone {name!r} is a {type(model).__name__}, which is not supported (CLIP is)")
        self._model = model.requires_grad_(False).eval()
        cast_layer_scales(model)
        self.name = name
        self.pretrained = pretrained
        self.has_text = not isinstance(model, ImageModel)
        self._tokenizer = tokenizer
        self.preprocess = None if preprocess is None else ImageTransform(preprocess)
        self._text, self._logit_scale = None, 1.0
        if not isinstance(model, ImageModel):
            self._text = wrap_text_tower(model, tokenizer, name)
            self._logit_scale = float(model.logit_scale.detach().float().exp())
        self.vision = wrap_vision_tower(model.visual)
        size = model.visual.image_size
        self.image_size: int = size if isinstance(size, int) else size[0]

    @classmethod
    def from_open_clip(
        cls, model: Any, tokenizer: Any, preprocess: Any = None, *, name: str = "custom", pretrained: str | None = None
    ) -> Backbone:
        """Wraps an open_clip model that you already hold. The model is frozen and put into evaluation mode.

        Raises:
            UserError: if a tower is of a kind that is not supported.
        """
        return cls(model, tokenizer, preprocess, name, pretrained)

    @classmethod
    def from_timm(
        cls, model: Any, preprocess: Any = None, *, name: str = "custom", pretrained: str | None = None
    ) -> Backbone:
        """Wraps a timm model that you already hold, as a backbone without a text tower.

        Its weights are frozen and shared: put it onto its device and into its precision before. The model itself keeps
        its classifier, which is not part of the backbone.

        Args:
            model: a VisionTransformer, Eva, SwinTransformer, ConvNeXt, FastVit or ResNet of timm.
            preprocess: PIL image to (3, H, W); None for timm's own evaluation transform.
            name: for messages and prompt folders.
            pretrained: for prompt folders.

        Raises:
            UserError: if the tower is of a kind that is not supported.
        """
        wrapped = wrap_timm_model(model)
        return cls(wrapped, None, preprocess or timm_transform(wrapped.visual.trunk), name, pretrained)

    @property
    def model(self) -> Any:
        """The open_clip model itself; of a backbone from timm, a module whose ``visual.trunk`` is timm's."""
        return self._model

    @property
    def text(self) -> AnyTextTower:
        """The text tower."""
        if self._text is None:
            raise self._without_text()
        return self._text

    @property
    def tokenizer(self) -> Any:
        """Texts to ids."""
        if not self.has_text:
            raise self._without_text()
        return self._tokenizer

    @property
    def logit_scale(self) -> float:
        """Factor of the cosines between images and texts."""
        if not self.has_text:
            raise self._without_text()
        return self._logit_scale

    def _without_text(self) -> UserError:
        return UserError(f"this {without_text(self.name)}")

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self._model.parameters()).device
        return device

    @property
    def precision(self) -> str:
        """``fp32``, ``bf16`` or ``fp16``: the type in which the towers compute."""
        return _PRECISION_OF[compute_dtype(self._model.visual)]

    @property
    def embed_dim(self) -> int:
        """E, size of the joint space."""
        return self.vision.embed_dim

    @property
    def n_parameters(self) -> int:
        """Numbers of all its weights, text tower included."""
        return sum(weight.numel() for weight in self._model.parameters())

    @property
    def n_image_parameters(self) -> int:
        """Numbers of the image tower's weights."""
        return sum(weight.numel() for weight in self._model.visual.parameters())

    @property
    def text_width(self) -> int:
        """D, size of the token embeddings."""
        return self.text.width

    @property
    def context_length(self) -> int:
        """Longest text in tokens, start and end token included."""
        return self.text.context_length

    def tokenize(self, texts: Sequence[str], *, truncate: bool = False) -> Tensor:
        """Texts to ids (N, context_length), on the CPU.

        Args:
            texts: N texts.
            truncate: cut a text that is too long, keeping the end token last, instead of refusing it.

        Raises:
            UserError: naming the first text that does not fit.
        """
        if isinstance(texts, str):
            raise UserError(f"texts are a list of strings, not one string: [{texts!r}] for a single text")
        length = self.context_length
        tokens: Tensor = self.tokenizer(list(texts), context_length=length)
        if not truncate:
            # One more position tells a text that just fits from one that was cut.
            ends = self.text.end_positions(self.tokenizer(list(texts), context_length=length + 1))
            for text, end in zip(texts, ends.tolist(), strict=True):
                if end >= length:
                    raise UserError(f"too long for this backbone's {length} tokens: {text[:80]!r}")
        return tokens

    @torch.no_grad()
    def encode_text(self, tokens: Tensor) -> Tensor:
        """Text features, equal to open_clip's ``encode_text``.

        Args:
            tokens: ids (N, L).

        Returns:
            float32 (N, E), not normalised.
        """
        return self.text.encode_tokens(tokens)

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> Tensor:
        """Image features, equal to open_clip's ``encode_image`` at the native size.

        Args:
            images: (B, 3, H, W), as ``preprocess`` makes them; other sizes have their positions interpolated.

        Returns:
            float32 (B, E), not normalised.
        """
        return self.vision.pool(self.vision.trunk(images.to(self.device)))

    def fork(self) -> Backbone:
        """A backbone of one's own to put modules into: its parameters and buffers are the same tensors, not copies."""
        return fork(self)

    def compile(self) -> Backbone:
        """Compiles the blocks of open_clip's own transformers, text and image, with ``torch.compile``.

        Results are those of before up to float rounding. Other kinds of towers stay as they are. The compiler runs at
        the first steps, half a minute in all; on a CPU hardly anything is gained (see ``_compile``).

        Returns:
            The backbone itself.

        Raises:
            UserError: if nothing can be compiled here, for want of a C++ compiler or of Triton.
        """
        from clipprompt.backbone._compile import compile_blocks  # torch's compiler is slow to import

        compile_blocks(self._model, self.device)
        return self

    def fingerprint(self) -> str:
        """A short hash that tells one set of weights from another: 16 hexadecimal digits.

        Every tensor's name, shape and a stride of its values enter.
        """
        digest = hashlib.sha256()
        for key, tensor in sorted(self._model.state_dict().items()):
            values = tensor.detach().flatten()
            sample = values[:: max(1, values.numel() // 1024)].float().cpu()
            digest.update(f"{key}{tuple(tensor.shape)}".encode())
            digest.update(sample.numpy().tobytes())
        return digest.hexdigest()[:16]


def load_backbone(
    name: str,
    pretrained: str | None = None,
    device: str | torch.device = "auto",
    precision: str = "fp32",
    image_size: int | None = None,
    seed: int = 0,
) -> Backbone:
    """Loads a frozen CLIP, or an image tower of timm.

    Args:
        name: any open_clip architecture (``ViT-B-16``), ``hf-hub:org/repo``, a local folder, ``mini`` or ``mini-vit``;
            or ``timm:`` and a name as timm spells it (``timm:vit_base_patch16_224.mae``, ``timm:hf-hub:org/repo``).
        pretrained: weights tag of open_clip, the path of a weights file, or ``random``.
            OpenAI's tags get QuickGELU by themselves. timm's tags stand in the name.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: ``fp32``, ``bf16`` or ``fp16`` for the towers; prompts stay float32.
        image_size: pixels of a side, where not the model's own; positions are interpolated.
        seed: of random weights, when an architecture is loaded without a tag.

    Raises:
        UserError: for anything that cannot be had, in one line.
    """
    place = resolve_device(device)
    check_precision(precision, place)
    model: Any
    if name.startswith(PREFIX):
        model, tokenizer = load_timm(name, pretrained, place, precision, seed), None
        transform = timm_transform(model.visual.trunk, image_size)
    else:
        model, tokenizer, config = load_open_clip(name, pretrained, place, precision, seed)
        transform = evaluation_transform(config, image_size)
    tag = RANDOM if pretrained is None and name in open_clip.list_models() else pretrained
    backbone = Backbone(model, tokenizer, transform, name, tag)
    if image_size is not None:
        _check_image_size(backbone, image_size)
        backbone.image_size = image_size
    return backbone


def check_backbone(name: str, pretrained: str | None) -> None:
    """Finds a wrong name or weights tag without reading weights or fetching anything.

    Raises:
        UserError: as :func:`load_backbone`, as far as that can be told.
    """
    (check_timm if name.startswith(PREFIX) else check_open_clip)(name, pretrained)


def has_text_tower(name: str) -> bool:
    """Whether the backbone of that name reads texts; timm's have images alone."""
    return not name.startswith(PREFIX)


def _check_image_size(backbone: Backbone, image_size: int) -> None:
    tower = backbone.vision
    if image_size <= 0 or image_size % tower.patch_size:
        raise UserError(f"image size {image_size} is not a multiple of {tower.patch_size}")
    native = getattr(tower, "only_size", None)
    if native not in (None, (image_size, image_size)):
        raise UserError(f"image size {image_size}: {backbone.name} takes {native[0]} only; leave the size out")
