"""A prompt folder: the learnt numbers as safetensors, and in JSON what they mean and were learnt on."""

from __future__ import annotations

import json
import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from clipprompt.errors import UserError
from clipprompt.files import write_json, write_tensors

if TYPE_CHECKING:
    from clipprompt.backbone import Backbone
    from clipprompt.learners._base import Learner

WEIGHTS, DESCRIPTION = "prompt.safetensors", "prompt.json"
FORMAT = 1
_KINDS: dict[str, tuple[type, ...]] = {
    "format": (int,),
    "method": (str,),
    "options": (dict,),
    "classnames": (list,),
    "backbone": (dict,),
    "backbone.name": (str,),
    "backbone.pretrained": (str, type(None)),
    "backbone.precision": (str,),
    "backbone.image_size": (int, type(None)),
    "backbone.fingerprint": (str,),
}
_LIBRARIES = ("clipprompt", "torch", "open_clip_torch")


def write_prompt(learner: Learner, folder: Path) -> None:
    """Writes ``prompt.safetensors`` and then ``prompt.json``, so that a described prompt is a whole one."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in learner.kept_state().items()}
    write_tensors(folder / WEIGHTS, tensors)
    write_json(folder / DESCRIPTION, describe(learner))


def describe(learner: Learner) -> dict[str, Any]:
    """What ``prompt.json`` holds: method, options, class names, backbone, library versions."""
    backbone = learner.backbone
    return {
        "format": FORMAT,
        "method": learner.name,
        "options": learner.options.model_dump(mode="json"),
        "classnames": list(learner.classnames),
        "backbone": {
            "name": backbone.name,
            "pretrained": backbone.pretrained,
            "precision": backbone.precision,
            "image_size": backbone.image_size,
            "fingerprint": backbone.fingerprint(),
        },
        "versions": {library: version(library) for library in _LIBRARIES},
    }


def read_description(folder: Path) -> dict[str, Any]:
    """Reads and checks ``prompt.json``.

    Raises:
        UserError: if the folder is no prompt folder, or the file is broken or of a newer clipprompt.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise UserError(f"{folder} is not a prompt folder: it has no {DESCRIPTION}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} is not a description of a prompt: it holds a {type(found).__name__}, not an object")
    layout = found.get("format")
    if isinstance(layout, int) and layout > FORMAT:
        raise UserError(f"{path} has format {layout}; this clipprompt reads up to {FORMAT}: update clipprompt")
    _check_kinds(found, path)
    return found


def read_weights(folder: Path, learner: Learner, recorded: dict[str, Any]) -> dict[str, Tensor]:
    """Reads ``prompt.safetensors``, once its parameters are known to be the learner's; larger ones are never read.

    Args:
        folder: the prompt folder.
        learner: has the parameters that are to be filled.
        recorded: the backbone that the prompt was learnt on, for the message.

    Raises:
        UserError: naming the first parameter that is missing, unknown, of another shape or type, or not finite.
    """
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            learner.make_room({key: tuple(file.get_slice(key).get_shape()) for key in file.keys()})  # noqa: SIM118 (no mapping)
            expected = learner.state_dict()
            for key in sorted(set(expected) ^ set(file.keys())):
                is_missing = key in expected
                raise UserError(f"{path}: parameter {key!r} is {'missing' if is_missing else 'not one of this method'}")
            for key, value in expected.items():
                shape = tuple(file.get_slice(key).get_shape())
                if shape != value.shape:
                    now, then = learner.backbone.name, recorded["name"]
                    raise UserError(
                        f"{path}: {key!r} has shape {shape}, but with backbone {now!r} it needs {tuple(value.shape)}; "
                        f"it was learnt on {then!r}"
                    )
            found = {key: file.get_tensor(key) for key in expected}
    except (OSError, RuntimeError, SafetensorError) as error:  # a file too large to map is a RuntimeError
        raise UserError(f"{path} cannot be read: {error}") from error
    for key, tensor in found.items():
        if not tensor.is_floating_point():
            raise UserError(f"{path}: {key!r} holds {str(tensor.dtype).removeprefix('torch.')}, not floating point")
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {key!r} holds values that are not finite")
    return found


def warn_if_another_backbone(recorded: dict[str, Any], backbone: Backbone, folder: Path) -> None:
    """Says on stderr what differs between the backbone a prompt was learnt on and the one it is used with.

    Nothing is said of the same weights under another name or path. Another precision rounds the weights, so that only
    name and tag can be compared.
    """
    now = {"name": backbone.name, "pretrained": backbone.pretrained}
    if recorded["precision"] == backbone.precision:
        if recorded["fingerprint"] == (fingerprint := backbone.fingerprint()):
            return
        now["fingerprint"] = fingerprint
    differs = [f"{key} {recorded[key]!r}, now {value!r}" for key, value in now.items() if recorded[key] != value]
    if differs:
        logging.getLogger("clipprompt").warning("%s was learnt on another backbone: %s", folder, "; ".join(differs))


def _check_kinds(found: dict[str, Any], path: Path) -> None:
    for key, kinds in _KINDS.items():
        value: Any = found
        for part in key.split("."):
            value = value.get(part)
        if not isinstance(value, kinds) or isinstance(value, bool):
            what = "is missing" if value is None else f"is {json.dumps(value)[:60]}, which is of the wrong kind"
            raise UserError(f"{path} is not a description of a prompt: {key!r} {what}")
