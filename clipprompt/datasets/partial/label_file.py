"""Files that say which labels of a set are known. Pictures that a file does not name have no known label.

Three forms:

* JSON lines, as :func:`write_labels` writes them; classes that a line names in neither list are unknown::

      {"path": "000005.jpg", "present": ["chair"], "absent": ["cat"]}

* a table of labels (:mod:`clipprompt.datasets.labels`), whose labels mean what they mean there; classes without a
  column are unknown.
* a mask, ``MASK.txt:tai-dpt`` or ``MASK.txt:clipprompt`` (:mod:`clipprompt.datasets.partial._masks`). What stands
  behind the colon says whose code its values are in; it is never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from clipprompt.datasets._checks import plain_name
from clipprompt.datasets._label_entries import Entry
from clipprompt.datasets._label_files import TABLES, read_entries
from clipprompt.datasets.images import ABSENT, PRESENT, UNKNOWN, MultiLabelImages
from clipprompt.datasets.partial._masks import CODES, GivenLabels, read_masks
from clipprompt.errors import UserError, nearest
from clipprompt.files import write_text
from clipprompt.printable import counted, printable, to_json

_WORDS = {PRESENT: "present", ABSENT: "absent"}


def apply_labels(images: MultiLabelImages, path: str | Path) -> MultiLabelImages:
    """The set with the labels of a file; everything that it does not say is unknown.

    A picture is meant by its id, by its file name, or by that without the ending, where only one picture has it.

    Args:
        images: the set. What it knows itself is what the file must agree with, unless no class is present in it, as in
            a table of pictures alone. What it does not know, as VOC's difficult objects, a file may.
        path: a ``.jsonl``, ``.csv`` or ``.tsv`` file, or a mask with whose code it is in.

    Raises:
        UserError: naming the line of what is wrong.
    """
    file, codes = _file_and_codes(path)
    rows_of = _rows_of(images)
    if file.suffix.lower() in TABLES:
        given = _from_table(file, *read_entries(file), images)
    else:
        given = read_masks(file, codes, images.name, len(images.classnames), rows_of)
    rows = _rows(file, given, rows_of, images)
    if (given.values == UNKNOWN).all():
        code = f" in the code of {codes}" if codes else ""
        raise UserError(f"{file}: every label in it is unknown{code}, so nothing can be learnt from it")
    _check_agreement(file, codes, given, rows, images)
    targets = np.full_like(images.targets, UNKNOWN)
    targets[rows] = given.values
    return replace(images, targets=targets).with_notes(*_notes(file, given, images), labels=file.name)


def write_labels(images: MultiLabelImages, path: str | Path) -> None:
    """Writes the known labels of a set as JSON lines, for :func:`apply_labels` or as ``--dataset``; atomically.

    Raises:
        UserError: if the file cannot be written.
    """
    write_text(path, "".join(label_lines(images)))


def label_lines(images: MultiLabelImages) -> Iterator[str]:
    """The lines of :func:`write_labels`, one for each picture, in order."""
    names = [to_json(name) for name in images.classnames]
    masks = [(images.targets == value).tolist() for value in (PRESENT, ABSENT)]
    for picture, *known in zip(images.ids, *masks, strict=True):
        present, absent = (", ".join(compress(names, mask)) for mask in known)
        yield f'{{"path": {to_json(picture)}, "present": [{present}], "absent": [{absent}]}}\n'


def _file_and_codes(spec: str | Path) -> tuple[Path, str]:
    before, colon, word = str(spec).rpartition(":")
    whole, file = Path(spec), Path(before)
    if not (before if word in CODES else str(spec)).strip():
        raise UserError(f"no label file is named in {str(spec)!r}; give a .jsonl, .csv or .tsv, or MASK.txt:tai-dpt")
    if not colon or whole.exists() or not (word in CODES or file.is_file()):
        return whole, ""
    if word not in CODES:
        raise UserError(f"{spec}: {word!r} is none of the codes {', '.join(CODES)}{nearest(word, CODES)}")
    if file.suffix.lower() in TABLES:
        raise UserError(f"{spec}: what a {file.suffix} says of a label is fixed; leave out :{word}")
    return file, word


def _from_table(path: Path, columns: Sequence[str], entries: Sequence[Entry], images: MultiLabelImages) -> GivenLabels:
    if not entries:
        raise UserError(f"{path} lists no image")
    of_class = {_joined(name): column for column, name in enumerate(images.classnames)}
    column_of = {name: of_class.get(_joined(name), -1) for name in {name for entry in entries for name in entry.labels}}
    values = np.full((len(entries), len(images.classnames)), UNKNOWN, dtype=np.int8)
    for row, entry in enumerate(entries):
        if not columns:
            values[row] = entry.unnamed
        where = f"{path}, first line" if columns else f"{path}, line {entry.line}"
        values[row, _columns(where, entry.labels, column_of, images)] = list(entry.labels.values())
    return GivenLabels([entry.line for entry in entries], [entry.path for entry in entries], values)


def _columns(
    where: str, labels: Mapping[str, int], column_of: Mapping[str, int], images: MultiLabelImages
) -> list[int]:
    named = [column_of[name] for name in labels]
    if -1 in named:
        name = list(labels)[named.index(-1)]
        hint = nearest(plain_name(name), map(plain_name, images.classnames))
        raise UserError(f"{where}: {name!r} is no class of {images.name}{hint}")
    if len(set(named)) < len(named):
        raise UserError(f"{where}: names a class twice, in two spellings; keep one of them")
    return named


def _joined(name: str) -> str:
    """A name as it is compared; ``dining table`` is VOC's ``diningtable``."""
    return plain_name(name).replace(" ", "")


