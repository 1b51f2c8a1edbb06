"""``clipprompt export``: a prompt as plain class embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clipprompt.cli._options import Device, Labels, Pretrained, PromptBackboneName


def export(
    run: Annotated[Path, typer.Argument(help="a trained prompt: a run folder or a saved one", show_default=False)],
    *,
    to: Annotated[
        Path, typer.Option("--to", metavar="FILE", help="the file to write, NAME.safetensors", show_default=False)
    ],
    labels: Labels = None,
    backbone: PromptBackboneName = None,
    pretrained: Pretrained = None,
    device: Device = "auto",
) -> None:
    """Write a prompt as plain class embeddings, for open_clip alone.

    Whoever has the file needs no clipprompt: load it, encode the image,
    and take scale * features @ embeddings.T (docs/sharing.md).

      clipprompt export runs/coco --to coco.safetensors

      clipprompt export runs/coco --to mine.safetensors -l "zebra,okapi"
    """
    from clipprompt.cli._labels import parse_labels
    from clipprompt.sharing.export import build_classifier, check_target, load_for_export, write_classifier

    check_target(to)
    names = parse_labels(labels) if labels is not None else None
    learner = load_for_export(run, names, backbone, pretrained, device)
    classifier = build_classifier(learner)
    write_classifier(classifier, to)
    n_classes, size = classifier.tensors["class_embeddings"].shape
    typer.echo(f"{n_classes} classes, embeddings of size {size}, for {learner.backbone.name}", err=True)
    if not classifier.pools_as_clip:
        typer.echo(
            f"note: {learner.name} pools the image without positions, open_clip's encode_image with them; for the same "
            "scores, first set model.visual.attnpool.positional_embedding.data.zero_()",
            err=True,
        )
    typer.echo(str(to))
