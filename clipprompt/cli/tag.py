"""``clipprompt tag``: labels for pictures."""

from __future__ import annotations

import logging
import math
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clipprompt.cli._options import BackboneName, Device, Draft, Labels, Precision, Pretrained, Workers
from clipprompt.inference.sources import IMAGE_ENDINGS

if TYPE_CHECKING:
    from clipprompt.backbone import Backbone
    from clipprompt.inference.tagger import Tagger
    from clipprompt.reports.tags import TagWriter

_FORMAT_OF = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".html": "html", ".htm": "html"}
_THUMBNAIL, _HEAT_MAPS = 320, 12
_MINI = (
    "no --backbone was given, so this is the bundled mini, which knows drawn scenes; for photos take "
    "--backbone ViT-B-16 --pretrained openai"
)
_SCORES = "values are scores and no probabilities; `clipprompt calibrate` makes prompts that give them"


def tag(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE", help="files, folders, patterns such as 'photos/**/*.jpg'; - reads paths from stdin"
        ),
    ],
    labels: Labels = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", "-p", metavar="FOLDER", help="a trained prompt", show_default='"a photo of a …"'),
    ] = None,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="read sub-folders too")] = False,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, metavar="N", help="labels of a picture at most")] = 5,
    threshold: Annotated[
        str | None,
        typer.Option(
            "--threshold",
            "-t",
            metavar="X|auto",
            help="least probability (least score without a calibration); auto: of each label its own",
            show_default="auto if the prompt is calibrated, else none",
        ),
    ] = None,
    uncertain: Annotated[
        bool, typer.Option("--uncertain", help="also labels below their threshold that cannot be excluded")
    ] = False,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="table, jsonl, csv or html",
            show_default="by the ending of -o, or table",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="write a file", show_default="stdout")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="pictures encoded together")] = 32,
    workers: Workers = 4,
    draft: Draft = False,
    device: Device = "auto",
    precision: Precision = None,
) -> None:
    """Say which labels pictures show, with any class list.

    Pictures stream through: results come in order, and what was done when
    Ctrl-C is pressed is kept. What cannot be read is named and skipped, and
    the exit code is then 1. Without a calibration (`clipprompt calibrate`)
    values are scores, which only rank labels; with one, every label also has
    an answer, "yes" or "uncertain".

      clipprompt tag photo.jpg --labels "red bus,umbrella,street market"
        --backbone ViT-B-16 --pretrained openai

      clipprompt tag photos/ -r --prompts runs/mine -o tags.html

      find . -name '*.jpg' -print0 | clipprompt tag - -l voc2007 -f jsonl
    """
    from clipprompt.cli._tagging import Tally, first_found, write_results
    from clipprompt.cli._writing import Interruption, check_output

    kind = _format(output_format, output)
    check_output(output)
    names = _labels(labels, prompts)
    least = _threshold(threshold, prompts)
    _check_uncertain(uncertain, least, prompts)
    tally = Tally()
    with Interruption() as interruption:
        try:
            images = first_found(inputs, recursive, tally)
            # All that could be wrong without torch has been looked at.
            tagger = _load(
                _backbone(backbone, pretrained, prompts, device, precision),
                prompts,
                names,
                top_k=top_k,
                threshold=least,
                uncertain=uncertain,
                batch_size=batch_size,
                workers=workers,
                draft=draft,
                heat_maps=min(top_k, _HEAT_MAPS) if kind == "html" else 0,
                thumbnails=_THUMBNAIL if kind == "html" else None,
            )
            tally.start()
            write_results(tagger.tag(images), _writer(kind, tagger, threshold, output), output, interruption, tally)
        except KeyboardInterrupt:
            typer.echo(f"stopped: {tally.summary()}", err=True)
            raise typer.Exit(interruption.exit_code) from None
        except BrokenPipeError:  # the reader has seen enough, as in `clipprompt tag … | head`
            raise typer.Exit(0) from None
    typer.echo(tally.summary(), err=True)
    raise typer.Exit(1 if tally.n_skipped else 0)


