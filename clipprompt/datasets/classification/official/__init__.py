"""Readers of the official files of the named sets, one file for each way they are laid out, found by its name."""

from __future__ import annotations

import importlib

from clipprompt.datasets.classification.official._listed import Listed, Place

__all__ = ["Listed", "Place", "read_official"]


def read_official(place: Place) -> Listed:
    """Reads the official files of a set with the reader that its specification names.

    Raises:
        UserError: if something is missing or broken; the file and the entry are named.
    """
    module = importlib.import_module(f"{__name__}.{place.specification.reader}")
    listed: Listed = module.read(place)
    return listed
