"""``clipprompt corpus build`` and ``clipprompt corpus stats``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clipprompt.captions.corpus import BuildReport
    from clipprompt.captions.stats import CorpusStats

app = typer.Typer(help="Label captions with the classes that they name.", no_args_is_help=True)


class Format(str, Enum):
    """How a command prints its result."""

    table = "table"
    json = "json"


@app.command()
def build(
    # An option cannot take any number of values, so those after the first arrive as arguments.
    more: Annotated[list[Path] | None, typer.Argument(metavar="FILE", help="more caption files")] = None,
    captions: Annotated[
        list[Path] | None,
        typer.Option(
            "--captions", metavar="FILE...", help="caption files: json, jsonl, token, txt, csv, tsv, parquet; gzip too"
        ),
    ] = None,
    classes: Annotated[
        str, typer.Option("--classes", help="voc2007, coco2014, nuswide, a synonym YAML, or a text file of names")
    ] = ...,  # type: ignore[assignment]
    output: Annotated[Path, typer.Option("--output", "-o", help="the corpus to write")] = Path("corpus.parquet"),
    keep_empty: Annotated[bool, typer.Option("--keep-empty", help="keep captions that name no class")] = False,
    column: Annotated[
        str | None, typer.Option("--column", help="column or key with the caption", show_default="caption")
    ] = None,
) -> None:
    """Label captions and write them, with class names and provenance, to one Parquet file."""
    from clipprompt.captions.corpus import build_corpus
    from clipprompt.progress import progress

    files = [*(captions or []), *(more or [])]
    total = sum(file.stat().st_size for file in files if file.is_file())
    with progress(unit="MB") as display:
        task = display.add_task("Labelling captions", total=total >> 20, note="")

        def advance(done: int, read: int) -> None:
            display.update(task, completed=done >> 20, note=f"{read:,} captions")

        try:
            report = build_corpus(files, classes, output, keep_empty, column, advance)
        except KeyboardInterrupt:
            typer.echo(f"stopped; {output} is as it was before", err=True)
            raise typer.Exit(130) from None
    _tell(report, output)
    raise typer.Exit(1 if report.n_skipped else 0)


def _tell(report: BuildReport, output: Path) -> None:
    for line in report.skipped:
        typer.echo(f"clipprompt: skipped {line}", err=True)
    if report.n_skipped > len(report.skipped):
        typer.echo(f"clipprompt: skipped {report.n_skipped - len(report.skipped)} more", err=True)
    named = f"{report.n_labelled:,} ({report.n_labelled / report.n_read:.1%}) name a class"
    typer.echo(f"{output}: {report.n_written:,} captions of {report.n_read:,}; {named}", err=True)


@app.command()
def stats(
    corpus: Annotated[Path, typer.Argument(metavar="CORPUS", help="a file made by `clipprompt corpus build`")],
    output_format: Annotated[Format, typer.Option("--format", help="table or json")] = Format.table,
) -> None:
    """Print how many captions a corpus has, and how many name each class."""
    import json

    from clipprompt.captions.corpus import load_corpus
    from clipprompt.captions.stats import corpus_stats

    numbers = corpus_stats(load_corpus(corpus))
    if output_format is Format.json:
        typer.echo(json.dumps(numbers.as_dict(), indent=2, ensure_ascii=False))
    else:
        _print_table(numbers)


def _print_table(numbers: CorpusStats) -> None:
    from rich.console import Console

    from clipprompt.cli._show import new_table

    table = new_table("class", "captions", "share")
    for name, count in numbers.per_class.items():
        table.add_row(name, f"{count:,}", f"{count / max(numbers.n_captions, 1):.1%}")
    Console().print(table)
    typer.echo(f"\n{_summary(numbers)}")


def _summary(numbers: CorpusStats) -> str:
    images = f" of {numbers.n_images:,} images" if numbers.n_images else ""
    return (
        f"{numbers.n_captions:,} captions{images}, {numbers.n_labelled:,} with labels, "
        f"{numbers.mean_labels:.2f} labels each"
    )
