"""Labels of many captions in two flat arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Labels:
    """The class indices of B captions: those of caption i are ``values[offsets[i]:offsets[i + 1]]``, ascending.

    Attributes:
        values: int32, all class indices one after the other.
        offsets: int64 (B + 1,), where each caption's indices begin.
    """

    values: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @classmethod
    def from_lists(cls, lists: Iterable[Iterable[int]]) -> Labels:
        """Labels from one list of class indices a caption; sorted and without repetition."""
        rows = [sorted(set(row)) for row in lists]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return cls(np.fromiter((i for row in rows for i in row), np.int32, int(offsets[-1])), offsets)

    @classmethod
    def concatenate(cls, parts: Sequence[Labels]) -> Labels:
        """The labels of several batches of captions as one."""
        counts = [part.counts() for part in parts]
        offsets = np.zeros(sum(map(len, counts)) + 1, np.int64)
        if counts:
            np.cumsum(np.concatenate(counts), out=offsets[1:])
        values = np.concatenate([part.values for part in parts]) if parts else np.zeros(0, np.int32)
        return cls(values, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"caption {index} of {len(self)}")
        index %= len(self)
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (self[i] for i in range(len(self)))

    def counts(self) -> NDArray[np.int64]:
        """How many labels each caption has, int64 (B,)."""
        return np.diff(self.offsets)

    def to_lists(self) -> list[list[int]]:
        """The labels as lists of plain integers."""
        return [row.tolist() for row in self]

    def multi_hot(self, index: Sequence[int] | NDArray[np.integer], n_classes: int) -> NDArray[np.float32]:
        """A batch of captions as float32 (len(index), C) of zeros and ones."""
        rows = np.asarray(index, np.int64)
        result = np.zeros((len(rows), n_classes), np.float32)
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        starts = np.repeat(self.offsets[rows] - np.cumsum(lengths) + lengths, lengths)
        result[np.repeat(np.arange(len(rows)), lengths), self.values[starts + np.arange(lengths.sum())]] = 1.0
        return result
