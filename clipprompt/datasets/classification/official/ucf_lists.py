"""UCF101: lists of videos below ``ucfTrainTestlist``; a picture is the middle frame of each.

``classInd.txt`` has lines such as ``1 ApplyEyeMakeup``, ``trainlist01.txt`` and ``testlist01.txt`` such as
``ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1``; the frame is ``Apply_Eye_Makeup/v_ApplyEyeMakeup_g08_c01.jpg``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from clipprompt.datasets.classification._split import split_off_val
from clipprompt.datasets.classification.official._listed import Listed, Place, check_path, label_of, read_lines
from clipprompt.datasets.classification.sets import Sample
from clipprompt.errors import UserError
from clipprompt.printable import printable


def read(place: Place) -> Listed:
    """The first of the three official splits, as CoOp has it."""
    folder = place.base / "ucfTrainTestlist"
    classes = folder / "classInd.txt"
    labels = dict(_indexed(where, line) for where, line in read_lines(classes))
    parts, how = split_off_val(place.specification.name, _samples(folder / "trainlist01.txt", labels, classes))
    test = _samples(folder / "testlist01.txt", labels, classes)
    return Listed(parts | {"test": test}, "trainlist01.txt and testlist01.txt", how)


def _indexed(where: str, line: str) -> tuple[str, int]:
    match line.split():
        case [index, action] if index.isdecimal() and int(index) > 0:
            return action, int(index) - 1
    raise UserError(f"{where}: {printable(line[:60])!r} is not of the form '1 ApplyEyeMakeup'")


def _samples(path: Path, labels: Mapping[str, int], classes: Path) -> list[Sample]:
    samples = []
    for where, line in read_lines(path):
        action, _, video = line.split()[0].partition("/")
        label = label_of(where, action, labels, classes)
        name = "_".join(re.findall("[A-Z][^A-Z]*", action)) or action
        frame = check_path(where, f"{name}/{video.removesuffix('.avi')}.jpg")
        samples.append(Sample(frame, label, name))
    return samples
