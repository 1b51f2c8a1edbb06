"""``clipprompt explain``: what a prompt has learnt, in words, and where it looks on pictures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipprompt.cli._options import Device, Pretrained, PromptBackboneName
from clipprompt.errors import UserError
from clipprompt.files import write_text

if TYPE_CHECKING:
    from clipprompt.inference.explain import CaptionAttention, ContextWords
    from clipprompt.learners import Learner

_FORMAT_OF = {".json": "json", ".html": "html", ".htm": "html"}
_CLASSES_SHOWN = 3


def explain(
    prompts: Annotated[Path, typer.Argument(metavar="PROMPTS", help="a trained prompt: a run folder")],
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PICTURES]...", help="for --attention: files, folders, patterns", show_default=False),
    ] = None,
    captions: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="captions: text, COCO JSON, CSV or a corpus; repeatable"),
    ] = None,
    caption: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="a caption, such as 'a dog on a sofa'; repeatable")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", "-l", metavar="LIST", help='only these of its classes: "red bus,umbrella"'),
    ] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="words per vector, classes per caption, prompts")] = 5,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="captions of each file, or pictures")] = 10,
    attention: Annotated[
        bool, typer.Option("--attention", help="where the prompts of the image tower look on PICTURES")
    ] = False,
    layers: Annotated[
        str | None, typer.Option(metavar="0,5,11", help="for --attention: layers, from 0 on", show_default="all")
    ] = None,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="table, json or html; of attention also png, pdf, svg",
            show_default="by the ending of -o, or table",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="write a file", show_default="stdout")
    ] = None,
    backbone: PromptBackboneName = None,
    pretrained: Pretrained = None,
    device: Device = "auto",
) -> None:
    """Say what a prompt has learnt, in words, or show where it looks.

    For every learnt context vector: the nearest words of the vocabulary, and
    how near that is. With captions, for prompts that have a local branch
    (TaI-DPT): which words of a caption the best classes attend to. With
    --attention, for prompts of the image tower (VPT, MaPLe): how each of
    them attends to the places of pictures, layer by layer.

      clipprompt explain runs/mine

      clipprompt explain runs/mine --caption "a dog on a sofa" --top 3

      clipprompt explain runs/mine --captions corpus.parquet -f html
        -o explained.html

      clipprompt explain runs/vpt photos/*.jpg --attention -o look.html
    """
    from clipprompt.cli._labels import parse_labels
    from clipprompt.cli._writing import check_output

    _check_use(pictures or [], attention, layers, bool(captions or caption or labels))
    check_output(output)
    if attention:
        from clipprompt.cli._attention import attention_format, show_attention

        kind, learner = attention_format(output_format, output), _load(prompts, backbone, pretrained, device)
        if show_attention(learner, pictures or [], kind, output, layers, top, limit, str(prompts)):
            raise typer.Exit(1)
        return
    kind = _format(output_format, output)
    chosen = None if labels is None else parse_labels(labels)
    texts, n_skipped = _read_captions(captions or [], caption or [], limit)
    learner = _load(prompts, backbone, pretrained, device)
    context, readings = _explain(learner, texts, top, chosen)
    text = _render(kind, context, readings, learner, title=str(prompts), to_file=output is not None)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)
    if n_skipped:
        raise typer.Exit(1)


def _check_use(pictures: Sequence[str], attention: bool, layers: str | None, has_words: bool) -> None:
    """Refuses options of which one leaves the other without use."""
    if attention and not pictures:
        raise UserError("--attention needs pictures: clipprompt explain PROMPTS photo.jpg --attention")
    if attention and has_words:
        raise UserError("--attention is of pictures; captions and labels have no use with it")
    if not attention and pictures:
        raise UserError(f"{pictures[0]}: a picture is explained with --attention; a text is given with --caption")
    if not attention and layers is not None:
        raise UserError(f"--layers {layers} has no use without --attention")


def _format(asked: str | None, output: Path | None) -> str:
    from clipprompt.reports.explained import check_explain_format

    kind = asked or _FORMAT_OF.get(output.suffix.lower() if output is not None else "", "table")
    check_explain_format(kind)
    if kind == "html" and output is None and sys.stdout.isatty():
        raise UserError("a page does not go to a terminal; write it to a file with -o explained.html")
    return kind


def _read_captions(files: Sequence[Path], texts: Sequence[str], limit: int) -> tuple[list[str], int]:
    """The captions, and how many records of the files were skipped (each is named on stderr)."""
    from clipprompt.captions.readers import CaptionFile

    if any(not text.strip() for text in texts):
        raise UserError("--caption is empty; give a sentence, such as 'a dog on a sofa'")
    found, n_skipped = list(texts), 0
    for file in files:
        source = CaptionFile(file)
        rows = list(islice(source, limit + 1))
        found += [row.caption for row in rows[:limit]]
        n_skipped += source.n_skipped
        for line in source.skipped:
            typer.echo(f"clipprompt: skipped {line}", err=True)
        if len(rows) > limit:
            typer.echo(f"{file}: only its first captions, {limit}, are read (--limit N reads more)", err=True)
    return found, n_skipped


def _load(folder: Path, name: str | None, tag: str | None, device: str) -> Learner:
    from clipprompt.learners import load_backbone_for, load_learner

    return load_learner(folder, load_backbone_for(folder, name, tag, device))


def _explain(
    learner: Learner, texts: Sequence[str], top: int, labels: Sequence[str] | None
) -> tuple[ContextWords | None, list[CaptionAttention]]:
    from clipprompt.inference.explain import contexts, explain_captions, explain_context

    found = contexts(learner)
    if not learner.has_text_features:
        raise UserError(f"{learner.name} has learnt no words: it answers with a head over what the image tower sees")
    if not found and not texts:
        raise UserError(f"{learner.name} has learnt no words; give --caption to see what its classes attend to")
    attention = explain_captions(learner, texts, top=top, labels=labels) if texts else []
    for entry in attention:
        if entry.cut:
            typer.echo(f"cut after {learner.backbone.context_length} tokens: {entry.caption[:60]!r}", err=True)
    if not found:
        return None, attention
    shown = labels
    if labels is None and any(value.dim() == 3 for value in found.values()):
        shown = learner.classnames[:_CLASSES_SHOWN]
        if len(learner.classnames) > len(shown):
            typer.echo(f"every class has its own context; shown are {', '.join(shown)} (others: --labels)", err=True)
    return explain_context(learner, top=top, labels=shown), attention


def _render(
    kind: str,
    context: ContextWords | None,
    captions: list[CaptionAttention],
    learner: Learner,
    *,
    title: str,
    to_file: bool,
) -> str:
    if kind == "json":
        from clipprompt.reports.explained import explained_json

        return explained_json(context, captions)
    if kind == "html":
        from clipprompt.reports.pages.explain_page import explain_page

        backbone = learner.backbone
        name = f"{backbone.name} ({backbone.pretrained})" if backbone.pretrained else backbone.name
        return explain_page(title, context, captions, facts={"method": learner.name, "backbone": name})
    from rich.console import Console

    from clipprompt.reports.explained import explained_table

    console = Console(width=100, no_color=True, color_system=None) if to_file else Console()
    colours = console.is_terminal and console.color_system is not None and not console.no_color
    with console.capture() as printed:
        console.print(explained_table(context, captions, colours=colours))
    return printed.get()
