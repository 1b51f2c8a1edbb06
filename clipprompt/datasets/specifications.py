"""The named sets as one table: what they are called, how large their official splits are, what may be fetched.

Sizes are those of the sets' own development kits and pages. MD5 sums of COCO's archives are published by several
projects that agree (docs/datasets.md names them); those of VOC stand in torchvision's table and are read from there.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from clipprompt.errors import UserError, nearest


@dataclass(frozen=True)
class Archive:
    """One file to fetch.

    Attributes:
        splits: the splits that need it.
        holds: what is in it, "labels" or "pictures" or both.
        url: its address; empty when ``torchvision_key`` says where it stands.
        md5: of its bytes, 32 hex digits.
        torchvision_key: its entry in torchvision's table of VOC archives.
    """

    splits: tuple[str, ...]
    holds: tuple[str, ...] = ("labels", "pictures")
    url: str = ""
    md5: str = ""
    torchvision_key: str = ""


@dataclass(frozen=True)
class Specification:
    """One named set.

    Attributes:
        name: as a user writes it.
        title: as papers write it.
        classes: the shipped class list that orders and names its classes.
        splits: number of images in each official split.
        default: the split that is meant when none is named.
        layout: the files below ``--root``.
        archives: what may be fetched; nothing where the licence asks for a request.
        by_hand: what to get from where, when it cannot be fetched.
    """

    name: str
    title: str
    classes: str
    splits: Mapping[str, int]
    default: str
    layout: tuple[str, ...]
    archives: tuple[Archive, ...] = ()
    by_hand: str = ""

    def check_split(self, split: str) -> str:
        """Returns the split that is meant.

        Raises:
            UserError: if the set has no such split.
        """
        if split and split not in self.splits:
            choices = ", ".join(self.splits)
            raise UserError(f"{self.name} has no split {split!r}{nearest(split, self.splits)}; choose one of {choices}")
        return split or self.default

    def next_step(self, split: str, root: str) -> str:
        """What to do when something of the set is missing or broken: a command, or where to ask for it."""
        if self.by_hand:
            return self.by_hand
        return f"run: clipprompt data download {self.name}:{split} --root {shlex.quote(root)}"


_COCO = "http://images.cocodataset.org"  # its certificate does not cover the name, so the checksum vouches


def _coco(year: int, sizes: Mapping[str, int], annotations: str, pictures: Mapping[str, str]) -> Specification:
    return Specification(
        name=f"coco{year}",
        title=f"COCO {year}",
        classes="coco2014",
        splits=sizes,
        default="val",
        layout=(f"annotations/instances_SPLIT{year}.json", f"SPLIT{year}/*.jpg"),
        archives=(
            Archive(tuple(sizes), ("labels",), f"{_COCO}/annotations/annotations_trainval{year}.zip", annotations),
            *(
                Archive((split,), ("pictures",), f"{_COCO}/zips/{split}{year}.zip", md5)
                for split, md5 in pictures.items()
            ),
        ),
    )


_ALL = (
    Specification(
        name="voc2007",
        title="PASCAL VOC 2007",
        classes="voc2007",
        splits={"train": 2501, "val": 2510, "trainval": 5011, "test": 4952},
        default="test",
        layout=(
            "VOCdevkit/VOC2007/ImageSets/Main/*.txt",
            "VOCdevkit/VOC2007/Annotations/*.xml",
            "VOCdevkit/VOC2007/JPEGImages/*.jpg",
        ),
        archives=(
            Archive(("train", "val", "trainval"), torchvision_key="2007"),
            Archive(("test",), torchvision_key="2007-test"),
        ),
    ),
    _coco(
        2014,
        {"train": 82783, "val": 40504},
        "0a379cfc70b0e71301e0f377548639bd",
        {"train": "0da8c0bd3d6becc4dcb32757491aca88", "val": "a3d79f5ed8d289b7a7554ce06a5782b3"},
    ),
    _coco(
        2017,
        {"train": 118287, "val": 5000},
        "f4bbac642086de4f52a3fdda2de5fa2c",
        {"train": "cced6f7f71b7629ddf16f17bbcfab6b2", "val": "442b8da7639aecaf257c1dceb8ba8c80"},
    ),
    Specification(
        name="nuswide",
        title="NUS-WIDE",
        classes="nuswide",
        splits={"train": 161789, "test": 107859, "all": 269648},
        default="test",
        layout=("ImageList/*.txt", "Groundtruth/*/Labels_*.txt", "Flickr/*/*.jpg"),
        by_hand=(
            "NUS-WIDE cannot be fetched for you: get ImageList and Groundtruth at "
            "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html, ask there for the "
            "pictures, and unpack all three below --root, the pictures as Flickr"
        ),
    ),
)

SPECIFICATIONS: Mapping[str, Specification] = {specification.name: specification for specification in _ALL}
"""The named sets by name."""


@functools.cache
def official_classes(name: str) -> tuple[str, ...]:
    """The classes of a shipped list (``voc2007``, ``coco2014``, ``nuswide``) in their order."""
    from clipprompt.captions.synonyms import load_classes

    return tuple(load_classes(name).classnames)
