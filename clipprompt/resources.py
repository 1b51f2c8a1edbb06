"""Finds the data files that ship with the package: synonym files and configurations.

They live in the checkout's top-level ``data/`` and ``configs/``; the wheel carries them as ``clipprompt/_shipped/``.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# Where a name's first part is found: in an installed wheel, or beside the package in a checkout.
_ROOTS = {
    "synonyms": (_PACKAGE / "_shipped" / "synonyms", _PACKAGE.parent / "data" / "synonyms"),
    "configs": (_PACKAGE / "_shipped" / "configs", _PACKAGE.parent / "configs"),
}


def resource(name: str) -> Path:
    """The path of a shipped file or folder.

    Args:
        name: ``synonyms`` or ``configs``, or a path below them, such as ``configs/methods/tai_dpt.yaml``.

    Raises:
        FileNotFoundError: if the installation lacks it.
    """
    first, _, rest = name.partition("/")
    for root in _ROOTS[first]:
        if (root / rest).exists():
            return root / rest
    raise FileNotFoundError(f"{name} is not part of this installation of clipprompt")
