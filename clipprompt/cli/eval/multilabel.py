"""``clipprompt eval multilabel``: learners over a labelled set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    Pretrained,
    Root,
    Scenes,
    SkipMissing,
    Workers,
)
from clipprompt.cli._show import show_records
from clipprompt.cli.eval._options import Format, Metrics, Normalise, PerClass, Plot, Threshold, check_request

if TYPE_CHECKING:
    from clipprompt.backbone import Backbone
    from clipprompt.evaluation.multilabel import MultiLabelRecord, ScoredRows
    from clipprompt.reports.multilabel.tables import PublishedRows

DATASET = (
    "voc2007, coco2014, coco2017 or nuswide (with --root), FILE.json (COCO instances), "
    "FILE.csv, .tsv or .jsonl (labels), or mini:test (drawn scenes)"
)

_MOST_PANELS = 6


def multilabel(
    dataset: Annotated[str, typer.Option("--dataset", "-d", metavar="DATA", help=DATASET, show_default=False)],
    root: Root = None,
    images: Images = None,
    classes: ClassesOfSet = None,
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            "--prompts", "-p", metavar="FOLDER", help="a trained prompt; NAME=FOLDER names its row; repeatable"
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="open_clip model, hf-hub:ORG/NAME or folder", show_default="the prompts', or mini"
        ),
    ] = None,
    pretrained: Pretrained = None,
    branch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="global, local or merged; repeatable", show_default="global, and merged or its own"
        ),
    ] = None,
    normalise: Normalise = "none",
    threshold: Threshold = 0.5,
    published: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="the papers' numbers beside: voc2007, coco2014, nuswide or none",
            show_default="those of a named set",
        ),
    ] = None,
    output_format: Format = "table",
    metrics: Metrics = "all",
    plot: Plot = None,
    reliability: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="draw how often probabilities come true, at most 6 rows; ends in .png, .pdf or .svg"
        ),
    ] = None,
    per_class: PerClass = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="write the records as JSON lines")
    ] = None,
    save_predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz", help="write the scores of the prompt, or without one of zero-shot CLIP, for eval scores"
        ),
    ] = None,
    difficult: Difficult = "unknown",
    skip_missing: SkipMissing = False,
    drop_unlabelled: Annotated[bool, typer.Option("--drop-unlabelled", help="leave out images without labels")] = False,
    scenes: Scenes = 500,
    batch_size: BatchSize = 64,
    workers: Workers = 4,
    cache: CacheFolder = None,
    no_cache: NoCache = False,
    draft: Draft = False,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(metavar="NAME", help="fp32, bf16 or fp16")] = "fp32",
) -> None:
    """Score a labelled set: mAP, F1, calibration, and the AP of every class.

    The rows are zero-shot CLIP, with and without the local branch, with the
    class mean taken out of the text ("centred"), and every prompt given.

    A table of labels begins with the line "path,labels" (labels separated
    by |) or "path,CLASS,CLASS,..." (1 present, 0 absent, -1 unknown).
    Prompts with one NAME are runs of one row, shown as mean and deviation.

      clipprompt eval multilabel -d coco2014 --root DATA/coco
        --backbone RN50 --pretrained openai

      clipprompt eval multilabel -d labels.csv -p runs/mine --plot ap.png

      clipprompt eval multilabel -d mini -p mine=runs/s1 -p mine=runs/s2
    """
    from clipprompt.cli._labels import parse_labels
    from clipprompt.datasets import load_dataset
    from clipprompt.evaluation.multilabel import check_branches, measure_rows, score_rows
    from clipprompt.evaluation.rows import load_rows, zero_shot_rows
    from clipprompt.evaluation.scoring import is_cacheable
    from clipprompt.features.image_cache import default_cache_folder
    from clipprompt.reports.multilabel.summary import describe

    files = {"per_class": per_class, "output": output, "save_predictions": save_predictions}
    check_request(output_format, metrics, threshold, normalise, plot, **files)
    _check_reliability(reliability, normalise)
    check_branches(branch or [])
    _check_one_row(save_predictions, prompts or [])
    paper = _published_name(published, dataset, classes)
    labelled = load_dataset(
        dataset,
        images,
        root=root,
        classnames=None if classes is None else parse_labels(classes),
        keep_empty=not drop_unlabelled,
        n_images=scenes,
        difficult=difficult,
        skip_missing=skip_missing,
    )
    for note in labelled.notes:
        typer.echo(f"clipprompt: {note}", err=True)
    model = _load_backbone(backbone, pretrained, prompts or [], device, precision)
    folder = None if no_cache else cache or default_cache_folder()
    rows = zero_shot_rows(model, labelled.classnames) + load_rows(prompts or [], model, labelled.classnames)
    try:
        scored = score_rows(rows, labelled, batch_size=batch_size, workers=workers, cache=folder, draft=draft)
    except KeyboardInterrupt:
        kept = folder is not None and is_cacheable((row.learner for row in rows), labelled)
        typer.echo("stopped" + (f"; the same command goes on with the features in {folder}" if kept else ""), err=True)
        raise typer.Exit(130) from None
    records = list(measure_rows(scored, branch, how=normalise, threshold=threshold))
    # Before the files: what was computed is not lost with a full disk.
    show_records(records, output_format, _published_rows(paper, model.name), metrics)
    _say_provenance(scored)
    _write(records, scored, plot, per_class, output, save_predictions)
    if reliability is not None:
        _draw_reliability(scored, branch, describe(records), reliability)
    raise typer.Exit(1 if scored.skipped else 0)


def _check_one_row(save_predictions: Path | None, prompts: list[str]) -> None:
    from clipprompt.errors import UserError

    if save_predictions is not None and len(prompts) > 1:
        raise UserError(f"--save-predictions {save_predictions} holds one row, but there are {len(prompts)} --prompts")


def _check_reliability(path: Path | None, normalise: str) -> None:
    from clipprompt.cli._writing import check_output
    from clipprompt.errors import UserError
    from clipprompt.reports.drawing.figure import check_path

    if path is None:
        return
    check_path(path)
    check_output(path, "--reliability")
    if normalise != "none":
        raise UserError(f"--reliability {path} needs probabilities, and --normalise {normalise} leaves none")


def _published_name(wanted: str | None, dataset: str, classes: str | None) -> str | None:
    """The set whose published numbers are shown: the one asked for, or a named set with all of its classes."""
    from clipprompt.reports.multilabel.published import DATASETS, check_published

    if wanted == "none":
        return None
    if wanted is not None:
        check_published(wanted)
        return wanted
    name = dataset.partition(":")[0].lower()
    return name if name in DATASETS and classes is None else None


def _published_rows(name: str | None, backbone: str) -> PublishedRows | None:
    from clipprompt.reports.multilabel.published import load_published

    return None if name is None else load_published(name, backbone)


def _load_backbone(name: str | None, tag: str | None, prompts: list[str], device: str, precision: str) -> Backbone:
    from clipprompt.backbone import load_backbone
    from clipprompt.evaluation.rows import split_name
    from clipprompt.learners import load_backbone_for

    if name is None and prompts:
        return load_backbone_for(split_name(prompts[0])[1], None, tag, device, precision)
    return load_backbone(name or "mini", tag, device, precision)


def _say_provenance(scored: ScoredRows) -> None:
    """What was scored, how fast, and every image that was not."""
    facts, targets = scored.facts, scored.scores[0].targets
    n_images, seconds = facts["n_images"], facts["seconds"]
    speed = f", {n_images / seconds:.0f} images/s on {facts['device']}" if seconds else ""
    unknown = int((targets == -1).sum())
    left_out = f", {unknown} unknown labels left out" if unknown else ""
    typer.echo(f"{n_images} images in {seconds:.1f} s{speed}; split {facts['split_hash']}{left_out}", err=True)
    for _, reason in scored.skipped:
        typer.echo(f"clipprompt: skipped: {reason}", err=True)


def _write(
    records: list[MultiLabelRecord],
    scored: ScoredRows,
    plot: Path | None,
    per_class: Path | None,
    output: Path | None,
    save_predictions: Path | None,
) -> None:
    from clipprompt.evaluation.records import write_records
    from clipprompt.evaluation.scores import write_scores
    from clipprompt.reports.multilabel.per_class import write_per_class
    from clipprompt.reports.multilabel.plots import plot_average_precision

    if output is not None:
        write_records(output, records)
    if save_predictions is not None:
        trained = [place for place, row in enumerate(scored.rows) if row.source is not None]
        write_scores(save_predictions, scored.scores[trained[0] if trained else 0])
    if per_class is not None:
        write_per_class(records, per_class)
    if plot is not None:
        plot_average_precision(records, plot)


def _draw_reliability(scored: ScoredRows, branches: list[str] | None, about: str, path: Path) -> None:
    from clipprompt.evaluation.row_reliability import row_reliabilities
    from clipprompt.reports.drawing.reliability import ReliabilityPlot, plot_reliability

    found, left_out = row_reliabilities(scored, branches, _MOST_PANELS)
    kinds = {"calibrated": "calibrated", "sigmoid": "sigmoid of the score"}
    plot_reliability([ReliabilityPlot(one.row, kinds[one.probabilities], one.bins) for one in found], path, about)
    if left_out:
        typer.echo(f"clipprompt: {path} shows {_MOST_PANELS} rows; left out: {', '.join(left_out)}", err=True)
