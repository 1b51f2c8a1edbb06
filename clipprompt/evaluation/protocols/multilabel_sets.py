"""Names of sets with several classes to a picture, and which of their splits is learnt from and which tested."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clipprompt.datasets import MultiLabelImages, load_dataset
from clipprompt.datasets._label_files import TABLES
from clipprompt.datasets.classification.load import is_classification
from clipprompt.datasets.coco import official_folders
from clipprompt.datasets.labels import table_splits
from clipprompt.datasets.select import training_split
from clipprompt.datasets.specifications import SPECIFICATIONS
from clipprompt.errors import UserError, nearest

DRAWN = "mini"
NAMED = (*SPECIFICATIONS, DRAWN)
_OWN = (*TABLES, ".json")


def resolve_multilabel(given: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
    """Names and absolute paths of sets, each once.

    Args:
        given: names in any case, tables of labels and COCO files; ``all`` stands for the default.
        default: names.

    Raises:
        UserError: if there is none, one is no such set, or a split stands behind it.
    """
    names = tuple(dict.fromkeys(name for one in given for name in (default if one == "all" else [_resolved(one)])))
    if not names:
        raise UserError("no dataset is given; give names, such as voc2007,coco2014, or all")
    return names


def check_has_val(dataset: str) -> None:
    """Refuses a set that has no validation split beside the one that papers test on.

    Raises:
        UserError: naming it.
    """
    found = SPECIFICATIONS.get(dataset)
    has_val = "val" in found.splits and found.default != "val" if found else Path(dataset).suffix.lower() != ".json"
    if not has_val:
        tested = f"what is tested is its {found.default}" if found else "a COCO file has no splits"
        raise UserError(
            f"{dataset} has no part val ({tested}); choose settings on another set, or on a table of labels"
        )


def check_has_pictures(dataset: str) -> None:
    """Refuses a COCO file whose pictures are not where the official layout has them: no option names their folder.

    Args:
        dataset: of :func:`resolve_multilabel`. A file that is not there is left to its reader.

    Raises:
        UserError: naming the folders.
    """
    path = Path(dataset)
    if dataset in NAMED or path.suffix.lower() != ".json" or not path.is_file():
        return
    folders = official_folders(path)
    if not any(folder.is_dir() for folder in folders):
        raise UserError(f"{dataset} has no pictures: link their folder as {' or '.join(map(str, folders))}")


def check_has_parts(dataset: str, source: str | None = None) -> None:
    """Refuses own data that do not say what is learnt from and what is tested.

    Args:
        dataset: of :func:`resolve_multilabel`.
        source: what was named to learn from, if anything was; the set itself is of no help.

    Raises:
        UserError: naming the file and what can be done, or if a table cannot be read.
    """
    if dataset in NAMED:
        return
    is_table = Path(dataset).suffix.lower() in TABLES
    if is_table and table_splits(dataset):
        return
    lacks = "has no column 'split'" if is_table else "is a COCO file, which has no splits"
    if source == dataset:
        raise UserError(f"--source {dataset} is the tested file itself, and it {lacks}: name other pictures")
    remedy = "add one, or name" if is_table else "name"
    raise UserError(f"{dataset} {lacks}: {remedy} what is learnt from with --source DATA")


def training_spec(dataset: str, part: str, is_tested: bool) -> str:
    """What to learn from, as ``data.dataset`` of a configuration.

    Args:
        dataset: of :func:`resolve_multilabel`.
        part: that is tested on, test or val.
        is_tested: whether it is of the same set.
    """
    if dataset in SPECIFICATIONS:
        return f"{dataset}:train" if part == "val" else training_split(dataset)
    is_split = dataset == DRAWN or (is_tested and Path(dataset).suffix.lower() in TABLES)
    return f"{dataset}:train" if is_split else dataset


def load_part(dataset: str, part: str, root: str | Path | None) -> MultiLabelImages:
    """The pictures of a part that is tested on, with all classes of the set.

    Args:
        dataset: of :func:`resolve_multilabel`.
        part: test, or val to choose settings by.
        root: folder of named sets.

    Raises:
        UserError: if it cannot be read.
    """
    if dataset in SPECIFICATIONS:
        return load_dataset(f"{dataset}:{SPECIFICATIONS[dataset].default if part == 'test' else part}", root=root)
    suffix = Path(dataset).suffix.lower()
    is_whole = suffix == ".json" or (suffix in TABLES and not table_splits(dataset))
    return load_dataset(dataset if is_whole else f"{dataset}:{part}")


def _resolved(dataset: str) -> str:
    if dataset.lower() in NAMED:
        return dataset.lower()
    name, _, split = dataset.rpartition(":")
    if name.lower() in NAMED:
        raise UserError(f"{dataset}: leave out :{split}; a protocol says itself which splits it learns and tests")
    if is_classification(dataset):
        raise UserError(f"{dataset} has one class to a picture, and this protocol is for several: {', '.join(NAMED)}")
    path = Path(dataset.removeprefix("folder:").removeprefix("coco:"))
    if path.suffix.lower() in _OWN:
        return str(path.absolute())
    if path.is_dir():
        raise UserError(f"{dataset} is a folder; pictures with several classes come in a table or a COCO file")
    raise UserError(
        f"unknown dataset {dataset!r}{nearest(dataset.lower(), ['all', *NAMED])}; give {', '.join(NAMED)}, "
        "a .csv, .tsv or .jsonl table, or a COCO .json"
    )
