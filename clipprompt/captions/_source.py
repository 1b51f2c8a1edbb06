"""Opens a caption file: missing, empty, gzipped, truncated or wrongly encoded ones are told apart here."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from clipprompt.errors import UserError

_CHUNK = 1 << 18
LONGEST_LINE = 1 << 26
"""Bytes that one line may have; a longer one is no line of text."""


class Source:
    """A file as bytes, lines or text, with gzip undone by content and the place of every fault known.

    Attributes:
        name: the path as the user gave it.
        size: bytes on disk.
        suffix: the lower-case suffix before any ``.gz``.

    Raises:
        UserError: when the file is missing, a folder, unreadable or empty.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.name = Path(path), str(path)
        if self.path.is_dir():
            raise UserError(f"{self.name} is a folder; name the caption files in it")
        with self._faults():
            self.size = self.path.stat().st_size
            self._file: BinaryIO = self.path.open("rb")
        with self._faults(), self.path.open("rb") as file:
            self._gzipped = file.read(2) == b"\x1f\x8b"
        plain = self.path.with_suffix("") if self.path.suffix.lower() == ".gz" else self.path
        self.suffix = plain.suffix.lower()
        with self._faults(), self._open() as data:
            self.head = data.read(4)
        if not self.head:
            raise UserError(f"{self.name} is empty")

    def position(self) -> int:
        """Bytes of the file on disk that were read so far; all of them once it was read to its end."""
        return self.size if self._file.closed else self._file.tell()

    def close(self) -> None:
        """Closes the file, also where a reader was left in its middle by an error."""
        self._file.close()

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file's bytes, uncompressed; faults of the file become one clear line."""
        with self._faults(), self._open() as data:
            yield data

    def lines(self) -> Iterator[tuple[int, str]]:
        """Line number from 1, and the line with its end."""
        with self.open() as data:
            for number in range(1, 1 << 62):
                raw = data.readline(LONGEST_LINE)
                if not raw:
                    return
                if len(raw) == LONGEST_LINE:
                    raise UserError(
                        f"{self.name}:{number}: the line is longer than {LONGEST_LINE >> 20} MB; is it text?"
                    )
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise self._not_utf8(number) from error

    def chunks(self) -> Iterator[str]:
        """The text in pieces of about a quarter of a megabyte."""
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        line = 1
        with self.open() as data:
            while True:
                raw = data.read(_CHUNK)
                try:
                    text = decoder.decode(raw, final=not raw)
                except UnicodeDecodeError as error:
                    raise self._not_utf8(line + error.object.count(b"\n", 0, error.start)) from error
                line += text.count("\n")
                if text:
                    yield text
                if not raw:
                    return

    def _not_utf8(self, line: int) -> UserError:
        return UserError(f"{self.name}:{line}: not UTF-8 text; convert the file to UTF-8 first")

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        self._file.close()
        with self.path.open("rb") as self._file:
            if not self._gzipped:
                yield self._file
                return
            with gzip.open(self._file) as data:
                yield cast(BinaryIO, data)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise UserError(f"there is no file {self.name}") from None
        except EOFError as error:
            raise UserError(
                f"{self.name}: the gzip data ends too early; the file was cut off, fetch it again"
            ) from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"{self.name}: damaged gzip data ({error}); fetch it again") from error
        except OSError as error:
            raise UserError(f"cannot read {self.name}: {error.strerror or error}") from error
