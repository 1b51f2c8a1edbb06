"""What an exported file says of itself."""

from __future__ import annotations

import json
from typing import Any

from clipprompt.backbone import Backbone
from clipprompt.learners import Learner
from clipprompt.sharing._public import public_name

FORMAT = "1"


def describe_classifier(learner: Learner) -> dict[str, str]:
    """The metadata of an exported file, without any path of this machine."""
    backbone = learner.backbone
    metadata = {
        "format": FORMAT,
        "method": learner.name,
        "classnames": json.dumps(list(learner.classnames), ensure_ascii=False),
        "backbone": public_name(backbone.name),
        "pretrained": public_name(backbone.pretrained or ""),
        "image_size": str(backbone.image_size),
    }
    arguments = _open_clip_arguments(backbone)
    return {**metadata, "open_clip": json.dumps(arguments)} if arguments else metadata


def _open_clip_arguments(backbone: Backbone) -> dict[str, Any]:
    """What ``open_clip.create_model_and_transforms`` takes to load the same model, where anybody can load it.

    open_clip itself only warns where weights were trained with QuickGELU and the architecture's name says another.
    """
    if backbone.name.startswith("hf-hub:"):
        return {"model_name": backbone.name}
    if backbone.pretrained in (None, "random"):
        return {}
    arguments: dict[str, Any] = {"model_name": backbone.name, "pretrained": public_name(str(backbone.pretrained))}
    if any(type(module).__name__ == "QuickGELU" for module in backbone.model.visual.modules()):
        arguments["force_quick_gelu"] = True
    return arguments
