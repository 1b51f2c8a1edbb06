from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from clipprompt.datasets import load_labels
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.partial.known import draw_known, single_positive
from clipprompt.datasets.partial.label_file import apply_labels, write_labels
from clipprompt.errors import UserError
from tests.datasets.partial.sets import make_set, random_set

PHOTOS = make_set([[1, 0, -1], [0, 1, 1], [1, 1, 0]], ["cat", "dog", "red bus"])
KNOWN = [[1, -1, 0], [-1, -1, -1], [-1, 1, -1]]
FORMS = {
    "lists": '{"path": "000000.jpg", "present": ["cat"], "absent": ["red bus"]}\n'
    '{"path": "000002", "present": ["Dog"]}',
    "values": '{"path": "000000.jpg", "labels": {"cat": 1, "dog": -1, "red_bus": 0}}\n'
    '{"path": "000002.jpg", "present": ["dog"], "absent": []}\n',
    "columns": "path,cat,dog,redbus\n000000.jpg,1,-1,0\n./000002.jpg,-1,1,-1\n",
    "fewer columns": "path,cat,red bus\n000000.jpg,1,0\n",
    "spaces": "000000.jpg 1 0 -1\n000002.jpg 0 1 0\n",
    "commas": "000000.jpg,1,0,-1\n000002.jpg,0,1,0\n",
    "tabs": "000000.jpg\t1\t0\t-1\n\n000002.jpg\t0\t1\t0",
    "without names": "1,0,-1\n0,0,0\n0,1,0\n",
    "windows": "\ufeff000002.jpg 0 1 0\r\n000000.jpg 1 0 -1\r\n",
    "ours": "000000 1 -1 0\n000002 -1 1 -1\n",
}
ENDINGS = {"lists": ".jsonl", "values": ".jsonl", "columns": ".csv", "fewer columns": ".csv"}


