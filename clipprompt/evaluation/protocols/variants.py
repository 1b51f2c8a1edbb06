"""Variants: names that a study gives to learners with certain settings, such as vpt-deep, partial-2 and tip-adapter-f.

    variants:                                                   in a protocol's file
      vpt-deep: {learner: vpt_head, set: {…}}                   settings that belong to the name
      partial: {learner: partial, number: learner.n_blocks}     partial-2 has learner.n_blocks=2

Settings of a request and rules of the protocol are addressed to the name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from clipprompt.errors import UserError, nearest
from clipprompt.evaluation.protocols.methods import Method, parse_method

READS_TEXTS = "reads class names with a text tower, and {backbone} has none: take a CLIP, such as --backbone ViT-B-16"


class Variant(BaseModel):
    """A learner with settings that belong to the name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    learner: str = Field(description="name of the learner")
    set: dict[str, Any] = Field(default={}, description="keys of the configuration with their values")
    number: str | None = Field(default=None, description="key that the number behind the name is of, as in partial-2")
    reads_texts: bool = Field(default=False, description="classifies by texts, so that the backbone needs a text tower")


def parse_variant(text: str, variants: Mapping[str, Variant]) -> Method:
    """Reads the name of a variant.

    Args:
        text: such as ``vpt-deep``, or ``partial-2`` for one that is numbered.
        variants: of the protocol, by name.

    Raises:
        UserError: for one that the protocol has not, with the nearest suggested, and for a number that is lacking.
    """
    name, own = text.strip(), dict[str, Any]()
    family = name
    if name not in variants:
        family, _, number = name.rpartition("-")
        if family not in variants or variants[family].number is None or not number.isdecimal() or not int(number):
            raise UserError(
                f"there is no method {name!r}{nearest(name, variants)}; choose among {say(variants)}, or all"
            )
        own[str(variants[family].number)] = int(number)
    elif variants[name].number is not None:
        raise UserError(f"method {name!r} needs a number, as in {name}-1: its {variants[name].number}")
    variant = variants[family]
    settings = tuple(f"{key}={json.dumps(value)}" for key, value in (variant.set | own).items())
    source = parse_method(variant.learner).learns_from
    return Method(name, source, (), variant.learner, family, settings, variant.reads_texts)


def say(variants: Mapping[str, Variant]) -> str:
    """The names, for people; K is a number."""
    return ", ".join(name if variant.number is None else f"{name}-K" for name, variant in variants.items())
