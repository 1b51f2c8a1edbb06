"""``clipprompt eval``: numbers about prompts."""

from __future__ import annotations

import typer

from clipprompt.cli.eval._protocol_commands import PROTOCOLS, ProtocolCommand, describe
from clipprompt.cli.eval.multilabel import multilabel
from clipprompt.cli.eval.protocol import protocol
from clipprompt.cli.eval.scores import ScoresCommand, scores

app = typer.Typer(help="Score zero-shot CLIP and trained prompts.", no_args_is_help=True)
app.command("multilabel")(multilabel)
app.command("scores", cls=ScoresCommand)(scores)
for _name, _about in PROTOCOLS.items():
    app.command(_name, cls=ProtocolCommand, help=describe(_name), short_help=_about.short)(protocol)
