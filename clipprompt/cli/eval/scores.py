"""``clipprompt eval scores``: saved scores, merged, normalised, ensembled and measured."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from clipprompt.cli._show import show_records
from clipprompt.cli.eval._options import Format, Metrics, Normalise, PerClass, Plot, Threshold, check_request

if TYPE_CHECKING:
    from clipprompt.evaluation.saved import SavedRecord


class ScoresCommand(TyperCommand):
    """Lets ``--weights`` take as many numbers as follow it; options of click take a fixed number of values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the arguments, the weights joined to one."""
        return super().parse_args(ctx, join_weights(args))


def join_weights(arguments: list[str]) -> list[str]:
    """``--weights 0.1 0.9 x`` as ``--weights=0.1,0.9 x``.

    A file whose name is a number can still be given, as ``./0.9``.
    """
    joined: list[str] = []
    rest = deque(arguments)
    while rest and rest[0] != "--":
        argument = rest.popleft()
        if argument == "--weights" and rest:
            argument = f"--weights={rest.popleft()}"
        while argument.startswith("--weights=") and rest and _is_number(rest[0]):
            argument += f",{rest.popleft()}"
        joined.append(argument)
    return [*joined, *rest]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def scores(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.npz", help="of --save-predictions, or plain arrays")],
    weights: Annotated[
        str | None, typer.Option(metavar="W...", help="of the files in an ensemble: 0.1 0.9", show_default="equal")
    ] = None,
    merge: Annotated[
        float | None,
        typer.Option(metavar="W", help="merged = (1-W) x global + W x local", show_default="as saved, or 0.5"),
    ] = None,
    branch: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="global, local or merged", show_default="merged, or what is there"),
    ] = None,
    normalise: Normalise = "none",
    threshold: Threshold = 0.5,
    output_format: Format = "table",
    metrics: Metrics = "all",
    plot: Plot = None,
    per_class: PerClass = None,
) -> None:
    """Measure saved scores; several files are an ensemble.

    A file holds the arrays targets (1 present, 0 absent, -1 unknown: left
    out) and scores_global and scores_local, or just scores; each (images,
    classes). Of an ensemble, each file's scores are brought to 0..1 by the
    smallest and largest of them all, weighed and added; weights are
    divided by their sum.

      clipprompt eval multilabel -d labels.csv -p runs/a --save-predictions a.npz

      clipprompt eval scores a.npz --merge 0.3 --normalise both

      clipprompt eval scores a.npz b.npz --weights 0.1 0.9 --format json
    """
    from clipprompt.evaluation.multilabel import check_branches
    from clipprompt.evaluation.saved import evaluate_files
    from clipprompt.reports.multilabel.per_class import write_per_class
    from clipprompt.reports.multilabel.plots import plot_average_precision

    check_request(output_format, metrics, threshold, normalise, plot, per_class=per_class)
    check_branches([] if branch is None else [branch])
    records = evaluate_files(
        files, branch=branch, merge=merge, how=normalise, weights=parse_weights(weights), threshold=threshold
    )
    _show(records, output_format, metrics)
    if per_class is not None:
        write_per_class(records, per_class)
    if plot is not None:
        plot_average_precision(records, plot)


def parse_weights(text: str | None) -> list[float] | None:
    """The numbers of ``--weights``; None where it was not given.

    Raises:
        UserError: for what is no list of numbers.
    """
    from clipprompt.errors import UserError

    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--weights {text}: not a list of numbers such as 0.1 0.9") from None


def _show(records: list[SavedRecord], output_format: str, metrics: str) -> None:
    """JSON is the last record alone: the file's own, or the ensemble's."""
    from clipprompt.printable import to_json

    if output_format == "json":
        typer.echo(to_json(records[-1], indent=2))
    else:
        show_records(records, output_format, None, metrics)
    if records[-1]["probabilities"] is None:
        text = "no CF1, OF1, ECE: these scores are no probabilities any more"
        typer.echo(f"clipprompt: {text}", err=True)
