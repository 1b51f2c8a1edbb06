"""A protocol as its file says it: what is learnt, what is tested, and the published settings of each method."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clipprompt._config_errors import describe_validation
from clipprompt._yaml import read_mapping
from clipprompt.datasets.classification.load import NAMED
from clipprompt.errors import UserError, nearest
from clipprompt.evaluation.protocols import multilabel_sets
from clipprompt.evaluation.protocols.methods import Method, parse_method
from clipprompt.evaluation.protocols.variants import Variant, parse_variant
from clipprompt.resources import resource

Subset = Literal["all", "base", "novel"]
_Positive = Annotated[int, Field(ge=1)]
_Seed = Annotated[int, Field(ge=0)]
_Share = Annotated[float, Field(gt=0, le=1)]
Known = _Share | Literal["single-positive"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Rule(_Section):
    """Settings of a method, for some sets, shots and known labels or for all."""

    datasets: list[str] = Field(default=[], description="sets that it is learnt from; none = any")
    shots: list[int] = Field(default=[], description="pictures of each class; none = any number")
    known: list[Known] = Field(default=[], description="labels that are known; none = any")
    set: dict[str, Any] = Field(description="keys of the configuration, such as train.epochs, with their values")

    def holds(self, dataset: str, shots: int | None, known: float | str | None = None) -> bool:
        """Whether it is meant for these."""
        pairs = ((self.datasets, dataset), (self.shots, shots), (self.known, known))
        return all(not meant or value in meant for meant, value in pairs)


class BackboneChoice(_Section):
    """The CLIP that is used where none is named."""

    name: str = Field(description="as backbone.name of a configuration")
    pretrained: str | None = Field(default=None, description="as backbone.pretrained")
    image_size: _Positive | None = Field(default=None, description="as backbone.image_size")

    def settings(self) -> list[str]:
        """It as ``key=value``."""
        return [f"backbone.{key}={json.dumps(value)}" for key, value in self.model_dump(exclude_none=True).items()]


class Search(_Section):
    """Settings of some methods that are chosen by the accuracy on val: every combination is tried."""

    methods: list[str] = Field(min_length=1, description="names of variants, without numbers")
    per_batch: _Positive | None = Field(
        default=None, description="pictures of a batch that train.lr is said for; with others it goes by their number"
    )
    over: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        min_length=1, description="keys of the configuration, such as train.lr, each with the values to try"
    )


class Drawn(_Section):
    """What stands in place of the protocol's own where all sets are drawn ones."""

    source: str | None = Field(default=None, description="set that is learnt from, where the protocol has one")
    settings_of: str | None = Field(default=None, description="protocol whose drawn backbone and settings are taken")
    backbone: BackboneChoice = Field(default=BackboneChoice(name="mini-vit"), description="the CLIP")
    settings: dict[str, list[Rule]] = Field(default={}, description="rules by method")
    grid: list[Search] = Field(default=[], description="settings that are searched for")
    share: _Share | None = Field(default=None, description="part of the training pictures where none is asked for")


class _Keys(_Section):
    """The keys of a file."""

    multilabel: bool = Field(default=False, description="pictures have several classes")
    subset: Literal["all", "base"] = Field(description="classes to learn")
    methods: list[str] = Field(default=[], description="what is run where none is named")
    shots: list[_Positive | None] = Field(
        description="pictures of each class to learn from, one run each; null = all of them, none = no training"
    )
    known: list[Known | None] = Field(
        min_length=1, default=[None], description="labels that are known, one run each; null = all of them"
    )
    seeds: list[_Seed] = Field(min_length=1, default=[1], description="one run each")
    source: str | None = Field(default=None, description="set that is learnt from; none = each set its own")
    tests: list[Subset] = Field(min_length=1, description="classes to tell apart, one test each")
    datasets: list[str] = Field(min_length=1, description="sets that are tested on where none are named")
    backbone: BackboneChoice = Field(description="the CLIP")
    pictures: list[Rule] = Field(default=[], description="rules for all that learns from pictures, drawn ones as well")
    settings: dict[str, list[Rule]] = Field(default={}, description="rules by method, over configs/methods")
    variants: dict[str, Variant] = Field(
        default={}, description="names for learners with certain settings; where there are any, they are the methods"
    )
    with_val: bool = Field(
        default=False, description="what is tested has learnt from val too, once settings are chosen"
    )
    grid: list[Search] = Field(default=[], description="settings that are searched for, by accuracy on val")
    drawn: Drawn = Field(default=Drawn(), description="the same for drawn sets")