def _format(asked: str | None, output: Path | None) -> str:
    from clipprompt.errors import UserError
    from clipprompt.reports.tags import check_format

    ending = output.suffix.lower() if output is not None else ""
    kind = asked or _FORMAT_OF.get(ending, "table")
    check_format(kind)
    if ending in IMAGE_ENDINGS:
        raise UserError(f"-o {output} would overwrite a picture; tags go to .html, .jsonl, .csv or .txt")
    if kind == "html" and output is None and sys.stdout.isatty():
        raise UserError("a page does not go to a terminal; write it to a file with -o tags.html")
    return kind


def _labels(labels: str | None, prompts: Path | None) -> list[str] | None:
    from clipprompt.cli._labels import parse_labels
    from clipprompt.errors import UserError

    if prompts is not None and not (prompts / "prompt.json").is_file():
        raise UserError(f"--prompts {prompts} is not a prompt folder: it has no prompt.json")
    if labels is None and prompts is None:
        raise UserError(
            'no labels: give --labels voc2007, a file, or "red bus,umbrella" (or --prompts, which has some)'
        )
    return None if labels is None else parse_labels(labels)


def _threshold(text: str | None, prompts: Path | None) -> float | Literal["auto"] | None:
    from clipprompt.errors import UserError

    if text is None:
        return None
    if text == "auto":
        _check_calibrated("--threshold auto", prompts)
        return "auto"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"--threshold {text!r} is neither a number nor auto")
    return number


def _check_uncertain(uncertain: bool, threshold: float | str | None, prompts: Path | None) -> None:
    from clipprompt.errors import UserError

    if uncertain:
        _check_calibrated("--uncertain", prompts)
        if threshold not in (None, "auto"):
            raise UserError(f"--uncertain goes with the calibrated thresholds; leave out --threshold {threshold:g}")


def _check_calibrated(option: str, prompts: Path | None) -> None:
    from clipprompt.errors import UserError

    if prompts is None or not (prompts / "calibration.json").exists():
        raise UserError(f"{option} needs calibrated --prompts; make them so with `clipprompt calibrate`")


def _backbone(name: str | None, tag: str | None, prompts: Path | None, device: str, precision: str | None) -> Backbone:
    from clipprompt.backbone import load_backbone
    from clipprompt.learners import load_backbone_for

    if prompts is not None:
        return load_backbone_for(prompts, name, tag, device, precision)
    if name is None:
        typer.echo(f"clipprompt: {_MINI}", err=True)
    return load_backbone(name or "mini", tag, device, precision or "fp32")


def _load(backbone: Backbone, prompts: Path | None, labels: list[str] | None, **options: Any) -> Tagger:
    from clipprompt.inference.tagger import Tagger

    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what it says of a broken file stands in that file's one line
    tagger = Tagger(backbone, prompts, labels, **options)
    if tagger.calibration is None:
        typer.echo(f"clipprompt: {_SCORES}", err=True)
    return tagger


def _writer(kind: str, tagger: Tagger, threshold: str | None, output: Path | None) -> TagWriter:
    from clipprompt.reports.tags import tag_writer

    width = shutil.get_terminal_size().columns if output is None and sys.stdout.isatty() else None
    backbone, calibrated = tagger.backbone, tagger.calibration is not None
    facts = {
        "method": tagger.learner.name,
        "backbone": f"{backbone.name} {backbone.pretrained or ''}".strip(),
        "threshold": threshold or ("auto" if calibrated else "none"),
    }
    if tagger.calibration is not None and tagger.calibration.certainty is not None:
        facts["certainty"] = f"{100 * tagger.calibration.certainty:g} %"
    answers = tagger.bands is not None
    return tag_writer(kind, labels=tagger.labels, facts=facts, probabilities=calibrated, answers=answers, width=width)
