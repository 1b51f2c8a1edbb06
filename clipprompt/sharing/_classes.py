"""A class list as the command line takes it."""

from __future__ import annotations

from pathlib import Path

from clipprompt.captions.synonyms import SHIPPED, load_classes


def parse_classes(text: str) -> list[str]:
    """Class names from ``voc2007``, ``coco2014``, ``nuswide``, the path of a file, or ``"a,b,c"``.

    Raises:
        UserError: if it is none of these, or has an empty name or one twice.
    """
    if "," in text and text not in SHIPPED and not Path(text).exists():
        return load_classes([name.strip() for name in text.split(",")]).classnames
    return load_classes(text).classnames
