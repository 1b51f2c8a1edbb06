"""A method as a protocol's user spells it: a learner, a learner with what it learns from, or an ensemble of these.

coop    zero_shot    tai_dpt (from captions)    tai_dpt:images    caption_dual:both    dualcoop+tai_dpt

A protocol may give names of its own to learners with certain settings: ``variants``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal, get_args

from clipprompt.config import load_config
from clipprompt.errors import UserError, nearest
from clipprompt.learners import learner_class

Source = Literal["images", "captions", "both"]
SOURCES: tuple[Source, ...] = get_args(Source)


@dataclass(frozen=True)
class Method:
    """One row of a table.

    Attributes:
        spelling: the shortest that means it.
        learns_from: what its prompts come from; of an ensemble what those of its members do. None where it learns
            nothing.
        members: of an ensemble, two or more; none of a learner.
        variant_of: name of the learner where the spelling is that of a variant; otherwise empty.
        family: of a variant its name without the number; otherwise empty.
        settings: ``key=value`` that belong to the variant.
        reads_texts: of a variant, whether it needs a text tower.
    """

    spelling: str
    learns_from: Source | None
    members: tuple[Method, ...] = ()
    variant_of: str = ""
    family: str = ""
    settings: tuple[str, ...] = ()
    reads_texts: bool = False

    @property
    def learner(self) -> str:
        """Name of the learner; of an ensemble its spelling."""
        return self.spelling if self.members else self.variant_of or self.spelling.partition(":")[0]

    @property
    def learners(self) -> tuple[Method, ...]:
        """Its members, or itself."""
        return self.members or (self,)


def parse_method(text: str) -> Method:
    """Reads a spelling. Members of an ensemble may come in any order.

    Raises:
        UserError: for an unknown learner or source, a source that a learner cannot learn from, an ensemble of fewer
            than two, and a member that comes twice.
    """
    if "+" not in text:
        return _learner(text.strip())
    parts = [part.strip() for part in text.split("+")]
    if not all(parts):
        raise UserError(f"ensemble {text!r} lacks a member; give two or more, as in dualcoop+tai_dpt")
    members = sorted((_learner(part) for part in parts), key=lambda member: member.spelling)
    for one, other in pairwise(members):
        if one == other:
            raise UserError(f"ensemble {text!r} has {one.spelling} twice; an ensemble is of different members")
    sources = {member.learns_from for member in members} - {None}
    source = sources.pop() if len(sources) == 1 else "both"
    return Method("+".join(member.spelling for member in members), source, tuple(members))


def spell(learner: str, learns_from: Source | None) -> str:
    """The shortest spelling of a learner and its source."""
    own = learner_class(learner).trains_on
    return learner if learns_from in (None, own) else f"{learner}:{learns_from}"


def _learner(text: str) -> Method:
    name, colon, source = text.partition(":")
    known = learner_class(name)
    if not _learns(name):
        if colon:
            raise UserError(f"{text}: {name} learns nothing, from {source} neither; leave out :{source}")
        return Method(name, None)
    if not colon:
        return Method(name, known.trains_on)
    for one in SOURCES:
        if one == source and (one == known.trains_on or known.trains_on_both):
            return Method(spell(name, one), one)
    if source in SOURCES:
        raise UserError(f"{text}: {name} learns from {known.trains_on} alone; leave out :{source}")
    raise UserError(f"{text}: a method learns from {', '.join(SOURCES)}, not from {source!r}{nearest(source, SOURCES)}")


@cache
def _learns(name: str) -> bool:
    """Whether a learner has anything to train, or to remember; otherwise its own configuration has no epochs."""
    return load_config(name).train.epochs > 0 or learner_class(name).reads_training_set
