"""From a name to an open_clip model: architecture and weights tag, ``hf-hub:`` id, local folder, or a bundled mini."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from clipprompt.errors import UserError, nearest
from clipprompt.mini import ASSETS, VIT_ASSETS

RANDOM = "random"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = tuple(DTYPES)
_BUNDLED = {"mini": ASSETS, "mini-vit": VIT_ASSETS}
# What open_clip, timm and the libraries below them raise for a name, a file or a connection that is not right.
LOADING_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError, AssertionError, ImportError)
WEIGHTS_ERRORS = (SafetensorError, pickle.UnpicklingError, EOFError)


def load_open_clip(
    name: str, pretrained: str | None, device: torch.device, precision: str, seed: int
) -> tuple[Any, Any, dict[str, Any]]:
    """Builds the model and its tokenizer.

    Args:
        name: architecture, ``hf-hub:org/repo``, a folder with ``open_clip_config.json``, ``mini`` or ``mini-vit``.
        pretrained: weights tag or path of a weights file, for an architecture only. ``random`` or None: random weights.
        device: where the model goes.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        seed: of the random weights.

    Returns:
        The model, its tokenizer and the configuration of its evaluation transform.

    Raises:
        UserError: for an unknown name or tag, missing or broken files, or weights that cannot be fetched.
    """
    source, options = _resolve(name, pretrained)
    if pretrained is None and not brings_its_weights(name):
        logging.getLogger("clipprompt").warning("%s: no weights tag was given, so its weights are random", name)
    try:
        tokenizer = open_clip.get_tokenizer(source)  # first: where it cannot be had, no weights are fetched
        with undisturbed(seed):
            model = open_clip.create_model(source, device=device, precision=precision, **options)
        if name == "mini-vit":
            model.load_state_dict(_mini_vit_weights())
    except (*LOADING_ERRORS, *WEIGHTS_ERRORS) as error:
        weights = f" with weights {pretrained!r}" if pretrained else ""
        remedy = f"; pip install {error.name}" if isinstance(error, ModuleNotFoundError) else ""
        raise UserError(f"cannot load backbone {name!r}{weights}: {first_line(error)}{remedy}") from error
    return model, tokenizer, dict(model.visual.preprocess_cfg)


def check_open_clip(name: str, pretrained: str | None) -> None:
    """Finds a wrong name or weights tag without loading anything.

    Raises:
        UserError: as :func:`load_open_clip`.
    """
    _resolve(name, pretrained)


def check_device(device: str, precision: str) -> None:
    """Finds a device that is not there, or that has no such precision.

    Raises:
        UserError: naming what can be used.
    """
    check_precision(precision, resolve_device(device))


def evaluation_transform(config: dict[str, Any], image_size: int | None) -> Any:
    """The transform of evaluation, (PIL image) to (3, H, W), at the model's size or another."""
    if image_size is not None:
        config = {**config, "size": (image_size, image_size)}
    return image_transform_v2(PreprocessCfg(**config), is_train=False)


def resolve_device(device: str | torch.device) -> torch.device:
    """Turns ``auto`` into CUDA, MPS or the CPU, whichever is there first.

    Raises:
        UserError: for a device that does not exist on this machine.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"device {str(device)!r} is not there: {first_line(error)}; use auto, cpu, cuda or mps"
        ) from error


def check_precision(precision: str, device: torch.device) -> None:
    """Refuses unknown precisions, and float16 on a CPU, where it is slow and overflows.

    Raises:
        UserError: naming what can be used.
    """
    if precision not in PRECISIONS:
        raise UserError(
            f"precision {precision!r} is not one of {', '.join(PRECISIONS)}{nearest(precision, PRECISIONS)}"
        )
    if precision == "fp16" and device.type == "cpu":
        raise UserError("precision fp16 does not work on a CPU; use bf16 or fp32, or another device")


def brings_its_weights(name: str) -> bool:
    """Whether a name says which weights are meant: bundled, of the Hub, of timm, or a folder.

    An architecture of open_clip needs a tag.
    """
    return name in _BUNDLED or name.startswith(("hf-hub:", "timm:")) or Path(name).is_dir()


def _resolve(name: str, pretrained: str | None) -> tuple[str, dict[str, Any]]:
    if brings_its_weights(name):
        if pretrained is not None:
            raise UserError(f"backbone {name!r} brings its own weights; leave out the weights tag {pretrained!r}")
        if name.startswith("hf-hub:"):
            return name, {}
        if name == "mini-vit":
            return f"local-dir:{VIT_ASSETS}", {"load_weights": False}
        return f"local-dir:{_check_folder(_BUNDLED.get(name, Path(name)))}", {}
    architectures = open_clip.list_models()
    if name not in architectures:
        close = nearest(name, [*architectures, *_BUNDLED])
        raise UserError(
            f"there is no backbone {name!r}{close}; "
            "give an open_clip architecture, timm:name, hf-hub:org/repo or a folder"
        )
    if pretrained in (None, RANDOM):
        return name, {}
    return name, {"pretrained": pretrained, "force_quick_gelu": _quick_gelu(name, pretrained)}


def _mini_vit_weights() -> dict[str, Tensor]:
    """The image tower of its own folder, and all else of ``mini``, whose text tower the two share."""
    shared = load_file(ASSETS / "open_clip_model.safetensors")
    rest = {key: value for key, value in shared.items() if not key.startswith("visual.")}
    return rest | load_file(VIT_ASSETS / "vision.safetensors")


def _quick_gelu(name: str, pretrained: str) -> bool:
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained not in tags and not Path(pretrained).is_file():
        known = f"its tags are {', '.join(tags)}" if tags else "open_clip lists no weights for it"
        raise UserError(f"{name} has no weights {pretrained!r}{nearest(pretrained, tags)}; {known}")
    config = open_clip.get_pretrained_cfg(name, pretrained) or {}
    return bool(config.get("quick_gelu", False))


def _check_folder(folder: Path) -> Path:
    config = folder / "open_clip_config.json"
    if not config.is_file():
        raise UserError(f"{folder} has no open_clip_config.json, so it is not an open_clip model folder")
    try:
        json.loads(config.read_text(encoding="utf-8"))["model_cfg"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{config} is not a configuration of open_clip: {first_line(error)}") from error
    if not any(folder.glob("open_clip_*.safetensors")) and not any(folder.glob("open_clip_*.bin")):
        raise UserError(f"{folder} has no weights (open_clip_model.safetensors)")
    return folder


@contextmanager
def undisturbed(seed: int) -> Iterator[None]:
    """Random weights come from ``seed``; the caller's random state and logging stay as they are."""
    root = logging.getLogger()
    handlers, disabled = list(root.handlers), logging.root.manager.disable
    root.handlers = handlers or [logging.NullHandler()]
    logging.disable(logging.WARNING)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        logging.disable(disabled)
        root.handlers = handlers


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
