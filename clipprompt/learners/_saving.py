"""A prompt folder: the learnt numbers as safetensors, and in JSON what they mean and were learnt on."""

from __future__ import annotations

import json
import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clipprompt.errors import UserError
from clipprompt.files import replace_file, write_json

if TYPE_CHECKING:
    from clipprompt.backbone import Backbone
    from clipprompt.learners._base import Learner

WEIGHTS, DESCRIPTION = "prompt.safetensors", "prompt.json"
_LIBRARIES = ("clipprompt", "torch", "open_clip_torch")


def write_prompt(learner: Learner, folder: Path) -> None:
    """Writes ``prompt.safetensors`` and then ``prompt.json``, so that a described prompt is a whole one."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in learner.state_dict().items()}
    with replace_file(folder / WEIGHTS) as part:
        save_file(tensors, part)
    write_json(folder / DESCRIPTION, describe(learner))


def describe(learner: Learner) -> dict[str, Any]:
    """What ``prompt.json`` holds: method, options, class names, backbone, library versions."""
    backbone = learner.backbone
    return {
        "format": 1,
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
        UserError: if the folder is no prompt folder, or the file is broken.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise UserError(f"{folder} is not a prompt folder: it has no {DESCRIPTION}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    kinds = {"method": str, "options": dict, "classnames": list, "backbone": dict}
    for key, kind in kinds.items():
        if not isinstance(found, dict) or not isinstance(found.get(key), kind):
            raise UserError(f"{path} is not a description of a prompt: {key!r} is missing or of the wrong kind")
    result: dict[str, Any] = found
    return result


def read_weights(folder: Path, learner: Learner) -> dict[str, Tensor]:
    """Reads ``prompt.safetensors`` and checks it against the learner's parameters.

    Raises:
        UserError: naming the first parameter that is missing, unknown, or of another shape.
    """
    path = folder / WEIGHTS
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    expected = learner.state_dict()
    for key in sorted(set(expected) ^ set(found)):
        raise UserError(f"{path}: parameter {key!r} is {'missing' if key in expected else 'not one of this method'}")
    for key, value in expected.items():
        if found[key].shape != value.shape:
            raise UserError(
                f"{path}: {key!r} has shape {tuple(found[key].shape)}, but {learner.backbone.name} needs "
                f"{tuple(value.shape)}: was it learnt on another backbone?"
            )
    return found


def warn_if_another_backbone(recorded: dict[str, Any], backbone: Backbone, folder: Path) -> None:
    """Says on stderr what differs between the backbone a prompt was learnt on and the one it is used with."""
    now = {"name": backbone.name, "pretrained": backbone.pretrained}
    if recorded.get("precision") == backbone.precision:  # another precision rounds the weights
        now["fingerprint"] = backbone.fingerprint()
    for key, value in now.items():
        if recorded.get(key) != value:
            logging.getLogger("clipprompt").warning(
                "%s was learnt on a backbone whose %s is %r; this one's is %r", folder, key, recorded.get(key), value
            )
