"""Names of sets, as a command line gives them; those with several classes to a picture: ``multilabel_sets``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clipprompt.datasets.classification.groups import GROUPS, expand_groups
from clipprompt.datasets.classification.load import NAMED, is_classification, load_classification
from clipprompt.datasets.classification.own import is_own
from clipprompt.datasets.classification.sets import ClassificationSet
from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.datasets.select import is_named as is_multi_label
from clipprompt.datasets.specifications import SPECIFICATIONS as MULTI_LABEL
from clipprompt.errors import UserError, nearest
from clipprompt.evaluation.protocols.multilabel_sets import DRAWN
from clipprompt.mini.styles import STYLES

_PLAIN = "a photo of a {}."


def is_official(dataset: str) -> bool:
    """Whether it is one of the published sets, which lie below ``--root``."""
    return dataset in SPECIFICATIONS or dataset in MULTI_LABEL


def is_drawn(dataset: str) -> bool:
    """Whether its pictures are drawn, so that it needs no files."""
    return dataset in STYLES or dataset == DRAWN


def folder_name(dataset: str) -> str:
    """A set as a part of a path: its name, or the name of its folder or file."""
    return dataset if is_official(dataset) or is_drawn(dataset) else Path(dataset).absolute().stem


def hand_written(dataset: str) -> str:
    """What templates say for a set's own sentence: the set's name where it has one, else the plain sentence."""
    return dataset if dataset in SPECIFICATIONS else _PLAIN


def resolve_datasets(given: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
    """Names and absolute paths of sets, each once.

    Args:
        given: names in any case of sets and of groups, and paths; ``all`` stands for the default.
        default: names.

    Raises:
        UserError: if there is none, or one is no set of pictures with one class each.
    """
    meant = (name for one in given for name in (default if one == "all" else map(_resolved, expand_groups([one]))))
    names = tuple(dict.fromkeys(meant))
    if not names:
        raise UserError("no dataset is given; give names, such as caltech101,dtd, or all")
    return names


def load_set(dataset: str, root: str | Path | None, parts: Sequence[str]) -> ClassificationSet:
    """A set of :func:`resolve_datasets`; the root goes to those that lie there.

    Raises:
        UserError: if it cannot be read.
    """
    return load_classification(dataset, root if is_official(dataset) else None, parts=parts)


def _resolved(dataset: str) -> str:
    if is_classification(dataset):
        return dataset.lower()
    if is_multi_label(dataset):
        raise UserError(f"{dataset} has several classes to a picture, and protocols are for one: {', '.join(NAMED)}")
    if not is_own(dataset):
        hint = nearest(dataset.lower(), ["all", *GROUPS, *NAMED])
        raise UserError(
            f"unknown dataset {dataset!r}{hint}; give {', '.join(NAMED)}, "
            "a folder of class folders, or a .csv, .tsv or .jsonl table"
        )
    return str(Path(dataset.removeprefix("folder:")).absolute())
