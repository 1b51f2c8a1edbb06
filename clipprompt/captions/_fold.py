"""Text to words: the one normal form that captions and phrases share.

A folded text is a run of words, each with one space before it and one behind it: ``b" a  hot  dog "``. A phrase
is folded the same way, so that a byte automaton finds whole words only, and two neighbours never share a space.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

CAPTION_END = b"\x01"
"""The word that stands between two captions of a block."""

BREAK = b"\x02"
"""The word that punctuation becomes: no phrase reaches across it."""

# Hyphens, apostrophes, quotation marks and underscores join: "stop-sign" is "stop sign", "dog's" is "dog s".
_JOINERS = " \t\n\r\x0b\x0c-'\"`_"
_APOSTROPHES = "\u2018\u2019\u201a\u201b\u02bc\u201c\u201d\u201e\u00ab\u00bb"


def _ascii_table() -> bytes:
    table = bytearray(range(256))
    for code in range(128):
        char = chr(code)
        if char in _JOINERS or (code < 32 and code != CAPTION_END[0]) or code == 127:
            table[code] = ord(" ")
        elif char.isalnum():
            table[code] = ord(char.lower())
        elif code != CAPTION_END[0]:
            table[code] = BREAK[0]
    return bytes(table)


class _UnicodeTable(dict[int, str | None]):
    """What `str.translate` puts in place of a character outside ASCII; filled as characters turn up."""

    def __missing__(self, code: int) -> str | None:
        char = chr(code)
        kind = unicodedata.category(char)
        if code < 128 or kind[0] in "LNM":
            result: str | None = char
        elif kind[0] == "Z" or kind == "Pd" or char in _APOSTROPHES:
            result = " "
        else:
            # Soft hyphens and zero-width joiners are invisible; any other sign ends a phrase like a comma.
            result = None if kind == "Cf" else ","
        self[code] = result
        return result


_ASCII = _ascii_table()
_UNICODE = _UnicodeTable()


def _plain(text: str) -> str:
    # Case folding can undo the composition, so it comes first and the normal form last.
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return folded.translate(_UNICODE).encode("utf-8", "ignore").decode()


def _spread(data: bytes) -> bytes:
    data = data.translate(_ASCII).replace(BREAK, b" " + BREAK + b" ").strip(b" ")
    if not data:
        return b""
    # The same as `b"  ".join(data.split())`, in less than half the time: drop repeated spaces, then double all.
    codes = np.frombuffer(data, np.uint8)
    space = codes == 32
    kept = np.ones(len(codes), bool)
    np.logical_and(space[1:], space[:-1], out=kept[1:])
    np.logical_not(kept[1:], out=kept[1:])
    words: bytes = codes[kept].tobytes()
    return b" " + words.replace(b" ", b"  ") + b" "


def fold_text(text: str) -> bytes:
    r"""One phrase or caption in folded form; empty when it has no word.

    >>> fold_text("Hot-Dog, please")
    b' hot  dog  \x02  please '
    """
    return _spread(_plain(text).replace("\x01", " ").encode())


def fold_block(captions: Sequence[str]) -> bytes:
    """Many captions in folded form, with the word `CAPTION_END` between each two of them."""
    joint = " \x01 ".join(captions)
    if not joint.isascii() or joint.count("\x01") >= len(captions):
        joint = " \x01 ".join([_plain(caption).replace("\x01", " ") for caption in captions])
    return _spread(joint.encode())


def words_of(folded: bytes) -> list[bytes]:
    """The words of a folded text, breaks included."""
    return folded.split()


def is_phrase(folded: bytes) -> bool:
    """Whether a folded text has at least one real word."""
    return any(word != BREAK for word in folded.split())