class Protocol(_Keys):
    """What is learnt, and what is tested."""

    name: str = Field(description="of its file")

    @property
    def learns(self) -> bool:
        """Whether anything is learnt."""
        return bool(self.shots)

    @property
    def halves_classes(self) -> bool:
        """Whether base and novel classes are told from each other."""
        return self.subset != "all" or self.tests != ["all"]

    def parse_method(self, text: str) -> Method:
        """Reads the spelling of a method: of a variant where the protocol has them.

        Raises:
            UserError: for an unknown one, with the nearest suggested.
        """
        return parse_variant(text, self.variants) if self.variants else parse_method(text)


def list_protocols() -> list[str]:
    """Names of all protocols, sorted: the files of ``configs/protocols``."""
    return sorted(path.stem for path in resource("configs/protocols").glob("*.yaml"))


def load_protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        UserError: for an unknown one, with the nearest suggested.
    """
    known = list_protocols()
    if name not in known:
        raise UserError(f"there is no protocol {name!r}{nearest(name, known)}; choose one of {', '.join(known)}")
    return read_protocol(resource(f"configs/protocols/{name}.yaml"))


def read_protocol(path: Path) -> Protocol:
    """Reads a protocol from a file.

    Raises:
        UserError: naming the file, the key and what is wrong with it.
    """
    try:
        keys = _Keys.model_validate(read_mapping(path))
    except ValidationError as error:
        raise UserError(f"{path}: {describe_validation(error, '', _Keys)}") from error
    protocol = Protocol(name=path.stem, **dict(keys))
    _check_names(path, protocol)
    if (other := protocol.drawn.settings_of) is None:
        return protocol
    if other == path.stem:
        raise UserError(f"{path}: drawn.settings_of is the protocol itself; leave it out")
    theirs = load_protocol(other).drawn
    drawn = protocol.drawn.model_copy(update={"backbone": theirs.backbone, "settings": theirs.settings})
    return protocol.model_copy(update={"drawn": drawn})


def _check_names(path: Path, protocol: Protocol) -> None:
    rules = [*protocol.settings.items(), *protocol.drawn.settings.items()]
    searched = [method for search in (*protocol.grid, *protocol.drawn.grid) for method in search.methods]
    for method in (*protocol.methods, *(method for method, _ in rules), *searched):
        if method in protocol.variants or method == "all":
            continue
        try:
            protocol.parse_method(method)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    known = list(multilabel_sets.NAMED if protocol.multilabel else NAMED)
    ruled = [name for _, found in (*rules, ("", protocol.pictures)) for rule in found for name in rule.datasets]
    sources = [name for name in (protocol.source, protocol.drawn.source) if name is not None]
    for name in (*protocol.datasets, *sources, *ruled):
        if name not in known:
            raise UserError(f"{path}: there is no set {name!r}{nearest(name, known)}")


def settings_for(rules: Iterable[Rule], dataset: str, shots: int | None, known: float | str | None) -> Iterator[str]:
    """Settings as ``key=value``, each key once, with the value of the last rule that holds."""
    found: dict[str, Any] = {}
    for rule in rules:
        if rule.holds(dataset, shots, known):
            found |= rule.set
    yield from (f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in found.items())
