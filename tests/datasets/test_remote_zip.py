from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterator

import pytest

from clipprompt.datasets._remote_zip import read_member
from tests.datasets.server import Server, serve

WANTED = random.Random(0).randbytes(50_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        zipped.writestr("set/first.bin", random.Random(1).randbytes(4_000_000))
        zipped.writestr("set/split.json", WANTED)
        zipped.writestr("set/last.bin", random.Random(2).randbytes(3_000_000))
    with serve() as running:
        running.files["a.zip"] = content.getvalue()
        yield running


def read(server: Server, name: str = "split.json", file: str = "a.zip", size: int = 0) -> bytes | None:
    return read_member(f"{server.url}/{file}", size or len(server.files["a.zip"]), name, {"Authorization": "Bearer me"})


def test_one_file_is_read_and_not_the_rest(server: Server) -> None:
    assert read(server) == WANTED
    spans = [[int(place) for place in wanted.removeprefix("bytes=").split("-")] for _, wanted in server.asked if wanted]
    assert len(spans) == len(server.asked) <= 4
    assert sum(last + 1 - first for first, last in spans) < 4_000_000


def test_token_is_for_the_first_address_alone(server: Server) -> None:
    with serve() as hub:
        hub.moved = server.url
        assert (
            read_member(f"{hub.url}/a.zip", len(server.files["a.zip"]), "split.json", {"Authorization": "x"}) == WANTED
        )
        assert set(hub.tokens) == {"x"}
    assert set(server.tokens) == {None}


def no_ranges(server: Server) -> None:
    server.ranges = False


def refused(server: Server) -> None:
    server.status = 403


def damaged(server: Server) -> None:
    content = server.files["a.zip"]
    place = content.index(WANTED[:50])
    server.files["a.zip"] = content[:place] + bytes(9) + content[place + 9 :]


def not_a_zip(server: Server) -> None:
    server.files["a.zip"] = b"<html>" * 1000


def gone(server: Server) -> None:
    server.url = "http://127.0.0.1:1"


@pytest.mark.parametrize("change", [no_ranges, refused, damaged, not_a_zip, gone])
def test_what_cannot_be_read_is_none(server: Server, change) -> None:  # type: ignore[no-untyped-def]
    change(server)
    assert read(server) is None


@pytest.mark.parametrize("options", [{"name": "other.json"}, {"file": "b.zip"}, {"size": 500}])
def test_what_is_not_there_is_none(server: Server, options: dict[str, str]) -> None:
    assert read(server, **options) is None  # type: ignore[arg-type]
