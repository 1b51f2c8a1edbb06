"""Using what was learnt: tags for pictures, thresholds, heat maps."""

from clipprompt.inference._tags import ImageTags, Tag

__all__ = ["ImageTags", "Tag"]
