"""Tagged pictures as text, written in pieces: ``head() + image(tags) + image(tags) + … + foot()``.

All writers have these three methods, those of the page too (`clipprompt.reports.pages.tag_page`), so that results are
written as they come, and what has been written when a run is stopped is valid once the foot is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from clipprompt.errors import UserError, nearest

if TYPE_CHECKING:
    from clipprompt.inference import ImageTags, Tag

FORMATS = ("table", "jsonl", "csv", "html")
# Bytes that are no text, and what some readers and terminals take for the end of a line.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class TagWriter(Protocol):
    """Writes results piece by piece."""

    def head(self) -> str:
        """What stands before the first picture."""

    def image(self, tags: ImageTags) -> str:
        """One picture; the empty string where the format has no place for it."""

    def foot(self, note: str = "") -> str:
        """What stands after the last picture."""


def check_format(output_format: str) -> None:
    """Refuses unknown formats.

    Raises:
        UserError: naming those there are.
    """
    if output_format not in FORMATS:
        raise UserError(f"format {output_format!r} is not one of {', '.join(FORMATS)}{nearest(output_format, FORMATS)}")


def tag_writer(
    output_format: str,
    *,
    labels: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
    probabilities: bool = False,
    answers: bool = False,
    width: int | None = None,
) -> TagWriter:
    """A writer of one of ``FORMATS``.

    Args:
        output_format: its name.
        labels: that were asked for, for the page.
        facts: what else stands on the page.
        probabilities: whether tags have them, for the table's heading.
        answers: whether tags have them, for the headings of the table and of CSV.
        width: columns of the terminal that the table is for; None for a file or a pipe.

    Raises:
        UserError: for an unknown format.
    """
    check_format(output_format)
    if output_format == "html":
        from clipprompt.reports.pages.tag_page import TagPage

        return TagPage(labels=labels, facts=facts)
    if output_format == "table":
        from clipprompt.reports._tag_table import TagTable

        return TagTable(probabilities, width, answers=answers)
    return JSONLines() if output_format == "jsonl" else CSV(answers)


class JSONLines:
    r"""One object a picture: ``{"path", "tags": [{"label", "score", "probability"}]}`` or ``{"path", "error"}``.

    ``probability`` is null without a calibration. Where the calibration has a band, a tag also has ``answer``: yes,
    uncertain or no. Bytes of a name that are no UTF-8 stand as ``\udc80`` to ``\udcff``,
    which ``os.fsencode(json.loads(line)["path"])`` turns back.
    """

    def head(self) -> str:
        """Nothing."""
        return ""

    def image(self, tags: ImageTags) -> str:
        """A line."""
        if tags.error is not None:
            found: dict[str, object] = {"path": tags.path, "error": tags.error}
        else:
            found = {"path": tags.path, "tags": [self._tag(tag) for tag in tags.tags]}
        line = json.dumps(found, ensure_ascii=False)
        return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", line) + "\n"

    def foot(self, note: str = "") -> str:
        """Nothing."""
        return ""

    def _tag(self, tag: Tag) -> dict[str, object]:
        probability = None if tag.probability is None else round(tag.probability, 6)
        found: dict[str, object] = {"label": tag.label, "score": round(tag.score, 6), "probability": probability}
        return found if tag.answer is None else {**found, "answer": tag.answer}


class CSV:
    """One row a label: path, label, score, probability, best first, and the answer where there are answers.

    A picture without a label has one row with empty cells; one that could not be read has none.
    """

    def __init__(self, answers: bool = False) -> None:
        self._answers = answers

    def head(self) -> str:
        """The names of the columns."""
        return f"path,label,score,probability{',answer' if self._answers else ''}\n"

    def image(self, tags: ImageTags) -> str:
        """A picture's rows."""
        if tags.error is not None:
            return ""
        path = _cell(tags.path)
        empty = ",,,," if self._answers else ",,,"
        return "".join(f"{path},{self._tag(tag)}\n" for tag in tags.tags) or f"{path}{empty}\n"

    def foot(self, note: str = "") -> str:
        """Nothing."""
        return ""

    def _tag(self, tag: Tag) -> str:
        probability = "" if tag.probability is None else f"{tag.probability:.6f}"
        return f"{_cell(tag.label)},{tag.score:.6f},{probability}{f',{tag.answer}' if self._answers else ''}"


def _cell(text: str) -> str:
    if not any(character in text for character in '",\r\n') and text == text.strip():
        return text
    return '"' + text.replace('"', '""') + '"'
