"""``clipprompt eval``: numbers about prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipprompt.cli._show import show_records

if TYPE_CHECKING:
    from clipprompt.backbone import Backbone
    from clipprompt.datasets import MultiLabelImages
    from clipprompt.evaluation.multilabel import MultiLabelRecord
    from clipprompt.reports.tables import PublishedRows

DATASET = "FILE.json (COCO instances), FILE.csv, .tsv or .jsonl (labels), or mini:test (drawn scenes)"

app = typer.Typer(help="Score zero-shot CLIP and trained prompts.", no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Score zero-shot CLIP and trained prompts."""


@app.command("multilabel")
def multilabel(
    dataset: Annotated[str, typer.Option("--dataset", "-d", metavar="DATA", help=DATASET, show_default=False)],
    images: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="the pictures", show_default="beside the file, as COCO has them"),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="voc2007, coco2014, nuswide or a file", show_default="all of DATA"),
    ] = None,
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
    pretrained: Annotated[str | None, typer.Option(metavar="TAG", help="weights tag or file")] = None,
    branch: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="global, local or merged; repeatable", show_default="global and merged"),
    ] = None,
    published: Annotated[
        str | None, typer.Option(metavar="NAME", help="the paper's numbers beside: voc2007, coco2014 or nuswide")
    ] = None,
    output_format: Annotated[
        str, typer.Option("--format", "-f", metavar="NAME", help="table, md, csv or json")
    ] = "table",
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="draw the AP of every class; ends in .png, .pdf or .svg")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="write the records as JSON lines")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="images encoded together")] = 64,
    workers: Annotated[int, typer.Option(min=0, metavar="N", help="processes that decode; 4 is good for photos")] = 0,
    scenes: Annotated[int, typer.Option(min=1, metavar="N", help="with mini: how many scenes")] = 500,
    drop_unlabelled: Annotated[
        bool, typer.Option("--drop-unlabelled", help="with COCO: skip images without labels")
    ] = False,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    precision: Annotated[str, typer.Option(metavar="NAME", help="fp32, bf16 or fp16")] = "fp32",
) -> None:
    """Score a labelled set: mAP, and the AP of every class.

    The rows are zero-shot CLIP, with and without the local branch, with the
    class mean taken out of the text ("centred"), and every prompt given.

    A table of labels begins with the line "path,labels" (labels separated
    by |) or "path,CLASS,CLASS,..." (1 present, 0 absent, -1 unknown).
    Prompts with one NAME are runs of one row, shown as mean and deviation.

      clipprompt eval multilabel -d instances_val2014.json --images val2014
        --backbone RN50 --pretrained openai --published coco2014

      clipprompt eval multilabel -d labels.csv -p runs/mine --plot ap.png

      clipprompt eval multilabel -d mini -p mine=runs/s1 -p mine=runs/s2
    """
    from clipprompt.datasets import load_dataset
    from clipprompt.evaluation.multilabel import evaluate_multilabel
    from clipprompt.evaluation.records import write_records
    from clipprompt.evaluation.rows import load_rows, zero_shot_rows

    branches = branch or ["global", "merged"]
    beside = _check_early(output_format, plot, branches, published)
    names = _classnames(classes)
    labelled = load_dataset(dataset, images, classnames=names, keep_empty=not drop_unlabelled, n_images=scenes)
    model = _load_backbone(backbone, pretrained, prompts or [], device, precision)
    rows = zero_shot_rows(model, labelled.classnames) + load_rows(prompts or [], model, labelled.classnames)
    records = list(evaluate_multilabel(rows, labelled, branches=branches, batch_size=batch_size, workers=workers))
    show_records(records, output_format, beside)  # before the files: what was computed is not lost with a full disk
    _say_provenance(labelled, records[0])
    if output is not None:
        write_records(output, records)
    if plot is not None:
        from clipprompt.reports.plots import plot_average_precision

        plot_average_precision(records, plot)


def _check_early(
    output_format: str, plot: Path | None, branches: list[str], published: str | None
) -> PublishedRows | None:
    """Finds wrong requests before a model is loaded; returns the published numbers that were asked for."""
    from clipprompt.evaluation.multilabel import check_branches
    from clipprompt.reports._figure import check_path
    from clipprompt.reports.published import load_published
    from clipprompt.reports.tables import check_format

    check_format(output_format)
    check_branches(branches)
    if plot is not None:
        check_path(plot)
    return load_published(published) if published is not None else None


def _load_backbone(name: str | None, tag: str | None, prompts: list[str], device: str, precision: str) -> Backbone:
    from clipprompt.backbone import load_backbone
    from clipprompt.evaluation.rows import split_name
    from clipprompt.learners import load_recorded_backbone, read_description

    if name is None and prompts:
        recorded = read_description(split_name(prompts[0])[1])["backbone"]
        return load_recorded_backbone({**recorded, "pretrained": tag or recorded.get("pretrained")}, device, precision)
    return load_backbone(name or "mini", tag, device, precision)


def _classnames(classes: str | None) -> list[str] | None:
    if classes is None:
        return None
    from clipprompt.captions.synonyms import load_classes

    return load_classes(classes).classnames


def _say_provenance(dataset: MultiLabelImages, record: MultiLabelRecord) -> None:
    speed = f"{len(dataset) / record['seconds']:.0f} images/s on {record['device']}" if record["seconds"] else ""
    unknown = int((dataset.targets == -1).sum())
    left_out = f", {unknown} unknown labels left out" if unknown else ""
    typer.echo(
        f"{len(dataset)} images in {record['seconds']:.1f} s, {speed}; split {record['split_hash']}{left_out}", err=True
    )
