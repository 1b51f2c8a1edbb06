"""Decodes every picture of a set, to find those that are broken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clipprompt.datasets.decoding import decode_in_order
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.errors import UserError


def decode_all(dataset: MultiLabelImages, workers: int = 4) -> Iterator[UserError | None]:
    """Decodes every picture to its end, in order, and keeps none.

    Args:
        dataset: the set.
        workers: threads that decode.

    Yields:
        For every image None, or what is wrong with it.
    """

    def attempt(item: Any) -> None:
        dataset.open_item(item)

    for _, outcome in decode_in_order(dataset.items, attempt, workers=workers):
        yield outcome
