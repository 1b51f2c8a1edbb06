from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clipprompt.cli import app
from clipprompt.datasets.classification.sets import Sample, hash_samples
from clipprompt.mini.scenes import VOC_CLASSES
from tests.cli.test_train import run
from tests.datasets.classification.miniatures import make_miniature
from tests.datasets.conftest import save_image
from tests.training._worker import write_photos

GOLDEN = Path(__file__).parents[1] / "golden"
CASES: dict[str, Any] = json.loads((GOLDEN / "caltech101_fewshot.json").read_text())["cases"]
CALTECH101 = ["data", "draw", "caltech101", "--root", str(GOLDEN)]  # which holds the split file, and no picture


def samples(text: str) -> list[Sample]:
    return [Sample(**json.loads(line)) for line in text.splitlines()]


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("seed1/shots1/all", ["--shots", "1"]),
        ("seed1/shots16/base", ["--shots", "16", "--subset", "base"]),
        ("seed2/shots4/new", ["--shots", "4", "--seed", "2", "--subset", "novel"]),
        ("seed2/shots16/all", ["--shots", "16", "--seed", "2"]),
    ],
)
def test_the_list_is_the_originals_draw(case: str, options: list[str], part: str) -> None:
    code, out, err = run(*CALTECH101, *options, "--part", part)
    sha256 = CASES[case][part]["sha256"]
    assert (code, hash_samples(samples(out))) == (0, sha256)
    assert f"draw {sha256[:16]}; from split_zhou_Caltech101.json (SHA-256 43ab95e88d2f6a32)" in err
    assert f"caltech101, {part}: {CASES[case][part]['n']:,} pictures" in err


def test_a_file_holds_what_stdout_would(tmp_path: Path) -> None:
    path = tmp_path / "new" / "draw.jsonl"
    assert run(*CALTECH101, "--shots", "2", "-o", str(path))[:2] == (0, "")
    assert path.read_text(encoding="utf-8") == run(*CALTECH101, "--shots", "2")[1]
    assert [one.name for one in path.parent.iterdir()] == ["draw.jsonl"]
    assert path.read_text(encoding="utf-8").startswith('{"path": "Faces/image_0')


def test_a_draw_of_test_needs_no_train(tmp_path: Path) -> None:
    make_miniature("imagenet", tmp_path)
    shutil.rmtree(tmp_path / "imagenet" / "images" / "train")
    code, out, err = run("data", "draw", "imagenet", "--root", str(tmp_path), "--part", "test")
    assert (code, len(samples(out))) == (0, 12)
    assert "from folders of images/val; classnames.txt" in err


