"""``--labels``: a shipped list, a file, or names with commas between them."""

from __future__ import annotations

import os

from clipprompt.errors import UserError, nearest


def parse_labels(text: str) -> list[str]:
    """Class names.

    Args:
        text: ``voc2007``, ``coco2014``, ``nuswide``, a file as ``load_classes`` reads it, or ``red bus,umbrella``. A
            single name has a comma behind it, so that a mistyped list is not taken for a label.

    Raises:
        UserError: for what is none of these, and for lists without a name or with a name twice.
    """
    from clipprompt.captions.synonyms import SHIPPED, load_classes

    if text in SHIPPED or os.path.lexists(text):
        return load_classes(text).classnames
    if "," in text:
        return load_classes([name for name in text.split(",") if name.strip()]).classnames
    lists = ", ".join(SHIPPED)
    raise UserError(
        f"no labels {text!r}{nearest(text, SHIPPED)}; give one of {lists}, a file, or names with commas between them "
        f'("{text or "red bus"}," for a single one)'
    )
