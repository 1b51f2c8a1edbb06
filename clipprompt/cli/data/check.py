"""``clipprompt data check``: whether sets are whole, what is missing, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from clipprompt.cli._options import Difficult, Images, Root, SkipMissing, Workers
from clipprompt.errors import UserError

DATA = (
    "caltech101, voc2007:test or another of `data list`, a folder of class folders, a COCO .json, or a .csv, .tsv, "
    ".jsonl table; of sets with one class a picture several, groups (fgvc, vtab), or `all` for the fifteen"
)


def check(
    datasets: Annotated[list[str], typer.Argument(metavar="DATA", help=DATA, show_default=False)],
    root: Root = None,
    images: Images = None,
    decode: Annotated[bool, typer.Option("--decode", help="decode every picture too: minutes for a large set")] = False,
    per_class: Annotated[bool, typer.Option("--per-class", help="print how many images have each class")] = False,
    difficult: Difficult = "unknown",
    skip_missing: SkipMissing = False,
    workers: Workers = 4,
) -> None:
    """Check that a set is whole; name the first thing that is not.

    Reads all lists and labels and looks for every picture. The summary
    counts images and labels; equal split hashes mean comparable numbers.
    Several sets make a table; exit code 1 says that one is not whole.

      clipprompt data check voc2007 --root ~/data

      clipprompt data check labels.csv --images photos --decode

      clipprompt data check all --root ~/data
    """
    from clipprompt.cli.data import _labels

    names = _names(datasets)
    if len(names) == 1 and not _has_parts(names[0]):
        labelled = _labels.load(names[0], images, root=root, difficult=difficult, skip_missing=skip_missing)
        if decode:
            _labels.decode(labelled, workers, _labels.remedy(names[0], root))
        _labels.summarise(labelled, decode)
        if per_class:
            _labels.print_classes(labelled)
        return
    if skip_missing or difficult != "unknown":
        flag = "--skip-missing" if skip_missing else f"--difficult {difficult}"
        raise UserError(f"{flag} has no use with {', '.join(datasets)}; name one part, as in {names[0]}:test")
    if len(names) > 1 and (images is not None or per_class):
        flag = "--per-class" if images is None else f"--images {images}"
        raise UserError(f"{flag} goes with one set, not with {', '.join(datasets)}")
    _check_parts(names, root, images, decode, per_class, workers)


def _names(datasets: Sequence[str]) -> list[str]:
    from clipprompt.datasets.classification.groups import expand_groups
    from clipprompt.datasets.classification.specifications import FIFTEEN

    return list(expand_groups(name for spec in datasets for name in (FIFTEEN if spec == "all" else (spec,))))


def _has_parts(spec: str) -> bool:
    """Whether a set has one class to each picture and tells parts, all of which are meant."""
    from clipprompt.datasets._label_files import TABLES
    from clipprompt.datasets.classification.load import is_classification
    from clipprompt.datasets.folders import find_splits
    from clipprompt.datasets.labels import table_splits

    path = Path(spec.removeprefix("folder:"))
    if is_classification(spec) or not path.exists():
        return is_classification(spec)
    if path.is_dir():
        return bool(find_splits(path))
    return path.suffix.lower() in TABLES and bool(table_splits(path))


def _check_parts(
    names: Sequence[str], root: Path | None, images: Path | None, decode: bool, per_class: bool, workers: int
) -> None:
    from clipprompt.cli.data import _sets
    from clipprompt.datasets.classification.check import check_set
    from clipprompt.datasets.classification.load import is_classification, load_classification
    from clipprompt.datasets.classification.own import is_own
    from clipprompt.datasets.classification.specifications import SPECIFICATIONS
    from clipprompt.progress import track

    official = [name for name in names if name.lower() in SPECIFICATIONS]
    if official and (root is None or not root.is_dir()):
        what = f"--root {root} is not a folder" if root is not None else f"{official[0]} needs --root"
        raise UserError(f"{what}; name the folder that holds the sets' folders")
    for name in names:
        if not (is_classification(name) or is_own(name)):
            load_classification(name)  # says what it could have been
    roots = {name: root if name in official or len(names) == 1 else None for name in names}
    watched = track(names, "Checking", unit="sets") if len(names) > 1 else names
    findings = [check_set(name, roots[name], images) for name in watched]
    if decode:
        findings = [found if found.dataset is None else _sets.decode(found, workers) for found in findings]
    if len(findings) > 1:
        _sets.print_table(findings)
    else:
        _sets.print_one(findings[0], decode)
        if per_class and findings[0].dataset is not None:
            _sets.print_classes(findings[0].dataset)
    if not all(found.is_whole for found in findings):
        raise typer.Exit(1)
