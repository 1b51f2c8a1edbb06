"""Reads captions from files in the formats that they come in, one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from clipprompt.captions import _formats
from clipprompt.captions._formats import Bad, Row
from clipprompt.captions._source import Source
from clipprompt.errors import UserError, nearest

_Reader = Callable[[Source, str], Iterator[Row | Bad]]

FORMATS: dict[str, tuple[str, _Reader]] = {
    ".json": ("COCO caption JSON, or a JSON list of records", _formats.read_json),
    ".jsonl": ("JSON lines, such as OpenImages localized narratives", _formats.read_jsonl),
    ".ndjson": ("JSON lines", _formats.read_jsonl),
    ".token": ("Flickr token file", _formats.read_token),
    ".txt": ("plain text, one caption a line", _formats.read_text),
    ".csv": ("comma-separated table with a header line", _formats.read_csv),
    ".tsv": ("tab-separated table with a header line", _formats.read_tsv),
    ".parquet": ("Parquet table", _formats.read_parquet),
}
"""What each suffix means; ``.gz`` may follow any of them but ``.parquet``."""

_WITHOUT_COLUMNS = (".token", ".txt")


class CaptionFile:
    """One file of captions; iterate to read it.

    Args:
        path: the file; gzip is undone by content, Parquet is known by content, the rest by suffix (`FORMATS`).
        column: the column or key that holds the caption; "caption" when not given.

    Attributes:
        name: the path as given.
        size: bytes on disk.
        n_read: usable captions read so far.
        n_skipped: records without a usable caption so far.
        skipped: the first `SHOWN` of them, each as one line that names file, place and reason.

    Raises:
        UserError: when the file is missing, empty or of no known format; while iterating, for a broken file.
    """

    SHOWN = 20

    def __init__(self, path: str | os.PathLike[str], column: str | None = None) -> None:
        self._source = Source(path)
        self.name, self.size = self._source.name, self._source.size
        self._kind = ".parquet" if self._source.head == b"PAR1" else self._source.suffix
        if self._kind not in FORMATS:
            hint = nearest(self._kind, FORMATS) if self._kind else ""
            raise UserError(f"{self.name}: unknown kind of file{hint}; known endings: {', '.join(FORMATS)}")
        self._column = column or "caption"
        self.n_read = self.n_skipped = 0
        self.skipped: list[str] = []

    @property
    def has_columns(self) -> bool:
        """Whether a column name means anything here."""
        return self._kind not in _WITHOUT_COLUMNS

    def position(self) -> int:
        """Bytes read so far, for a progress bar."""
        return self._source.position()

    def __iter__(self) -> Iterator[Row]:
        self.n_read, self.n_skipped, self.skipped = 0, 0, []
        try:
            for row in FORMATS[self._kind][1](self._source, self._column):
                if isinstance(row, Bad):
                    self._skip(row)
                else:
                    self.n_read += 1
                    yield row
        finally:
            self._source.close()
        if not self.n_read:
            reason = f": {self.skipped[0]}" if self.skipped else ""
            raise UserError(f"{self.name}: no captions in it{reason}")

    def _skip(self, bad: Bad) -> None:
        self.n_skipped += 1
        if len(self.skipped) < self.SHOWN:
            self.skipped.append(f"{self.name}:{bad.place}: {bad.reason}")
