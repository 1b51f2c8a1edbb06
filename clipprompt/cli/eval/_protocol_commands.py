"""The commands of protocols: what their help says, and which of the shared options have a use in them."""

from __future__ import annotations

from typing import Any, NamedTuple

from typer.core import TyperCommand

from clipprompt.errors import UserError


class About(NamedTuple):
    """A protocol for people.

    Attributes:
        short: what it does, in a line.
        example: arguments behind its name.
        options: that it has a use for, of those that not all have.
    """

    short: str
    example: str
    options: tuple[str, ...]


_SEVERAL = ("shots", "known", "captions", "source")
PROTOCOLS = {
    "base-to-novel": About(
        "Learn half of a set's classes; be tested on these and on the others.",
        "--methods coop,cocoop,maple --root DATA",
        ("shots", "class_splits"),
    ),
    "few-shot": About(
        "Learn a set from 1, 2, 4, 8 and 16 pictures of each class.",
        "--methods coop --datasets dtd --shots 1,16 --root DATA",
        ("shots",),
    ),
    "cross-dataset": About(
        "Learn ImageNet; be tested on it and on ten other sets.",
        "--methods coop,maple --root DATA",
        ("shots", "source"),
    ),
    "domain": About(
        "Learn ImageNet; be tested on it and on other kinds of pictures of its classes.",
        "--methods coop,maple --root DATA",
        ("shots", "source"),
    ),
    "zero-shot": About("Test hand-written prompts, with nothing learnt.", "--datasets mini-objects,photos/", ()),
    "partial-label": About(
        "Learn a multi-label set of which a part of the labels is known.",
        "-d voc2007 --captions voc.parquet --root DATA",
        _SEVERAL,
    ),
    "few-shot-multilabel": About(
        "Learn a multi-label set from few pictures of each class; draw the curves.",
        "--datasets mini --shots 1,4,16",
        (*_SEVERAL, "plots"),
    ),
    "multilabel-zero-shot": About(
        "Learn some classes of a multi-label set; be tested on the others and on all.",
        "--methods dualcoop -d coco2014 --root DATA",
        (*_SEVERAL, "class_splits"),
    ),
    "visual-tuning": About(
        "Tune an image tower in many ways; settings are searched on val.",
        "-d vtab,fgvc --methods all --root DATA",
        ("shots", "shares", "grid", "no_grid"),
    ),
}
_NOT_FOR_ALL = {option for about in PROTOCOLS.values() for option in about.options}
_MORE = """

Every run is a folder. A command that was stopped or killed goes on where
it was; what is complete is not run again. Runs that fail are named at the
end, and the exit code is 1.
"""
_METHODS = """
A method is a learner (dualcoop), a learner and what it learns from
(tai_dpt:both: pictures and captions), or an ensemble (dualcoop+tai_dpt),
which is made of its members once they are learnt.
"""
_VARIANTS = """
A method is a learner with a study's settings: full, linear, partial-1,
mlp-3, vpt-deep, adapter, tip-adapter-f … (docs/protocols.md). Each set is
learnt with every setting of a grid and tested on its part val; the best
then learns from train and val, once for each seed, and is tested.
"""


def describe(name: str) -> str:
    """The help of a protocol's command."""
    about = PROTOCOLS[name]
    methods = _METHODS if is_multilabel(name) else _VARIANTS if "grid" in about.options else ""
    return f"{about.short}{_MORE}{methods}\n  clipprompt eval {name} {about.example}\n"


def is_multilabel(name: str) -> bool:
    """Whether the protocol's pictures have several classes."""
    return "captions" in PROTOCOLS[name].options


class ProtocolCommand(TyperCommand):
    """Hides the options that have no use in its protocol, and refuses them in one line where they are given."""

    def __init__(self, name: str, **rest: Any) -> None:
        super().__init__(name, **rest)
        self._useless = [one for one in self.params if one.name in _NOT_FOR_ALL - {*PROTOCOLS[name].options}]
        for parameter in self._useless:
            parameter.hidden = True  # type: ignore[attr-defined]  # options have it, and these are

    def invoke(self, ctx: Any) -> Any:
        """Runs the command.

        Raises:
            UserError: for an option without use.
        """
        for parameter in self._useless:
            given = ctx.params[parameter.name]
            if given != parameter.default and given != ():  # the latter of one that may be repeated and is not given
                values = given if isinstance(given, (list, tuple)) else [] if given is True else [given]
                raise UserError(f"{' '.join(map(str, [parameter.opts[0], *values]))} has no use in {self.name}")
        return super().invoke(ctx)
