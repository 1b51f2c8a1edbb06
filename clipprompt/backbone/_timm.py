"""timm's image towers by name, without a text tower: ``timm:ARCHITECTURE[.TAG]`` or ``timm:hf-hub:ORG/NAME``.

The tag says which weights, and how pictures are prepared for them. Weights may also be a file, or random.
"""

from __future__ import annotations

import copy
import importlib
import re
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from timm.models import list_models, load_state_dict
from torch import Tensor, nn

from clipprompt.backbone._loading import DTYPES, LOADING_ERRORS, RANDOM, WEIGHTS_ERRORS, first_line, undisturbed
from clipprompt.backbone._vision_towers import wrap_vision_tower
from clipprompt.errors import UserError, nearest

PREFIX = "timm:"
_HUB = "hf-hub:"
# What published files put before the names of the weights: MoCo v3's, and those of an open_clip model.
_WRAPPED_IN = ("base_encoder.", "visual.trunk.")


class ImageModel(nn.Module):
    """What stands in the place of an open_clip model: an image tower and nothing else."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.visual = _Visual(trunk)


class _Visual(nn.Module):
    """The parts that towers read of open_clip's ``TimmModel``; the joint space is the pooled feature's own."""

    def __init__(self, trunk: Any) -> None:
        super().__init__()
        self.trunk, self.head = trunk, nn.Identity()
        self.image_size: tuple[int, int] = _data_config(trunk)["input_size"][-2:]

    def forward(self, images: Tensor) -> Tensor:
        pooled: Tensor = self.trunk(images)
        return pooled


def wrap_timm_model(model: Any) -> ImageModel:
    """An image model around a timm model that someone holds, without its classifier; the weights are shared."""
    if not isinstance(model, nn.Module) or not hasattr(model, "reset_classifier"):
        raise UserError(f"a {type(model).__name__} is no model of timm, which has forward_features and a classifier")
    tensors = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    trunk: Any = copy.deepcopy(model, tensors)  # the structure alone: the caller's model keeps its classifier
    trunk.reset_classifier(0)
    return ImageModel(trunk)


def timm_transform(trunk: Any, image_size: int | None = None) -> Any:
    """The evaluation transform of timm's own for these weights, at their size or another, for pictures of any mode."""
    size = {} if image_size is None else {"input_size": (3, image_size, image_size)}
    transform: Any = create_transform(**{**_data_config(trunk), **size}, is_training=False)
    transform.transforms.insert(-2, _ToRGB())  # open_clip's do that where it costs least, too
    return transform


def load_timm(name: str, pretrained: str | None, device: torch.device, precision: str, seed: int) -> ImageModel:
    """Builds one of timm's models, without its classifier.

    Args:
        name: ``timm:ARCHITECTURE``, with a tag or without, or ``timm:hf-hub:ORG/NAME``.
        pretrained: None for the weights that the name means, ``random``, or a file as published: safetensors, torch's
            without code in it, or the npz of a ViT.
        device: where the model goes.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        seed: of random weights.

    Raises:
        UserError: for an unknown name or tag, a file that does not fit, or weights that cannot be fetched.
    """
    check_timm(name, pretrained)
    source = name.removeprefix(PREFIX)
    try:
        with undisturbed(seed):
            trunk = timm.create_model(source, pretrained=pretrained is None, num_classes=0)
    except (*LOADING_ERRORS, *WEIGHTS_ERRORS) as error:
        absent = isinstance(error, LocalEntryNotFoundError)
        reason = "its weights are not on this machine and cannot be fetched" if absent else first_line(error)
        raise UserError(f"cannot load backbone {name!r}: {reason.rstrip('.')}; {_remedy(source)}") from error
    if pretrained not in (None, RANDOM):
        _read_weights(trunk, name, Path(pretrained))
    return ImageModel(trunk.to(device, DTYPES[precision]))


def check_timm(name: str, pretrained: str | None) -> None:
    """Finds a wrong name, tag or file, or a tower that is not supported; nothing is read or fetched.

    Raises:
        UserError: as :func:`load_timm`, but for what only the file or the Hub can tell.
    """
    source = name.removeprefix(PREFIX)
    if pretrained not in (None, RANDOM) and not Path(pretrained).is_file():
        raise UserError(f"{name} has no weights {pretrained!r}: there is no such file; {_known_weights(source)}")
    if source.startswith(_HUB):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?", source.removeprefix(_HUB)):
            raise UserError(f"backbone {name!r}: give a repository of the Hub as {PREFIX}{_HUB}ORG/NAME")
        return
    architecture, _, tag = source.partition(".")
    if architecture not in (known := list_models()):
        raise UserError(f"timm has no model {architecture!r}{nearest(architecture, known)}; timm.list_models() has all")
    if tag and tag not in (tags := timm_tags(architecture)):
        raise UserError(f"timm has no weights {tag!r} of {architecture}{nearest(tag, tags)}; {_known_weights(source)}")
    if pretrained is None and not tag and not timm_tags(architecture):
        raise UserError(f"timm has no weights of {architecture}; {_known_weights(source)}")
    wrap_vision_tower(sketch_timm(name).visual)


