from __future__ import annotations

import os
import signal
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clipprompt.datasets import load_dataset
from clipprompt.datasets._workshop import WORKSHOP
from clipprompt.datasets.download import download_dataset
from clipprompt.datasets.specifications import SPECIFICATIONS
from clipprompt.errors import UserError
from tests.datasets.archives import coco_archives, known, use, voc_archives
from tests.datasets.server import Server, serve

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return voc_archives(tmp_path_factory.mktemp("voc")) | coco_archives(tmp_path_factory.mktemp("coco"))


@pytest.fixture
def server(archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as running:
        running.files = dict(archives)
        with use(known(archives, running.url)):
            yield running


def asked(server: Server) -> list[str]:
    return [name for name, _ in server.asked]


def left_over(root: Path) -> list[str]:
    """What lies in the folder and is not of the set."""
    return sorted({path.name for path in root.iterdir()} - {"VOCdevkit", "annotations", "val2014"})


@pytest.mark.parametrize("spec", ["voc2007:test", "voc2007:trainval", "voc2007", "coco2014"])
def test_set_arrives_whole_and_only_once(server: Server, tmp_path: Path, spec: str) -> None:
    first = download_dataset(spec, tmp_path / "new" / "root")
    n_asked = len(server.asked)
    again = download_dataset(spec, tmp_path / "new" / "root")
    assert first.split_hash() == again.split_hash() == load_dataset(spec, root=tmp_path / "new" / "root").split_hash()
    assert len(server.asked) == n_asked
    assert left_over(tmp_path / "new" / "root") == []


def test_second_archive_joins_the_first(server: Server, tmp_path: Path) -> None:
    train = download_dataset("voc2007:train", tmp_path).split_hash()
    download_dataset("voc2007:test", tmp_path / "VOCdevkit")  # any of the folders that --root may be
    assert load_dataset("voc2007:train", root=tmp_path).split_hash() == train
    assert asked(server) == ["VOCtrainval_06-Nov-2007.tar", "VOCtest_06-Nov-2007.tar"]
    assert not (tmp_path / "VOCdevkit" / "VOCdevkit").exists()


@pytest.mark.parametrize(
    ("broken", "fetched"),
    [
        ("annotations/instances_val2014.json", "annotations_trainval2014.zip"),
        ("val2014/COCO_val2014_000000000101.jpg", "val2014.zip"),
    ],
)
def test_only_the_archive_of_what_is_missing_is_fetched(
    server: Server, tmp_path: Path, broken: str, fetched: str
) -> None:
    download_dataset("coco2014:val", tmp_path)
    server.asked.clear()
    (tmp_path / broken).unlink()
    download_dataset("coco2014:val", tmp_path)
    assert asked(server) == [fetched]


def test_labels_cut_short_are_fetched_anew(server: Server, tmp_path: Path) -> None:
    download_dataset("coco2014:val", tmp_path)
    (tmp_path / "annotations" / "instances_val2014.json").write_text('{"images": [')
    assert len(download_dataset("coco2014:val", tmp_path)) == 4


def test_archive_that_lies_there_is_unpacked(server: Server, archives: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "VOCtest_06-Nov-2007.tar").write_bytes(archives["VOCtest_06-Nov-2007.tar"])
    assert len(download_dataset("voc2007:test", tmp_path)) == 3
    assert server.asked == []
    assert left_over(tmp_path) == ["VOCtest_06-Nov-2007.tar"]  # it is the user's


def test_archive_of_that_name_with_other_bytes_is_kept_and_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "VOCtest_06-Nov-2007.tar").write_bytes(b"half of it")
    with pytest.raises(UserError, match=r"VOCtest_06-Nov-2007\.tar is not the official archive.*move it away"):
        download_dataset("voc2007:test", tmp_path)
    assert (tmp_path / "VOCtest_06-Nov-2007.tar").read_bytes() == b"half of it"


def test_archives_can_be_kept(server: Server, tmp_path: Path) -> None:
    download_dataset("coco2014:val", tmp_path, keep_archives=True)
    assert left_over(tmp_path) == ["annotations_trainval2014.zip", "val2014.zip"]


def test_part_of_another_split_stays(server: Server, tmp_path: Path) -> None:
    (tmp_path / WORKSHOP).mkdir()
    (tmp_path / WORKSHOP / "train2014.zip.part").write_bytes(b"half")
    download_dataset("coco2014:val", tmp_path)
    assert [path.name for path in (tmp_path / WORKSHOP).glob("*.*")] == ["train2014.zip.part"]


def test_mirror_is_asked_in_place_of_the_official_address(archives: dict[str, bytes], tmp_path: Path) -> None:
    with serve() as mirror, use(known(archives, "http://127.0.0.1:1")):
        mirror.files = dict(archives)
        download_dataset("voc2007", tmp_path, mirror=f"{mirror.url}/pub/")
        assert asked(mirror) == ["VOCtest_06-Nov-2007.tar"]


