from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from PIL import Image

from clipprompt.datasets._workshop import WORKSHOP
from clipprompt.datasets.classification.check import check_set, decode_set
from clipprompt.datasets.classification.sets import hash_samples
from clipprompt.datasets.classification.specifications import FIFTEEN, SPECIFICATIONS
from tests.datasets.classification.archives import miniature_sizes
from tests.datasets.classification.miniatures import make_miniature

LISTED = [one.name for one in map(SPECIFICATIONS.__getitem__, FIFTEEN) if one.split_file]
UNLISTED = [name for name in FIFTEEN if name not in LISTED]
BROKEN = b"\xff\xd8\xff\xe0 no picture"


def pictures(name: str, root: Path) -> list[Path]:
    folder = root / SPECIFICATIONS[name].folder / SPECIFICATIONS[name].images
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))


def test_the_hash_in_the_docs_is_that_of_the_real_split_file() -> None:
    """Readers compare theirs with it."""
    root = Path(__file__).parents[3]
    digest = check_set("caltech101", root / "tests" / "golden").split_hash
    lines = (root / "docs" / "datasets.md").read_text(encoding="utf-8").splitlines()
    assert [line.split()[-2] for line in lines if line.startswith("caltech101 ")] == [digest[:7]]


@pytest.mark.parametrize("name", FIFTEEN)
def test_whole_set_is_whole(tmp_path: Path, name: str) -> None:
    with miniature_sizes():
        found = check_set(name, make_miniature(name, tmp_path))
        assert (found.is_whole, found.explain(), found.n_lacking, found.missing) == (True, "", 0, [])
    assert found.dataset is not None
    assert found.split_hash == hash_samples([*chain(*found.dataset.parts.values())])[:16]
    assert found.n_pictures == sum(found.sizes.values()) > 0


@pytest.mark.parametrize("name", [*LISTED, "fgvc_aircraft"])
def test_first_missing_picture_is_named_with_the_next_command(tmp_path: Path, name: str) -> None:
    with miniature_sizes():
        make_miniature(name, tmp_path)
        whole = check_set(name, tmp_path)
        assert whole.dataset is not None
        samples = [*chain(*whole.dataset.parts.values())]
        for sample in samples[5:8]:
            whole.dataset.item(sample).unlink()
        found = check_set(name, tmp_path)
        assert [*found.missing] == samples[5:8]
        assert (found.is_whole, found.n_lacking, found.split_hash) == (False, 3, whole.split_hash)
    start = f"{name}: 3 of 40 pictures are missing, the first is {whole.dataset.item(samples[5])}, listed in "
    assert found.explain().startswith(start)
    assert found.explain().endswith(f"; run: clipprompt data download {name} --root {tmp_path}")


@pytest.mark.parametrize("name", UNLISTED)
def test_fewer_pictures_than_official_are_a_fault_where_no_file_lists_them(tmp_path: Path, name: str) -> None:
    with miniature_sizes():
        make_miniature(name, tmp_path)
        n_official = check_set(name, tmp_path).n_pictures
        pictures(name, tmp_path)[0].unlink()
        found = check_set(name, tmp_path)
        assert (found.is_whole, found.n_lacking, found.n_expected) == (False, 1, n_official)


def test_a_folder_that_is_gone_counts_every_picture(tmp_path: Path) -> None:
    make_miniature("ucf101", tmp_path)
    lost = pictures("ucf101", tmp_path)[0].parent
    n_lost = len([*lost.iterdir()])
    lost.rename(tmp_path / "away")
    assert len(check_set("ucf101", tmp_path).missing) == n_lost
    lost.write_text("a file of that name")
    assert len(check_set("ucf101", tmp_path).missing) == n_lost


def test_a_folder_in_a_pictures_place_is_no_picture(tmp_path: Path) -> None:
    make_miniature("dtd", tmp_path)
    first = pictures("dtd", tmp_path)[0]
    first.unlink()
    first.mkdir()
    assert len(check_set("dtd", tmp_path).missing) == 1


def test_links_to_pictures_are_pictures_and_broken_links_are_not(tmp_path: Path) -> None:
    make_miniature("dtd", tmp_path)
    first, second = pictures("dtd", tmp_path)[:2]
    first.rename(tmp_path / "elsewhere.jpg")
    first.symlink_to(tmp_path / "elsewhere.jpg")
    second.unlink()
    second.symlink_to(tmp_path / "nowhere.jpg")
    assert [Path(sample.path).name for sample in check_set("dtd", tmp_path).missing] == [second.name]


