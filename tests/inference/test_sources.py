from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from clipprompt.errors import UserError
from clipprompt.inference import _listing
from clipprompt.inference.sources import find_images, read_paths


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos and other things in a small tree, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in [
        *("p/img10.jpg", "p/img2.JPG", "p/Img3.png", "p/notes.txt", "p/.hidden.jpg", "p/phone.heic", "p/[1].png"),
        *("p/b/x.png", "p/b/deep/y.png", "p/a/z.png", "p/a/x.txt", "p/.cache/no.png", "q/only.txt", "single.dat"),
    ]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return tmp_path


def found(*inputs: str, **options: Any) -> tuple[list[str], dict[str, str]]:
    skipped: dict[str, str] = {}
    return list(find_images(inputs, on_skip=skipped.__setitem__, **options)), skipped


FIRST = ["p/[1].png", "p/img2.JPG", "p/Img3.png", "p/img10.jpg", "p/phone.heic"]
ALL = [*FIRST, "p/a/z.png", "p/b/x.png", "p/b/deep/y.png"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("p", FIRST),
        ("p/", FIRST),
        ("single.dat", ["single.dat"]),
        ("p/.hidden.jpg", ["p/.hidden.jpg"]),
        ("p/.cache", ["p/.cache/no.png"]),
        ("p/[1].png", ["p/[1].png"]),  # a file that is there is no pattern
        ("p/*.png", ["p/[1].png", "p/Img3.png"]),
        ("p/img?.*", ["p/img2.JPG"]),
        ("p/[Ii]mg[0-9]*", ["p/img2.JPG", "p/Img3.png", "p/img10.jpg"]),
        ("p/.*.jpg", ["p/.hidden.jpg"]),
        ("*/*/x.*", ["p/a/x.txt", "p/b/x.png"]),
        ("p/*/z.png", ["p/a/z.png"]),
        ("**/*.png", ["p/[1].png", "p/Img3.png", "p/a/z.png", "p/b/x.png", "p/b/deep/y.png"]),
        ("p/**/x.png", ["p/b/x.png"]),
        ("p/b/**", ["p/b/x.png", "p/b/deep/y.png"]),
        ("**/b/**/y.png", ["p/b/deep/y.png"]),
        ("**/**/y.png", ["p/b/deep/y.png"]),
    ],
)
def test_an_input_stands_for_these_files_in_this_order(folder: Path, name: str, expected: list[str]) -> None:
    assert found(name) == (expected, {})
    absolute = f"{folder}/{name}"
    assert found(absolute) == ([f"{folder}/{path}" for path in expected], {})


def test_sub_folders_are_read_when_asked_for(folder: Path) -> None:
    assert found("p", recursive=True) == (ALL, {})


def test_inputs_keep_their_order_and_what_is_named_twice_comes_twice(folder: Path) -> None:
    assert found("p/a", "single.dat", "p/a/z.png")[0] == ["p/a/z.png", "single.dat", "p/a/z.png"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere.jpg", "no such file or folder"),
        ("", "no such file or folder"),
        ("zero\0byte.jpg", "no such file or folder"),
        ("q", "no picture in this folder; -r reads its sub-folders"),
        ("p/*.gif", "no file matches this pattern"),
        ("nowhere/**/*.png", "no file matches this pattern"),
        ("-", "stdin named no picture"),
    ],
)
def test_an_input_without_a_picture_is_named_and_the_others_are_found(folder: Path, name: str, reason: str) -> None:
    paths, skipped = found(name, "single.dat", stdin=io.BytesIO(b"\n\n"))
    assert paths == ["single.dat"]
    assert skipped[name] == reason


def test_links_in_a_circle_end(folder: Path) -> None:
    (folder / "p" / "b" / "up").symlink_to(folder / "p")
    (folder / "p" / "self.png").symlink_to("self.png")
    for paths, skipped in (found("p", recursive=True), found("p/**")):
        assert skipped == {}
        assert sum("y.png" in path for path in paths) == 1
        assert "p/self.png" in paths  # opening it says what is wrong with it


def test_a_linked_folder_is_read_once(folder: Path) -> None:
    (folder / "p" / "again").symlink_to(folder / "p" / "a")
    assert [path for path in found("p", recursive=True)[0] if path.endswith("z.png")] == ["p/a/z.png"]


def test_a_folder_without_permission_is_named_and_the_others_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def guarded(path: str) -> Any:  # a test may run as a user who may read everything
        if path == "p/a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(_listing.os, "scandir", guarded)
    paths, skipped = found("p", recursive=True)
    assert paths == [path for path in ALL if path != "p/a/z.png"]
    assert skipped == {"p/a": "this folder cannot be listed: permission denied"}


def test_folders_are_listed_when_they_are_reached(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(_listing.os, "scandir", lambda path: (listed.append(path), scandir(path))[1])
    paths = find_images(["p"], recursive=True, on_skip=print)
    next(paths)
    assert listed == ["p"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a.jpg\nb c.jpg\n", ["a.jpg", "b c.jpg"]),
        (b"a.jpg\r\nb.jpg\r\n\r\n", ["a.jpg", "b.jpg"]),
        (b"a.jpg\n\n \nlast", ["a.jpg", "last"]),
        (b"line\nfeed.jpg\0b.jpg\0", ["line\nfeed.jpg", "b.jpg"]),
        (b"a\r\0last\r", ["a\r", "last\r"]),
        (b"\xff.jpg\n", ["\udcff.jpg"]),
        ("猫.jpg\n".encode(), ["猫.jpg"]),
        (b"", []),
        (b"x" * 70_000 + b"\nb", ["x" * 70_000, "b"]),
    ],
)
def test_paths_are_read_from_a_stream(content: bytes, expected: list[str]) -> None:
    assert list(read_paths(io.BytesIO(content))) == expected


def test_paths_of_a_pipe_come_before_it_ends() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        os.write(writer, b"a.jpg\nb.j")
        paths = read_paths(stream)
        assert next(paths) == "a.jpg"
        os.write(writer, b"pg\nc")
        assert next(paths) == "b.jpg"
        os.close(writer)
        assert list(paths) == ["c"]


def test_a_folder_on_stdin_is_read_and_a_missing_file_is_left_to_its_reader(folder: Path) -> None:
    assert found("-", stdin=io.BytesIO(b"p/a\nnowhere.jpg\n*.dat")) == (["p/a/z.png", "nowhere.jpg", "*.dat"], {})


@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n", b"GIF89a"])
def test_a_picture_on_stdin_is_refused(start: bytes) -> None:
    with pytest.raises(UserError, match="stdin holds a picture"):
        found("-", stdin=io.BytesIO(start + bytes(100)))


def test_stdin_twice_is_refused() -> None:
    with pytest.raises(UserError, match="- is given twice"):
        found("-", "a", "-")
