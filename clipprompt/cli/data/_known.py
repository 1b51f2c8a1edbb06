"""Which labels of a set a seed or a file leaves known, as lines of a label file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from clipprompt.errors import UserError

if TYPE_CHECKING:
    from clipprompt.datasets import MultiLabelImages
    from clipprompt.datasets.partial.learnt import Learnt


def has_several(spec: str) -> bool:
    """Whether a set has several classes to a picture, or none."""
    from clipprompt.datasets.classification.load import is_classification
    from clipprompt.datasets.classification.own import has_several_labels
    from clipprompt.datasets.select import is_named

    if is_named(spec):
        return not is_classification(spec.partition(":")[0])
    return spec.lower().endswith(".json") or has_several_labels(spec)


def part_of(learnt: Learnt, part: str) -> MultiLabelImages:
    """The pictures of train or val.

    Raises:
        UserError: for another part, or where none are drawn to select by.
    """
    if part not in ("train", "val"):
        raise UserError(f"--part {part}: known labels are drawn of train, and with --shots of val; give one of these")
    if part == "train":
        return learnt.train
    if learnt.val is None:
        name = learnt.train.name
        raise UserError(f"{name}: nothing is drawn for val; --shots draws some for it of the pictures that are left")
    return learnt.val


def describe(images: MultiLabelImages, part: str, subset: str) -> None:
    """Prints notes, the classes that no picture is known to have, and the hash of the draw on stderr."""
    from clipprompt.datasets.partial.known import note_never_present
    from clipprompt.datasets.partial.learnt import hash_labels
    from clipprompt.printable import counted

    for note in (*images.notes, *note_never_present(images)):
        typer.echo(f"clipprompt: {note}", err=True)
    typer.echo(
        f"{images.name}, {part}: {counted(len(images), 'picture')}; "
        f"{counted(len(images.classnames), 'class')} ({subset}); draw {hash_labels(images)[:16]}",
        err=True,
    )