def test_broken_pictures_are_found_by_decoding_those_that_are_there(tmp_path: Path) -> None:
    make_miniature("dtd", tmp_path)
    first, second, third = pictures("dtd", tmp_path)[:3]
    first.unlink()
    second.write_bytes(BROKEN)
    third.write_bytes(b"")
    found = check_set("dtd", tmp_path)
    outcomes = [*decode_set(found, workers=2)]
    broken = [error for error in outcomes if error is not None]
    assert (len(outcomes), len(broken)) == (39, 2)
    first.write_bytes(b"")
    again = replace(check_set("dtd", tmp_path), broken=broken)
    assert (again.is_whole, again.n_lacking) == (False, 2)
    assert "(2 of 40 pictures are broken); delete it; run: clipprompt data download dtd" in again.explain()


def test_what_a_stopped_download_left_is_noted(tmp_path: Path) -> None:
    (tmp_path / WORKSHOP).mkdir()
    (tmp_path / WORKSHOP / "dtd.zip.part").write_bytes(b"0" * (3 << 20))
    found = check_set("dtd", tmp_path)
    assert not found.is_whole
    assert found.notes == ("dtd: 3 MB of dtd.zip are fetched already",)


def test_own_data_are_whole_or_say_what_to_mend(tmp_path: Path) -> None:
    for split, name in (("train", "cat/a.png"), ("train", "dog/b.png"), ("test", "cat/c.png"), ("test", "dog/d.png")):
        path = tmp_path / "photos" / split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(path)
    found = check_set(str(tmp_path / "photos"))
    assert (found.is_whole, found.sizes, found.has_official_size) == (True, {"train": 2, "test": 2}, None)
    table = tmp_path / "table.csv"
    table.write_text("path,label,split\ntrain/cat/a.png,cat,train\ntrain/dog/x.png,dog,test\n")
    found = check_set(str(table), images=tmp_path / "photos")
    assert "the first is" in found.explain()
    assert found.explain().endswith("; is --images the right folder?")
    assert check_set(str(table)).explain().endswith("; put them there, or take them off the list")


def test_drawn_sets_lack_nothing() -> None:
    found = check_set("mini-sketch")
    assert (found.is_whole, found.has_official_size) == (True, None)


def change(path: str, content: bytes | None = None) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        target = root / path
        if content is None:
            target.rename(root / "away")
        else:
            target.write_bytes(content)

    return spoil


BROKEN_SETS = {
    "no folder": ("dtd", change("dtd"), "there is no dtd in it; run: clipprompt data download dtd"),
    "broken JSON": ("dtd", change("dtd/split_zhou_DescribableTextures.json", b"{"), "broken JSON"),
    "no pictures": ("ucf101", change("ucf101/UCF-101-midframes"), "40 of 40 pictures are missing"),
    "no list": ("fgvc_aircraft", change("fgvc_aircraft/variants.txt"), "variants.txt"),
    "no names": ("imagenet_a", change("imagenet-adversarial/classnames.txt"), "no classnames.txt"),
    "imagenet": ("imagenet", change("imagenet"), "get ImageNet's train and val at https://image-net.org"),
    "gap in labels": (
        *("dtd", change("dtd/split_zhou_DescribableTextures.json", b'{"test": [["banded/banded_0001.jpg", 1, "x"]]}')),
        "no picture of label 0",
    ),
}


@pytest.mark.parametrize(("name", "spoil", "said"), BROKEN_SETS.values(), ids=BROKEN_SETS)
def test_set_that_cannot_be_read_is_a_finding(
    tmp_path: Path, name: str, spoil: Callable[[Path], None], said: str
) -> None:
    make_miniature(name, tmp_path)
    spoil(tmp_path)
    found = check_set(name, tmp_path)
    assert not found.is_whole
    assert said in found.explain()
    assert found.explain().startswith(f"{name}: ")
    assert "\n" not in found.explain()


def test_missing_pictures_are_found_without_a_question_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder is listed once; a stat for each picture would cost minutes on ImageNet over a network."""
    make_miniature("caltech101", tmp_path)
    split = tmp_path / "caltech-101" / "split_zhou_Caltech101.json"
    parts = json.loads(split.read_text())
    parts["train"] += [["ant/none.jpg", 3, parts["train"][-1][2]]]
    split.write_text(json.dumps(parts))
    asked: list[Path] = []
    true = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: asked.append(path) or true(path))
    assert len(check_set("caltech101", tmp_path).missing) == 1
    assert len([path for path in asked if path.suffix == ".jpg"]) <= 2  # one of the owner's, none or one of ours
