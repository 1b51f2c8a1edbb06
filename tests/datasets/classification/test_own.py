from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from clipprompt.datasets.classification.draw import draw
from clipprompt.datasets.classification.load import load_classification
from clipprompt.datasets.classification.sets import Sample, hash_samples
from clipprompt.errors import UserError
from tests.datasets.conftest import save_image

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes pictures below a folder ``photos``: names, or classes with numbers of pictures."""

    def write(*names: str, **counts: int) -> Path:
        many = (f"{name}/{number}.jpg" for name, count in counts.items() for number in range(count))
        for name in (*names, *many):
            save_image(tmp_path / "photos" / name)
        return tmp_path / "photos"

    return write


def table(folder: Path, content: str, name: str = "labels.csv") -> str:
    (folder / name).write_text(content, encoding="utf-8")
    return str(folder / name)


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_folders_of_parts_are_parts(make: Make, val: str) -> None:
    found = load_classification(str(make("train/cat/a.jpg", "train/dog/b.jpg", f"{val}/dog/c.jpg", "test/cat/d.jpg")))
    assert (found.name, found.classnames, found.notes) == ("photos", ("cat", "dog"), ())
    assert found.parts == {
        "train": [Sample("train/cat/a.jpg", 0, "cat"), Sample("train/dog/b.jpg", 1, "dog")],
        "val": [Sample(f"{val}/dog/c.jpg", 1, "dog")],
        "test": [Sample("test/cat/d.jpg", 0, "cat")],
    }
    assert found.open_item(found.item(found.part("val")[0])).size == (12, 8)


def test_a_folder_without_parts_is_split_and_says_so(make: Make) -> None:
    found = load_classification(str(make(cat=10, dog=20)))
    counts = {part: Counter(sample.classname for sample in samples) for part, samples in found.parts.items()}
    assert counts == {"train": {"cat": 5, "dog": 10}, "val": {"cat": 2, "dog": 4}, "test": {"cat": 3, "dog": 6}}
    assert len({sample.path for samples in found.parts.values() for sample in samples}) == 30
    how = "split here into 50 % train, 20 % val and 30 % test of each class, seed 1"
    assert found.notes == (f"photos does not say its parts: {how}",)
    assert (found.files, found.how_split, found.official_size) == ("its folders", how, None)
    assert (found.from_folders, found.source) == (True, f"its folders, {how}")


def test_names_of_files_need_not_be_text(make: Make) -> None:
    folder = make(cat=4, dog=4)
    try:
        (folder / "cat" / "0.jpg").rename(folder / "cat" / "\udce9t\udce9.jpg")  # Latin-1, as old archives have it
    except OSError:
        pytest.skip("this disk takes text alone")
    found = load_classification(str(folder))
    hashes = {hash_samples(samples) for samples in found.parts.values()}
    assert len(hashes) == len(found.parts)
    assert all(found.open_item(found.item(sample)) for samples in found.parts.values() for sample in samples)


def test_a_picture_or_a_class_more_changes_no_other_class(make: Make) -> None:
    before = load_classification(str(make(cat=10, dog=9))).parts
    after = load_classification(str(make(ant=4, cat=10, dog=10))).parts
    for part in ("train", "val", "test"):
        cats = [[s.path for s in parts[part] if s.classname == "cat"] for parts in (before, after)]
        assert cats[0] == cats[1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "path,label,split\na.jpg,dog,train\nb.jpg,red bus,Test\nc.jpg,dog,valid\n"),
        ("t.csv", "file,split,labels\na.jpg,train,dog\nb.jpg,test,red bus\nc.jpg,val,dog\n"),
        ("t.tsv", "path\tlabel\tsplit\na.jpg\tdog\ttrain\nb.jpg\tred bus\ttest\nc.jpg\tdog\tval\n"),
        (
            "t.jsonl",
            '{"path": "a.jpg", "labels": ["dog"], "split": "train"}\n'
            '{"path": "b.jpg", "label": "red bus", "split": "test"}\n'
            '{"path": "c.jpg", "label": 0, "classname": "dog", "split": "val"}\n',
        ),
    ],
)
def test_a_table_with_splits_is_in_parts(tmp_path: Path, name: str, content: str) -> None:
    found = load_classification(table(tmp_path, content, name), images=tmp_path)
    assert (found.name, found.source, found.folder) == ("t", name, tmp_path)
    assert found.classnames == ("dog", "red bus")
    assert found.parts == {
        "train": [Sample("a.jpg", 0, "dog")],
        "val": [Sample("c.jpg", 0, "dog")],
        "test": [Sample("b.jpg", 1, "red bus")],
    }
    assert found.source_sha256 == hashlib.sha256(content.encode()).hexdigest()


def test_columns_of_classes_give_their_order(tmp_path: Path) -> None:
    rows = "".join(f"{i}.jpg,{i % 2},{1 - i % 2}\n" for i in range(8))
    found = load_classification(table(tmp_path, f"path,zebra,ant\n{rows}"))
    assert found.classnames == ("zebra", "ant")
    assert {part: len(samples) for part, samples in found.parts.items()} == {"train": 4, "val": 2, "test": 2}


def test_a_drawn_list_is_data_again(tmp_path: Path, make: Make) -> None:
    drawn = draw(load_classification(str(make(cat=20, dog=20))), 4, seed=1)
    lines = (json.dumps({"path": s.path, "label": s.label, "classname": s.classname}) + "\n" for s in drawn.train)
    again = load_classification(table(tmp_path, "".join(lines), "draw.jsonl"), images=tmp_path / "photos")
    assert {s for samples in again.parts.values() for s in samples} == set(drawn.train)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "path,label\na.jpg,cat\nb.jpg,cat|dog\n",
            r"line 3: b.jpg has 2 labels \(cat, dog\); here it must have exactly",
        ),
        ("path,label\na.jpg,\n", "line 2: a.jpg has no label, or an unknown one"),
        ("path,cat,dog\na.jpg,1,-1\n", "line 2: a.jpg has no label, or an unknown one"),
        ("path,cat,dog\na.jpg,1,0\n", "class 'dog' has no picture; leave its column out"),
        (
            "path,label\na.jpg,red_bus\nb.jpg,Red bus\n",
            "labels.csv: class 'red bus' is there twice, as 'Red bus' and as 'red_bus'; give each class one name",
        ),
        (
            "path,label,split\na.jpg,cat,trian\n",
            r"line 2: split 'trian' is not train, val or test \(did you mean 'train'",
        ),
        ("path,label,split\na.jpg,cat,\n", "line 2: split '' is not train, val or test"),
        ("path,label,split\na.jpg,cat\n", "line 2: 2 columns where the first line has 3"),
        ("path,label\na.jpg,cat\na.jpg,cat\n", "line 3: a.jpg is already in line 2"),
        ("path,label\na.jpg,cat\n./a.jpg,dog\n", "line 3: ./a.jpg is already in line 2"),
        (
            "path,label\na.jpg,cat\nb.jpg,cat\nc.jpg,cat\n",
            r"labels: class 'cat' has too few pictures to split \(3\); give 4 or more",
        ),
        ("path,label\n", "lists no image"),
    ],
    ids=lambda value: value.replace("\n", "/")[:50],
)
def test_a_wrong_table_is_named_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_classification(table(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"path": "a.jpg", "label": "cat", "split": "train"}\n{"path": "b.jpg", "label": "cat"}',
            "line 2: has no split",
        ),
        ('{"path": "a.jpg", "label": "cat", "split": 1}', "line 1: split '1' is not train, val or test"),
        ('{"path": "a.jpg", "label": 3}', "line 1: 'labels' must be a list of names"),
    ],
)
def test_wrong_json_lines_are_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_classification(table(tmp_path, content, "t.jsonl"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["cat/a.jpg", "cat/b.jpg", "cat/c.jpg"],
            r"photos: class 'cat' has too few pictures to split \(3\); give 4 or more, or say",
        ),
        (["red_bus/a.jpg", "red bus/b.jpg"], "class 'red bus' is there twice, as 'red bus' and as 'red_bus'"),
        (["train/cat/a.jpg", "val/cat/b.jpg", "valid/cat/c.jpg"], "holds one part twice: train, val, valid"),
        (["a.jpg"], "holds no sub-folder; give a folder with one sub-folder of pictures per class"),
    ],
)
def test_a_wrong_folder_is_named_in_one_line(make: Make, names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_classification(str(make(*names)))


def test_an_empty_class_folder_is_named(make: Make) -> None:
    folder = make(cat=4)
    (folder / "dog").mkdir()
    with pytest.raises(UserError, match="dog holds no picture; put some of this class in, or remove the folder"):
        load_classification(str(folder))
