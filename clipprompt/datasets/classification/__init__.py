"""Sets of pictures with one class each: CoOp's eleven, ImageNet's four variants, the user's own, and drawn ones."""

from __future__ import annotations

from clipprompt.datasets.classification.sets import PARTS, ClassificationSet, Sample

__all__ = ["PARTS", "ClassificationSet", "Sample"]
