from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from clipprompt.captions.synonyms import load_classes
from clipprompt.datasets import load_dataset
from clipprompt.datasets.specifications import SPECIFICATIONS
from clipprompt.errors import UserError
from clipprompt.mini.scenes import sample_scene, split_seeds
from tests.datasets.miniatures import TO_COCO, TO_NUSWIDE, make_coco, make_nuswide, make_voc, voc_object, voc_xml


@pytest.mark.parametrize("prefix", ["", "coco:"])
def test_coco_file_is_found_by_prefix_or_ending(
    write_coco: Callable[[Any], Path], coco_content: dict[str, Any], prefix: str
) -> None:
    dataset = load_dataset(f"{prefix}{write_coco(coco_content)}", classnames=["dog"])
    assert dataset.targets.tolist() == [[1], [0], [0]]


@pytest.mark.parametrize("prefix", ["", "folder:"])
def test_table_is_found_by_prefix_or_ending(write_table: Callable[[str, str], Path], prefix: str) -> None:
    path = write_table("t.csv", "path,labels\na.jpg,cat\n")
    assert load_dataset(f"{prefix}{path}", classnames=["dog", "cat"]).targets.tolist() == [[0, 1]]


@pytest.mark.parametrize("spec", ["", "coco", "coco:", "folder:", "pictures", "pascal:x.json2", "labels.txt"])
def test_unknown_spelling_is_refused_with_the_known_ones(spec: str) -> None:
    with pytest.raises(UserError, match=r"unknown dataset .*coco:FILE\.json.*mini\[:test\]"):
        load_dataset(spec)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "voc2007": make_voc,
    "coco2014": make_coco,
    "coco2017": partial(make_coco, year=2017),
    "nuswide": make_nuswide,
}


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_named_set_is_read_from_its_official_layout(tmp_path: Path, name: str) -> None:
    MAKERS[name](tmp_path)
    dataset = load_dataset(name, root=tmp_path)
    specification = SPECIFICATIONS[name]
    assert dataset.name == f"{name}:{specification.default}"
    assert dataset.classnames == tuple(load_classes(specification.classes).classnames)
    assert dataset.options["split"] == specification.default
    assert dataset.split_hash() == load_dataset(f"{name}:{specification.default}", root=str(tmp_path)).split_hash()
    assert dataset[len(dataset) - 1].mode == "RGB"
    official = specification.splits[specification.default]
    assert dataset.options["official_size"] == f"no, {len(dataset)} of {official}"
    assert dataset.notes[-1].endswith(f"where the official split has {official:,}: numbers do not compare")


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_labels_of_a_miniature_are_those_of_its_scenes(tmp_path: Path, name: str) -> None:
    MAKERS[name](tmp_path)
    dataset = load_dataset(name, root=tmp_path)
    first = {"voc2007": 5, "coco2014": 100, "coco2017": 100, "nuswide": 203}[name]
    words = {"voc2007": {}, "nuswide": TO_NUSWIDE}.get(name, TO_COCO)
    scene = sample_scene(split_seeds("extra", first + 1)[first])
    kinds = {words.get(thing.kind, thing.kind) for thing in scene.present}
    assert dataset.targets[0].tolist() == [int(classname in kinds) for classname in dataset.classnames]


def test_split_of_the_official_size_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_voc(tmp_path)
    small = {"voc2007": replace(SPECIFICATIONS["voc2007"], splits={"test": 3})}
    monkeypatch.setattr("clipprompt.datasets._readers.SPECIFICATIONS", small)
    dataset = load_dataset("voc2007", root=tmp_path)
    assert (dataset.options["official_size"], dataset.notes) == ("yes", ())


@pytest.mark.parametrize(("name", "kept"), [("voc2007", 3), ("coco2014", 3), ("nuswide", 2)])
def test_images_without_a_label_can_be_left_out(tmp_path: Path, name: str, kept: int) -> None:
    MAKERS[name](tmp_path)
    dataset = load_dataset(name, root=tmp_path, keep_empty=False)
    assert len(dataset) == kept
    assert (dataset.targets == 1).any(axis=1).all()


def test_table_without_empty_images_says_how_many_were_left_out(write_table: Callable[[str, str], Path]) -> None:
    path = write_table("t.csv", "path,labels\na.jpg,cat\nsub/b.png,\n")
    dataset = load_dataset(str(path), keep_empty=False)
    assert dataset.ids == ("a.jpg",)
    assert dataset.notes == ("1 of 2 images have no label and are left out",)
    path = write_table("t.csv", "path,labels\na.jpg,\nsub/b.png,\n")
    with pytest.raises(UserError, match="t: no image has a label"):
        load_dataset(str(path), keep_empty=False, classnames=["cat"])


