"""torchvision's own classes fetch from a server on this machine, in the layouts of the official archives."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat
from torchvision import datasets
from torchvision.datasets import flowers102, utils

from clipprompt.datasets._workshop import WORKSHOP
from clipprompt.datasets.classification.check import check_set
from clipprompt.datasets.classification.download import download_classification
from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.errors import UserError
from tests.datasets.archives import pack_zip
from tests.datasets.classification.archives import miniature_sizes
from tests.datasets.classification.miniatures import make_miniature
from tests.datasets.server import Server, serve
from tests.datasets.test_download import in_child

FETCHED = ("caltech101", "oxford_pets", "flowers102", "food101", "fgvc_aircraft", "dtd", "eurosat")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def pack(folder: Path, *names: str, inside: str = "") -> bytes:
    """A .tar.gz of files and folders, below the folder ``inside``."""
    path = folder / "packed"
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name in names:
            tar.add(folder / name, f"{inside}{name}")
    content = path.read_bytes()
    path.unlink()
    return content


def official_archives(name: str, root: Path) -> dict[str, bytes]:
    """What the addresses in torchvision give, by file name, made of a miniature."""
    make_miniature(name, root, split_file=False)
    base = root / SPECIFICATIONS[name].folder
    entries = sorted(path.name for path in base.iterdir())
    if name == "caltech101":
        (root / "zip" / "caltech-101").mkdir(parents=True)
        inner = root / "zip" / "caltech-101" / "101_ObjectCategories.tar.gz"
        inner.write_bytes(pack(base, "101_ObjectCategories"))
        return {"caltech-101.zip": pack_zip(root / "zip", "caltech-101")}
    if name == "oxford_pets":
        return {f"{part}.tar.gz": pack(base, part) for part in ("images", "annotations")}
    if name == "flowers102":
        numbers = np.arange(1, 41, dtype=np.uint16)[None]
        savemat(base / "setid.mat", {"trnid": numbers[:, :10], "valid": numbers[:, 10:20], "tstid": numbers[:, 20:]})
        lists = {file: (base / file).read_bytes() for file in ("imagelabels.mat", "setid.mat")}
        return {"102flowers.tgz": pack(base, "jpg"), **lists}
    if name == "fgvc_aircraft":
        lines = [(base / f"images_variant_{part}.txt").read_text() for part in ("train", "val")]
        (base / "images_variant_trainval.txt").write_text("".join(lines))
        entries.append("images_variant_trainval.txt")
        return {"fgvc-aircraft-2013b.tar.gz": pack(base, *entries, inside="fgvc-aircraft-2013b/data/")}
    if name == "sun397":
        (base / "ClassName.txt").rename(base / "SUN397" / "ClassName.txt")
        return {"SUN397.tar.gz": pack(base, "SUN397")}
    if name == "dtd":
        return {"dtd-r1.0.1.tar.gz": pack(root, "dtd")}
    if name == "food101":
        return {"food-101.tar.gz": pack(root, "food-101")}
    return {"EuroSAT.zip": pack_zip(base, "2750")}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that torchvision takes for all others; it believes the checksums of what lies there."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    true = utils.download_url
    with serve() as running, miniature_sizes():

        def download_url(url: str, root: Any, filename: Any = None, md5: str | None = None, **options: Any) -> None:
            name = url.rpartition("/")[2]
            here = md5 and hashlib.md5(running.files.get(name, b"")).hexdigest()
            true(f"{running.url}/{name}", root, filename, here, **options)

        monkeypatch.setattr(utils, "download_url", download_url)
        monkeypatch.setattr(flowers102, "download_url", download_url)
        yield running


def offer(server: Server, monkeypatch: pytest.MonkeyPatch, name: str, folder: Path) -> None:
    server.files = official_archives(name, folder)
    known = {
        kind: (file, hashlib.md5(server.files.get(file, b"")).hexdigest())
        for kind, (file, _) in datasets.Flowers102._file_dict.items()
    }
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", known)


@pytest.mark.parametrize("name", FETCHED)
def test_official_archives_end_where_coop_has_them(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    offer(server, monkeypatch, name, tmp_path / "made")
    found = download_classification(name, tmp_path / "root", "torchvision")
    own = make_miniature(name, tmp_path / "own", split_file=False)
    assert found.dataset is not None
    assert found.dataset.source_sha256 is None
    assert found.sizes == check_set(name, own).sizes
    assert [path.name for path in (tmp_path / "root").iterdir()] == [SPECIFICATIONS[name].folder]
    if name != "flowers102":  # torchvision has all 102 names
        assert found.split_hash == check_set(name, own).split_hash


def test_names_of_flowers_are_torchvisions(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offer(server, monkeypatch, "flowers102", tmp_path / "made")
    found = download_classification("flowers102", tmp_path, "torchvision")
    assert found.dataset is not None
    assert {sample.classname for sample in found.dataset.part("test")} == {*datasets.Flowers102.classes[:4]}


def test_scenes_need_the_lists_that_torchvision_does_not_fetch(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(server, monkeypatch, "sun397", tmp_path / "made")
    said = r"put split_zhou_SUN397\.json, or Training_01\.txt and Testing_01\.txt, into .*sun397 first"
    with pytest.raises(UserError, match=said):
        download_classification("sun397", tmp_path / "root", "torchvision")
    assert server.asked == []
    make_miniature("sun397", tmp_path / "root")
    shutil.rmtree(tmp_path / "root" / "sun397" / "SUN397")
    assert download_classification("sun397", tmp_path / "root", "torchvision").is_whole


def killed_while_fetching(server: Server, name: str, root: Path) -> None:
    server.breaks, server.stalls = 2, True  # the first request asks for nothing but where the file is
    pid = in_child(lambda: download_classification(name, root, "torchvision"))
    deadline = time.monotonic() + 30
    while server.breaks and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)  # until half an archive lies there
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    server.release.set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("name", ["dtd", "fgvc_aircraft"])  # of the second, torchvision knows no checksum
def test_killed_while_fetching_never_looks_whole(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    offer(server, monkeypatch, name, tmp_path / "made")
    killed_while_fetching(server, name, tmp_path / "root")
    assert not check_set(name, tmp_path / "root").is_whole
    assert download_classification(name, tmp_path / "root", "torchvision").is_whole
    assert [path.name for path in (tmp_path / "root").iterdir()] == [SPECIFICATIONS[name].folder]


@pytest.mark.parametrize("name", ["dtd", "fgvc_aircraft", "oxford_pets"])
def test_what_a_killed_run_unpacked_is_not_believed(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    offer(server, monkeypatch, name, tmp_path / "made")
    half = tmp_path / "root" / WORKSHOP / f"torchvision-{name}"
    for folder in (
        "dtd/dtd/images",
        "fgvc-aircraft-2013b/data",
        "oxford-iiit-pet/images",
        "oxford-iiit-pet/annotations",
    ):
        (half / folder).mkdir(parents=True)
    for archive, content in server.files.items():
        folder = {"dtd": half / "dtd", "oxford_pets": half / "oxford-iiit-pet"}.get(name, half)
        (folder / archive).write_bytes(content if name == "oxford_pets" else content[:100])
    assert download_classification(name, tmp_path / "root", "torchvision").is_whole
    assert (len(server.asked) == 0) == (name == "oxford_pets")  # whole archives are used again


def gone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files = {}


def broken(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files = {name: content[: len(content) // 2] for name, content in server.files.items()}


def other_bytes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "check_integrity", lambda path, md5=None: False)


def offline(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.url = "http://127.0.0.1:1"


def nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    pass


def full(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(utils, "_urlretrieve", write)


MISTAKES = {
    "address is gone": (
        "dtd",
        gone,
        "fetch DTD: Not Found; leave out --from torchvision, or run this again",
    ),
    "archive is broken": ("fgvc_aircraft", broken, "torchvision cannot fetch FGVCAircraft: .*; leave out"),
    "other bytes": ("dtd", other_bytes, "torchvision cannot fetch DTD: File not found or corrupted; leave out"),
    "offline": ("dtd", offline, r"torchvision cannot fetch DTD: .*refused"),
    "disk is full": ("dtd", full, "torchvision cannot fetch DTD: No space left on device"),
    "address is dead": (
        "stanford_cars",
        nothing,
        "fetch StanfordCars: The original URL is broken .*; leave out --from",
    ),
    "never had it": ("imagenet_v2", nothing, "torchvision does not fetch ImageNetV2; leave out --from torchvision"),
}


@pytest.mark.parametrize(("name", "change", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_one_line(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    change: Callable[[Server, pytest.MonkeyPatch], None],
    said: str,
) -> None:
    if name in FETCHED:
        offer(server, monkeypatch, name, tmp_path / "made")
    change(server, monkeypatch)
    with pytest.raises(UserError, match=said) as caught:
        download_classification(name, tmp_path / "root", "torchvision")
    assert "\n" not in str(caught.value)
    assert not check_set(name, tmp_path / "root").is_whole
