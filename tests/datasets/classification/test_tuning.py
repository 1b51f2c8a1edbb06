"""The fine-grained five and VTAB's tasks, as their authors and the study have them on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clipprompt.datasets.classification.check import check_set
from clipprompt.datasets.classification.draw import draw
from clipprompt.datasets.classification.groups import GROUPS, expand_groups, group_of
from clipprompt.datasets.classification.load import load_classification
from clipprompt.datasets.classification.named import load_named
from clipprompt.datasets.classification.official._shipped import shipped_names
from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.errors import UserError
from tests.datasets.classification.tuning_miniatures import FINE_GRAINED, classnames, make_tuning_miniature

TASKS = GROUPS["vtab"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in (*FINE_GRAINED, *TASKS):
        make_tuning_miniature(name, folder)
    return folder


@pytest.mark.parametrize("name", [*FINE_GRAINED, *TASKS])
def test_parts_classes_and_pictures_are_as_the_lists_say(root: Path, name: str) -> None:
    found = load_classification(name, root)
    n_classes = len(classnames(name))
    assert found.classnames == tuple(classnames(name))
    assert {part: len(samples) for part, samples in found.parts.items()} == {
        "train": 3 * n_classes,
        "val": n_classes,
        "test": 2 * n_classes,
    }
    images = found.images("x", found.part("train"), found.classnames)
    assert images[0].size == (16, 16)
    assert images.targets.sum(axis=0).tolist() == [3] * n_classes
    assert check_set(name, root).missing == []
    assert draw(found, 2, seed=1).hash == draw(load_classification(name, root), 2, seed=1).hash
    assert len(draw(found, 2, seed=1).train) == 2 * n_classes


def test_groups_are_those_of_the_study() -> None:
    sizes = {name: len(members) for name, members in GROUPS.items()}
    assert sizes == {"fgvc": 5, "vtab": 19, "vtab-natural": 7, "vtab-specialized": 4, "vtab-structured": 8}
    assert GROUPS["vtab"] == (*GROUPS["vtab-natural"], *GROUPS["vtab-specialized"], *GROUPS["vtab-structured"])
    assert [group_of(name) for name in ("fgvc-cub", "VTAB-dtd", "vtab-eurosat", "vtab-dmlab", "dtd", "photos")] == [
        *("fgvc", "natural", "specialized", "structured"),
        *(None, None),
    ]


def test_the_documented_tables_are_the_tables() -> None:
    text = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(("| `fgvc-", "| `vtab-"))]
    expected = []
    for one in map(SPECIFICATIONS.__getitem__, GROUPS["fgvc"]):
        sizes = " / ".join(f"{one.sizes[part]:,}" for part in ("train", "val", "test"))
        expected.append([f"`{one.name}`", one.title, f"{one.n_classes}", sizes, f"`{one.folder}`"])
    for group in ("vtab-natural", "vtab-specialized", "vtab-structured"):
        expected.append([f"`{group}`", ", ".join(f"`{name.removeprefix('vtab-')}`" for name in GROUPS[group])])
    assert [row[:5] for row in rows if row[0].count("`") == 2] == expected


def test_groups_stand_for_their_sets_once() -> None:
    assert expand_groups(["vtab-pets", "VTAB-natural", "photos"])[:2] == ("vtab-pets", "vtab-cifar100")
    assert len(expand_groups(["fgvc", "vtab", "vtab-structured", "fgvc-cub"])) == 24


@pytest.mark.parametrize("name", TASKS)
def test_every_class_of_a_task_has_a_name_of_its_own(name: str) -> None:
    names = shipped_names(name)
    assert len(set(map(str.casefold, names))) == len(names) == SPECIFICATIONS[name].n_classes
    assert not any("_" in one for one in names)


def test_names_of_shared_classes_are_those_of_coops_file() -> None:
    """CoOp's split file leaves two of VTAB's 102 classes out."""
    content = json.loads((Path(__file__).parents[2] / "golden" / "split_zhou_Caltech101.json").read_text())
    coop = {name.replace("_", " ").casefold() for entries in content.values() for _, _, name in entries}
    assert {name.casefold() for name in shipped_names("vtab-caltech101")} - coop == {"background", "centered face"}


@pytest.mark.parametrize("shift", [0, 1, 7])
@pytest.mark.parametrize("name", ["fgvc-cub", "fgvc-dogs"])
def test_class_numbers_begin_anywhere_where_folders_name_them(tmp_path: Path, name: str, shift: int) -> None:
    base = make_tuning_miniature(name, tmp_path)
    _renumber(base, lambda number: number + shift)
    found = load_classification(name, tmp_path)
    assert found.classnames == tuple(classnames(name))
    assert {sample.label for sample in found.part("test")} == {0, 1, 2}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", ["fgvc-flowers", "fgvc-cars"])
def test_numbers_from_0_and_from_1_mean_the_same_names(tmp_path: Path, name: str, first: int) -> None:
    base = make_tuning_miniature(name, tmp_path)
    lowest = min(json.loads((base / "train.json").read_text()).values())
    _renumber(base, lambda number: number - lowest + first)
    assert load_classification(name, tmp_path).classnames == tuple(classnames(name))


def test_numbers_may_be_words_of_digits(tmp_path: Path) -> None:
    _renumber(make_tuning_miniature("fgvc-cub", tmp_path), str)
    assert load_classification("fgvc-cub", tmp_path).classnames == tuple(classnames("fgvc-cub"))


def test_flowers_are_called_as_their_own_file_has_them(tmp_path: Path) -> None:
    base = make_tuning_miniature("fgvc-flowers", tmp_path)
    (base / "cat_to_name.json").write_text(json.dumps({"3": "c", "1": "a", "2": "b"}))
    assert load_classification("fgvc-flowers", tmp_path).classnames == ("a", "b", "c")


def test_cars_without_names_are_numbered_and_it_is_told(tmp_path: Path) -> None:
    (make_tuning_miniature("fgvc-cars", tmp_path) / "cars_annos.mat").unlink()
    found = load_classification("fgvc-cars", tmp_path)
    assert found.classnames == ("car 1", "car 2", "car 3")
    assert "so classes are called car 1" in found.notes[0]


def test_a_set_of_official_size_is_told_from_a_part_of_it(root: Path) -> None:
    one = SPECIFICATIONS["vtab-patch-camelyon"]
    sizes = {"train": 6, "val": 2, "test": 4}
    assert load_named(replace(one, sizes=sizes), root).official_size is True
    found = load_named(one, root)
    assert found.official_size is False
    assert (
        "has 6/2/4 pictures in train/val/test of 2 classes where the official set has 800/200/32,768" in found.notes[0]
    )


@pytest.mark.parametrize("at", ["..", "../..", "collection", "."])
def test_root_may_be_any_folder_on_the_way_to_a_task(tmp_path: Path, at: str) -> None:
    folder = "elsewhere" if at == "collection" else "data/vtab-1k"
    made = make_tuning_miniature("vtab-dtd", tmp_path)
    (tmp_path / folder).parent.mkdir(exist_ok=True)
    made.parent.rename(tmp_path / folder)
    given = tmp_path / folder if at == "collection" else (tmp_path / folder / "dtd" / at).resolve()
    assert load_classification("vtab-dtd", given).classnames == tuple(classnames("vtab-dtd"))


def test_another_tasks_folder_is_not_taken_for_a_task(root: Path) -> None:
    with pytest.raises(UserError, match=r"no VTAB SVHN at --root .*: there is no vtab-1k/svhn in it; run: clipprompt"):
        load_classification("vtab-svhn", root / "vtab-1k" / "dtd")


@pytest.mark.parametrize(("name", "folder"), [("fgvc-cars", "StanfordCars"), ("fgvc-cub", "fgvc/CUB_200_2011")])
def test_sets_are_found_under_the_names_of_other_collections(tmp_path: Path, name: str, folder: str) -> None:
    made = make_tuning_miniature(name, tmp_path)
    (tmp_path / folder).parent.mkdir(exist_ok=True)
    made.rename(tmp_path / folder)
    assert load_classification(name, tmp_path).classnames == tuple(classnames(name))


def _renumber(base: Path, new: Callable[[int], Any]) -> None:
    for path in base.glob("*.json"):
        path.write_text(json.dumps({key: new(value) for key, value in json.loads(path.read_text()).items()}))
