"""Takes the paths of one's own machine out of what others will read."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any


def public_name(name: str) -> str:
    """A backbone or file as others may know it: of a local path the last part, anything else unchanged.

    Returns:
        ``hf-hub:org/repo`` and ``ViT-B-16`` as they are; ``tiny`` for ``/home/me/models/tiny``.
    """
    return _last_part(name) if is_local_path(name) else name


def is_local_path(text: str) -> bool:
    """Whether a text is a path: absolute on any system, from home or the current folder, or of something that exists.

    A bare name is none, so that nothing in the current folder makes a path of ``ViT-B-16``.
    """
    if "://" in text or text.startswith("hf-hub:") or "\n" in text:
        return text.startswith("file://")
    if text.startswith(("/", "~", "./", "../", "\\\\")) or PureWindowsPath(text).drive:
        return True
    return ("/" in text or "\\" in text) and Path(text).exists()


def without_paths(tree: Any) -> Any:
    """A copy of parsed JSON or YAML in which every local path is its last part alone."""
    if isinstance(tree, dict):
        return {key: without_paths(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [without_paths(value) for value in tree]
    return public_name(tree) if isinstance(tree, str) else tree


def _last_part(path: str) -> str:
    flat = path.removeprefix("file://").replace("\\", "/").rstrip("/")
    return PurePosixPath(flat).name or "folder"
