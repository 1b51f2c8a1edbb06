"""``clipprompt explain PROMPT PICTURES --attention``: where the prompts of an image tower look."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from clipprompt.cli._writing import open_output
from clipprompt.errors import UserError

if TYPE_CHECKING:
    from clipprompt.inference.explain_attention import PictureAttention
    from clipprompt.learners import Learner

_PICTURES = ("png", "pdf", "svg")
_FORMAT_OF = {".json": "json", ".html": "html", ".htm": "html", **{f".{name}": name for name in _PICTURES}}


def attention_format(asked: str | None, output: Path | None) -> str:
    """The format that is asked for, or that the ending of a file says.

    Raises:
        UserError: for an unknown one, or one that needs a file.
    """
    from clipprompt.reports.explained_attention import check_attention_format

    ending = "" if output is None else output.suffix.lower()
    kind = asked or _FORMAT_OF.get(ending, "table")
    check_attention_format(kind)
    if kind in _PICTURES and _FORMAT_OF.get(ending) != kind:
        raise UserError(f"a picture does not go to a terminal; write it to a file with -o attention.{kind}")
    if kind == "html" and output is None and sys.stdout.isatty():
        raise UserError("a page does not go to a terminal; write it to a file with -o attention.html")
    return kind


def parse_layers(text: str | None) -> list[int] | None:
    """Layers such as 0,5,11; None for all.

    Raises:
        UserError: for anything else.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise UserError(f"--layers {text!r} is no list of layers; give numbers from 0 on, such as 0,5,11")
    return [int(part) for part in parts]


def show_attention(
    learner: Learner, pictures: Sequence[str], kind: str, output: Path | None, layers: str | None, top: int, limit: int,
    title: str,
) -> int:  # fmt: skip
    """Reads the pictures and writes where the prompts look on them.

    Args:
        learner: a trained one.
        pictures: files, folders or patterns.
        kind: of ``FORMATS``.
        output: a file; None for stdout.
        layers: as :func:`parse_layers` reads them.
        top: prompts of each picture that are shown.
        limit: pictures at most.
        title: heading.

    Returns:
        How many pictures were skipped; each is named on stderr.

    Raises:
        UserError: if nothing can be shown.
    """
    from clipprompt.inference.explain_attention import explain_attention
    from clipprompt.inference.sources import find_images

    skipped = list[str]()

    def skip(path: str, reason: str) -> None:
        skipped.append(path)
        typer.echo(f"clipprompt: skipped {path}: {reason}", err=True)

    chosen = parse_layers(layers)
    paths = list(islice(find_images(pictures, on_skip=skip), limit + 1))
    if len(paths) > limit:
        typer.echo(f"clipprompt: only the first pictures, {limit}, are shown (--limit N shows more)", err=True)
    found: list[PictureAttention] = []
    for entry in explain_attention(learner, paths[:limit], layers=chosen):
        if isinstance(entry, UserError):
            skipped.append(str(entry))
            typer.echo(f"clipprompt: {entry}", err=True)
        else:
            found.append(entry)
    if not found:
        raise UserError("no picture can be shown" + ("" if skipped else "; give pictures behind the prompt's folder"))
    _write(found, kind, output, top, title, learner)
    return len(skipped)


def _write(
    found: Sequence[PictureAttention], kind: str, output: Path | None, top: int, title: str, learner: Learner
) -> None:
    if kind in _PICTURES and output is not None:
        from clipprompt.reports.drawing.attention import save_attention

        save_attention(found, output, title=f"{title}: where its prompts look", n_prompts=top)
        return
    with open_output(output) as write:
        write(_text(found, kind, top, title, learner, to_file=output is not None))


def _text(
    found: Sequence[PictureAttention], kind: str, top: int, title: str, learner: Learner, *, to_file: bool
) -> str:
    from clipprompt.reports.explained_attention import attention_json, attention_table

    if kind == "json":
        return attention_json(found)
    if kind == "html":
        from clipprompt.reports.pages.attention_page import attention_page

        backbone = learner.backbone
        name = f"{backbone.name} ({backbone.pretrained})" if backbone.pretrained else backbone.name
        return attention_page(title, found, n_prompts=top, facts={"method": learner.name, "backbone": name})
    from rich.console import Console

    console = Console(width=100, no_color=True, color_system=None) if to_file else Console()
    with console.capture() as printed:
        console.print(attention_table(found, top))
    return printed.get()