def find_timm(part: str) -> list[str]:
    """The architectures of timm with ``part``, behind ``timm:``, in their names; with a whole name or a tag that one.

    Raises:
        UserError: if there is none.
    """
    source = part.removeprefix(PREFIX)
    architecture, _, tag = source.partition(".")
    if architecture in list_models():
        if tag:
            check_timm(part, RANDOM)
        return [part]
    found = [] if source.startswith(_HUB) or tag else list_models(f"*{source.lower()}*")
    if not found:
        raise UserError(f"timm has no architecture {source!r}{nearest(architecture, list_models())}")
    return [f"{PREFIX}{name}" for name in found]


def sketch_timm(name: str) -> ImageModel:
    """One of timm's models without memory for weights.

    Raises:
        UserError: for one that timm cannot build so.
    """
    try:
        with undisturbed(seed=0), torch.device("meta"):
            return ImageModel(timm.create_model(name.removeprefix(PREFIX).partition(".")[0], num_classes=0))
    except LOADING_ERRORS as error:
        raise UserError(f"{name} cannot be built: {first_line(error)}") from error


def timm_tags(name: str) -> list[str]:
    """Tags of the weights that timm has of an architecture."""
    architecture = name.removeprefix(PREFIX).partition(".")[0]
    return [found.partition(".")[2] for found in timm.list_pretrained(f"{architecture}.*")]


def _known_weights(source: str) -> str:
    """What can be given instead, for the end of a message."""
    architecture = source.partition(".")[0]
    tags = [] if source.startswith(_HUB) else timm_tags(architecture)
    named = f"a tag in the name, {PREFIX}{architecture}.TAG ({', '.join(tags)}), " if tags else ""
    return f"give {named}{RANDOM!r} or a file"


def _remedy(source: str) -> str:
    """How weights come onto a machine that cannot fetch them."""
    if source.startswith(_HUB):
        place = source.removeprefix(_HUB)
    else:
        config = timm.models.get_pretrained_cfg(source)
        place = (config.hf_hub_id if config else None) or f"timm/{source}"
    return f"with a network, hf download {place} brings them here; or give a file of weights, or {RANDOM!r}"


def _read_weights(trunk: Any, name: str, path: Path) -> None:
    """Fills a model from a file of its own make or as published, without the classifier.

    Raises:
        UserError: naming the file and what it lacks.
    """
    try:
        missing = _fill(trunk, path)
    except (*LOADING_ERRORS, *WEIGHTS_ERRORS, AttributeError, IndexError, BadZipFile) as error:
        raise UserError(f"{path} cannot be read as weights of {name}: {_short(error)}") from error
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise UserError(f"{path} holds no weights of {name}: it has no {missing[0]!r}{more}")


def _fill(trunk: Any, path: Path) -> list[str]:
    """Reads a file into a model. Returns the names of the weights that it does not have."""
    if path.suffix == ".npz":  # of the first ViTs, in JAX's layout
        if not is_zipfile(path):
            raise ValueError("it is not an npz file")
        trunk.load_pretrained(str(path))
        return []
    found = load_state_dict(str(path), weights_only=True)
    convert = getattr(importlib.import_module(type(trunk).__module__), "checkpoint_filter_fn", None)
    for prefix in _WRAPPED_IN:
        inner = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
        found = inner or found
    missing: list[str] = trunk.load_state_dict(convert(found, trunk) if convert else found, strict=False).missing_keys
    return missing


def _short(error: BaseException) -> str:
    """The first thing that is wrong: torch lists what does not fit line by line below a heading."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[1] if len(lines) > 1 and lines[0].startswith("Error(s) in loading") else first_line(error)


class _ToRGB:
    """A picture of any mode as RGB; caches and records know a transform by its repr, where functions have addresses."""

    def __repr__(self) -> str:
        return "ToRGB()"

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.convert("RGB")


def _data_config(trunk: Any) -> dict[str, Any]:
    """How pictures are prepared for these weights, with the size that the model was built for."""
    config: dict[str, Any] = resolve_data_config({}, model=trunk)  # type: ignore[no-untyped-call]
    size = getattr(getattr(trunk, "patch_embed", None), "img_size", None)
    return config if size is None else {**config, "input_size": (3, *size)}
