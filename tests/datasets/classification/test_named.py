"""All 15 sets on miniatures in their true formats: classes, labels, parts and paths, with a split file and without."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipprompt.datasets.classification.draw import draw
from clipprompt.datasets.classification.named import find_base, load_named
from clipprompt.datasets.classification.sets import PARTS, ClassificationSet, hash_samples
from clipprompt.datasets.classification.specifications import FIFTEEN, SPECIFICATIONS, VARIANTS
from clipprompt.errors import UserError
from tests.datasets.classification.miniatures import classnames_of, make_miniature

GOLDEN = Path(__file__).parents[2] / "golden"
WITH_SPLIT_FILE = [one.name for one in map(SPECIFICATIONS.__getitem__, FIFTEEN) if one.split_file]
IN_FOLDERS = ("caltech101", "flowers102", "food101", "dtd", "eurosat")  # or without any official part
every_set = pytest.mark.parametrize("name", FIFTEEN)


@pytest.fixture(scope="module", params=[True, False], ids=["split file", "official files"])
def miniatures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    """One folder with all 15, as CoOp's users have it, and whether split files are there."""
    root = tmp_path_factory.mktemp("data")
    for name in FIFTEEN:
        make_miniature(name, root, split_file=request.param)
    return root, request.param


def _load(name: str, root: Path, **options: Any) -> ClassificationSet:
    return load_named(SPECIFICATIONS[name], root, **options)


def _sizes(found: ClassificationSet) -> dict[str, int]:
    return {part: len(samples) for part, samples in found.parts.items()}


@every_set
def test_classes_are_those_of_coop(miniatures: tuple[Path, bool], name: str) -> None:
    assert list(_load(name, miniatures[0]).classnames) == classnames_of(name)


@every_set
def test_every_picture_is_there_once_and_in_the_folder_of_its_class(miniatures: tuple[Path, bool], name: str) -> None:
    found = _load(name, miniatures[0])
    samples = [sample for part in found.parts.values() for sample in part]
    items = [found.item(sample) for sample in samples]
    assert all(item.is_file() for item in items)
    assert len({item.resolve() for item in items}) == len(items) == (12 if name in VARIANTS else 40)
    hues = {sample.label: found.open_item(item).getpixel((8, 8)) for sample, item in zip(samples, items, strict=True)}
    assert len(set(hues.values())) == 4  # a class has its own colour


@every_set
def test_parts_have_the_shares_of_coop(miniatures: tuple[Path, bool], name: str) -> None:
    root, has_split_file = miniatures
    found = _load(name, root)
    if name in VARIANTS:
        expected = {"test": 12}
    elif name == "imagenet":
        expected = {"train": 28, "test": 12}
    elif has_split_file or name == "fgvc_aircraft" or name in IN_FOLDERS:
        expected = {"train": 20, "val": 8, "test": 12}
    else:  # val is split off the official training part
        expected = {"train": 24, "val": 4, "test": 12}
    assert _sizes(found) == expected
    for samples in found.parts.values():  # and of each class the same
        assert len(set(Counter(sample.label for sample in samples).values())) == 1


@every_set
def test_source_and_notes_say_where_the_parts_are_from(miniatures: tuple[Path, bool], name: str) -> None:
    root, has_split_file = miniatures
    specification, found = SPECIFICATIONS[name], _load(name, root)
    reads_it = has_split_file and bool(specification.split_file)
    assert (found.source_sha256 is not None) == reads_it
    assert found.source.startswith(specification.split_file) == (reads_it or not specification.split_file)
    lacking = f"there is no {specification.split_file} in"
    assert any(lacking in note for note in found.notes) == (name in WITH_SPLIT_FILE and not has_split_file)
    assert ("seed 1" in found.how_split) == (name in WITH_SPLIT_FILE and not has_split_file)
    how = f", {found.how_split}" if found.how_split else ""
    assert (found.official_size, found.source) == (False, f"{found.files}{how}; not of the official size")
    assert found.from_folders == ("folders" in found.files)
    assert f"of {specification.n_classes:,}: numbers do not compare" in found.notes[-1]


