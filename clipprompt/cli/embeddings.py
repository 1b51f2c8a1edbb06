"""``clipprompt embeddings``: a map of a set's pictures without and with what a prompt has learnt."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clipprompt.cli._options import BatchSize, Device, Pretrained, PromptBackboneName, Root, Workers
from clipprompt.errors import UserError
from clipprompt.files import write_text

if TYPE_CHECKING:
    from clipprompt.datasets.classification.sets import ClassificationSet, Sample
    from clipprompt.inference.embeddings import Floats, Separation

_SIDES, _TITLES = ("without", "with"), ("Frozen tower", "With what was learnt")


def embeddings(
    prompts: Annotated[Path, typer.Argument(metavar="PROMPTS", help="a trained prompt: a run folder")],
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", metavar="DATA", help="a set with one class a picture, or own data")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help=".png, .pdf or .svg; a .csv is written beside it")
    ],
    root: Root = None,
    part: Annotated[str, typer.Option(metavar="PART", help="train, val or test")] = "test",
    max_images: Annotated[int, typer.Option(min=4, metavar="N", help="so many at most, drawn by the seed")] = 1000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="of the drawn pictures and of t-SNE")] = 1,
    perplexity: Annotated[
        float | None,
        typer.Option(metavar="X", help="neighbours of a picture", show_default="30, less of few pictures"),
    ] = None,
    backbone: PromptBackboneName = None,
    pretrained: Pretrained = None,
    batch_size: BatchSize = 64,
    workers: Workers = 4,
    device: Device = "auto",
) -> None:
    """Draw a set's embeddings without and with what was learnt, side by side.

    The final embeddings of the image tower, before the head or before the
    cosines, by t-SNE, in the colours of their classes. Numbers on stdout
    are of the embeddings themselves: how often the nearest five others
    tell a picture's class, and the silhouette of the classes.

      clipprompt embeddings runs/vpt -d mini-objects -o map.png

      clipprompt embeddings runs/vpt -d vtab-svhn --root DATA -o map.svg
    """
    from clipprompt.inference.embeddings import check_embeds, embed_pictures, separation, to_plane
    from clipprompt.learners import load_backbone_for, load_learner
    from clipprompt.reports.drawing.embeddings import save_embeddings

    _check(output)
    found, samples = _draw_samples(dataset, root, part, max_images, seed)
    learner = load_learner(prompts, load_backbone_for(prompts, backbone, pretrained, device))
    check_embeds(learner)
    items = [found.item(sample) for sample in samples]
    embedded = embed_pictures(learner, items, found.open_item, batch_size=batch_size, workers=workers)
    for error in embedded.skipped:
        typer.echo(f"clipprompt: {error}", err=True)
    samples = [samples[place] for place in embedded.kept]
    labels = _labels(samples)
    planes = [to_plane(side, seed=seed, perplexity=perplexity) for side in embedded.pair]
    told = [separation(side, labels) for side in embedded.pair]
    maps = {f"{side}: {_words(one)}": plane for side, one, plane in zip(_TITLES, told, planes, strict=True)}
    title = f"{learner.name} on {found.name}, {part}: {len(samples):,} pictures"
    save_embeddings(maps, labels.tolist(), found.classnames, output, title=title)
    write_text(output.with_suffix(".csv"), _table(samples, planes))
    _print(told)
    typer.echo(f"clipprompt: {output} and {output.with_suffix('.csv').name} are written", err=True)
    if embedded.skipped:
        raise typer.Exit(1)


def _check(output: Path) -> None:
    from clipprompt.cli._writing import check_output
    from clipprompt.reports.drawing.figure import check_path

    check_path(output)
    check_output(output)


def _draw_samples(
    dataset: str, root: Path | None, part: str, n: int, seed: int
) -> tuple[ClassificationSet, list[Sample]]:
    """Some samples of a part, in its order.

    Raises:
        UserError: if the set cannot be read.
    """
    import numpy as np

    from clipprompt.evaluation.protocols.one_class_sets import load_set, resolve_datasets

    names = resolve_datasets([dataset], [])
    if len(names) > 1:
        raise UserError(f"--dataset {dataset} is {len(names)} sets; give one, such as {names[0]}")
    found = load_set(names[0], root, (part,))
    samples = list(found.part(part))
    if len(samples) <= n:
        return found, samples
    chosen = np.random.default_rng(seed).choice(len(samples), n, replace=False)
    return found, [samples[place] for place in sorted(chosen.tolist())]


def _labels(samples: Sequence[Sample]) -> Any:
    import numpy as np

    return np.array([sample.label for sample in samples], dtype=np.int64)


def _words(one: Separation) -> str:
    silhouette = "" if one.silhouette is None else f", silhouette {one.silhouette:.2f}"
    return f"5-NN {100 * one.neighbours:.1f} %{silhouette}"


def _table(samples: Sequence[Sample], planes: Sequence[Floats]) -> str:
    """A line to each picture: its class, and its place on both maps."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", *(f"{side}_{axis}" for side in _SIDES for axis in "xy")])
    for sample, *places in zip(samples, *planes, strict=True):
        writer.writerow([sample.path, sample.classname, *(f"{value:.4f}" for place in places for value in place)])
    return text.getvalue()


def _print(told: Sequence[Separation]) -> None:
    from rich.console import Console

    from clipprompt.cli._show import new_table

    table = new_table("what was learnt", "5-NN accuracy", "silhouette")
    for side, one in zip(_SIDES, told, strict=True):
        silhouette = "–" if one.silhouette is None else f"{one.silhouette:.3f}"
        table.add_row(side, f"{100 * one.neighbours:.1f} %", silhouette)
    Console().print(table)
