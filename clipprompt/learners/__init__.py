"""Prompt learners, one file per method. A file without an underscore is a learner, found by its name."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from clipprompt.backbone import Backbone, load_backbone, resolve_device
from clipprompt.errors import UserError, nearest
from clipprompt.learners._base import (
    CaptionFeatures,
    ImageFeatures,
    ImageStates,
    Learner,
    LearnerOptions,
    check_classnames,
    clean_name,
    project_places,
)
from clipprompt.learners._dense import BranchLogits, DenseLearner
from clipprompt.learners._head import HeadLearner
from clipprompt.learners._pair import PairLearner
from clipprompt.learners._saving import DESCRIPTION, read_description, read_weights, warn_if_another_backbone

__all__ = [
    "BranchLogits",
    "CaptionFeatures",
    "DenseLearner",
    "HeadLearner",
    "ImageFeatures",
    "ImageStates",
    "Learner",
    "LearnerOptions",
    "PairLearner",
    "check_classnames",
    "check_options",
    "create_learner",
    "learner_class",
    "learner_options",
    "list_learners",
    "load_backbone_for",
    "load_learner",
    "load_recorded_backbone",
    "project_places",
    "read_description",
    "with_classes",
]


def list_learners() -> list[str]:
    """Names of all learners, sorted: the files of this folder."""
    return list(_files())


@cache
def _files() -> tuple[str, ...]:
    # Looked up once: a sweep of a study asks for thousands of configurations, and each of its keys for a learner.
    return tuple(sorted(one.name for one in pkgutil.iter_modules(__path__) if not one.name.startswith("_")))


def learner_class(name: str) -> type[Learner]:
    """The class of a learner, for what it says of itself before there is one, such as ``trains_on``.

    Raises:
        UserError: for an unknown name, with the nearest one suggested.
    """
    known = list_learners()
    if name not in known:
        raise UserError(f"there is no method {name!r}{nearest(name, known)}; choose one of {', '.join(known)}")
    module = importlib.import_module(f"{__name__}.{name}")
    for _, cls in inspect.getmembers(module, inspect.isclass):
        if issubclass(cls, Learner) and cls.__module__ == module.__name__:
            return cls
    raise TypeError(f"{module.__name__} defines no Learner")


def learner_options(name: str) -> type[LearnerOptions]:
    """The options class of a learner.

    Raises:
        UserError: for an unknown name, with the nearest one suggested.
    """
    return learner_class(name).Options


def create_learner(
    name: str, backbone: Backbone, classnames: Sequence[str], *, seed: int = 0, **options: Any
) -> Learner:
    """Creates a learner on a backbone.

    Args:
        name: one of ``list_learners()``.
        backbone: the shared frozen CLIP.
        classnames: in the order of the logits; underscores are read as spaces.
        seed: of random contexts.
        **options: fields of ``learner_options(name)``.

    Raises:
        UserError: for an unknown learner or option, a wrong value, or class names that cannot be used.
    """
    return _build(name, backbone, classnames, check_options(name, options), seed)


def check_options(name: str, options: dict[str, Any]) -> LearnerOptions:
    """Validates the options of a learner.

    Raises:
        UserError: one line with the option, the wrong value and what is allowed.
    """
    cls = learner_options(name)
    for key in options:
        if key not in cls.model_fields:
            known = ", ".join(cls.model_fields)
            raise UserError(f"{name} has no option {key!r}{nearest(key, cls.model_fields)}; its options are {known}")
    try:
        return cls(**options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{name}: option {where} = {first['input']!r}: {first['msg'].lower()}") from error


def load_learner(
    folder: str | os.PathLike[str], backbone: Backbone | None = None, classnames: Sequence[str] | None = None
) -> Learner:
    """Loads a saved prompt. What differs between its backbone and the one in use is said on stderr.

    Args:
        folder: written by ``learner.save``, or a run folder.
        backbone: the CLIP to use, on any device and in any precision; None loads the recorded one.
        classnames: other class names than the recorded ones; see :func:`with_classes`.

    Raises:
        UserError: if the folder is not a prompt, is broken, or does not fit the backbone.
    """
    path = Path(folder)
    found = read_description(path)
    recorded = found["backbone"]
    if backbone is None:
        backbone = load_recorded_backbone(recorded)
    try:
        options = check_options(found["method"], found["options"])
        learner = _build(found["method"], backbone, found["classnames"], options, seed=0)
    except UserError as error:
        raise UserError(f"{path / DESCRIPTION}: {error}") from error
    learner.load_state_dict(read_weights(path, learner, recorded), strict=True)
    warn_if_another_backbone(recorded, backbone, path)
    return learner if classnames is None else with_classes(learner, classnames)


def with_classes(learner: Learner, classnames: Sequence[str]) -> Learner:
    """Another learner with the same prompt and its own class names.

    Class-specific contexts go with their classes: some of the learner's classes, in any order, take theirs along. So do
    the rows of a head.

    Raises:
        UserError: as ``set_classes``; class-specific contexts and heads serve no class but their own.
    """
    if isinstance(learner, HeadLearner):
        return _with_rows(learner, classnames)
    state, rows = learner.state_dict(), _rows_of(learner, classnames)
    if rows is not None:
        state = {key: value[rows] if value.dim() == 3 else value for key, value in state.items()}
    n_classes = len(learner.classnames if rows is None else rows)
    generator = torch.Generator().manual_seed(0)  # of parameters that are overwritten at once
    other = type(learner)(learner.backbone, learner.options, generator, n_classes)
    other.make_room({key: tuple(value.shape) for key, value in state.items()})
    other.load_state_dict(state, strict=True)
    other.classnames = learner.classnames if rows is None else ()  # so that contexts know whose they are
    other.set_classes(classnames)
    return other


def _with_rows(learner: HeadLearner, classnames: Sequence[str]) -> HeadLearner:
    """Another learner that answers with some of a head's rows, and still holds all of them."""
    generator = torch.Generator().manual_seed(0)  # of parameters that are overwritten at once
    other = type(learner)(learner.backbone, learner.options, generator, len(learner.trained_classes))
    other.load_state_dict(learner.state_dict(), strict=True)
    other.set_classes(learner.trained_classes)
    other.set_classes(classnames)
    return other


