"""StanfordCars: ``devkit/cars_train_annos.mat``, ``devkit/cars_meta.mat`` and ``cars_test_annos_withlabels.mat``.

Paths are relative to the set's folder, since pictures lie in two: ``cars_train`` and ``cars_test``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clipprompt.datasets.classification._split import split_off_val
from clipprompt.datasets.classification.official._listed import Listed, Place, check_path
from clipprompt.datasets.classification.official._mat import label_from, read_mat
from clipprompt.datasets.classification.sets import Sample
from clipprompt.errors import UserError


def read(place: Place) -> Listed:
    """Of ``Acura RL Sedan 2012`` prompts say ``2012 Acura RL Sedan``."""
    devkit, tested = place.base / "devkit", place.base / "cars_test_annos_withlabels.mat"
    names = [year_first(str(name)) for name in read_mat(devkit / "cars_meta.mat", "class_names")]
    parts, how = split_off_val(place.specification.name, _samples(devkit / "cars_train_annos.mat", "cars_train", names))
    files = f"cars_train_annos.mat and {tested.name}"
    return Listed(parts | {"test": _samples(tested, "cars_test", names)}, files, how)


def year_first(name: str) -> str:
    """``2012 Acura RL Sedan`` of ``Acura RL Sedan 2012``."""
    car, _, year = name.strip().rpartition(" ")
    return f"{year} {car}".strip()


def _samples(path: Path, folder: str, names: Sequence[str]) -> list[Sample]:
    samples = []
    for number, entry in enumerate(read_mat(path, "annotations", ("class", "fname")), 1):
        where = f"{path}, entry {number}"
        label = label_from(where, entry["class"], len(names))
        if not isinstance(entry["fname"], str):
            raise UserError(f"{where}: 'fname' is not the name of a picture")
        samples.append(Sample(check_path(where, f"{folder}/{entry['fname']}"), label, names[label]))
    return samples
