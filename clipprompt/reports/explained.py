"""What a prompt has learnt, for a terminal and as JSON: its vectors as words, and the words that classes attend to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from statistics import median
from typing import TYPE_CHECKING

from clipprompt.errors import UserError, nearest

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from clipprompt.inference.explain import CaptionAttention, ClassAttention, ContextWords, VectorWords

FORMATS = ("table", "json", "html")
_LEVELS = ((0.4, "black on #f59e0b"), (0.15, "black on #fcd34d"), (0.05, "black on #fef3c7"))
"""From which share of the attention a word is shaded how."""


def check_explain_format(name: str) -> None:
    """Checks the name of a format.

    Raises:
        UserError: for an unknown one, with the nearest suggested.
    """
    if name not in FORMATS:
        raise UserError(f"unknown format {name!r}{nearest(name, FORMATS)}; choose one of {', '.join(FORMATS)}")


def explained_json(context: ContextWords | None, captions: Sequence[CaptionAttention]) -> str:
    """All numbers as one JSON object with the keys ``context`` (null without one) and ``captions``."""
    value = {"context": asdict(context) if context else None, "captions": [asdict(entry) for entry in captions]}
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def explained_table(
    context: ContextWords | None, captions: Sequence[CaptionAttention], *, colours: bool
) -> RenderableType:
    """Both parts for a rich console.

    Args:
        context: nearest words of the learnt vectors.
        captions: words that classes attend to.
        colours: shade the words of a caption; otherwise the most attended ones are listed with their shares.
    """
    from rich.console import Group

    parts = [*(_context(context) if context else []), *(_caption(entry, colours) for entry in captions)]
    return Group(*parts)


def grouped(context: ContextWords) -> Iterator[tuple[str, list[VectorWords]]]:
    """The vectors of one context after another, under headings such as ``ctx_local`` or ``ctx_local, red bus``."""
    for (parameter, label), vectors in groupby(context.vectors, key=lambda vector: (vector.parameter, vector.label)):
        yield parameter if label is None else f"{parameter}, {label}", list(vectors)


def how_near(context: ContextWords) -> str:
    """What the distances are worth, in two sentences."""
    closest = [vector.words[0].distance for vector in context.vectors]
    better = sum(vector.words[0].distance < 0.9 * vector.noise for vector in context.vectors)
    sticks, total = context.yardsticks, len(closest)
    rest = "" if better == total else f"; {'of the others ' if better else ''}the words say little"
    return (
        f"For comparison, two random words of the {context.n_words:,} are {sticks.random_pair:.2f} apart and a word "
        f"lies {sticks.nearest_word:.2f} from its nearest (medians); the vectors here lie {median(closest):.2f} from "
        f"theirs. {better or 'None'} of {total} {'is' if better < 2 else 'are'} clearly (a tenth) nearer to a word "
        f'than a random direction of the same length ("chance"){rest}.'
    )


def most_attended(words: Sequence[str], attention: ClassAttention, n_words: int = 4) -> list[tuple[str, float]]:
    """The most attended words with their shares, largest first; at least 1 % each."""
    pairs = sorted(zip(words, attention.weights, strict=True), key=lambda pair: -pair[1])
    return [(word, weight) for word, weight in pairs[:n_words] if weight >= 0.01]


def _context(context: ContextWords) -> Iterator[RenderableType]:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    for heading, vectors in grouped(context):
        yield Text(f"{heading}: nearest words, by Euclidean distance", style="bold")
        table = Table(box=SIMPLE_HEAD)
        for name in ("no.", "length", "chance"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("nearest words")
        for vector in vectors:
            near = Text("  ").join(Text.assemble(n.word, (f" {n.distance:.2f}", "dim")) for n in vector.words)
            table.add_row(str(vector.position), f"{vector.length:.2f}", f"{vector.noise:.2f}", near)
        yield table
    yield Text(f"{how_near(context)}\n")


def _caption(entry: CaptionAttention, colours: bool) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD)
    table.add_column("class", max_width=24)
    table.add_column("logit", justify="right", no_wrap=True)
    table.add_column("attends to")
    for attention in entry.classes:
        words = _shaded(entry.words, attention) if colours else Text(_listed(entry.words, attention))
        table.add_row(Text(attention.label), f"{attention.logit:.2f}", words)
    cut = " (too long: its end was cut)" if entry.cut else ""
    return Group(Text(" ".join(entry.caption.split()) + cut, style="bold"), table)


def _shaded(words: Sequence[str], attention: ClassAttention) -> Text:
    from rich.text import Text

    styled = []
    for word, weight in zip(words, attention.weights, strict=True):
        style = next((style for least, style in _LEVELS if weight >= least), "dim")
        styled.append(Text(f" {word} " if style != "dim" else word, style=style))
    return Text(" ").join(styled)


def _listed(words: Sequence[str], attention: ClassAttention) -> str:
    return ", ".join(f"{word} {100 * weight:.0f} %" for word, weight in most_attended(words, attention))
