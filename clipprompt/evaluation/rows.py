"""The rows of a table: zero-shot CLIP and its training-free control, and saved prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clipprompt.config import read_config
from clipprompt.errors import UserError
from clipprompt.evaluation.multilabel import Row
from clipprompt.evaluation.provenance import Training, describe_training
from clipprompt.learners import create_learner, load_learner

if TYPE_CHECKING:
    from clipprompt.backbone import Backbone


def zero_shot_rows(backbone: Backbone, classnames: Sequence[str]) -> list[Row]:
    """Zero-shot CLIP with the template "a photo of a {}.", plain and (for two classes and more) with centred text.

    A backbone without a text tower has none.
    """
    if not backbone.has_text:
        return []
    rows = [Row(create_learner("zero_shot", backbone, classnames))]
    if len(classnames) > 1:
        centred = create_learner("zero_shot", backbone, classnames, centre=True)
        rows.append(Row(centred, variant="centred text", control=True))
    return rows


def load_rows(
    prompts: Sequence[str],
    backbone: Backbone | Callable[[Path], Backbone],
    classnames: Sequence[str],
    option: str = "--prompts ",
) -> list[Row]:
    """Saved prompts with other class names.

    Args:
        prompts: run folders, or ``NAME=FOLDER``. Folders with one name are runs of one row (such as three seeds).
            Without a name, the row is the method's; when several folders hold one method, their own names are added.
        backbone: the CLIP to use, or what finds it for a folder.
        classnames: of the images that will be scored.
        option: of the command line that they were given with, for errors.

    Raises:
        UserError: for a folder that holds no prompt, or one that does not fit the backbone or the classes.
    """
    named = [split_name(text, option) for text in prompts]
    learners = [
        load_learner(folder, backbone(folder) if callable(backbone) else backbone, classnames) for _, folder in named
    ]
    times = Counter(learner.name for (name, _), learner in zip(named, learners, strict=True) if not name)
    rows = []
    for (name, folder), learner in zip(named, learners, strict=True):
        variant = name or (folder.resolve().name if times[learner.name] > 1 else "")
        seed, training = _training(folder)
        rows.append(Row(learner, variant=variant, seed=seed, source=str(folder), training=training))
    return rows


def split_name(text: str, option: str = "--prompts ") -> tuple[str, Path]:
    """``NAME=FOLDER`` or ``FOLDER`` as (name, folder); a folder that has an equals sign in its name is still found.

    Args:
        text: as it was given.
        option: that it was given with, for errors.

    Raises:
        UserError: if there is no such folder.
    """
    name, equals, folder = text.partition("=")
    if not equals or Path(text).exists():
        name, folder = "", text
    if not folder or not Path(folder).is_dir():
        raise UserError(f"{option}{text}: there is no folder {folder!r}")
    return name.strip(), Path(folder)


def _training(folder: Path) -> tuple[int | None, Training | None]:
    """The seed of a prompt, and how it was learnt, as far as its folder says."""
    path = folder / "config.yaml"
    if not path.is_file():
        return None, None
    config = read_config(path)
    return config.train.seed, describe_training(config)
