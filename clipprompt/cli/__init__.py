"""The command line: one small file per command. Commands parse, call and print; they import what they need when run."""

from __future__ import annotations

import logging
import sys

import typer

from clipprompt.cli import (
    calibrate,
    convert,
    corpus,
    data,
    demo,
    embeddings,
    ensemble,
    explain,
    export,
    hub,
    models,
    report,
    synonyms,
    tag,
    train,
)
from clipprompt.cli import eval as evaluate
from clipprompt.cli._writing import drop_stdout, open_closed_streams
from clipprompt.cli.eval.scores import ScoresCommand
from clipprompt.errors import UserError
from clipprompt.files import is_disk_error
from clipprompt.printable import printable

app = typer.Typer(
    name="clipprompt",
    help="Adapt a frozen CLIP to a task by learning prompts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("tag")(tag.tag)
app.command("train")(train.train)
app.command("explain")(explain.explain)
app.command("embeddings")(embeddings.embeddings)
app.command("ensemble", cls=ScoresCommand)(ensemble.ensemble)
app.command("calibrate")(calibrate.calibrate)
app.command("models")(models.models)
app.command("report")(report.report)
app.command("export")(export.export)
app.command("push")(hub.push)
app.command("pull")(hub.pull)
app.command("convert")(convert.convert)
app.add_typer(evaluate.app, name="eval")
app.add_typer(corpus.app, name="corpus")
app.add_typer(data.app, name="data")
app.add_typer(synonyms.app, name="synonyms")


def _print_version(wanted: bool) -> None:
    if wanted:
        from clipprompt import __version__

        typer.echo(f"clipprompt {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Runs the command line. A user's mistake, or a full disk, is one line on stderr and exit code 2."""
    open_closed_streams()
    logging.basicConfig(format="clipprompt: %(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        app()
    except UserError as error:
        print(f"clipprompt: {printable(str(error))}", file=sys.stderr)  # it may quote a stranger's file
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has gone, as in `clipprompt … | head`
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if not is_disk_error(error):
            raise
        drop_stdout()
        print(f"clipprompt: cannot write to stdout: {(error.strerror or '').lower()}", file=sys.stderr)
        sys.exit(2)
