"""``clipprompt ensemble``: several prompts as one, with weights that validation pictures choose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clipprompt.cli._options import (
    BatchSize,
    CacheFolder,
    ClassesOfSet,
    Device,
    Difficult,
    Draft,
    Images,
    NoCache,
    Precision,
    Root,
    Scenes,
    SkipMissing,
    Workers,
)
from clipprompt.cli._show import show_records
from clipprompt.cli.eval._options import Format, Metrics, PerClass, Plot, Threshold, check_request
from clipprompt.cli.eval.multilabel import DATASET
from clipprompt.cli.eval.scores import parse_weights

if TYPE_CHECKING:
    from clipprompt.datasets import MultiLabelImages
    from clipprompt.evaluation.ensembles.pictures import Validation
    from clipprompt.evaluation.ensembles.weights import Ensemble
    from clipprompt.evaluation.multilabel import ScoredRows

AUTO = "auto"


def ensemble(
    prompts: Annotated[
        list[str], typer.Argument(metavar="FOLDER...", help="trained prompts; NAME=FOLDER names its row")
    ],
    dataset: Annotated[str, typer.Option("--dataset", "-d", metavar="DATA", help=DATASET, show_default=False)],
    root: Root = None,
    images: Images = None,
    classes: ClassesOfSet = None,
    weights: Annotated[str, typer.Option(metavar="W...", help="auto, or one for each prompt: 0.1 0.9")] = AUTO,
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="labelled pictures that choose the weights, as --dataset",
            show_default="what a prompt's run held out",
        ),
    ] = None,
    output_format: Format = "table",
    metrics: Metrics = "all",
    threshold: Threshold = 0.5,
    plot: Plot = None,
    per_class: PerClass = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="write the records as JSON lines")
    ] = None,
    save_predictions: Annotated[
        Path | None, typer.Option(metavar="FILE.npz", help="write the scores of the ensemble, for eval scores")
    ] = None,
    difficult: Difficult = "unknown",
    skip_missing: SkipMissing = False,
    scenes: Scenes = 500,
    batch_size: BatchSize = 64,
    workers: Workers = 4,
    cache: CacheFolder = None,
    no_cache: NoCache = False,
    draft: Draft = False,
    device: Device = "auto",
    precision: Precision = None,
) -> None:
    """Score several prompts together: say, one learnt from captions and one from pictures.

    Each prompt works with the CLIP that it was learnt on. Its scores are
    brought to 0..1, weighed and added. The weights are those with the best
    mAP on validation pictures, which no prompt was learnt from and which are
    not tested; their smallest and largest scores are the 0 and the 1. With
    given weights and no validation, those of the tested pictures are.

      clipprompt ensemble runs/captions runs/pictures -d voc2007 --root DATA/voc

      clipprompt ensemble runs/a runs/b -d own.csv:test --validation own.csv:val

      clipprompt ensemble runs/a runs/b -d own.csv:test --weights 0.1 0.9
    """
    from clipprompt.cli._labels import parse_labels
    from clipprompt.datasets import load_dataset
    from clipprompt.evaluation.ensembles.prompts import (
        fit_members,
        measure_ensemble,
        measure_members,
        recorded_backbones,
        score_members,
    )
    from clipprompt.evaluation.ensembles.weights import given_ensemble
    from clipprompt.evaluation.records import write_records
    from clipprompt.evaluation.rows import load_rows
    from clipprompt.evaluation.scores import write_scores
    from clipprompt.features.image_cache import default_cache_folder
    from clipprompt.reports.multilabel.per_class import write_per_class
    from clipprompt.reports.multilabel.plots import plot_average_precision

    files = {"per_class": per_class, "output": output, "save_predictions": save_predictions}
    check_request(output_format, metrics, threshold, "none", plot, **files)
    given = None if weights == AUTO else parse_weights(weights)
    sources = _folders(prompts, given)
    tested = load_dataset(
        dataset,
        images,
        root=root,
        classnames=None if classes is None else parse_labels(classes),
        n_images=scenes,
        difficult=difficult,
        skip_missing=skip_missing,
    )
    reading = {"root": root, "images": images, "n_images": scenes, "skip_missing": skip_missing}
    chosen_on = _validation(validation, given, sources, tested, reading)
    for note in (*tested.notes, *(() if chosen_on is None else chosen_on.notes)):
        typer.echo(f"clipprompt: {note}", err=True)
    folder = None if no_cache else cache or default_cache_folder()
    lost = list[str]()
    how: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "cache": folder, "draft": draft}
    try:
        rows = load_rows(prompts, recorded_backbones(device, precision), tested.classnames, "")
        if chosen_on is None:
            mixed = given_ensemble(given, len(rows))
        else:
            mixed = fit_members(rows, chosen_on, given, tell=lost.append, **how)
        members = score_members(rows, tested, **how)
    except KeyboardInterrupt:
        typer.echo("stopped" + ("" if folder is None else f"; features that were kept are in {folder}"), err=True)
        raise typer.Exit(130) from None
    lost += [reason for _, reason in members[0].skipped]
    together, scores = measure_ensemble(mixed, members, threshold)
    records = [*measure_members(members, threshold), together]
    # Before the files: what was computed is not lost with a full disk.
    show_records(records, output_format, None, metrics)
    _say_weights(mixed, members)
    for reason in lost:
        typer.echo(f"clipprompt: skipped: {reason}", err=True)
    if output is not None:
        write_records(output, records)
    if save_predictions is not None:
        write_scores(save_predictions, scores)
    if per_class is not None:
        write_per_class(records, per_class)
    if plot is not None:
        plot_average_precision(records, plot)
    raise typer.Exit(1 if lost else 0)


def _folders(prompts: list[str], weights: list[float] | None) -> list[Path]:
    """The prompts' folders; what is wrong with the request is found before anything is loaded."""
    from clipprompt.errors import UserError
    from clipprompt.evaluation.combine import check_weights
    from clipprompt.evaluation.rows import split_name
    from clipprompt.learners import read_description

    folders = [split_name(text, "")[1] for text in prompts]
    if len(folders) < 2:
        raise UserError(
            f"an ensemble has two prompts or more; one is scored by `clipprompt eval multilabel -p {prompts[0]}`"
        )
    check_weights(weights, len(folders), "prompts")
    real = [folder.resolve() for folder in folders]
    for place, text in enumerate(prompts):
        if (before := real.index(real[place])) < place:
            raise UserError(f"{prompts[before]} and {text} are the same folder; an ensemble takes each prompt once")
    for folder in folders:
        read_description(folder)
    return folders


def _validation(
    spec: str | None,
    weights: list[float] | None,
    sources: list[Path],
    tested: MultiLabelImages,
    reading: dict[str, Any],
) -> Validation | None:
    """The pictures that set weights and scales; with given weights none are needed."""
    from clipprompt.evaluation.ensembles.pictures import given_validation, held_out_validation

    if spec is not None:
        return given_validation(spec, sources, tested, **reading)
    return held_out_validation(sources, tested) if weights is None else None


def _say_weights(mixed: Ensemble, members: list[ScoredRows]) -> None:
    weights = ", ".join(
        f"{weight:.3g} {row.variant or row.learner.name}"
        for weight, one in zip(mixed.weights, members, strict=True)
        for row in one.rows
    )
    typer.echo(f"weights {weights}: {mixed.weights_by}", err=True)
    on = "the tested pictures: transductive" if mixed.is_transductive else "the validation pictures: inductive"
    typer.echo(f"0 and 1 are the smallest and the largest score of each prompt on {on}", err=True)
    facts = members[0].facts
    typer.echo(f"{facts['n_images']} images; split {facts['split_hash']}", err=True)
