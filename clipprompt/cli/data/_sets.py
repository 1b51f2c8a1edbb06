"""What was found of sets with one class to each picture: a line for one, a table for several."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from clipprompt.datasets.classification.check import Findings
    from clipprompt.datasets.classification.sets import ClassificationSet

_PIPED_WIDTH = 160
_HASH = 7


def decode(found: Findings, workers: int) -> Findings:
    """Decodes all pictures of a set that are there, with a bar."""
    from clipprompt.datasets.classification.check import decode_set
    from clipprompt.progress import track

    n_there = found.n_pictures - len(found.missing)
    outcomes = track(decode_set(found, workers), f"Decoding {found.name}", total=n_there, unit="images")
    return replace(found, broken=[error for error in outcomes if error is not None])


def print_one(found: Findings, decoded: bool = False) -> None:
    """Notes and what is wrong on stderr, a line of numbers on stdout."""
    _complain([found])
    if found.dataset is not None:
        typer.echo(_line(found, found.dataset, decoded))


def print_table(findings: Sequence[Findings]) -> None:
    """Notes and what is wrong on stderr, one row for each set on stdout."""
    from rich.console import Console
    from rich.text import Text

    from clipprompt.cli._show import new_table

    table = new_table("set", "classes", "train/val/test", "missing")
    for title in ("split", "hash", "size"):
        table.add_column(title, no_wrap=True)
    for found in findings:
        table.add_row(Text(found.name, overflow="fold"), *_cells(found))
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_PIPED_WIDTH)
    console.print(table)
    _complain(findings)


def print_classes(dataset: ClassificationSet) -> None:
    """How many pictures of each class are in each part."""
    from rich.console import Console
    from rich.text import Text

    from clipprompt.cli._show import new_table

    counts = {part: Counter(sample.label for sample in samples) for part, samples in dataset.parts.items()}
    table = new_table("class", *counts)
    for label, name in enumerate(dataset.classnames):
        table.add_row(Text(name), *(f"{counter[label]:,}" for counter in counts.values()))
    Console().print(table)


def _complain(findings: Sequence[Findings]) -> None:
    for found in findings:
        for line in (*found.notes, found.explain()):
            if line:
                typer.echo(f"clipprompt: {line}", err=True)


def _line(found: Findings, dataset: ClassificationSet, decoded: bool) -> str:
    sizes = ", ".join(f"{size:,} {part}" for part, size in found.sizes.items())
    faults = {"broken": len(found.broken), "missing": found.n_lacking - len(found.broken)}
    state = ", ".join(f"{count:,} {what}" for what, count in faults.items() if count)
    official = {True: "; official size", False: "; not of the official size", None: ""}[found.has_official_size]
    source = replace(dataset, official_size=None).source  # the size is said behind the sum
    sha = f" (SHA-256 {dataset.source_sha256})" if dataset.source_sha256 else ""
    return (
        f"{found.name}: {len(dataset.classnames):,} classes; {sizes} pictures, "
        f"{state or ('all decoded' if decoded else 'all there')}; {source}{sha}{official}; split {found.split_hash}"
    )


def _cells(found: Findings) -> tuple[str, ...]:
    if found.dataset is None:
        return "-", "-", "all", "-", "-", "-"
    size = {True: "ok", False: "other", None: "-"}[found.has_official_size]
    sizes = "/".join(f"{found.sizes[part]:,}" if part in found.sizes else "-" for part in ("train", "val", "test"))
    return (
        f"{len(found.dataset.classnames):,}",
        sizes,
        f"{found.n_lacking:,}" if found.n_lacking else "none",
        _kind_of_source(found.dataset),
        found.split_hash[:_HASH],
        size,
    )


def _kind_of_source(dataset: ClassificationSet) -> str:
    """In a word, what says which picture belongs to which part."""
    if dataset.folder is None:
        return "drawn"
    if dataset.source_sha256 is not None:
        return "file"
    return "folder" if dataset.from_folders else "lists"
