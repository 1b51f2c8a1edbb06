"""Caption files of every format, whole and broken."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipprompt.captions import _json_stream, _source
from clipprompt.captions.readers import CaptionFile
from clipprompt.errors import UserError

COCO = {
    "info": {"note": 'a "quoted" ] } brace', "n": [1, [2, {}], 3.5e3]},
    "images": [{"id": 1}, {"id": 2}],
    "empty": [],
    "nothing": {},
    "annotations": [
        {"image_id": 7, "id": 11, "caption": " A dog. "},
        {"image_id": 8, "id": 12, "caption": 'Deux cafés \u2014 \\ "x"'},
    ],
    "type": "captions",
}
ROWS = [("11", "7", "A dog."), ("12", "8", 'Deux cafés \u2014 \\ "x"')]


def _write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    "dump", [json.dumps, lambda x: json.dumps(x, indent=3), lambda x: json.dumps(x, ensure_ascii=False)]
)
def test_coco_json(tmp_path: Path, dump: Callable[[object], str]) -> None:
    assert list(CaptionFile(_write(tmp_path / "c.json", dump(COCO)))) == ROWS


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_json_may_be_cut_into_pieces_anywhere(size: int) -> None:
    text = json.dumps(COCO, indent=1, ensure_ascii=False)
    pieces = iter([text[i : i + size] for i in range(0, len(text), size)])
    assert list(_json_stream.records(pieces, "c.json")) == COCO["annotations"]


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        (
            "a.json",
            '[{"caption": "x"}, {"id": 0, "image": "b.jpg", "caption": "y"}]',
            [("a.json:1", None, "x"), ("0", "b.jpg", "y")],
        ),
        (
            "a.jsonl",
            '{"image_id": "00a", "caption": "In this"}\n\n{"caption": "z"}',
            [("a.jsonl:1", "00a", "In this"), ("a.jsonl:3", None, "z")],
        ),
        ("a.ndjson", '{"caption": "z", "caption_id": 5}\r\n', [("5", None, "z")]),
        (
            "a.token",
            "1.jpg#0\tA dog .\n\n1.jpg#1\tTwo\tdogs\n",
            [("1.jpg#0", "1.jpg", "A dog ."), ("1.jpg#1", "1.jpg", "Two\tdogs")],
        ),
        (
            "a.txt",
            "\ufeffone\n\n  two  \r\nthree",
            [("a.txt:1", None, "one"), ("a.txt:3", None, "two"), ("a.txt:4", None, "three")],
        ),
        ("a.TXT", "one\n", [("a.TXT:1", None, "one")]),
        (
            "a.csv",
            'image,caption\n1.jpg,"a dog, ""Rex""\nruns"\n\n2.jpg,cat\n',
            [("a.csv:3", "1.jpg", 'a dog, "Rex"\nruns'), ("a.csv:5", "2.jpg", "cat")],
        ),
        ("a.csv", "id, image_id ,caption\n9,,dog\n", [("9", None, "dog")]),
        ("a.tsv", "caption\turl\na dog\thttp\n", [("a.tsv:2", None, "a dog")]),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_text_format(
    tmp_path: Path, name: str, text: str, rows: list[tuple[str, str | None, str]], zipped: bool
) -> None:
    data = gzip.compress(text.encode(), mtime=0) if zipped else text.encode()
    # The content decides: a zipped file is read with and without its .gz, ids keep the name of the file.
    assert list(CaptionFile(_write(tmp_path / name, data))) == rows
    if zipped:
        assert [row.caption for row in CaptionFile(_write(tmp_path / f"{name}.gz", data))] == [row[2] for row in rows]


def test_parquet_is_known_by_its_content(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image_id": [1, None], "text": ["a dog", "a cat"]}), tmp_path / "a.data")
    rows = list(CaptionFile(tmp_path / "a.data", column="text"))
    assert rows == [("a.data:1", "1", "a dog"), ("a.data:2", None, "a cat")]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", "title\na dog\n"), ("a.jsonl", '{"title": "a dog"}'), ("a.json", '[{"title": "a dog"}]')],
)
def test_column_names_the_caption(tmp_path: Path, name: str, text: str) -> None:
    assert [row.caption for row in CaptionFile(_write(tmp_path / name, text), column="title")] == ["a dog"]


@pytest.mark.parametrize(
    ("name", "text", "skipped"),
    [
        ("a.jsonl", '{"caption": "x"}\n{"caption": \n', "a.jsonl:2: broken JSON (Expecting value)"),
        ("a.jsonl", '{"caption": "x"}\n' + "[" * 100_000, "a.jsonl:2: broken JSON"),
        ("a.jsonl", '{"caption": "x"}\n[1]\n', "a.jsonl:2: not a record with named fields"),
        (
            "a.jsonl",
            '{"caption": "x"}\n{"captoin": "y"}\n',
            "a.jsonl:2: no text under 'caption' (did you mean 'captoin'?)",
        ),
        ("a.json", '[{"caption": "x"}, {"caption": 3}]', "a.json:2: no text under 'caption'"),
        ("a.json", '[{"caption": "x"}, {"caption": "  "}]', "a.json:2: the caption is empty"),
        ("a.token", "1#0\tx\nno tab\n", "a.token:2: no tab between image and caption"),
        ("a.csv", "image,caption\n1,x\n2\n", "a.csv:3: only 1 cells, 'caption' is cell 2"),
        ("a.csv", "image,caption\n1,x\n2,\n", "a.csv:3: the caption is empty"),
    ],
)
def test_a_record_without_caption_is_skipped_and_named(tmp_path: Path, name: str, text: str, skipped: str) -> None:
    file = CaptionFile(_write(tmp_path / name, text))
    assert [row.caption for row in file] == ["x"]
    assert file.n_skipped == 1
    assert skipped in file.skipped[0]


def test_many_skipped_records_are_counted_and_the_first_named(tmp_path: Path) -> None:
    file = CaptionFile(_write(tmp_path / "a.token", "x\n" * 500 + "1#0\ta dog\n"))
    assert (len(list(file)), file.n_skipped, len(file.skipped)) == (1, 500, CaptionFile.SHOWN)


ZIPPED = gzip.compress(b"a dog\n" * 1000, mtime=0)
BROKEN: list[tuple[str, bytes, str]] = [
    ("a.json", b'{"annotations": [{"caption": "x"}, {"caption": ', "a.json: broken JSON in line 1, character"),
    ("a.json", b'{"annotations": [{"caption": "x"}', "(the file ends there)"),
    (
        "a.json",
        b'{"annotations":\n [{"caption": "x"}\n {"caption": "y"}]}',
        "broken JSON in line 3, character 2: expected , or ]",
    ),
    ("a.json", b'{"annotations": [{"caption": "x",}]}', "broken JSON in line 1"),
    ("a.json", b"{annotations: 1}", "broken JSON in line 1, character 2: a key in double quotes is missing"),
    ("a.json", b'{"annotations" 1}', "expected :"),
    ("a.json", b"not json", "broken JSON in line 1, character 1: it must begin with { or ["),
    ("a.json", b'{"annotations": ' + b"[" * 100_000, "nested too deeply"),
    ("a.json", b'{"caption": "x"}\n{"caption": "y"}\n', "no list 'annotations' in it; it has caption"),
    (
        "a.json",
        b'[{"caption": "x"}]\n{"caption": "y"}\n',
        "more text behind its end; if each line is a record, call the file .jsonl",
    ),
    ("a.json", b'{"anotations": []}', "no list 'annotations' in it (did you mean 'anotations'?)"),
    ("a.json", b'{"annotations": []}', "no captions in it"),
    ("a.json", b'{"annotations": [{"id": 1, "bbox": []}]}', "no captions in it: "),
    ("a.json", b"   ", "must begin with"),
    ("a.jsonl", b"{\n{\n", "no captions in it: "),
    ("a.txt", b"\n \n", "no captions in it"),
    ("a.txt", b"ok\ncaf\xe9\n", "a.txt:2: not UTF-8 text"),
    ("a.csv", b"caption\nok\n\xff\n", "a.csv:3: not UTF-8 text"),
    ("a.json", b'[{"caption": "ok"},\n{"caption": "\xff"}]', "a.json:2: not UTF-8 text"),
    ("a.json", b'[{"caption": "ok"},\n{"caption": "\xe2', "a.json:2: not UTF-8 text"),
    (
        "a.csv",
        b"image,captions\n1,x\n",
        "no column 'caption' (did you mean 'captions'?); it has image, captions; choose with --column",
    ),
    ("a.csv", b'image,caption\n1,"x\n2,y\n', "broken table"),
    ("a.txt.gz", ZIPPED[:-20], "the gzip data ends too early"),
    ("a.txt.gz", ZIPPED[:30] + b"\x00\xff\x00" + ZIPPED[33:], "damaged gzip data"),
    ("a.txt", b"", "a.txt is empty"),
    ("a.txt.gz", gzip.compress(b"", mtime=0), "a.txt.gz is empty"),
    ("a.xml", b"<x/>", "unknown kind of file; known endings: .json, .jsonl"),
    ("a.jsnl", b"{}", "unknown kind of file (did you mean '.jsonl'?)"),
    ("captions", b"a dog", "unknown kind of file; known endings"),
    ("a.parquet", b"PAR1 and no more", "not a readable Parquet file"),
    ("a.parquet", b"something else", "not a readable Parquet file"),
]


@pytest.mark.parametrize(("name", "data", "message"), BROKEN)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(UserError) as caught:
        list(CaptionFile(_write(tmp_path / name, data)))
    assert message in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"captions": ["x"]}, "no column 'caption' (did you mean 'captions'?)"),
        ({"caption": [1]}, "column 'caption' holds int64, not text"),
        ({"caption": pa.array([], pa.string())}, "no captions in it"),
    ],
)
def test_a_wrong_parquet_table_is_one_clear_line(tmp_path: Path, table: dict[str, object], message: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(UserError) as caught:
        list(CaptionFile(tmp_path / "a.parquet"))
    assert message in str(caught.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no file .*no\.json"):
        CaptionFile(tmp_path / "no.json")
    with pytest.raises(UserError, match="is a folder"):
        CaptionFile(tmp_path)


def test_an_endless_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_source, "LONGEST_LINE", 100)
    with pytest.raises(UserError, match=r"a\.txt:2: the line is longer than"):
        list(CaptionFile(_write(tmp_path / "a.txt", "ok\n" + "x" * 1000)))


def test_an_endless_json_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_json_stream, "LARGEST_VALUE", 1000)
    endless = iter(['[{"caption": "', *["x" * 100] * 10_000])
    with pytest.raises(UserError, match=r"broken JSON in line 1, character 1[45]"):
        list(_json_stream.records(endless, "a.json"))
    assert next(endless) == "x" * 100


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.txt", "a.txt.gz"])
def test_memory_stays_flat_over_a_large_file(tmp_path: Path, name: str) -> None:
    """Twelve megabytes are read in less than two and a half."""
    n, caption = 120_000, "a caption that is about a hundred characters long, as captions in the wild " + "x" * 25
    record = json.dumps({"caption": caption})
    path = tmp_path / name
    with gzip.open(path, "wt", compresslevel=1) if name.endswith(".gz") else path.open("w") as file:
        file.write({"a.json": '{"annotations": [', "a.csv": "caption\n"}.get(name, ""))
        for i in range(n):
            line = record if "json" in name else f'"{caption}"' if name == "a.csv" else caption
            file.write(line + ("," if name == "a.json" and i + 1 < n else "") + "\n")
        file.write("]}" if name == "a.json" else "")
    list(CaptionFile(_write(tmp_path / "warm.json", '[{"caption": "x"}]')))
    tracemalloc.start()
    try:
        assert sum(1 for _ in CaptionFile(path)) == n
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_500_000
