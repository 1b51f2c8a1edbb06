from __future__ import annotations

import io
import os
import shutil
import signal
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clipprompt.datasets._workshop import WORKSHOP
from clipprompt.datasets.classification import download
from clipprompt.datasets.classification.check import Findings, check_set
from clipprompt.datasets.classification.download import download_classification
from clipprompt.datasets.classification.specifications import HUB_REPOSITORY, SPECIFICATIONS
from clipprompt.errors import UserError
from tests.datasets.classification.archives import FETCHED, N_PICKLES, fill_hub
from tests.datasets.classification.miniatures import make_miniature
from tests.datasets.server import serve
from tests.datasets.test_download import in_child
from tests.sharing import hub_stand_in
from tests.sharing.hub_stand_in import TOKEN, Hub

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", FETCHED)
def test_set_arrives_as_it_was_packed_and_only_once(
    hub: Hub, archives: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    fill_hub(hub, archives)
    made = make_miniature(name, tmp_path / "made")
    found = download_classification(name, tmp_path / "new" / "root")
    assert files_of(tmp_path / "new" / "root") == files_of(made)
    assert (found.is_whole, found.has_official_size) == (True, name.startswith("imagenet"))
    assert found.split_hash == check_set(name, made).split_hash
    n_asked = len(hub.requests)
    assert download_classification(name, tmp_path / "new" / "root").split_hash == found.split_hash
    assert len(hub.requests) == n_asked


def test_pickles_stay_in_the_archive_and_are_counted(hub: Hub, archives: dict[str, bytes], tmp_path: Path) -> None:
    fill_hub(hub, archives)
    assert f"{N_PICKLES} pickles" in download_classification("dtd", tmp_path).notes[-1]
    assert not [*tmp_path.rglob("*.pkl")]


@pytest.mark.parametrize("kind", ["dataset", "model"])
@pytest.mark.parametrize("name", ["Caltech_101.zip", "data/caltech101.zip", "caltech-101.zip"])
def test_archive_is_found_under_names_that_differ_in_spelling(
    hub: Hub, archives: dict[str, bytes], tmp_path: Path, kind: str, name: str
) -> None:
    fill_hub(hub, {"dtd.zip": b"", name: archives["caltech-101.zip"]}, kind)
    assert download_classification("caltech101", tmp_path).is_whole


@pytest.mark.parametrize("top", ["", "data/", "caltech101/"])
def test_set_is_found_wherever_its_archive_has_it(hub: Hub, tmp_path: Path, top: str) -> None:
    make_miniature("caltech101", tmp_path / "made")
    folder, content = tmp_path / "made" / "caltech-101", io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        for path in folder.rglob("*"):
            zipped.write(path, f"{top}{path.relative_to(folder)}")
    fill_hub(hub, {"caltech-101.zip": content.getvalue()})
    download_classification("caltech101", tmp_path / "root")
    assert files_of(tmp_path / "root") == files_of(tmp_path / "made")


@pytest.mark.parametrize("spoilt", ["split_zhou_Caltech101.json", "101_ObjectCategories/accordion"])
def test_what_is_missing_joins_what_is_there(hub: Hub, archives: dict[str, bytes], tmp_path: Path, spoilt: str) -> None:
    fill_hub(hub, archives)
    make_miniature("caltech101", tmp_path)
    before = files_of(tmp_path)
    (tmp_path / "caltech-101" / "mine.txt").write_text("mine")
    (tmp_path / "caltech-101" / spoilt).rename(tmp_path / "away")
    assert download_classification("caltech101", tmp_path / "caltech-101").is_whole  # the set's own folder is root too
    assert {*before, "caltech-101/mine.txt"} <= {*files_of(tmp_path)}


def test_pictures_without_a_split_file_get_it_alone(hub: Hub, archives: dict[str, bytes], tmp_path: Path) -> None:
    fill_hub(hub, archives)
    made = make_miniature("dtd", tmp_path / "made")
    make_miniature("dtd", tmp_path / "root", split_file=False)
    said: list[str] = []
    with serve() as store:
        store.files, hub.store = dict(archives), store.url
        found = download_classification("dtd", tmp_path / "root", report=lambda what, *_: said.append(what))
    assert said == ["Fetching split_zhou_DescribableTextures.json of dtd.zip"]
    assert found.notes[-1] == "the pictures were there, so split_zhou_DescribableTextures.json alone was fetched"
    assert found.split_hash == check_set("dtd", made).split_hash
    assert all(wanted is not None for _, wanted in store.asked)  # parts of the archive, never all of it
    assert files_of(tmp_path / "root") == files_of(made)


@pytest.mark.parametrize("spoilt", ["no ranges", "other pictures"])
def test_archive_is_fetched_where_its_split_file_does_not_do(
    hub: Hub, archives: dict[str, bytes], tmp_path: Path, spoilt: str
) -> None:
    fill_hub(hub, archives)
    make_miniature("dtd", tmp_path, split_file=False)
    with serve() as store:
        store.files, hub.store, store.ranges = dict(archives), store.url, spoilt != "no ranges"
        if spoilt == "other pictures":
            (tmp_path / "dtd" / "images" / "banded" / "banded_0001.jpg").rename(tmp_path / "dtd/images/banded/b.jpg")
        found = download_classification("dtd", tmp_path)
        assert store.asked[-1] == ("dtd.zip", None)
    assert found.is_whole
    assert "alone" not in found.notes[-1]


def test_folder_on_another_disk_is_filled_there(hub: Hub, archives: dict[str, bytes], tmp_path: Path) -> None:
    """Files do not move from disk to disk at once, so the work is done beside the folder that a link leads to."""
    fill_hub(hub, archives)
    disk = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else tmp_path))
    try:
        (disk / "DTD").mkdir()
        (tmp_path / "dtd").symlink_to(disk / "DTD")
        assert download_classification("dtd", tmp_path).is_whole
        assert [path.name for path in disk.iterdir()] == ["DTD"]
        assert (tmp_path / "dtd").is_symlink()
    finally:
        shutil.rmtree(disk)


