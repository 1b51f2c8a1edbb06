"""From what a caller names (a backbone, a prompt, labels) to a learner with those labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.errors import UserError
from clipprompt.learners import Learner, create_learner, load_learner, with_classes

Prompts = Learner | str | os.PathLike[str]


def learner_for(
    backbone: Backbone | str | None, prompts: Prompts | None, labels: Sequence[str] | None
) -> tuple[Learner, Path | None]:
    """The learner that scores the labels, and the folder that its prompt came from.

    Args:
        backbone: a CLIP or its name; None for the one that the prompt was learnt on.
        prompts: a learner, which is left as it is, or a prompt folder; None for "a photo of a {}.".
        labels: class names; None for the prompt's own.

    Raises:
        UserError: if there are no labels, no backbone, or the parts do not fit.
    """
    if isinstance(prompts, Learner):
        if backbone is not None and backbone is not prompts.backbone:
            raise UserError("the learner has a backbone of its own; give that one, or None")
        return with_classes(prompts, prompts.classnames if labels is None else labels), None
    model = load_backbone(backbone) if isinstance(backbone, str) else backbone
    if prompts is not None:
        return load_learner(prompts, model, labels), Path(prompts)
    if labels is None:
        raise UserError("there is neither a prompt nor a list of labels; give one of them")
    if model is None:
        raise UserError("there is neither a prompt nor a backbone; give one of them")
    return create_learner("zero_shot", model, labels), None
