"""Fixtures of the backbone's tests."""

from tests.backbone.stand_ins import hugging_face

__all__ = ["hugging_face"]
