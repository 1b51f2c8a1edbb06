"""The table of architectures and learners: for the terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from clipprompt.backbone.capabilities import FAMILIES, Capability
from clipprompt.printable import to_json

WORKS = "works"
TITLES = ("architecture", "text tower", "image tower", *FAMILIES, "needs")


def render_models(found: Sequence[Capability], output_format: str) -> str:
    """Renders as ``md``, ``csv`` or ``json``. The last two have, in place of ``works``, the reason in a line."""
    if output_format == "md":
        return _markdown(found)
    rows = [
        {
            "name": one.name,
            "text": one.text,
            "image": one.image,
            **{family: one.refusals.get(family, WORKS) for family in FAMILIES},
            "package": one.package,
        }
        for one in found
    ]
    if output_format == "json":
        return to_json(rows, indent=2) + "\n"
    text = io.StringIO()
    writer = csv.DictWriter(text, ["name", "text", "image", *FAMILIES, "package"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def model_rows(found: Sequence[Capability]) -> tuple[list[list[str]], list[str]]:
    """The cells below ``TITLES``, and the notes below the table: every reason once, by number."""
    reasons = list(dict.fromkeys(_general(one, line) for one in found for line in one.refusals.values()))
    return [_cells(one, reasons) for one in found], _notes(found, reasons)


def _markdown(found: Sequence[Capability]) -> str:
    rows, notes = model_rows(found)
    lines = [f"| {' | '.join(TITLES)} |", "|" + "---|" * len(TITLES)]
    lines += [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([*lines, *(part for note in notes for part in ("", note))]) + "\n"


def _cells(one: Capability, reasons: Sequence[str]) -> list[str]:
    answers = [
        f"no ({reasons.index(_general(one, one.refusals[family])) + 1})" if family in one.refusals else WORKS
        for family in FAMILIES
    ]
    return [one.name, one.text or "–", one.image, *answers, one.package or ""]


def _general(one: Capability, line: str) -> str:
    """A reason that several architectures share: without their names."""
    return line.replace(repr(one.name), "it").replace(one.name, "it")


def _notes(found: Sequence[Capability], reasons: Sequence[str]) -> list[str]:
    notes = [f"({number}) {line}" for number, line in enumerate(reasons, 1)]
    for package in dict.fromkeys(one.package for one in found if one.package):
        notes.append(f"needs {package}: pip install {package}; what else loading takes is fetched from the Hub")
    return notes
