from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clipprompt.datasets import load_labels
from clipprompt.errors import UserError

Write = Callable[[str, "str | bytes"], Path]

NAMES = "path,labels\na.jpg,cat|red bus\nsub/b.png,\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", NAMES),
        ("t.csv", NAMES.replace("|", " ; ")),
        ("t.csv", NAMES.replace("path,labels", "File_Name,label")),
        ("t.csv", NAMES.replace("\n", "\r\n")),
        ("t.csv", "\ufeff" + NAMES + "\n\n"),
        ("t.tsv", NAMES.replace(",", "\t")),
        ("t.TSV", NAMES.replace(",", "\t")),
        ("t.csv", 'path,labels\n"a.jpg","cat|red bus"\n"sub/b.png",""\n'),
        ("t.csv", "image,cat,red bus\na.jpg,1,1\nsub/b.png,0,0\n"),
        ("t.tsv", "file\tcat\tred bus\na.jpg\t1\t1\nsub/b.png\t0\t0\n"),
        ("t.jsonl", '{"path": "a.jpg", "labels": ["cat", "red bus"]}\n\n{"path": "sub/b.png", "labels": []}\n'),
        ("t.jsonl", '{"path": "a.jpg", "labels": "cat|red bus"}\n{"path": "sub/b.png", "labels": ""}'),
        ("t.jsonl", '{"path":"a.jpg","labels":{"cat":1,"red bus":1}}\n{"path":"sub/b.png","labels":{"cat":0}}'),
    ],
)
def test_every_layout_reads_the_same(write_table: Write, name: str, content: str) -> None:
    dataset = load_labels(write_table(name, content))
    assert dataset.classnames == ("cat", "red bus")
    assert dataset.ids == ("a.jpg", "sub/b.png")
    assert dataset.targets.tolist() == [[1, 1], [0, 0]]
    assert dataset[1].size == (12, 8)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "path,cat,dog\na.jpg,-1,1\n"),
        ("t.jsonl", '{"path": "a.jpg", "labels": {"cat": -1, "dog": 1}}'),
    ],
)
def test_minus_one_is_unknown(write_table: Write, name: str, content: str) -> None:
    assert load_labels(write_table(name, content)).targets.tolist() == [[-1, 1]]


def test_what_present_and_absent_do_not_name_is_unknown(write_table: Write) -> None:
    lines = ['{"path": "a.jpg", "present": ["cat"], "absent": ["dog"]}', '{"path": "sub/b.png", "labels": ["dog"]}']
    dataset = load_labels(write_table("t.jsonl", "\n".join(lines)), classnames=["bird", "cat", "dog"])
    assert dataset.targets.tolist() == [[-1, 1, 0], [0, 0, 1]]


def test_other_keys_may_stand_beside_present_and_absent(write_table: Write) -> None:
    line = '{"path": "a.jpg", "present": ["cat"], "absent": ["dog"], "width": 640, "licence": 1, "boxes": [], "id": 7}'
    assert load_labels(write_table("t.jsonl", line)).targets.tolist() == [[1, 0]]


def test_given_classes_fix_the_columns(write_table: Write) -> None:
    dataset = load_labels(write_table("t.csv", NAMES), classnames=["zebra", "Red_Bus", "cat"])
    assert dataset.classnames == ("zebra", "Red_Bus", "cat")
    assert dataset.targets.tolist() == [[0, 1, 1], [0, 0, 0]]


def test_columns_that_were_not_asked_for_are_left_out(write_table: Write) -> None:
    dataset = load_labels(write_table("t.csv", "path,cat,dog\na.jpg,1,0\n"), classnames=["dog"])
    assert dataset.targets.tolist() == [[0]]


