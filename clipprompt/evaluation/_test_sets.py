"""Names of sets with one class to a picture, as a command line gives them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from clipprompt._yaml import read_mapping
from clipprompt.errors import UserError, nearest
from clipprompt.resources import resource

_PLAIN = "a photo of a {}."


def is_named(dataset: str) -> bool:
    """Whether it is one of the published sets."""
    return dataset in _hand_written()


def is_drawn(dataset: str) -> bool:
    """Whether its pictures are drawn, so that it needs no files."""
    return dataset.startswith("mini-")


def hand_written(dataset: str) -> str:
    """What stands for the hand-written sentence of a set: the set's name where it has one, else the plain sentence."""
    return dataset if is_named(dataset) else _PLAIN


def resolve_datasets(given: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
    """Names of sets, each once; ``all`` stands for the default.

    Raises:
        UserError: if there is none, or one is neither a name nor a path.
    """
    names = tuple(dict.fromkeys(name for one in given for name in (default if one == "all" else [one])))
    if not names:
        raise UserError("no dataset is given; give names, such as caltech101,dtd, or all")
    for name in names:
        if not (is_named(name) or is_drawn(name) or Path(name).exists()):
            known = list(_hand_written())
            raise UserError(
                f"unknown dataset {name!r}{nearest(name, known)}; give one of {', '.join(known)}, a folder of class "
                "folders, or a .csv, .tsv or .jsonl file"
            )
    return names


@cache
def _hand_written() -> dict[str, str]:
    return read_mapping(resource("configs/templates/datasets.yaml"))
