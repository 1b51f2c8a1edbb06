"""A big array on disk that is filled block by block and survives a kill, a cut-off file and flipped bits."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError
from clipprompt.files import write_json
from clipprompt.printable import sized

_CHUNK = 1 << 24


class BlockFile:
    """An array (T, E) in ``rows.bin``, and in ``blocks.json`` the checksums of its finished blocks."""

    def __init__(self, folder: Path, shape: tuple[int, int], dtype: str, ends: Sequence[int], key: Mapping[str, Any]):
        """Opens or begins the array; finished blocks whose checksum is right are kept.

        Args:
            folder: of this array alone.
            shape: (T, E).
            dtype: numpy's name of the type.
            ends: the row behind each block.
            key: what the rows depend on, written down for the reader.

        Raises:
            UserError: if the folder cannot be written.
        """
        self.folder = folder
        self._rows_path, self._index_path = folder / "rows.bin", folder / "blocks.json"
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._bounds = [0, *ends]
        self._header = {
            "shape": list(shape),
            "dtype": dtype,
            "ends": list(ends),
            "key": {k: str(v) for k, v in key.items()},
        }
        self._sums = self._read_sums()
        try:
            self._make_file()
            self.rows: npt.NDArray[Any] = np.memmap(self._rows_path, dtype=self._dtype, mode="r+", shape=shape)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._sums = {n: total for n, total in self._sums.items() if self._checksum(n) == total}

    def refresh(self) -> None:
        """Takes what another process finished, or finished anew, since; for use while no other is writing."""
        found = {number: total for number, total in self._read_sums().items() if self._sums.get(number) != total}
        self._sums |= {number: total for number, total in found.items() if self._checksum(number) == total}

    def is_done(self, number: int) -> bool:
        """Whether a block is finished and undamaged."""
        return number in self._sums

    def reserve(self, numbers: Iterable[int]) -> None:
        """Takes the disk space of some blocks: a full disk is told before hours of encoding, and not by a signal.

        Raises:
            UserError: if there is too little.
        """
        width = self._shape[1] * self._dtype.itemsize
        spans = [(self._bounds[n] * width, self._bounds[n + 1] * width) for n in numbers]
        try:
            self._check_room(sum(end - start for start, end in spans))
            if not hasattr(os, "posix_fallocate"):  # not on every system
                return
            with self._rows_path.open("r+b") as file:
                for start, end in spans:
                    if end > start:
                        os.posix_fallocate(file.fileno(), start, end - start)
        except OSError as error:
            raise self._cannot_write(error) from error

    def _check_room(self, needed: int) -> None:
        width = self._shape[1] * self._dtype.itemsize
        done = sum(self._bounds[n + 1] - self._bounds[n] for n in self._sums) * width
        taken = getattr(self._rows_path.stat(), "st_blocks", 0) * 512  # of a run before that was cut off
        free = shutil.disk_usage(self.folder).free + max(0, taken - done)
        if needed > free:
            room = f"{sized(needed)} are needed there, and {sized(free)} are free"
            raise UserError(f"cannot write the feature cache {self.folder}: {room}")

    def finish(self, number: int) -> None:
        """Makes a block that was written to ``rows`` final.

        Raises:
            UserError: if the disk is full.
        """
        self.rows.flush()  # type: ignore[attr-defined]  # a memmap
        self._sums[number] = self._checksum(number)
        write_json(self._index_path, {**self._header, "sums": self._sums})

    def read_only(self) -> npt.NDArray[Any]:
        """The array, memory-mapped for reading."""
        return np.memmap(self._rows_path, dtype=self._dtype, mode="r", shape=self._shape)

    def _cannot_write(self, error: OSError) -> UserError:
        return UserError(f"cannot write the feature cache {self.folder}: {error.strerror or error}")

    def _read_sums(self) -> dict[int, int]:
        try:
            index = json.loads(self._index_path.read_text(encoding="utf-8"))
            if {name: index.get(name) for name in self._header} == self._header:
                return {int(number): int(total) for number, total in index["sums"].items()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            pass  # no index, or a damaged one: nothing is finished
        return {}

    def _make_file(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._rows_path.open("ab") as file:
            file.truncate(self._shape[0] * self._shape[1] * self._dtype.itemsize)

    def _checksum(self, number: int) -> int:
        first, last = self._bounds[number], self._bounds[number + 1]
        step = max(1, _CHUNK // (self._shape[1] * self._dtype.itemsize))
        total = 0
        for start in range(first, last, step):
            total = zlib.crc32(self.rows[start : min(start + step, last)].tobytes(), total)
        return total
