"""The table of architectures and learners: for the terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from clipprompt.backbone.capabilities import FAMILIES, Capability
from clipprompt.printable import to_json

WORKS = "works"
_COLUMNS = ("name", "text", "image", *FAMILIES, "vpt_head", "package", "weights")
TITLES = ("architecture", "text tower", "image tower", *FAMILIES, "vpt_head")


def render_models(found: Sequence[Capability], output_format: str, *, by_kind: bool = False) -> str:
    """Renders as ``md``, ``csv`` or ``json``. The last two have all architectures, with whole reasons."""
    if output_format == "md":
        return _markdown(*model_rows(found, by_kind=by_kind))
    rows = [_row(one) for one in found]
    if output_format == "json":
        return to_json(rows, indent=2) + "\n"
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def model_rows(found: Sequence[Capability], *, by_kind: bool = False) -> tuple[list[list[str]], list[str]]:
    """The cells below ``TITLES``, and the notes below the table: every reason once, by number.

    Args:
        found: architectures.
        by_kind: one row for those that differ in nothing but the name, instead of one for each.
    """
    reasons = list(dict.fromkeys(_general(one, line) for one in found for line in one.refusals.values()))
    rows = [_cells(one, reasons) for one in found]
    return _merge(rows) if by_kind else rows, _notes(found, reasons)


def _row(one: Capability) -> dict[str, str | None]:
    answers = {family: one.refusals.get(family, WORKS) for family in FAMILIES}
    values = (one.name, one.text, one.image, *answers.values(), one.prompts, one.package, one.weights)
    return dict(zip(_COLUMNS, values, strict=True))


def _merge(rows: list[list[str]]) -> list[list[str]]:
    kinds = dict[tuple[str, ...], list[str]]()
    for name, *cells in rows:
        kinds.setdefault(tuple(cells), []).append(name)
    return [[names[0] + (f" and {len(names) - 1} more" if names[1:] else ""), *kind] for kind, names in kinds.items()]


def _markdown(rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    lines = [f"| {' | '.join(TITLES)} |", "|" + "---|" * len(TITLES)]
    lines += [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([*lines, *(part for note in notes for part in ("", note))]) + "\n"


def _cells(one: Capability, reasons: Sequence[str]) -> list[str]:
    answers = [
        f"no ({reasons.index(_general(one, one.refusals[family])) + 1})" if family in one.refusals else WORKS
        for family in FAMILIES
    ]
    image = one.image.replace("VisionTransformer", "ViT").replace("Transformer", "")
    return [one.name, (one.text or "–") + (" *" if one.package else ""), image or "–", *answers, one.prompts or "–"]


def _general(one: Capability, line: str) -> str:
    """A reason that several architectures share: without their names."""
    return line.replace(repr(one.name), "it").replace(one.name, "it")


def _notes(found: Sequence[Capability], reasons: Sequence[str]) -> list[str]:
    notes = [f"({number}) {line}" for number, line in enumerate(reasons, 1)]
    if len(found) == 1 and found[0].weights:
        notes.append(f"weights: {found[0].weights.replace(' ', ', ')}")
    for package in dict.fromkeys(one.package for one in found if one.package):
        notes.append(f"* needs the package {package}, and files from the Hub, to be loaded")
    return notes
