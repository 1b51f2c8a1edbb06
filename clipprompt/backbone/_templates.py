"""Hand-written templates by name: CLIP's own for ImageNet, and one for each data set that CoOp is measured on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from open_clip import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

from clipprompt._yaml import read_mapping
from clipprompt.errors import UserError, nearest
from clipprompt.resources import resource


def list_templates() -> list[str]:
    """Names of all sets of templates: CLIP's first, then the data sets in the order of their file."""
    return list(_named())


def named_templates(name: str) -> tuple[str, ...]:
    """The sentences of a set, each with ``{}`` for the class name.

    Args:
        name: ``clip_imagenet_80`` or its subset ``clip_imagenet_7`` (CLIP, arXiv 2103.00020, 3.1.4, and the authors'
            notebook), or a data set of ``configs/templates/datasets.yaml``, such as ``oxford_pets``.

    Raises:
        UserError: for an unknown name, with the nearest one suggested.
    """
    known = _named()
    if name not in known:
        raise UserError(
            f"template {name!r} has no {{}} for the class name, and is no name of templates{nearest(name, known)}; "
            f"the names are {', '.join(known)}"
        )
    return known[name]


def resolve_templates(given: Sequence[str]) -> tuple[str, ...]:
    """Sentences and names of templates, in any mixture, as sentences; one that comes twice counts once.

    Raises:
        UserError: for what is neither a sentence with ``{}`` nor a name.
    """
    sentences = [sentence for item in given for sentence in ((item,) if "{}" in item else named_templates(item))]
    return tuple(dict.fromkeys(sentences))


@cache
def _named() -> dict[str, tuple[str, ...]]:
    of_datasets = read_mapping(resource("configs/templates/datasets.yaml"))
    return {
        "clip_imagenet_80": _sentences(OPENAI_IMAGENET_TEMPLATES),
        "clip_imagenet_7": _sentences(SIMPLE_IMAGENET_TEMPLATES),
        **{name: (sentence,) for name, sentence in of_datasets.items()},
    }


def _sentences(templates: Sequence[Callable[[str], str]]) -> tuple[str, ...]:
    """What open_clip holds as functions of the class name, as sentences."""
    return tuple(template("{}") for template in templates)
