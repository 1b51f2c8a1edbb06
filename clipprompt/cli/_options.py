"""Options that several commands share, so that they are spelt and explained alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Labels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        "-l",
        metavar="LIST",
        help='voc2007, coco2014, nuswide, a file, or "red bus,umbrella"',
        show_default="the prompt's own",
    ),
]
_BACKBONE = "open_clip model, hf-hub:ORG/NAME or folder"
BackboneName = Annotated[str | None, typer.Option(metavar="NAME", help=_BACKBONE, show_default="the prompt's, or mini")]
PromptBackboneName = Annotated[str | None, typer.Option(metavar="NAME", help=_BACKBONE, show_default="the prompt's")]
Pretrained = Annotated[str | None, typer.Option(metavar="TAG", help="weights tag or file")]
Workers = Annotated[int, typer.Option(min=0, metavar="N", help="threads that decode images")]
Draft = Annotated[
    bool, typer.Option("--draft", help="decode large JPEG files at a reduced size: faster, slightly other scores")
]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps")]
Precision = Annotated[
    str | None, typer.Option(metavar="NAME", help="fp32, bf16 or fp16", show_default="the prompt's, or fp32")
]
Root = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="of a named set, in its official layout", show_default=False)
]
Images = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="the pictures", show_default="where the set's layout has them")
]
Difficult = Annotated[
    str, typer.Option(metavar="WHAT", help="VOC's difficult objects: unknown (official) or negative (as TaI-DPT)")
]
SkipMissing = Annotated[bool, typer.Option("--skip-missing", help="leave out images whose file is missing")]
ClassesOfSet = Annotated[
    str | None,
    typer.Option(metavar="LIST", help='voc2007, coco2014, nuswide, a file or "a,b"', show_default="all of DATA"),
]
Scenes = Annotated[int, typer.Option(min=1, metavar="N", help="with mini: how many scenes")]
BatchSize = Annotated[int, typer.Option(min=1, metavar="N", help="images encoded together")]
CacheFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="keeps image features for next time", show_default="the user's folder of caches"
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="keep nothing, and read nothing that was kept")]