def test_archive_can_be_kept(hub: Hub, archives: dict[str, bytes], tmp_path: Path) -> None:
    fill_hub(hub, archives)
    download_classification("dtd", tmp_path, keep_archives=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dtd", "dtd.zip"]


def test_token_goes_to_the_hub_and_not_to_the_store(
    hub: Hub, archives: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fill_hub(hub, archives, gated=True)
    with serve() as store:
        store.files, hub.store = dict(archives), store.url
        assert download_classification("dtd", tmp_path).is_whole
    assert store.tokens == [None]


def test_progress_is_told(hub: Hub, archives: dict[str, bytes], tmp_path: Path) -> None:
    fill_hub(hub, archives)
    said: list[tuple[str, int, int | None]] = []
    download_classification("dtd", tmp_path, report=lambda *what: said.append(what))
    size = len(archives["dtd.zip"])
    assert said[-2:] == [("Fetching dtd.zip", size, size), ("Unpacking dtd.zip", 0, None)]


@forks
def test_killed_while_fetching_goes_on_from_its_part(hub: Hub, archives: dict[str, bytes], tmp_path: Path) -> None:
    fill_hub(hub, archives)
    root, size = tmp_path / "root", len(archives["dtd.zip"])
    with serve() as store:
        store.files, hub.store, store.breaks, store.stalls = dict(archives), store.url, 1, True
        pid = in_child(lambda: download_classification("dtd", root))
        part = root / WORKSHOP / "dtd.zip.part"
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        store.release.set()
        kept = part.stat().st_size
        assert 0 < kept < size
        stopped = check_set("dtd", root)
        assert not stopped.is_whole
        assert stopped.notes == ("dtd: 0 MB of dtd.zip are fetched already",)
        assert download_classification("dtd", root).is_whole
        assert store.asked[-1] == ("dtd.zip", f"bytes={kept}-")
    assert [path.name for path in root.iterdir()] == ["dtd"]


def die_at(owner: Any, name: str, number: int) -> None:
    """Kills this process at a call of ``owner.name``, counted from 1."""
    true, calls = getattr(owner, name), []

    def count(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return true(*args, **options)

    setattr(owner, name, count)


@forks
@pytest.mark.parametrize("partly_there", [False, True])
@pytest.mark.parametrize("name", ["imagenet_r", "dtd"])
@pytest.mark.parametrize(("owner", "method", "number"), [("zip", "_extract_member", 7), ("path", "replace", 2)])
def test_killed_while_unpacking_never_looks_whole(
    hub: Hub,
    archives: dict[str, bytes],
    tmp_path: Path,
    name: str,
    partly_there: bool,
    owner: str,
    method: str,
    number: int,
) -> None:
    fill_hub(hub, archives)
    root = tmp_path / "root"
    if partly_there:
        make_miniature(name, root)
        for path in [*root.rglob("*.[jJ]*")][:15]:  # pictures and the split file
            path.unlink()

    def work() -> None:
        die_at({"zip": zipfile.ZipFile, "path": Path}[owner], method, number)
        download_classification(name, root)

    _, status = os.waitpid(in_child(work), 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert name == "mini-objects" or not check_set(name, root).is_whole
    assert download_classification(name, root).is_whole
    assert sorted(path.name for path in root.iterdir()) == [SPECIFICATIONS[name].folder]


def nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    pass


def another_repository(hub: Hub, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    hub.repos["other/sets"] = hub.repos.pop(HUB_REPOSITORY)


def gated(hub: Hub, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    hub.repos[HUB_REPOSITORY].gated = True


def down(hub: Hub, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    hub.status = 500


def offline(hub: Hub, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")


def full(hub: Hub, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 10))


def replaced(name: str, content: bytes) -> Callable[[Hub, pytest.MonkeyPatch, Path], None]:
    def change(hub: Hub, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        files = hub.repos[HUB_REPOSITORY].branches["main"][-1]
        files[name] = content

    return change


def without_dtd(hub: Hub, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    del hub.repos[HUB_REPOSITORY].branches["main"][-1]["dtd.zip"]


def other_bytes(hub: Hub, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """What is sent is not what the repository lists."""
    true = hub_stand_in._sibling
    monkeypatch.setattr(hub_stand_in, "_sibling", lambda name, content, with_blobs: true(name, b"", with_blobs))


def file_for_root(hub: Hub, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    root.write_text("")


def file_in_the_way(hub: Hub, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    root.mkdir()
    (root / "dtd").write_text("")


def small_zip(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        for name in names:
            zipped.writestr(name, name)
    return content.getvalue()


MISTAKES = {
    "unknown name": ("caltech", "hub", nothing, r"there is no set 'caltech' \(did you mean 'caltech101'\?\)"),
    "a part": ("dtd:test", "hub", nothing, "there is no set 'dtd:test'; choose one of imagenet, caltech101"),
    "a drawn set": ("mini-objects", "hub", nothing, "mini-objects is drawn, so there is nothing to fetch"),
    "imagenet": ("imagenet", "hub", nothing, r"cannot be fetched for you: get ImageNet's .* https://image-net\.org"),
    "unknown source": ("dtd", "hubb", nothing, r"--from 'hubb' is none of hub, torchvision \(did you mean 'hub'\?\)"),
    "no repository": ("dtd", "hub", another_repository, "there is no repository zhengli97/prompt_learning_dataset at"),
    "gated": ("dtd", "hub", gated, r"prompt_learning_dataset is gated: .* log in with `hf auth login`"),
    "hub is down": ("dtd", "hub", down, "answers 500"),
    "offline": ("dtd", "hub", offline, r"cannot reach http://127\.0\.0\.1:1 .* HF_ENDPOINT"),
    "no such archive": ("dtd", "hub", without_dtd, "has no archive of dtd; it has caltech-101.zip, oxford_pets.zip"),
    "disk is full": ("dtd", "hub", full, r"has 0 MB free; 0 MB are needed to fetch and unpack"),
    "other bytes": ("dtd", "hub", other_bytes, "is not the official file: its SHA-256 is not"),
    "no archive at all": ("dtd", "hub", replaced("dtd.zip", b"<html>"), r"cannot unpack .*dtd\.zip: File is not a zip"),
    "another set": ("dtd", "hub", replaced("dtd.zip", small_zip("a.txt")), r"holds none of split_zhou_Describable"),
    "leads out": ("dtd", "hub", replaced("dtd.zip", small_zip("../a")), "'../a' would be written outside"),
    "half a set": (
        *("eurosat", "hub", replaced("eurosat.zip", small_zip("eurosat/2750/Forest/a.jpg"))),
        r"fetched, but not whole: eurosat: class 'Forest' has too few pictures.*; try --from torchvision$",
    ),
    "root is a file": ("dtd", "hub", file_for_root, r"cannot write to .*root: Not a directory"),
    "file in the way": ("dtd", "hub", file_in_the_way, r"cannot unpack .*Not a directory"),
    "torchvision has none": ("ucf101", "torchvision", nothing, "torchvision does not fetch UCF101; leave out --from"),
}


@pytest.mark.parametrize(("name", "source", "change", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_one_line(
    hub: Hub,
    archives: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    source: str,
    change: Callable[[Hub, pytest.MonkeyPatch, Path], None],
    said: str,
) -> None:
    fill_hub(hub, archives)
    root = tmp_path / "root"
    change(hub, monkeypatch, root)
    with pytest.raises(UserError, match=said) as caught:
        download_classification(name, root, source)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert name == "mini-objects" or not check_set(name, root).is_whole


@pytest.mark.parametrize(
    ("said", "line"), [("it is torn;", "it is torn; try --from torchvision"), ("torn? or", "torn? or try --from torc")]
)
def test_what_was_fetched_in_vain_is_not_advised_again(said: str, line: str) -> None:
    specification = SPECIFICATIONS["dtd"]
    found = Findings("dtd", None, problem=f"{said} {specification.next_step('data')}")
    error = str(download._fetched_in_vain(found, specification, "data", "hub"))
    assert error.startswith(f"fetched, but not whole: {line}")
    assert "data download" not in error


def test_a_folder_in_place_of_the_split_file_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    path = tmp_path / SPECIFICATIONS["dtd"].folder / SPECIFICATIONS["dtd"].split_file
    path.mkdir(parents=True)
    with pytest.raises(UserError, match=f"{path} is a folder where a file belongs; remove it"):
        download_classification("dtd", tmp_path)
