"""clipprompt: adapt a frozen CLIP to a task by learning prompts."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clipprompt.backbone import Backbone, load_backbone
    from clipprompt.inference.tagger import Tagger
    from clipprompt.learners import create_learner, list_learners, load_learner

__version__ = "0.1.0"
__all__ = ["Backbone", "Tagger", "create_learner", "list_learners", "load_backbone", "load_learner"]

# Imported when first asked for: a command line that only prints its help should not wait for torch.
_HOME = {
    "Backbone": "backbone",
    "Tagger": "inference.tagger",
    "load_backbone": "backbone",
    "create_learner": "learners",
    "list_learners": "learners",
    "load_learner": "learners",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
