"""``clipprompt synonyms suggest``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Synonym files for your own class lists.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    # With a single command typer would drop its name; this keeps it.
    pass


@app.command()
def suggest(
    classes: Annotated[str, typer.Option("--classes", help="a text file of class names, or a synonym YAML")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the synonym file to write")],
) -> None:
    """Write a synonym file with WordNet's words for each class, for you to prune."""
    from clipprompt.captions.suggest import load_wordnet, suggest_synonyms, write_suggestions
    from clipprompt.captions.synonyms import load_classes
    from clipprompt.files import write_text

    vocabulary = load_classes(classes)
    suggestions = suggest_synonyms(vocabulary, load_wordnet())
    write_text(output, write_suggestions(suggestions))
    n_words = sum(map(len, suggestions.values()))
    typer.echo(f"{output}: {n_words:,} words for {len(suggestions)} classes; prune before use", err=True)