def write(folder: Path, content: str | bytes, name: str = "mask.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(tmp_path: Path, form: str) -> None:
    path = write(tmp_path, FORMS[form], f"mask{ENDINGS.get(form, '.txt')}")
    codes = "" if form in ENDINGS else ":clipprompt" if form == "ours" else ":tai-dpt"
    known = apply_labels(PHOTOS, f"{path}{codes}")
    assert known.targets.tolist() == (KNOWN if form != "fewer columns" else [KNOWN[0], KNOWN[1], KNOWN[1]])
    assert (known.ids, known.classnames, known.options) == (PHOTOS.ids, PHOTOS.classnames, {"labels": path.name})


@pytest.mark.parametrize("draw", ["share", "positives", "all"])
def test_what_is_written_reads_back_as_labels_and_as_data(tmp_path: Path, draw: str) -> None:
    photos = random_set(60, 7)
    known = {"share": draw_known(photos, 0.3, 1), "positives": single_positive(photos, 1), "all": photos}[draw]
    path = tmp_path / "new" / "known.jsonl"
    write_labels(known, path)
    assert (apply_labels(photos, path).targets == known.targets).all()
    for picture in photos.ids:
        write(tmp_path, b"", picture)
    data = load_labels(path, tmp_path, classnames=photos.classnames)
    assert data.ids == photos.ids
    assert (data.targets == known.targets).all()


def test_odd_names_of_pictures_and_classes_read_back(tmp_path: Path) -> None:
    photos = make_set([[1, 0]], ['say "cat"', "caf\u00e9\u2028"])
    odd = MultiLabelImages("odd", photos.items, photos.classnames, photos.targets, ("sub/\udcff \n.jpg",))
    write_labels(odd, tmp_path / "known.jsonl")
    assert apply_labels(odd, tmp_path / "known.jsonl").targets.tolist() == [[1, 0]]


def test_pictures_go_by_id_or_by_a_short_name_that_one_has(tmp_path: Path) -> None:
    names = ("a/x.jpg", "b/x.jpg", "b/y.png", "y")
    photos = MultiLabelImages("photos", [Path("at", name) for name in names], ("cat",), np.ones((4, 1), np.int8), names)
    path = write(tmp_path, "a/x.jpg 1\ny.png 1\ny 1\n")
    assert apply_labels(photos, f"{path}:tai-dpt").targets.ravel().tolist() == [1, -1, 1, 1]
    with pytest.raises(UserError, match=r"line 2: 'x\.jpg' is no picture of photos \(did you mean '[ab]/x\.jpg'\?\)"):
        apply_labels(photos, f"{write(tmp_path, 'y 1' + chr(10) + 'x.jpg 1')}:tai-dpt")


def test_a_number_may_be_a_name(tmp_path: Path) -> None:
    photos = MultiLabelImages("photos", [Path("0"), Path("1")], ("cat", "dog"), PHOTOS.targets[:2, :2], ("0", "1"))
    assert apply_labels(photos, f"{write(tmp_path, '1 0 1')}:tai-dpt").targets.tolist() == [[-1, -1], [-1, 1]]


def test_a_file_may_know_what_the_set_does_not(tmp_path: Path) -> None:
    path = write(tmp_path, "000000.jpg 1 -1 1")
    assert apply_labels(PHOTOS, f"{path}:tai-dpt").targets[0].tolist() == [1, 0, 1]


def test_a_file_is_all_that_is_known_of_pictures_without_labels(tmp_path: Path) -> None:
    bare = make_set([[0, 0, 0]] * 3, PHOTOS.classnames)
    assert apply_labels(bare, f"{write(tmp_path, '000001 1 -1 0')}:tai-dpt").targets[1].tolist() == [1, 0, -1]


def test_lines_that_know_nothing_and_pictures_that_are_not_named_are_counted(tmp_path: Path) -> None:
    known = apply_labels(PHOTOS, f"{write(tmp_path, '000000 1 0 0' + chr(10) + '000001 0 0 0')}:tai-dpt")
    assert known.notes == (
        "mask.txt: 1 known label, 11.1% of photos",
        "mask.txt: 1 of 2 lines knows no label",
        "mask.txt does not name 1 of the 3 pictures; nothing is known of them",
    )


def lines(*records: str) -> str:
    return "\n".join(records) + "\n"


CAT = '{"path": "000000.jpg", "present": ["cat"]}'
BAD = {
    "empty": ("mask.txt:tai-dpt", "", "mask.txt lists no image"),
    "blank lines": ("mask.txt:tai-dpt", "\n \r\n", "mask.txt lists no image"),
    "empty jsonl": ("known.jsonl", "", "known.jsonl lists no image"),
    "empty csv": ("known.csv", "", "known.csv, line 1: the first line must name the columns"),
    "header alone": ("known.csv", "path,cat\n", "known.csv lists no image"),
    "no code": ("mask.txt", "000000 1 0 0", "what its values mean; put behind it :tai-dpt (1 present, -1"),
    "unknown code": ("mask.txt:taidpt", "000000 1 0 0", "'taidpt' is none of the codes tai-dpt, clipprompt"),
    "code of a table": ("known.csv:tai-dpt", "path,cat\n000000,1\n", "says of a label is fixed; leave out :tai-dpt"),
    "too few values": ("mask.txt:tai-dpt", "000000 1 0 0\n000001 0 1\n", "line 2: 2 values where photos has 3 classes"),
    "too many values": ("mask.txt:tai-dpt", "000000 1 0 0 0", "line 1: 4 values where photos has 3 classes"),
    "a name alone": ("mask.txt:tai-dpt", "000000.jpg\n", "line 1: 0 values where photos has 3 classes"),
    "too few without names": ("mask.txt:tai-dpt", "1,0\n0,0\n", "line 1: 2 values where photos has 3 classes"),
    "too many without names": ("mask.txt:tai-dpt", "1,0,0,0", "line 1: 4 values where photos has 3 classes"),
    "too few lines": ("mask.txt:tai-dpt", "1,0,0\n0,1,0\n", "2 lines without file names, where photos has 3 pictures"),
    "a line without a name": ("mask.txt:tai-dpt", "000000 1 0 0\n0 1 0\n", "line 2: has no file name where line 1"),
    "a line with a name": ("mask.txt:tai-dpt", "1 0 0\n000001 0 1 0\n", "line 2: has a file name where line 1"),
    "two": ("mask.txt:tai-dpt", "000000 1 0 2", "line 1: value '2' is not 1 present, -1 absent, 0 unknown"),
    "two without names": ("mask.txt:tai-dpt", "2 0 0\n0 1 0\n0 0 0", "line 1: value '2' is not 1 present, -1 absent"),
    "a decimal": ("mask.txt:clipprompt", "000000 1.0 0 0", "line 1: value '1.0' is not 1 present, 0 absent"),
    "a plus": ("mask.txt:tai-dpt", "+1 0 0\n0 1 0\n0 0 0", "line 1: value '+1' is not 1 present"),
    "an escape": ("mask.txt:tai-dpt", "000000 1 0 \x1b[2J", r"line 1: value '\x1b[2J' is not 1 present"),
    "value of a column": ("known.csv", "path,cat\n000000,yes\n", "line 2: label 'yes' of class 'cat' is not 1"),
    "width of a column": ("known.csv", "path,cat,dog\n000000,1\n", "line 2: 2 columns where the first line has 3"),
    "unknown picture": ("mask.txt:tai-dpt", "000000 1 0 0\n000008 1 0 0", "line 2: '000008' is no picture of photos ("),
    "unknown pictures": ("mask.txt:tai-dpt", "a 1 0 0\nb 1 0 0", "line 1: 'a' is no picture of photos, nor is any"),
    "one unknown picture": ("known.jsonl", CAT.replace("000000", "7"), "is no picture of photos: is this"),
    "an escape in a name": ("mask.txt:tai-dpt", "\x1b[2J 1 0 0", r"'\x1b[2J' is no picture of photos"),
    "unknown class": ("known.jsonl", CAT.replace("cat", "cats"), "line 1: 'cats' is no class of photos (did you"),
    "unknown column": (
        "known.csv",
        "path,cat,zebra\n000000,1,0\n",
        "known.csv, first line: 'zebra' is no class of photos",
    ),
    "column in two spellings": (
        "known.csv",
        "path,red bus,redbus\n000000,1,1\n",
        "first line: names a class twice, in two spellings",
    ),
    "column twice": ("known.csv", "path,cat,cat\n000000,1,0\n", "line 1: class 'cat' is there twice"),
    "all unknown": ("mask.txt:tai-dpt", "000000 0 0 0\n000001 0 0 0\n", "unknown in the code of tai-dpt, so"),
    "no list": ("known.jsonl", '{"path": "000000", "present": [], "absent": []}', "every label in it is unknown"),
    "equal twice": (
        "mask.txt:tai-dpt",
        "000000 1 0 0\n000001.jpg 0 0 1\n000000.jpg 1 0 0",
        "line 3: 000000.jpg is already in line 1, with the same labels; delete one",
    ),
    "other twice": (
        "known.jsonl",
        lines(CAT, "", CAT.replace("cat", "dog")),
        "line 3: 000000.jpg is already in line 1, with other labels; delete the",
    ),
    "present and absent": (
        "known.jsonl",
        '{"path": "000000", "present": ["cat"], "absent": ["dog", "cat"]}',
        "line 1: class 'cat' is both present and absent",
    ),
    "two spellings": (
        "known.jsonl",
        '{"path": "000000", "present": ["red bus"], "absent": ["Red_Bus"]}',
        "line 1: names a class twice, in two spellings",
    ),
    "labels beside": (
        "known.jsonl",
        '{"path": "000000", "present": ["cat"], "labels": []}',
        "line 1: has both 'labels' and 'present' or 'absent'",
    ),
    "a word for a list": (
        "known.jsonl",
        '{"path": "000000", "present": "cat"}',
        "line 1: 'present' must be a list of class names",
    ),
    "a number in a list": (
        "known.jsonl",
        '{"path": "000000", "absent": [3]}',
        "line 1: 'absent' must be a list of class names",
    ),
    "no path": ("known.jsonl", '{"present": ["cat"]}', "line 1: not of the form"),
    "cut off": ("known.jsonl", lines(CAT, CAT[:20]), "line 2: broken JSON"),
    "contradiction": (
        "mask.txt:tai-dpt",
        "000001 0 0 1\n000000 -1 0 0",
        "line 2: class 'cat' is absent in 000000.jpg, and present in photos: is the file of",
    ),
    "wrong code": (
        "mask.txt:clipprompt",
        "000000 1 0 0\n000001 0 0 0\n000002 0 1 0",
        "is absent in 000001.jpg, and present in photos (3 labels differ): is the file of this set, in the code of cl",
    ),
    "binary": ("mask.txt:tai-dpt", b"\xff\xd8\xff\xe0\x00", "line 1: not UTF-8"),
    "zeros": ("mask.txt:tai-dpt", b"\x00" * 40, "values where photos has 3 classes"),
    "Latin 1": ("known.jsonl", lines(CAT).encode() + b'{"path": "caf\xe9"}', "line 2: not UTF-8"),
}


@pytest.mark.parametrize(("spec", "content", "message"), BAD.values(), ids=BAD)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, spec: str, content: str | bytes, message: str) -> None:
    write(tmp_path, content, spec.partition(":")[0])
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        apply_labels(PHOTOS, f"{tmp_path}/{spec}")
    assert str(tmp_path) in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("spec", ["", " ", ":tai-dpt"])
def test_no_file_is_told(spec: str) -> None:
    with pytest.raises(UserError, match=f"no label file is named in '{spec}'"):
        apply_labels(PHOTOS, spec)


@pytest.mark.parametrize("spec", ["gone.txt", "gone.txt:tai-dpt", "gone.jsonl", ".", "folder.jsonl"])
def test_a_file_that_is_none_is_told(tmp_path: Path, spec: str) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(UserError, match=r"cannot read .*: (No such file|Is a directory)"):
        apply_labels(PHOTOS, f"{tmp_path}/{spec}")
