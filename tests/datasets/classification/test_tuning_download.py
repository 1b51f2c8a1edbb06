"""VTAB-1k comes as one archive of the Hub; the fine-grained five are fetched by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from clipprompt.datasets.classification.download import download_classification
from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.errors import UserError
from tests.datasets.archives import pack_zip
from tests.datasets.classification.tuning_miniatures import classnames, make_tuning_miniature
from tests.sharing.hub_stand_in import Hub, Repo, lead_to, run_hub

PACKED = ("vtab-dtd", "vtab-svhn", "vtab-patch-camelyon")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The Hub, in a world where VTAB's tasks are as small as their miniatures."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    small = {
        name: replace(
            SPECIFICATIONS[name],
            n_classes=len(classnames(name)),
            sizes={part: times * len(classnames(name)) for part, times in (("train", 3), ("val", 1), ("test", 2))},
        )
        for name in PACKED
    }
    table = patch.dict("clipprompt.datasets.classification.specifications.SPECIFICATIONS", small)
    with run_hub() as state, table:
        lead_to(state, monkeypatch, tmp_path, token="")
        yield state


def _fill(hub: Hub, made: Path, top: str = "vtab-1k") -> None:
    for name in PACKED:
        make_tuning_miniature(name, made)
    if top != "vtab-1k":
        (made / top).parent.mkdir(parents=True, exist_ok=True)
        (made / "vtab-1k").rename(made / top)
    files = {".gitattributes": b"", "vtab-1k.zip": pack_zip(made, top.partition("/")[0])}
    hub.repos["XiN0919/VTAB-1k"] = Repo(kind="dataset", branches={"main": [files]})


@pytest.mark.parametrize("top", ["vtab-1k", "VTAB", "data/vtab"])
def test_one_archive_brings_all_tasks(hub: Hub, tmp_path: Path, top: str) -> None:
    _fill(hub, tmp_path / "made", top)
    root = tmp_path / "root"
    found = download_classification("vtab-dtd", root)
    assert (found.is_whole, found.has_official_size) == (True, True)
    n_asked = len(hub.requests)
    for name in PACKED:
        assert download_classification(name, root).is_whole
    assert len(hub.requests) == n_asked
    assert sorted(path.name for path in root.iterdir()) == ["vtab-1k"]
    assert sorted(path.name for path in (root / "vtab-1k").iterdir()) == ["dtd", "patch_camelyon", "svhn"]


def test_the_collections_own_folder_may_be_the_root(hub: Hub, tmp_path: Path) -> None:
    _fill(hub, tmp_path / "made")
    root = tmp_path / "data" / "vtab-1k"
    root.mkdir(parents=True)
    assert download_classification("vtab-svhn", root).is_whole
    assert (root / "svhn" / "train800.txt").is_file()


def test_what_is_missing_of_a_task_joins_what_is_there(hub: Hub, tmp_path: Path) -> None:
    _fill(hub, tmp_path / "made")
    base = make_tuning_miniature("vtab-dtd", tmp_path / "root")
    (base / "mine.txt").write_text("mine")
    (base / "images" / "test" / "000003.jpg").unlink()
    assert download_classification("vtab-dtd", tmp_path / "root").is_whole
    assert (base / "mine.txt").read_text() == "mine"


def test_an_archive_without_the_task_puts_nothing_in_place(hub: Hub, tmp_path: Path) -> None:
    _fill(hub, tmp_path / "made")
    with pytest.raises(UserError, match=r"what was fetched for vtab-pets holds none of train800.txt; nothing was put"):
        download_classification("vtab-pets", tmp_path / "root")
    assert not [*(tmp_path / "root" / "vtab-1k").glob("[a-z]*")]


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("fgvc-cub", "hub", r"CUB-200-2011 cannot be fetched for you: get the pictures at https://data.caltech.edu"),
        ("fgvc-cars", "hub", r"Stanford Cars cannot be fetched for you: .*put both into Stanford-cars"),
        ("vtab-dtd", "torchvision", r"torchvision does not fetch VTAB DTD; leave out --from torchvision"),
    ],
)
def test_what_cannot_be_fetched_is_told(tmp_path: Path, name: str, source: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        download_classification(name, tmp_path, source)