def test_what_is_odd_is_told_on_stderr(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", ["cat", "dog"], 6)
    code, out, err = run("data", "draw", str(photos), "--shots", "4", "--class-split", "3", "--subset", "novel")
    assert (code, len(samples(out))) == (0, 3)
    assert (
        "photos does not say its parts: split here into 50 % train, 20 % val and 30 % test of each class, seed 1" in err
    )
    assert "fewer than 4 training pictures, all of them taken: " in err


def test_a_draw_of_nothing_is_told_and_not_written(tmp_path: Path) -> None:
    rows = ["a.jpg,cat,train", "b.jpg,dog,train", "c.jpg,cat,test"]
    (tmp_path / "photos.csv").write_text("\n".join(["path,label,split", *rows]))
    asked = [str(tmp_path / "photos.csv"), "--part", "test", "--subset", "novel", "-o", str(tmp_path / "draw.jsonl")]
    code, out, err = run("data", "draw", *asked)
    assert (code, out, [*tmp_path.glob("draw*")]) == (2, "", [])
    assert "photos: test has no picture of novel classes; give another part or subset" in err


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    code, _, err = run(*CALTECH101, "-o", str(tmp_path / "folder"))
    assert (code, list(tmp_path.iterdir())) == (2, [tmp_path / "folder"])
    assert "is not a file; name one" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shots", "0"], "shots=0 leaves nothing to learn from; give 1 or more"),
        (["--subset", "new"], "subset 'new' is none of all, base, novel"),
        (["--part", "trian"], "there is no part 'trian' (did you mean 'train'?)"),
        (["--class-split", "-1"], "class_split=-1 is below 0"),
        (["--seed", "-1"], "seed -1 is below 0"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(options: list[str], message: str) -> None:
    code, out, err = run(*CALTECH101, *options)
    assert (code, out) == (2, "")
    assert message in err
    assert "\n" not in err


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("caltech101", "caltech101 needs --root, the folder that holds caltech-101"),
        ("voc2007", "voc2007:trainval needs --root, the folder that holds VOCdevkit"),
        ("voc2007:test", "'voc2007:test' is a test split, and nothing is learnt or selected on one"),
        ("caltech101:train", "'caltech101:train' is one part of a set, and here the whole of it is meant; give c"),
        ("./photos:val", "'./photos:val' is one part of a set, and here the whole of it is meant; give ./photos"),
        ("voc2008", "unknown set 'voc2008' (did you mean 'voc2007'?)"),
        ("caltech-101", "unknown set 'caltech-101' (did you mean 'caltech101'?)"),
    ],
)
def test_a_wrong_set_is_named_in_one_line(dataset: str, message: str) -> None:
    code, _, err = run("data", "draw", dataset)
    assert code == 2
    assert message in err


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A table of pictures with several classes each, and the pictures."""
    rows = ["a,cat|dog", "b,dog", "c,cat|bird", "d,", "e,bird|dog|cat"]
    for row in rows:
        save_image(tmp_path / f"{row[0]}.jpg")
    table = tmp_path / "photos.csv"
    table.write_text("path,labels\n" + "\n".join(row.replace(",", ".jpg,") for row in rows))
    return table


def known_of(text: str) -> dict[str, tuple[list[str], list[str]]]:
    return {entry["path"]: (entry["present"], entry["absent"]) for entry in map(json.loads, text.splitlines())}


def test_all_labels_of_several_classes(photos: Path) -> None:
    code, out, err = run("data", "draw", str(photos))
    assert (code, known_of(out)["a.jpg"], known_of(out)["d.jpg"]) == (
        0,
        (["cat", "dog"], ["bird"]),
        ([], ["bird", "cat", "dog"]),
    )
    assert re.fullmatch(r"photos, train: 5 pictures; 3 classes \(all\); draw [0-9a-f]{16}\n", err)


def test_a_coco_file_whose_pictures_lie_elsewhere(photos: Path, tmp_path: Path) -> None:
    entries = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "new").mkdir()
    path = tmp_path / "new" / "own.json"
    path.write_text(json.dumps(entries | {"annotations": [{"image_id": 1, "category_id": 1}]}))
    code, out, err = run("data", "draw", str(path), "--images", str(tmp_path), "--known", "1")
    assert (code, known_of(out)) == (0, {"a.jpg": (["cat"], [])})
    assert "own, train: 1 picture; 1 class (all); draw" in err


def test_single_positives_are_a_label_file_and_a_set(photos: Path, tmp_path: Path) -> None:
    listed = tmp_path / "known.jsonl"
    assert run("data", "draw", str(photos), "--known", "single-positive", "-o", str(listed))[:2] == (0, "")
    known = known_of(listed.read_text())
    assert {path: (len(present), len(absent)) for path, (present, absent) in known.items()} == dict.fromkeys(
        ["a.jpg", "b.jpg", "c.jpg", "e.jpg"], (1, 0)
    )
    again = run("data", "draw", str(photos), "--labels", str(listed))
    assert known_of(again[1]) == known
    assert "known.jsonl does not name 1 of the 5 pictures; nothing is known of them" in again[2]
    assert known_of(run("data", "draw", str(listed))[1]) == known


def test_shots_and_a_subset_of_drawn_scenes() -> None:
    code, out, err = run("data", "draw", "mini", "--shots", "1", "--subset", "base", "--known", "0.5", "--seed", "3")
    assert code == 0
    assert {name for labels in known_of(out).values() for names in labels for name in names} <= {*VOC_CLASSES[:10]}
    assert re.search(r"\nmini:train, train: \d+ pictures; 10 classes \(base\); draw ", err)
    _, val, _ = run("data", "draw", "mini", "--shots", "1", "--subset", "base", "--seed", "3", "--part", "val")
    assert known_of(val)
    assert not known_of(out).keys() & known_of(val).keys()


def test_a_mask_becomes_a_label_file_and_empty_classes_are_named(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mask.txt").write_text("0,1,0\n0,0,0\n1,0,-1\n0,0,0\n0,0,0\n")  # bird, cat, dog
    code, out, err = run("data", "draw", str(photos), "--labels", f"{tmp_path / 'mask.txt'}:tai-dpt")
    assert (code, known_of(out)) == (0, {"a.jpg": (["cat"], []), "c.jpg": (["bird"], ["dog"])})
    assert "clipprompt: mask.txt: 3 of 5 lines know no label\n" in err
    assert "clipprompt: photos has no picture known to be of dog\n" in err


def test_labels_of_one_class_sets_may_be_known_in_part(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", ["cat", "dog"], 8)
    code, out, _ = run("data", "draw", str(folder), "--shots", "2", "--known", "single-positive")
    assert (code, [*known_of(out).values()]) == (0, [(["cat"], [])] * 2 + [(["dog"], [])] * 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--known", "10"], "known '10' is no share of the labels; give one above 0 and up to 1"),
        (["--part", "val"], "photos: nothing is drawn for val; --shots draws some for it"),
        (["--part", "test"], "--part test: known labels are drawn of train"),
        (["--labels", "gone.jsonl"], "cannot read gone.jsonl: No such file"),
        (["--shots", "0"], "shots=0 leaves nothing to learn from"),
        (["--seed", "-1", "--known", "0.5"], "seed -1 is below 0"),
        (["--subset", "seen"], "subset 'seen' is none of all, base, novel"),
    ],
)
def test_a_wrong_option_of_several_classes_is_named_in_one_line(photos: Path, options: list[str], message: str) -> None:
    code, out, err = run("data", "draw", str(photos), *options)
    assert (code, out) == (2, "")
    assert message in err
    assert "\n" not in err


def test_the_help_fits_a_terminal() -> None:
    result = CliRunner().invoke(app, ["data", "draw", "--help"], env={"COLUMNS": "80"}, terminal_width=80)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "single-positive" in result.stdout
