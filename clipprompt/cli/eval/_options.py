"""Options that the ``eval`` commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Format = Annotated[str, typer.Option("--format", "-f", metavar="NAME", help="table, md, csv or json")]
Metrics = Annotated[str, typer.Option(metavar="NAME", help="columns of table and md: all, or map alone")]
Threshold = Annotated[float, typer.Option(metavar="P", help="labels from this probability on count for CF1 and OF1")]
Normalise = Annotated[
    str, typer.Option(metavar="HOW", help="standardise scores: none, image, prompt (over the whole set) or both")
]
PerClass = Annotated[Path | None, typer.Option(metavar="FILE", help="write the AP of every class as CSV")]
Plot = Annotated[
    Path | None, typer.Option(metavar="FILE", help="draw the AP of every class; ends in .png, .pdf or .svg")
]


def check_request(
    output_format: str, metrics: str, threshold: float, how: str, plot: Path | None, **files: Path | None
) -> None:
    """Finds wrong requests, and files that cannot be written (by their options' names), before anything is loaded."""
    from clipprompt.cli._writing import check_output
    from clipprompt.evaluation.measures import check_threshold
    from clipprompt.evaluation.normalise import check_normalisation
    from clipprompt.reports.drawing.figure import check_path
    from clipprompt.reports.multilabel.tables import check_format, check_metrics

    check_format(output_format)
    check_metrics(metrics)
    check_threshold(threshold)
    check_normalisation(how)
    if plot is not None:
        check_path(plot)
    for name, path in {"plot": plot, **files}.items():
        check_output(path, f"--{name.replace('_', '-')}")