def _rows_of(images: MultiLabelImages) -> Mapping[str, int]:
    """The row of each name that a picture goes by."""
    short: dict[str, int | None] = {}
    for row, (picture, item) in enumerate(zip(images.ids, images.items, strict=True)):
        name = item.name if isinstance(item, Path) else PurePosixPath(picture).name
        for spelling in {name, PurePosixPath(name).stem}:
            short[spelling] = None if spelling in short else row
    unique = {name: row for name, row in short.items() if row is not None}
    return unique | {picture: row for row, picture in enumerate(images.ids)}


def _rows(path: Path, given: GivenLabels, rows_of: Mapping[str, int], images: MultiLabelImages) -> npt.NDArray[np.intp]:
    """R rows of the set that the lines mean, each another one."""
    if given.paths is None:
        if len(given.lines) != len(images):
            lines = f"{counted(len(given.lines), 'line')} without file names"
            raise UserError(
                f"{path}: {lines}, where {images.name} has {counted(len(images), 'picture')}: is this the right set?"
            )
        return np.arange(len(images))
    found = [rows_of.get(name, rows_of.get(str(PurePosixPath(name)))) for name in given.paths]
    rows = [row for row in found if row is not None]
    if len(rows) < len(found):
        raise _no_such_picture(path, given, found.index(None), not rows, images)
    first: dict[int, int] = {}
    for index, row in enumerate(rows):
        if (before := first.setdefault(row, index)) != index:
            same = (given.values[before] == given.values[index]).all()
            which = "the same labels; delete one of them" if same else "other labels; delete the wrong one"
            where = f"{path}, line {given.lines[index]}: {printable(given.paths[index])}"
            raise UserError(f"{where} is already in line {given.lines[before]}, with {which}")
    return np.array(rows)


def _no_such_picture(
    path: Path, given: GivenLabels, index: int, are_all_strange: bool, images: MultiLabelImages
) -> UserError:
    name = (given.paths or ())[index]
    where = f"{path}, line {given.lines[index]}: {name!r} is no picture of {images.name}"
    if are_all_strange:
        more = ", nor is any other that it names" if len(given.lines) > 1 else ""
        return UserError(f"{where}{more}: is this the right set? Its first picture is {printable(images.ids[0])}")
    return UserError(f"{where}{nearest(name, images.ids)}")


def _check_agreement(
    path: Path, codes: str, given: GivenLabels, rows: npt.NDArray[np.intp], images: MultiLabelImages
) -> None:
    if not (images.targets == PRESENT).any():  # pictures without labels: the file is all that is known of them
        return
    own = images.targets[rows]
    clashes = np.argwhere((own != UNKNOWN) & (given.values != UNKNOWN) & (own != given.values))
    if not len(clashes):
        return
    index, column = clashes[0].tolist()
    said, is_so = (_WORDS[int(values[index, column])] for values in (given.values, own))
    more = f" ({len(clashes):,} labels differ)" if len(clashes) > 1 else ""
    code = f", in the code of {codes}" if codes else ""
    raise UserError(
        f"{path}, line {given.lines[index]}: class {images.classnames[column]!r} is {said} in "
        f"{printable(images.ids[rows[index]])}, and {is_so} in {images.name}{more}: is the file of this set{code}?"
    )


def _notes(path: Path, given: GivenLabels, images: MultiLabelImages) -> Iterator[str]:
    n_known, n_lines = int((given.values != UNKNOWN).sum()), len(given.lines)
    yield f"{path.name}: {counted(n_known, 'known label')}, {n_known / images.targets.size:.1%} of {images.name}"
    if n_empty := int((given.values == UNKNOWN).all(axis=1).sum()):
        yield f"{path.name}: {n_empty:,} of {counted(n_lines, 'line')} {'knows' if n_empty == 1 else 'know'} no label"
    if n_missing := len(images) - n_lines:
        yield f"{path.name} does not name {n_missing:,} of the {len(images):,} pictures; nothing is known of them"
