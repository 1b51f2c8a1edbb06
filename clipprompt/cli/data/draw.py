"""``clipprompt data draw``: which pictures of a set a seed draws, and which of their labels are known, as a list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipprompt.cli._options import Images, Root
from clipprompt.errors import UserError

if TYPE_CHECKING:
    from clipprompt.datasets import MultiLabelImages
    from clipprompt.datasets.classification.draw import Drawn

DATA = "a set of `data list`, mini, a folder of class folders, a .csv, .tsv, .jsonl table, or a COCO .json"


def draw(
    dataset: Annotated[str, typer.Argument(metavar="DATA", help=DATA, show_default=False)],
    root: Root = None,
    images: Images = None,
    shots: Annotated[
        int | None, typer.Option(metavar="N", help="training pictures of each class", show_default="all of them")
    ] = None,
    known: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="labels that stay known: 0.1, or single-positive", show_default="all"),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="says which labels are known; MASK.txt:tai-dpt is one", show_default=False),
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
    """List the pictures that a seed draws, and their known labels.

    One JSON object a line, in order. Of a set with one class a picture:
    path (relative to the folder of the pictures), label, classname; the
    pictures need not be there. With CoOp's split file the draws are those
    of CoOp. Equal hashes mean equal draws.

      clipprompt data draw caltech101 --root ~/data --shots 16 --seed 1

    Of a set with several, or with --known or --labels: path, present,
    absent; other classes are unknown. data.labels=FILE learns from it.

      clipprompt data draw voc2007 --root ~/data --known 0.1 -o known.jsonl

      clipprompt data draw photos.csv --known single-positive --shots 4
    """
    from clipprompt.cli._writing import check_output
    from clipprompt.cli.data import _known
    from clipprompt.datasets import load_dataset
    from clipprompt.datasets.classification.draw import draw as draw_from
    from clipprompt.datasets.classification.load import load_classification
    from clipprompt.datasets.classification.sets import PARTS
    from clipprompt.datasets.partial.known import parse_known
    from clipprompt.datasets.partial.learnt import learnt_labels
    from clipprompt.datasets.select import training_split

    check_output(output)
    share = None if known is None else parse_known(known)
    if _known.has_several(dataset):
        found = load_dataset(training_split(dataset), images, root=root)
        learnt = learnt_labels(
            found, seed=seed, shots=shots, known=share, labels=labels, subset=subset, class_split=class_split
        )
        _write_labels(_known.part_of(learnt, part), part, subset, output)
        return
    parts = PARTS if part == "val" else (part,)  # drawn after train, by the same generator
    drawn = draw_from(load_classification(dataset, root, images, parts), shots, seed, subset, class_split)
    if not drawn.part(part):
        raise UserError(f"{drawn.dataset.name}: {part} has no picture of {subset} classes; give another part or subset")
    if share is None and labels is None:
        _write_samples(drawn, part, output)
    else:
        chosen = learnt_labels(drawn.images(part), seed=seed, known=share, labels=labels).train
        _write_labels(chosen, part, subset, output)


def _write_labels(images: MultiLabelImages, part: str, subset: str, output: Path | None) -> None:
    from clipprompt.cli._writing import open_output
    from clipprompt.cli.data import _known
    from clipprompt.datasets.partial.label_file import label_lines

    with open_output(output) as write:
        write("".join(label_lines(images)))
    _known.describe(images, part, subset)


def _write_samples(drawn: Drawn, part: str, output: Path | None) -> None:
    from clipprompt.cli._writing import open_output
    from clipprompt.printable import to_json

    lines = [to_json(sample._asdict()) + "\n" for sample in drawn.part(part)]
    with open_output(output) as write:
        write("".join(lines))
    _describe(drawn, part)


def _describe(drawn: Drawn, part: str) -> None:
    from clipprompt.datasets.classification.sets import hash_samples
    from clipprompt.printable import counted

    dataset, samples = drawn.dataset, drawn.part(part)
    for note in drawn.notes:
        typer.echo(f"clipprompt: {note}", err=True)
    digest = f" (SHA-256 {dataset.source_sha256[:16]})" if dataset.source_sha256 else ""
    typer.echo(
        f"{dataset.name}, {part}: {counted(len(samples), 'picture')}; "
        f"{counted(len(drawn.classnames), 'class')} ({drawn.subset}); "
        f"draw {hash_samples(samples)[:16]}; from {dataset.source}{digest}",
        err=True,
    )
