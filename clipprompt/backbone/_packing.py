r"""Short texts packed into rows, so that none is padded to the longest.

    texts    [cat . end]  [hot dog . end]  [air balloon . end]  [bus . end]
    rows     [ cat . end | air balloon . end |  ]
             [ hot dog . end | bus . end        ]      a position sees its own text only, from left to right

Linear layers then see hardly a position that is not read, and attention is a few products of a useful size instead of
one tiny product for every text.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

# Long enough for attention to be efficient; the products between texts that are thrown away grow with it.
ROW_LENGTH = 64


class Packing(NamedTuple):
    """Where C texts stand in R rows of K positions.

    Attributes:
        texts: (R, K) the text that each position belongs to; -1 where there is none.
        places: (R, K) its place within the text.
        ends: (R, M) positions of the last tokens of each row's texts, repeated where a row has fewer.
        order: (C,) where in ``ends``, flattened, each text is.
    """

    texts: Tensor
    places: Tensor
    ends: Tensor
    order: Tensor

    def sees(self) -> Tensor:
        """(R, K, K), True where a position may attend to another: its own text's, up to itself."""
        same = self.texts[:, :, None] == self.texts[:, None, :]
        return same.tril()


@lru_cache(maxsize=16)  # every step packs the same texts
def pack(lengths: tuple[int, ...], device: torch.device) -> Packing:
    """Distributes texts over rows of nearly equal length.

    Args:
        lengths: tokens of each text.
        device: of the result.
    """
    rows = _distribute(lengths)
    width, most = max(sum(lengths[i] for i in row) for row in rows), max(len(row) for row in rows)
    texts, places, ends, order = list[list[int]](), list[list[int]](), list[list[int]](), [0] * len(lengths)
    for number, row in enumerate(rows):
        stops = list(accumulate(lengths[i] for i in row))
        empty = width - stops[-1]
        texts.append([i for i in row for _ in range(lengths[i])] + [-1] * empty)
        places.append([place for i in row for place in range(lengths[i])] + [0] * empty)
        ends.append([stop - 1 for stop in stops] + [stops[-1] - 1] * (most - len(row)))
        for place, i in enumerate(row):
            order[i] = number * most + place
    with torch.inference_mode(False):  # kept for training, whoever asks first
        return Packing(*(torch.tensor(part, device=device) for part in (texts, places, ends, order)))


def _distribute(lengths: Sequence[int]) -> list[list[int]]:
    """The longest text first, each into the row that is emptiest so far."""
    per_row = max(1, ROW_LENGTH * len(lengths) // sum(lengths))
    rows: list[list[int]] = [[] for _ in range(-(-len(lengths) // per_row))]
    loads = [(0, number) for number in range(len(rows))]
    for text in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        load, number = loads[0]
        heapq.heapreplace(loads, (load + lengths[text], number))
        rows[number].append(text)
    return rows