def test_errors_name_the_files_and_not_how_they_were_split(tmp_path: Path) -> None:
    make_miniature("oxford_pets", tmp_path, split_file=False)
    with (tmp_path / "oxford_pets" / "annotations" / "test.txt").open("a") as file:
        file.write("Sphynx_7 1 1 1\n")
    with pytest.raises(UserError, match=r"' in annotations/trainval\.txt and test\.txt; run: clipprompt data download"):
        _load("oxford_pets", tmp_path)


@pytest.mark.parametrize("name", WITH_SPLIT_FILE)
def test_official_files_say_the_same_as_the_split_file(tmp_path: Path, name: str) -> None:
    """Both name the same pictures and classes; of sets with an official test part, the same test part."""
    first = _load(name, make_miniature(name, tmp_path))
    (tmp_path / SPECIFICATIONS[name].folder / SPECIFICATIONS[name].split_file).unlink()
    second = _load(name, tmp_path)
    everything = [sorted(s for part in found.parts.values() for s in part) for found in (first, second)]
    assert everything[0] == everything[1]
    same_test = sorted(first.part("test")) == sorted(second.part("test"))
    assert same_test == (name not in IN_FOLDERS)


@every_set
def test_hashes_do_not_depend_on_where_the_folder_lies(
    miniatures: tuple[Path, bool], tmp_path: Path, name: str
) -> None:
    root, _ = miniatures
    folder = SPECIFICATIONS[name].folder
    shutil.copytree(root / folder, tmp_path / "elsewhere" / "my data")
    here, there = _load(name, root), _load(name, tmp_path / "elsewhere" / "my data")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / folder).symlink_to(root / folder)
    for found in (there, _load(name, linked), _load(name, linked / folder)):
        assert {part: hash_samples(samples) for part, samples in found.parts.items()} == {
            part: hash_samples(samples) for part, samples in here.parts.items()
        }
        assert found.source == here.source


@every_set
def test_root_is_told_by_what_only_this_set_has(miniatures: tuple[Path, bool], tmp_path: Path, name: str) -> None:
    root, _ = miniatures
    renamed = tmp_path / "renamed"
    renamed.symlink_to(root / SPECIFICATIONS[name].folder)
    takers = []
    for other in map(SPECIFICATIONS.__getitem__, FIFTEEN):
        try:
            find_base(other, renamed)
            takers.append(other.name)
        except UserError:
            pass
    assert takers == [name]


@every_set
def test_wrong_roots_are_refused_in_a_line_that_helps(tmp_path: Path, name: str) -> None:
    specification = SPECIFICATIONS[name]
    for root, what in ((None, "needs --root"), (tmp_path, f"there is no {specification.folder} in it")):
        with pytest.raises(UserError, match=what):
            load_named(specification, root)
    with pytest.raises(UserError, match="it is not a folder; ") as error:
        load_named(specification, tmp_path / "nowhere")
    step = "https://image-net.org" if name == "imagenet" else f"run: clipprompt data download {name} --root {tmp_path}"
    assert step in str(error.value)


def test_only_folders_of_wanted_parts_are_listed(tmp_path: Path) -> None:
    make_miniature("imagenet", tmp_path)
    (tmp_path / "imagenet" / "images" / "train" / "n01440764").rename(tmp_path / "away")
    with pytest.raises(UserError, match="train and val do not have the same folders: n01440764 is in one alone"):
        _load("imagenet", tmp_path)
    shutil.rmtree(tmp_path / "imagenet" / "images" / "train")
    found = _load("imagenet", tmp_path, parts=("test",))
    assert (_sizes(found), found.source) == (
        {"test": 12},
        "folders of images/val; classnames.txt; not of the official size",
    )
    with pytest.raises(UserError, match="images/train does not exist"):
        _load("imagenet", tmp_path)


