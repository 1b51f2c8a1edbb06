from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from clipprompt.datasets import _extract
from clipprompt.errors import UserError


def zip_of(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name in names:
            zipped.writestr(name, name)
    return path


def tar_of(path: Path, names: list[str], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = (
                kind,
                "/etc/hostname",
                len(name) if kind == tarfile.REGTYPE else 0,
            )
            tar.addfile(member, io.BytesIO(name.encode()) if kind == tarfile.REGTYPE else None)
    return path


def extract(archive: Path, folder: Path) -> None:
    _extract.extract(archive, folder, archive.parent)


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("make", "name"), [(zip_of, "a.zip"), (tar_of, "a.tar")])
def test_archive_joins_what_is_there(tmp_path: Path, make, name: str) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "mine.txt").write_text("mine")
    (root / "sub" / "old.txt").write_text("old")
    extract(make(tmp_path / name, ["sub/old.txt", "sub/new.txt", "other/x.txt"]), root)
    assert files(root) == {
        "sub/mine.txt": "mine",
        "sub/old.txt": "sub/old.txt",
        "sub/new.txt": "sub/new.txt",
        "other/x.txt": "other/x.txt",
    }
    assert sorted(path.name for path in root.iterdir()) == ["other", "sub"]


@pytest.mark.parametrize("bad", ["../out.txt", "a/../../out.txt", "/tmp/out.txt", "..\\out.txt", "C:\\out.txt"])
@pytest.mark.parametrize(("make", "name"), [(zip_of, "a.zip"), (tar_of, "a.tar")])
def test_archive_that_leads_out_is_refused_whole(tmp_path: Path, make, name: str, bad: str) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(UserError, match=r"would be written outside .*nothing was unpacked"):
        extract(make(tmp_path / name, ["good.txt", bad]), root)
    assert list(root.iterdir()) == []
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_archive_with_links_or_devices_is_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(UserError, match="'passwd' is a link or a device"):
        extract(tar_of(tmp_path / "a.tar", ["passwd"], kind), tmp_path)


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
@pytest.mark.parametrize("content", [b"", b"<html>moved</html>" * 99])
def test_broken_archive_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"cannot unpack .*{name}"):
        extract(tmp_path / name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("make", "name"), [(zip_of, "a.zip"), (tar_of, "a.tar")])
def test_archive_cut_within_a_file_moves_nothing(tmp_path: Path, make, name: str) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "root"
    root.mkdir()
    path = make(tmp_path / name, [f"{number}.txt" for number in range(9)])
    path.write_bytes(path.read_bytes()[:4611] if name == "a.tar" else path.read_bytes()[:-30])
    with pytest.raises(UserError, match="cannot unpack"):
        extract(path, root)
    assert list(root.iterdir()) == []


def test_file_in_the_way_of_a_folder_is_one_line(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ["sub/x.txt"])
    root = tmp_path / "root"
    root.mkdir()
    (root / "sub").write_text("a file")
    with pytest.raises(UserError, match=r"cannot unpack .*: Not a directory"):
        extract(archive, root)
    assert (root / "sub").read_text() == "a file"


def test_remains_of_a_killed_run_are_swept(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ["new.txt"])
    (tmp_path / "a.zip.unpacking").mkdir()
    (tmp_path / "a.zip.unpacking" / "half.txt").write_text("half")
    extract(archive, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "new.txt"]


def test_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    member = zipfile.ZipInfo("passwd")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr(member, "/etc/passwd")
    with pytest.raises(UserError, match="'passwd' is a link or a device"):
        extract(tmp_path / "a.zip", tmp_path)


def test_zip_with_a_password_is_one_line(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ["x.txt"])
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag in the file's own header
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # and in the list at the end
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot unpack .*password"):
        extract(archive, tmp_path)


@pytest.mark.parametrize(("make", "name"), [(zip_of, "a.zip"), (tar_of, "a.tar")])
def test_what_the_disk_has_no_room_for_is_not_begun(
    tmp_path: Path,
    make,  # type: ignore[no-untyped-def]
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = make(tmp_path / name, ["x" * 90])
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=89))
    with pytest.raises(UserError, match="0 MB are needed to unpack"):
        extract(archive, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("make", "name"), [(zip_of, "a.zip"), (tar_of, "a.tar")])
def test_what_is_left_out_is_not_written(tmp_path: Path, make, name: str) -> None:  # type: ignore[no-untyped-def]
    archive = make(tmp_path / name, ["a.jpg", "few/1.pkl", "few/2.pkl"])
    with _extract.unpacked(archive, tmp_path, lambda name: name.endswith(".pkl")) as (beside, left_out):
        assert (files(beside), left_out) == ({"a.jpg": "a.jpg"}, ["few/1.pkl", "few/2.pkl"])
    assert [path.name for path in tmp_path.iterdir()] == [name]