def test_image_folder_may_be_elsewhere(write_table: Write, tmp_path: Path) -> None:
    path = write_table("t.csv", "path,labels\nb.png,cat\n")
    assert load_labels(path, tmp_path / "sub")[0].size == (12, 8)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", r"line 1: the first line must name the columns"),
        ("t.csv", "a.jpg,cat\n", r"line 1: the first line must name the columns.*not 'a\.jpg,cat'"),
        ("t.csv", "path\na.jpg\n", r"line 1: the first line must name the columns"),
        ("t.csv", "path,labels\n", r"lists no image"),
        ("t.csv", "path,labels\na.jpg,cat,dog\n", r"line 2: 3 columns where the first line has 2"),
        ("t.csv", "path,cat,dog\na.jpg,1\n", r"line 2: 2 columns where the first line has 3"),
        ("t.csv", "path,cat,dog\na.jpg,1,2\n", r"line 2: label '2' of class 'dog' is not 1 \(present\)"),
        ("t.csv", "path,cat,dog\na.jpg,1,\n", r"line 2: label '' of class 'dog'"),
        (
            "t.csv",
            "filename,class\na.jpg,cat\n",
            r"label 'cat' of class 'class' is not .*; names go in a column 'label'",
        ),
        ("t.csv", "path,cat,cat\na.jpg,1,0\n", r"class 'cat' is there twice"),
        ("t.csv", "path,labels\n,cat\n", r"line 2: the path is empty"),
        ("t.csv", "path,labels\na.jpg,cat\n\na.jpg,dog\n", r"line 4: a\.jpg is already in line 2"),
        ("t.csv", "path,labels\na.jpg,cat\ngone.jpg,dog\n", r"line 3: image .*gone\.jpg does not exist"),
        ("t.csv", "path,labels\nx.jpg,cat\ny.jpg,dog\n", r"line 2: .*\(2 are missing\)"),
        ("t.csv", "path,labels\na.jpg,\n", r"there is no class"),
        ("t.csv", 'path,labels\na.jpg,"cat\n', r"line 2: unexpected end of data"),
        ("t.csv", b"path,labels\na.jpg,caf\xe9\n", r"line 2: not UTF-8"),
        ("t.jsonl", '{"path": "a.jpg", "labels": []}\n{"path": "a', r"line 2: broken JSON"),
        ("t.jsonl", "[" * 100_000, r"line 1: maximum recursion"),
        ("t.jsonl", f'{{"path": "a.jpg", "labels": {"9" * 5000}}}', r"line 1: Exceeds the limit"),
        ("t.csv", f"path,labels\n{'a' * 5000}.jpg,cat\n", r"line 2: image .*a\.jpg does not exist"),
        ("t.csv", "path,labels\n\x1b[31m.jpg,cat\n", r"line 2: image .*\\x1b\[31m\.jpg does not exist"),
        ("t.jsonl", '["a.jpg"]', r"line 1: not of the form"),
        ("t.jsonl", '{"path": "a.jpg"}', r"line 1: not of the form"),
        ("t.jsonl", '{"path": "a.jpg", "labels": [1]}', r"line 1: 'labels' must be a list of names"),
        ("t.jsonl", '{"path": "a.jpg", "labels": {"cat": true}}', r"line 1: label 'true' of class 'cat'"),
        (
            "t.jsonl",
            '{"path": "a.jpg", "present": ["cat"], "absent": ["cat"]}',
            r"line 1: class 'cat' is both present and",
        ),
        (
            "t.jsonl",
            '{"path": "a.jpg", "present": ["cat"], "labels": []}',
            r"line 1: has both 'labels' and 'present' or",
        ),
        (
            "t.jsonl",
            '{"path": "a.jpg", "present": ["cat"], "absents": ["dog"]}',
            r"line 1: no key is called 'absents' \(did you mean 'absent'\?\)",
        ),
        ("t.jsonl", '{"path": "a.jpg", "absent": [], "Present": []}', r"'Present' \(did you mean 'present'\?\)"),
        ("t.jsonl", '{"path": "a.jpg", "present": ["cat"], "splits": "val"}', r"did you mean 'split'\?"),
        ("t.jsonl", '{"path": "a.jpg", "absent": "cat"}', r"line 1: 'absent' must be a list of class names"),
        ("t.jsonl", "", r"lists no image"),
        ("t.xlsx", "", r"ends in \.csv, \.tsv or \.jsonl, not in '\.xlsx'"),
        ("labels", "", r"not in 'nothing'"),
    ],
)
def test_bad_table_is_named_with_its_line(write_table: Write, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_labels(write_table(name, content))
    assert "\n" not in str(caught.value)


def test_label_outside_the_class_list_is_refused_with_the_nearest(write_table: Write) -> None:
    with pytest.raises(UserError, match=r"line 2: class 'cat' is not in the class list \(did you mean 'cats'\?\)"):
        load_labels(write_table("t.csv", NAMES), classnames=["cats", "red bus"])


def test_class_without_column_is_refused_with_the_nearest(write_table: Write) -> None:
    with pytest.raises(UserError, match=r"no column for class 'dogs' \(did you mean 'dog'\?\)"):
        load_labels(write_table("t.csv", "path,cat,dog\na.jpg,1,0\n"), classnames=["dogs"])


def test_class_twice_in_the_list_is_refused(write_table: Write) -> None:
    with pytest.raises(UserError, match="'cat' is there twice"):
        load_labels(write_table("t.csv", NAMES), classnames=["cat", "cat", "red bus"])


def test_missing_table_and_folder_are_named(write_table: Write, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*nowhere\.csv"):
        load_labels(tmp_path / "nowhere.csv")
    with pytest.raises(UserError, match=r"image folder .*nowhere does not exist"):
        load_labels(write_table("t.csv", NAMES), tmp_path / "nowhere")