def test_train_of_imagenet_is_not_listed_for_a_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clipprompt.datasets.classification.official import synset_folders

    make_miniature("imagenet", tmp_path)
    listed, true = list[Path](), synset_folders.list_pictures
    monkeypatch.setattr(synset_folders, "list_pictures", lambda folder: listed.append(folder) or true(folder))
    _load("imagenet", tmp_path, parts=("test",))
    assert {folder.parent.name for folder in listed} == {"val"}


def test_imagenet_has_no_val_and_variants_nothing_but_test(miniatures: tuple[Path, bool]) -> None:
    for name, choices in (("imagenet", "train, test"), *((name, "test") for name in VARIANTS)):
        found = _load(name, miniatures[0], parts=("val",))
        with pytest.raises(UserError, match=f"{name} has no part 'val'.*it has {choices}"):
            found.part("val")


def test_variants_take_the_class_names_of_imagenet_beside_them(tmp_path: Path) -> None:
    make_miniature("imagenet", tmp_path)
    for name in VARIANTS:
        make_miniature(name, tmp_path)
        (tmp_path / SPECIFICATIONS[name].folder / "classnames.txt").unlink()
        assert list(_load(name, tmp_path).classnames) == classnames_of(name)
    (tmp_path / "imagenet" / "classnames.txt").unlink()
    with pytest.raises(UserError, match=r"no classnames.txt in .*imagenet-rendition, nor in a folder of ImageNet"):
        _load("imagenet_r", tmp_path)


def test_numbered_folders_go_by_number(tmp_path: Path) -> None:
    """As words, 10 would stand before 2."""
    make_miniature("imagenet_v2", tmp_path, n_classes=2)
    base = tmp_path / "imagenetv2"
    synsets = [f"n{number:08d}" for number in range(12)]
    (base / "classnames.txt").write_text("".join(f"{synset} thing {i}\n" for i, synset in enumerate(synsets)))
    for label in range(2, 12):
        shutil.copytree(
            base / SPECIFICATIONS["imagenet_v2"].images / "0", base / SPECIFICATIONS["imagenet_v2"].images / str(label)
        )
    found = _load("imagenet_v2", tmp_path)
    assert found.classnames == tuple(f"thing {i}" for i in range(12))
    assert {sample.path.split("/")[0]: sample.label for sample in found.part("test")} == {str(i): i for i in range(12)}


def test_a_part_of_imagenet_has_the_names_of_its_own_folders(tmp_path: Path) -> None:
    make_miniature("imagenet_a", tmp_path)
    shutil.rmtree(tmp_path / "imagenet-adversarial" / "imagenet-a" / "n03773504")
    found = _load("imagenet_a", tmp_path)
    assert found.classnames == ("tench", "goldfish", "missile [n04008634]")  # so a prompt of ImageNet's knows it again
    assert not any("ties" in note for note in found.notes)


def test_the_pair_of_one_name_is_told(miniatures: tuple[Path, bool]) -> None:
    (note,) = [note for note in _load("imagenet", miniatures[0]).notes if "ties go to the first" in note]
    assert "classnames.txt has one name for two classes (missile and missile [n04008634])" in note


def test_pictures_may_lie_elsewhere(miniatures: tuple[Path, bool], tmp_path: Path) -> None:
    root, _ = miniatures
    shutil.copytree(root / "eurosat", tmp_path / "eurosat")
    (tmp_path / "eurosat" / "2750").rename(tmp_path / "satellite")
    found = _load("eurosat", tmp_path, images=tmp_path / "satellite")
    assert all(found.item(sample).is_file() for sample in found.part("train"))


@pytest.mark.parametrize(
    ("put", "message"),
    [(Path.mkdir, "Is a directory"), (lambda path: path.symlink_to("gone.json"), "No such file or directory")],
    ids=["folder", "dangling link"],
)
def test_a_split_file_that_is_no_file_is_not_passed_over(
    tmp_path: Path, put: Callable[[Path], None], message: str
) -> None:
    make_miniature("dtd", tmp_path, split_file=False)
    path = tmp_path / "dtd" / SPECIFICATIONS["dtd"].split_file
    put(path)
    with pytest.raises(UserError, match=f"cannot read {path}: {message}; run: clipprompt data download dtd"):
        _load("dtd", tmp_path)


