"""``clipprompt eval``: numbers about prompts."""

from __future__ import annotations

import typer

from clipprompt.cli.eval.multilabel import multilabel
from clipprompt.cli.eval.protocol import HELP, describe, protocol
from clipprompt.cli.eval.scores import ScoresCommand, scores

app = typer.Typer(help="Score zero-shot CLIP and trained prompts.", no_args_is_help=True)
app.command("multilabel")(multilabel)
app.command("scores", cls=ScoresCommand)(scores)
for _name in HELP:
    app.command(_name, help=describe(_name), short_help=HELP[_name])(protocol)
