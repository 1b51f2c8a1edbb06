"""Hand-written sentences about each class, which join the captions as in TaI-DPT (arXiv 2211.12739, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clipprompt._yaml import read_mapping
from clipprompt.errors import UserError
from clipprompt.learners import check_classnames
from clipprompt.resources import resource


def load_templates(source: bool | str) -> list[str]:
    """Template sentences, each with ``{}`` where the class name goes.

    Args:
        source: False for none, True for the shipped list, or a YAML file with the key ``templates``.

    Raises:
        UserError: if the file is wrong, naming the sentence.
    """
    if source is False:
        return []
    path = resource("configs/templates/captions.yaml") if source is True else Path(source)
    templates = read_mapping(path).get("templates")
    if not isinstance(templates, list) or not templates:
        raise UserError(f"{path}: key 'templates' must be a list of sentences with {{}} for the class name")
    for template in templates:
        if not isinstance(template, str) or template.count("{}") != 1:
            raise UserError(f"{path}: template {template!r} must be a sentence with {{}} once, for the class name")
    return list(dict.fromkeys(templates))


def template_sentences(templates: Sequence[str], classnames: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """Every template for every class, labelled with that class.

    Returns:
        Sentences and their labels.
    """
    names = check_classnames(classnames)
    sentences = [template.replace("{}", name) for name in names for template in templates]
    return sentences, [[i] for i in range(len(names)) for _ in templates]
