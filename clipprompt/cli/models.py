"""``clipprompt models``: which architectures of open_clip and timm work with which learners."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from clipprompt.cli._show import new_table

if TYPE_CHECKING:
    from clipprompt.backbone.capabilities import Capability

_PIPED_WIDTH = 160


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="of an architecture, or a part of it; timm:NAME of timm's", show_default="all"
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="those alone that work with language, visual, multi-modal or head learners"),
    ] = None,
    by_kind: Annotated[
        bool, typer.Option("--by-kind", help="one row for those that differ in nothing but the name")
    ] = False,
    output_format: Annotated[
        str, typer.Option("--format", "-f", metavar="NAME", help="table, md, csv or json")
    ] = "table",
) -> None:
    """List architectures of open_clip, or timm, and what can be learnt on each.

    Every architecture is built without weights and asked, which takes half
    a minute for all of them the first time; the answers are kept.

      language: coop, cocoop, tai_dpt and others learn words

      visual: vpt learns tokens of the image

      multi-modal: ivlp, maple, promptsrc learn both

      head: linear, vpt_head, lora and others learn a head, without texts

      clipprompt models SigLIP

      clipprompt models timm:swin_base

      clipprompt models --family visual --format csv
    """
    from clipprompt.backbone.capabilities import FAMILIES, find_architectures, list_capabilities
    from clipprompt.errors import UserError, nearest
    from clipprompt.features.image_cache import default_cache_folder
    from clipprompt.progress import track
    from clipprompt.reports.multilabel.tables import check_format

    check_format(output_format)
    if family not in (None, *FAMILIES):
        raise UserError(
            f"there is no family {family!r}{nearest(family, FAMILIES)}; choose one of {', '.join(FAMILIES)}"
        )
    names = find_architectures(name)
    found = list(track(list_capabilities(names, default_cache_folder()), "Building", total=len(names), unit="models"))
    _show([one for one in found if family not in one.refusals], output_format, by_kind)


def _show(found: Sequence[Capability], output_format: str, by_kind: bool) -> None:
    from clipprompt.backbone.capabilities import FAMILIES
    from clipprompt.reports.models import TITLES, model_rows, render_models

    if output_format != "table":
        typer.echo(render_models(found, output_format, by_kind=by_kind), nl=False)
        return
    from rich.console import Console
    from rich.text import Text

    rows, notes = model_rows(found, by_kind=by_kind)
    table = new_table(TITLES[0])
    table.columns[0].overflow = "fold"
    for title in TITLES[1:]:
        table.add_column(title.removesuffix(" tower"), no_wrap=title in FAMILIES)
    for cells in rows:
        table.add_row(*cells)
    # Names are searched for behind a pipe, so none is folded there.
    console = Console() if sys.stdout.isatty() else Console(width=_PIPED_WIDTH)
    console.print(table, *(Text(line, style="dim") for line in ("", *notes)), sep="\n")