def test_wrong_images_are_not_to_be_fetched(tmp_path: Path) -> None:
    make_miniature("eurosat", tmp_path, split_file=False)
    with pytest.raises(UserError, match=r"image folder gone does not exist; is --images the right folder\?$"):
        _load("eurosat", tmp_path, images=Path("gone"))


def test_what_does_not_count_in_caltech101_is_left_out(tmp_path: Path) -> None:
    make_miniature("caltech101", tmp_path, split_file=False)
    folders = {sample.path.split("/")[0] for part in _load("caltech101", tmp_path).parts.values() for sample in part}
    assert folders == {"Faces", "Leopards", "Motorbikes", "accordion"}


def test_scenes_may_be_listed_beside_the_pictures(tmp_path: Path) -> None:
    """As in the archive of the pictures; CoOp's users have the list from another."""
    make_miniature("sun397", tmp_path, split_file=False)
    before = _load("sun397", tmp_path)
    (tmp_path / "sun397" / "ClassName.txt").rename(tmp_path / "sun397" / "SUN397" / "ClassName.txt")
    assert _load("sun397", tmp_path).parts == before.parts


def test_the_real_split_file_is_known_by_its_sum(tmp_path: Path) -> None:
    specification = SPECIFICATIONS["caltech101"]
    base = tmp_path / specification.folder
    base.mkdir()
    shutil.copy(GOLDEN / specification.split_file, base)
    found = load_named(specification, tmp_path)
    assert (found.source_sha256, found.source) == (specification.split_sha256, specification.split_file)
    assert found.official_size is True
    assert (found.notes, _sizes(found)) == ((), specification.sizes)
    with (base / specification.split_file).open("a") as file:
        file.write("\n")
    (note,) = load_named(specification, tmp_path).notes
    assert "is not the file that CoOp published, though of the same size" in note


def test_pickles_of_earlier_draws_are_never_opened(miniatures: tuple[Path, bool], tmp_path: Path) -> None:
    """CoOp keeps its few-shot draws, and ImageNet's lists, as pickles beside the split file."""
    opened, watching = set[str](), True

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if watching and event == "open":
            opened.add(Path(str(args[0])).name)
        elif watching and event.startswith("pickle"):
            opened.add(event)

    root = tmp_path / "data"
    shutil.copytree(miniatures[0], root, symlinks=True)
    for specification in map(SPECIFICATIONS.__getitem__, FIFTEEN):
        for name in ("split_fewshot/shot_16-seed_1.pkl", "split_fewshot/shot_16-seed_1.pkl.json", "preprocessed.pkl"):
            (root / specification.folder / name).parent.mkdir(exist_ok=True)
            (root / specification.folder / name).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    sys.addaudithook(watch)
    for name in FIFTEEN:
        draw(_load(name, root), 2, seed=1)
    watching = False
    assert "classnames.txt" in opened  # the watch works
    assert [one for one in opened if "pickle" in one or ".pkl" in one] == []


def test_splits_made_here_are_the_same_on_every_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clipprompt.datasets.classification.official import _folders

    make_miniature("dtd", tmp_path, split_file=False)
    before, true = _load("dtd", tmp_path), _folders._scan
    monkeypatch.setattr(_folders, "_scan", lambda folder: reversed(list(true(folder))))
    assert _load("dtd", tmp_path).parts == before.parts
    assert [sample.path for sample in before.part("train")] != sorted(sample.path for sample in before.part("train"))


@pytest.mark.parametrize("parts", [("train",), ("test",), PARTS])
def test_lists_of_a_split_file_are_read_in_its_order(tmp_path: Path, parts: tuple[str, ...]) -> None:
    make_miniature("food101", tmp_path)
    path = tmp_path / "food-101" / "split_zhou_Food101.json"
    content = {part: entries[::-1] for part, entries in json.loads(path.read_text()).items()}
    path.write_text(json.dumps(content))
    found = _load("food101", tmp_path, parts=parts)
    assert [list(sample) for sample in found.part("test")] == content["test"]