def _rows_of(learner: Learner, classnames: Sequence[str]) -> list[int] | None:
    """Where the contexts of classes stand, if contexts are class-specific and all the classes are the learner's own."""
    if not getattr(learner.options, "class_specific", False):
        return None
    check_classnames(classnames)
    own = {clean_name(name).lower(): row for row, name in enumerate(learner.classnames)}
    rows = [own.get(clean_name(name).lower()) for name in classnames]
    found = [row for row in rows if row is not None]
    return found if len(found) == len(rows) else None


def load_recorded_backbone(recorded: dict[str, Any], device: str = "auto", precision: str | None = None) -> Backbone:
    """Loads the backbone that a prompt's description names, at its image size.

    Args:
        recorded: the part ``backbone`` of ``read_description``.
        device: where it goes.
        precision: None for the recorded one, or float32 where the device has no float16.

    Raises:
        UserError: if it cannot be had here; a prompt also takes a backbone that is loaded by hand.
    """
    name, tag, size = recorded["name"], recorded["pretrained"], recorded["image_size"]
    if precision is None:
        precision = recorded["precision"]
        if precision == "fp16" and resolve_device(device).type == "cpu":
            precision = "fp32"
    try:
        backbone = load_backbone(name, tag, device, precision)
        return backbone if size in (None, backbone.image_size) else load_backbone(name, tag, device, precision, size)
    except UserError as error:
        raise UserError(f"the backbone that the prompt was learnt on: {error}") from error


def load_backbone_for(
    folder: str | os.PathLike[str],
    name: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> Backbone:
    """Loads the backbone to use a prompt with: the one it was learnt on, unless another is named.

    Args:
        folder: of the prompt.
        name: of another backbone.
        pretrained: its weights tag, or another tag for the recorded one.
        device: where it goes.
        precision: None for the recorded one, or float32 for another backbone.

    Raises:
        UserError: if the folder is no prompt, or the backbone cannot be had here.
    """
    if name is not None:
        return load_backbone(name, pretrained, device, precision or "fp32")
    recorded = read_description(Path(folder))["backbone"]
    return load_recorded_backbone({**recorded, "pretrained": pretrained or recorded["pretrained"]}, device, precision)


def _build(name: str, backbone: Backbone, classnames: Sequence[str], options: LearnerOptions, seed: int) -> Learner:
    learner = learner_class(name)(backbone, options, torch.Generator().manual_seed(seed), len(classnames))
    learner.set_classes(classnames)
    return learner
