from __future__ import annotations

import hashlib
import http.client
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from clipprompt.datasets._fetch import fetch
from clipprompt.errors import UserError
from tests.datasets.server import Server, serve

CONTENT = random.Random(0).randbytes(100_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as running:
        running.files["a.zip"] = CONTENT
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "a.zip"


def get(server: Server, target: Path, **options: int) -> list[tuple[int, int | None]]:
    said: list[tuple[int, int | None]] = []
    fetch(f"{server.url}/a.zip", target, MD5, lambda done, total: said.append((done, total)), pause=0, **options)
    return said


def test_file_arrives_whole_with_its_progress(server: Server, target: Path) -> None:
    assert get(server, target)[-1] == (len(CONTENT), len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["a.zip"]


def test_file_that_is_there_is_not_fetched_again(server: Server, target: Path) -> None:
    target.write_bytes(CONTENT)
    assert get(server, target) == []
    assert server.asked == []


def test_file_of_that_name_with_other_bytes_is_kept_and_named(server: Server, target: Path) -> None:
    target.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"a\.zip is there, but its MD5 is not .*move it away"):
        get(server, target)
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("breaks", [1, 4])
def test_broken_connection_goes_on_where_it_stopped(server: Server, target: Path, breaks: int) -> None:
    server.breaks = breaks
    get(server, target, attempts=2)
    assert target.read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked][:2] == [None, f"bytes={len(CONTENT) // 2}-"]
    assert len(server.asked) == breaks + 1


def test_part_of_an_earlier_run_is_used(server: Server, target: Path) -> None:
    target.with_name("a.zip.part").write_bytes(CONTENT[:70_000])
    get(server, target)
    assert server.asked == [("a.zip", "bytes=70000-")]
    assert target.read_bytes() == CONTENT


def test_server_that_ignores_ranges_sends_all_of_it_anew(server: Server, target: Path) -> None:
    server.ranges, server.breaks = False, 1
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_server_that_begins_elsewhere_is_asked_for_all(server: Server, target: Path) -> None:
    server.shift = 5
    target.with_name("a.zip.part").write_bytes(CONTENT[:70_000])
    get(server, target)
    assert [wanted for _, wanted in server.asked] == ["bytes=70000-", None]
    assert target.read_bytes() == CONTENT


def test_sha256_vouches_as_well(server: Server, target: Path) -> None:
    fetch(f"{server.url}/a.zip", target, hashlib.sha256(CONTENT).hexdigest(), lambda *_: None)
    assert target.read_bytes() == CONTENT
    server.files["a.zip"] = b"others"
    target.unlink()
    with pytest.raises(UserError, match=r"its SHA-256 is not [0-9a-f]{64}; what was fetched is deleted"):
        fetch(f"{server.url}/a.zip", target, hashlib.sha256(CONTENT).hexdigest(), lambda *_: None)


def test_token_is_for_the_first_address_alone(server: Server, target: Path) -> None:
    target.with_name("a.zip.part").write_bytes(CONTENT[:70_000])
    with serve() as hub:
        hub.moved = server.url
        fetch(f"{hub.url}/a.zip", target, MD5, lambda *_: None, headers={"authorization": "Bearer secret"})
        assert hub.tokens == ["Bearer secret"]
    assert (server.tokens, server.asked) == ([None], [("a.zip", "bytes=70000-")])
    assert target.read_bytes() == CONTENT


def test_length_need_not_be_said(server: Server, target: Path) -> None:
    server.says_length = False
    assert get(server, target)[-1] == (len(CONTENT), None)


def test_part_that_is_whole_needs_no_byte(server: Server, target: Path) -> None:
    target.with_name("a.zip.part").write_bytes(CONTENT)
    get(server, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("there", [b"", b"other bytes", CONTENT + b"more"])
def test_wrong_bytes_are_deleted_and_said(server: Server, target: Path, there: bytes) -> None:
    if there:
        target.with_name("a.zip.part").write_bytes(there)
    else:
        server.files["a.zip"] = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(UserError, match=rf"a\.zip is not the official file: its MD5 is not {MD5}.*deleted"):
        get(server, target)
    assert list(target.parent.iterdir()) == []


def test_passing_fault_is_waited_for(server: Server, target: Path) -> None:
    server.passing = 3
    get(server, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403, 410])
def test_refusal_is_one_line_at_once(server: Server, target: Path, status: int) -> None:
    server.status = status
    with pytest.raises(UserError, match=f"the server says {status} .*--mirror"):
        get(server, target)
    assert len(server.asked) == 1


def test_connection_that_keeps_breaking_is_given_up_and_the_part_kept(server: Server, target: Path) -> None:
    target.with_name("a.zip.part").write_bytes(CONTENT[:70_000])
    server.passing = 99
    with pytest.raises(UserError, match=r"503 .* 3 times in a row; 0 MB are kept, run this again to go on"):
        get(server, target, attempts=3)
    assert target.with_name("a.zip.part").read_bytes() == CONTENT[:70_000]


def test_server_that_is_not_there_is_one_line(target: Path) -> None:
    with serve() as gone:
        url = gone.url
    with pytest.raises(UserError, match=r"refused.* 2 times in a row"):
        fetch(f"{url}/a.zip", target, MD5, lambda *_: None, attempts=2, pause=0)


def test_full_disk_is_noticed_before_a_byte_is_written(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 17))
    with pytest.raises(UserError, match="has 0 MB free"):
        get(server, target)
    assert list(target.parent.iterdir()) == []


def test_disk_that_fills_up_is_one_line(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UserError, match=r"cannot write .*a\.zip\.part: No space left on device"):
        get(server, target)


def test_answer_cut_in_a_chunk_counts_as_broken(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, cut = http.client.HTTPResponse.read, [True]

    def once(self: http.client.HTTPResponse, amount: int | None = None) -> bytes:
        if cut:
            cut.pop()
            raise http.client.IncompleteRead(b"")
        return read(self, amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", once)
    get(server, target)
    assert target.read_bytes() == CONTENT
