from __future__ import annotations

import re
from pathlib import Path

import pytest
import torchvision.datasets

import clipprompt
from clipprompt._yaml import read_mapping
from clipprompt.datasets.classification import official
from clipprompt.datasets.classification.sets import PARTS
from clipprompt.datasets.classification.specifications import ELEVEN, FIFTEEN, SPECIFICATIONS, VARIANTS
from clipprompt.resources import resource

ROOT = Path(clipprompt.__file__).parents[1]


def _documented() -> list[list[str]]:
    """The rows of the table in docs/datasets.md, cell by cell."""
    text = (
        (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8").partition("## The fifteen sets of the protocols")[2]
    )
    rows = re.findall(r"^\| (`\w+`.*) \|$", text.partition("\n\n~")[0], re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in rows]


def test_the_documented_table_is_the_table() -> None:
    expected = []
    for one in map(SPECIFICATIONS.__getitem__, FIFTEEN):
        sizes = " / ".join(f"{one.sizes[part]:,}" if part in one.sizes else "–" for part in PARTS)
        title = one.title + " ~" * one.high_variance
        expected.append([f"`{one.name}`", title, f"{one.n_classes:,}", sizes, f"`{one.folder}`"])
    documented = _documented()
    assert [row[:5] for row in documented] == expected
    for row, one in zip(documented, map(SPECIFICATIONS.__getitem__, FIFTEEN), strict=True):
        assert (f"`{one.split_file}`" == row[5]) == bool(one.split_file)


def test_names_are_those_of_the_hand_written_sentences() -> None:
    assert set(SPECIFICATIONS) == set(read_mapping(resource("configs/templates/datasets.yaml")))
    assert (len(ELEVEN), len(VARIANTS)) == (11, 4)
    assert tuple(SPECIFICATIONS)[:15] == FIFTEEN == ELEVEN + VARIANTS
    assert {one.name for one in SPECIFICATIONS.values() if one.high_variance} == {"dtd", "eurosat", "fgvc_aircraft"}


def test_readers_and_files_are_one() -> None:
    files = {path.stem for path in Path(official.__file__).parent.glob("[!_]*.py")}
    assert {one.reader for one in SPECIFICATIONS.values()} == files


@pytest.mark.parametrize("name", FIFTEEN)
def test_an_entry_is_whole(name: str) -> None:
    one = SPECIFICATIONS[name]
    assert set(one.sizes) == ({"test"} if name in VARIANTS else {"train", "test"} if name == "imagenet" else set(PARTS))
    assert bool(one.archive) != bool(one.by_hand)
    assert not one.torchvision or hasattr(torchvision.datasets, one.torchvision)
    assert not one.split_file or one.split_file in one.marks
    others = [other for other in SPECIFICATIONS.values() if other is not one]
    shared = [mark for other in others for mark in other.marks if mark in one.marks]
    assert shared == []
    assert f"data download {name} --root 'my data'" in one.next_step("my data") or one.by_hand


@pytest.mark.parametrize("attribute", ["name", "title", "folder", "split_file", "archive"])
def test_no_two_entries_share_what_tells_them(attribute: str) -> None:
    names = FIFTEEN if attribute == "archive" else SPECIFICATIONS  # VTAB's tasks lie in one archive
    values = [getattr(SPECIFICATIONS[name], attribute) for name in names]
    given = [value for value in values if value]
    assert len(set(given)) == len(given)
