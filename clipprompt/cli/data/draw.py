"""``clipprompt data draw``: which pictures of a set a seed draws, as a list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipprompt.cli._options import Root
from clipprompt.errors import UserError

if TYPE_CHECKING:
    from clipprompt.datasets.classification.draw import Drawn

DATA = "caltech101 or another set with one class a picture, a folder of class folders, or a .csv, .tsv, .jsonl table"


def draw(
    dataset: Annotated[str, typer.Argument(metavar="DATA", help=DATA, show_default=False)],
    root: Root = None,
    shots: Annotated[
        int | None, typer.Option(metavar="N", help="training pictures of each class", show_default="all of them")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="of the draw")] = 1,
    subset: Annotated[str, typer.Option(metavar="NAME", help="of the classes: all, base or novel")] = "all",
    class_split: Annotated[
        int, typer.Option(metavar="N", help="0 = base and novel classes of papers, else a seed of others")
    ] = 0,
    part: Annotated[str, typer.Option(metavar="NAME", help="train, val (at most 4 of each class) or test")] = "train",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="JSON lines", show_default="stdout")
    ] = None,
) -> None:
    """List the pictures that a seed draws; the pictures need not be there.

    One JSON object a line, in order: path (relative to the folder of the
    pictures), label, classname. With CoOp's split file the draws are those
    of CoOp. Equal hashes mean equal draws.

      clipprompt data draw caltech101 --root ~/data --shots 16 --seed 1

      clipprompt data draw photos --shots 4 --subset base -o base.jsonl
    """
    from clipprompt.cli._writing import check_output, open_output
    from clipprompt.datasets.classification.draw import draw as draw_from
    from clipprompt.datasets.classification.load import load_classification
    from clipprompt.datasets.classification.sets import PARTS
    from clipprompt.printable import to_json

    check_output(output)
    parts = PARTS if part == "val" else (part,)  # drawn after train, by the same generator
    drawn = draw_from(load_classification(dataset, root, parts=parts), shots, seed, subset, class_split)
    if not drawn.part(part):
        raise UserError(f"{drawn.dataset.name}: {part} has no picture of {subset} classes; give another part or subset")
    lines = [to_json(sample._asdict()) + "\n" for sample in drawn.part(part)]
    with open_output(output) as write:
        write("".join(lines))
    _describe(drawn, part)


def _describe(drawn: Drawn, part: str) -> None:
    from clipprompt.datasets.classification.sets import hash_samples

    dataset, samples = drawn.dataset, drawn.part(part)
    for note in drawn.notes:
        typer.echo(f"clipprompt: {note}", err=True)
    digest = f" (SHA-256 {dataset.source_sha256[:16]})" if dataset.source_sha256 else ""
    typer.echo(
        f"{dataset.name}, {part}: {len(samples):,} pictures; {len(drawn.classnames)} classes ({drawn.subset}); "
        f"draw {hash_samples(samples)[:16]}; from {dataset.source}{digest}",
        err=True,
    )
