"""``clipprompt convert``: prompts of the original projects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="model.pth.tar-N, or the folder that holds it", show_default=False)
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="what no checkpoint tells, as class_token_position=middle"),
    ] = None,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="prompt folder to write", show_default=False)
    ],
    classes: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help='the classes it was trained on: voc2007, coco2014, nuswide, a file, or "red bus,umbrella"',
            show_default=False,
        ),
    ],
    backbone: Annotated[
        str, typer.Option(metavar="NAME", help="open_clip model, hf-hub:ORG/NAME or folder", show_default=False)
    ],
    pretrained: Annotated[str | None, typer.Option(metavar="TAG", help="weights tag or file, such as openai")] = None,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="coop, maple or another of these; auto tells it by the keys")
    ] = "auto",
) -> None:
    """Convert a checkpoint of CoOp, CoCoOp, VPT, IVLP, MaPLe, PromptSRC or TaI-DPT.

    Nothing in the checkpoint is executed: its tensors are read, and a file
    with anything else in it than a training state is refused.

      clipprompt convert output/prompt_learner/model.pth.tar-50 -o prompts/voc
        --classes voc2007 --backbone RN50 --pretrained openai

      clipprompt convert output/MultiModalPromptLearner -o prompts/maple
        --classes names.txt --backbone ViT-B-16 --pretrained openai
    """
    from clipprompt.backbone import load_backbone
    from clipprompt.cli._labels import parse_labels
    from clipprompt.sharing._folder import check_new_folder
    from clipprompt.sharing.convert import convert as build
    from clipprompt.sharing.convert import open_original

    options = _parse(settings or [])
    check_new_folder(output)
    names = parse_labels(classes)
    original = open_original(checkpoint, method)
    epoch = f" (epoch {original.checkpoint.epoch})" if original.checkpoint.epoch is not None else ""
    typer.echo(f"{original.checkpoint.path}{epoch}: {original.prompt.method}", err=True)
    learner, notes = build(original, load_backbone(backbone, pretrained, "cpu"), names, options)
    learner.save(output)
    for note in notes:
        typer.echo(note, err=True)
    typer.echo(str(output))


def _parse(settings: list[str]) -> dict[str, Any]:
    import yaml

    from clipprompt._yaml import parse_yaml
    from clipprompt.errors import UserError

    options = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise UserError(f"setting {setting!r} is not of the form key=value, such as class_token_position=middle")
        try:
            options[key.strip().removeprefix("learner.")] = parse_yaml(text)
        except yaml.YAMLError as error:
            raise UserError(f"setting {setting!r}: the value cannot be read") from error
    return options
