"""Tagged pictures as a table for people, row by row: names on the left, labels with their values on the right."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from clipprompt.printable import printable

if TYPE_CHECKING:
    from clipprompt.inference import ImageTags, Tag

NONE = "none of these"
_NAME, _MOST = 36, 0.4  # columns of the names: as many, and no more than this share of a terminal
_GAP = "  "
_ANSWERS = {"yes": ("yes", "green"), "uncertain": ("?", "yellow"), "no": ("no", "dim")}


class TagTable:
    """Rows that can be written before the next is known, so columns have a fixed width.

    On a terminal names are cut at their left end, and labels go on below each other. In a file or a pipe nothing is cut
    and a picture is one line. A name cannot write control characters.
    """

    def __init__(self, probabilities: bool, width: int | None = None, *, answers: bool = False) -> None:
        """Starts a table.

        Args:
            probabilities: whether tags have them; scores are shown otherwise.
            width: columns of the terminal; None for a file or a pipe.
            answers: whether tags have them.
        """
        self._width = width
        self._name = _NAME if width is None else min(_NAME, int(width * _MOST))
        self._value = ("probability" if probabilities else "score") + ("; ? uncertain" if answers else "")
        self._console = Console(file=io.StringIO(), width=width, force_terminal=width is not None)

    def head(self) -> str:
        """The heading."""
        labels = Text(f"labels ({self._value})", style="bold")
        return self._line(Text("picture", style="bold"), [labels])

    def image(self, tags: ImageTags) -> str:
        """A picture's rows; the empty string for one that could not be read."""
        if tags.error is not None:
            return ""
        words = [self._word(tag) for tag in tags.tags] or [Text(NONE, style="dim italic")]
        return "".join(
            self._line(Text(self._cut(printable(tags.path)) if number == 0 else ""), row)
            for number, row in enumerate(self._rows(words))
        )

    def foot(self, note: str = "") -> str:
        """Nothing."""
        return ""

    def _word(self, tag: Tag) -> Text:
        value = f"{tag.score:.2f}" if tag.probability is None else f"{100 * tag.probability:.0f} %"
        word = Text.assemble(printable(tag.label), " ", (value, "cyan"))
        return word if tag.answer is None else word.append(" ").append(*_ANSWERS[tag.answer])

    def _rows(self, words: list[Text]) -> list[list[Text]]:
        """The words in as many rows as the terminal needs."""
        if self._width is None:
            return [words]
        room = self._width - self._name - len(_GAP)
        rows: list[list[Text]] = [[]]
        for word in words:
            taken = sum(cell_len(before.plain) + len(_GAP) for before in rows[-1])
            if rows[-1] and taken + cell_len(word.plain) > room:
                rows.append([])
            rows[-1].append(word)
        return rows

    def _cut(self, name: str) -> str:
        if self._width is None or cell_len(name) <= self._name:
            return name
        while cell_len(name) > self._name - 1:
            name = name[1:]
        return "…" + name

    def _line(self, name: Text, words: list[Text]) -> str:
        room = max(self._name, cell_len(name.plain))
        name.append(" " * (room - cell_len(name.plain)))
        with self._console.capture() as captured:
            self._console.print(Text(_GAP).join([name, *words]), soft_wrap=True, highlight=False)
        return captured.get()