def test_unknown_alone_is_no_label(tmp_path: Path) -> None:
    base = make_voc(tmp_path)
    (base / "Annotations" / "000005.xml").write_text(voc_xml("000005", [voc_object("dog", 1)]))
    assert load_dataset("voc2007", root=tmp_path, keep_empty=False).ids == ("000006", "000007")


def test_names_with_and_without_spaces_are_the_same_class(tmp_path: Path) -> None:
    make_voc(tmp_path)
    dataset = load_dataset("VOC2007:test", root=tmp_path, classnames=["dining table", "TV Monitor", "dog"])
    whole = load_dataset("voc2007:test", root=tmp_path)
    assert dataset.classnames == ("dining table", "TV Monitor", "dog")
    columns = [whole.classnames.index(name) for name in ("diningtable", "tvmonitor", "dog")]
    assert dataset.targets.tolist() == whole.targets[:, columns].tolist()


def test_options_and_notes_survive_a_choice_of_classes_and_images(tmp_path: Path) -> None:
    make_nuswide(tmp_path)
    whole = load_dataset("nuswide", root=tmp_path)
    part = whole.subset([2, 0]).with_classes(["dog"])
    assert (part.options, part.notes) == (whole.options, whole.notes)


@pytest.mark.parametrize("spec", ["table.csv", "annotations/instances_val2014.json"])
def test_missing_pictures_of_files_can_be_left_out(tmp_path: Path, spec: str) -> None:
    make_coco(tmp_path)
    names = sorted(path.name for path in (tmp_path / "val2014").iterdir())
    (tmp_path / "table.csv").write_text("path,labels\n" + "".join(f"val2014/{name},cat\n" for name in names))
    (tmp_path / "val2014" / names[1]).unlink()
    with pytest.raises(UserError, match=rf"{names[1]} does not exist; --skip-missing leaves missing images out"):
        load_dataset(str(tmp_path / spec))
    dataset = load_dataset(str(tmp_path / spec), skip_missing=True)
    assert len(dataset) == 3
    assert dataset.options == {"missing_images": "1"}


def test_coco_pictures_may_lie_in_images(tmp_path: Path) -> None:
    make_coco(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "val2014").rename(tmp_path / "images" / "val2014")
    assert len(load_dataset("coco2014", root=tmp_path)) == 4


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("voc2007", {}, r"voc2007:test needs --root, the folder that holds VOCdevkit/VOC2007/ImageSets"),
        ("voc2007:tset", {"root": "."}, r"no split 'tset' \(did you mean 'test'\?\); choose one of train, val"),
        ("coco2014:test", {"root": "."}, r"coco2014 has no split 'test'; choose one of train, val"),
        ("voc2077", {"root": "."}, r"unknown dataset 'voc2077' \(did you mean 'voc2007'\?\)"),
        ("voc2007", {"root": ".", "difficult": "maybe"}, "cannot be 'maybe'; choose one of unknown, negative"),
        ("mini", {"difficult": "negative"}, "--difficult negative has no use with 'mini'"),
        ("coco2014", {"root": ".", "difficult": "negative"}, "only VOC marks difficult objects"),
        ("mini", {"root": "x"}, "--root x has no use with 'mini'; it goes with voc2007"),
        ("labels.csv", {"root": "x"}, "--root x has no use with 'labels.csv'"),
        ("voc2007", {"root": "no where"}, r"it is not a folder; run: .* download voc2007:test --root 'no where'"),
        ("coco2017:train", {"root": "x"}, r"run: clipprompt data download coco2017:train --root x$"),
        ("nuswide", {"root": "x"}, "it is not a folder; NUS-WIDE cannot be fetched for you: get ImageList"),
    ],
)
def test_wrong_request_is_one_line(spec: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_dataset(spec, **options)


def test_other_categories_are_not_coco(tmp_path: Path) -> None:
    make_coco(tmp_path)
    path = tmp_path / "annotations" / "instances_val2014.json"
    path.write_text(path.read_text().replace('"zebra"', '"okapi"'))
    with pytest.raises(UserError, match=r"instances_val2014\.json: class 'okapi' is not in both"):
        load_dataset("coco2014", root=tmp_path)