def test_progress_is_told(server: Server, tmp_path: Path) -> None:
    said: list[str] = []
    download_dataset("coco2014", tmp_path, report=lambda what, *_: said.append(what))
    assert list(dict.fromkeys(said)) == [
        f"{verb} {name}"
        for name in ("annotations_trainval2014.zip", "val2014.zip")
        for verb in ("Fetching", "Unpacking")
    ]


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("nuswide", {}, "NUS-WIDE cannot be fetched for you: get ImageList .* ask there for the pictures"),
        ("mini:test", {}, "'mini:test' is not a named set; choose one of voc2007"),
        ("voc2007:tset", {}, r"voc2007 has no split 'tset' \(did you mean 'test'\?\)"),
        ("voc2007", {"mirror": "ftp://x"}, "--mirror ftp://x is not an address"),
    ],
)
def test_request_that_cannot_be_served_is_one_line(
    server: Server, tmp_path: Path, spec: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        download_dataset(spec, tmp_path, **options)  # type: ignore[arg-type]
    assert server.asked == []


def test_root_that_is_a_file_is_one_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*root: Not a directory"):
        download_dataset("voc2007", tmp_path / "root")


def test_archive_would_not_fit_a_renamed_folder(server: Server, tmp_path: Path) -> None:
    download_dataset("voc2007", tmp_path)
    (tmp_path / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "test.txt").unlink()
    (tmp_path / "VOCdevkit").rename(tmp_path / "mine")
    with pytest.raises(UserError, match="is not in a folder VOCdevkit"):
        download_dataset("voc2007", tmp_path / "mine" / "VOC2007")


def test_two_downloads_into_one_folder_are_refused(server: Server, tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / WORKSHOP).mkdir()
    with FileLock(tmp_path / WORKSHOP / "lock"), pytest.raises(UserError, match="another download into"):
        download_dataset("voc2007", tmp_path)


def test_official_table_is_well_formed() -> None:
    from clipprompt.datasets.download import _address

    for one in SPECIFICATIONS.values():
        assert one.default in one.splits
        assert one.archives or one.by_hand
        for archive in one.archives:
            url, md5 = _address(archive)
            assert url.startswith("http")
            assert len(bytes.fromhex(md5)) == 16
            assert set(archive.splits) <= set(one.splits)


def in_child(work: Callable[[], object]) -> int:
    """Runs ``work`` in a forked process, which is quicker than a new one that must import torch; returns its pid."""
    if (pid := os.fork()) == 0:
        try:
            work()
        finally:
            os._exit(7)
    return pid


def state(spec: str, root: Path) -> str:
    try:
        return load_dataset(spec, root=root).split_hash()
    except UserError:
        return "not whole"


def die_at(owner: Any, name: str, number: int) -> None:
    """This process kills itself at call ``number`` of a function."""
    original, calls = getattr(owner, name), iter(range(1, 1000))

    def counted(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, name, counted)


# Of VOC's second archive 3 annotations, 3 pictures and 1 list move one by one, after the part has got its name.
@forks
@pytest.mark.parametrize(
    ("spec", "owner", "name", "number"),
    [
        ("voc2007:test", tarfile.TarFile, "makefile", 1),
        ("voc2007:test", tarfile.TarFile, "makefile", 4),
        ("voc2007:test", Path, "replace", 1),
        ("voc2007:test", Path, "replace", 3),
        ("voc2007:test", Path, "replace", 6),
        ("voc2007:test", Path, "replace", 8),
        ("voc2007:test", Path, "unlink", 1),
        ("coco2014:val", zipfile.ZipFile, "_extract_member", 3),
        ("coco2014:val", Path, "replace", 4),
    ],
)
def test_killed_while_unpacking_never_looks_whole(
    server: Server, tmp_path: Path, spec: str, owner: Any, name: str, number: int
) -> None:
    root = tmp_path / "root"
    train = download_dataset("voc2007:train", root).split_hash()
    whole = download_dataset(spec, tmp_path / "other").split_hash()

    def work() -> None:
        die_at(owner, name, number)
        download_dataset(spec, root)

    _, status = os.waitpid(in_child(work), 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert state(spec, root) in (whole, "not whole")
    assert load_dataset("voc2007:train", root=root).split_hash() == train
    assert download_dataset(spec, root).split_hash() == whole
    assert left_over(root) == []


@forks
def test_killed_while_fetching_goes_on_from_its_part(
    server: Server, archives: dict[str, bytes], tmp_path: Path
) -> None:
    root, name = tmp_path / "root", "VOCtest_06-Nov-2007.tar"
    server.breaks, server.stalls = 1, True
    pid = in_child(lambda: download_dataset("voc2007:test", root))
    part = root / WORKSHOP / f"{name}.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    server.release.set()
    kept = part.stat().st_size
    assert 0 < kept < len(archives[name])
    with pytest.raises(UserError, match=r"no VOC2007 at --root"):
        load_dataset("voc2007:test", root=root)
    assert len(download_dataset("voc2007:test", root)) == 3
    assert server.asked[-1] == (name, f"bytes={kept}-")
    assert left_over(root) == []
