"""What is known of a named set with one class a picture before any of its files is read."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

HUB_REPOSITORY = "zhengli97/prompt_learning_dataset"
"""On the Hugging Face Hub: one archive for each of CoOp's sets but ImageNet, split files included."""


@dataclass(frozen=True)
class Specification:
    """One named set.

    Attributes:
        name: as a user writes it.
        title: as papers write it.
        folder: of the set, below ``--root``.
        images: the folder of its pictures, below its own; what a split file's paths are relative to.
        reader: the file in ``official/`` that reads its official files.
        n_classes: of the whole set.
        sizes: pictures in each part.
        split_file: CoOp's, in the set's own folder; empty where the official files tell all parts.
        split_sha256: of that file, where it is known.
        marks: files and folders, any of which in a folder tells that it is this set's own, whatever its name.
        renamed: class names in prompts, by the name of the class's folder, where they differ.
        left_out: class folders that do not count.
        high_variance: whether published numbers differ by points between seeds.
        archive: in the repository; empty where there is none.
        repository: on the Hugging Face Hub.
        torchvision: the class of ``torchvision.datasets`` that fetches its official files; empty where there is none.
        by_hand: what to get from where, when it cannot be fetched.
        other_folders: below ``--root``, where other collections have the set.
        group: that papers average it in: fgvc, natural, specialized or structured; empty for the others.
    """

    name: str
    title: str
    folder: str
    images: str
    reader: str
    n_classes: int
    sizes: Mapping[str, int]
    split_file: str = ""
    split_sha256: str = ""
    marks: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    high_variance: bool = False
    archive: str = ""
    repository: str = HUB_REPOSITORY
    torchvision: str = ""
    by_hand: str = ""
    other_folders: tuple[str, ...] = ()
    group: str = ""

    def next_step(self, root: str) -> str:
        """What to do when something of the set is missing or broken: a command, or where to get it."""
        return self.by_hand or f"run: clipprompt data download {self.name} --root {shlex.quote(root)}"


def by_part(train: int, val: int, test: int) -> dict[str, int]:
    """Pictures by part."""
    return {"train": train, "val": val, "test": test}
