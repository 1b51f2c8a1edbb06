"""The labelled corpus: written, read back, and refused when it is not one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipprompt.captions import _corpus_file
from clipprompt.captions.corpus import build_corpus, corpus_from_rows, load_corpus
from clipprompt.captions.stats import corpus_stats
from clipprompt.errors import UserError

ROWS = [("1", "9", "two dogs and a cat"), ("2", "9", "nothing here"), ("3", None, "a cat")]


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    records = [{"id": int(i), "image_id": image, "caption": caption} for i, image, caption in ROWS]
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"annotations": records}))
    return path


@pytest.mark.parametrize(("keep_empty", "kept"), [(False, [0, 2]), (True, [0, 1, 2])])
def test_a_corpus_is_read_back_as_it_was_labelled(
    tmp_path: Path, captions: Path, keep_empty: bool, kept: list[int]
) -> None:
    report = build_corpus([captions], ["dog", "cat"], tmp_path / "c.parquet", keep_empty=keep_empty)
    assert (report.n_read, report.n_labelled, report.n_written, report.n_skipped) == (3, 2, len(kept), 0)
    corpus = load_corpus(tmp_path / "c.parquet")
    assert len(corpus) == len(corpus.captions) == len(corpus.labels) == len(kept)
    assert list(corpus.captions) == corpus.captions[:] == [ROWS[i][2] for i in kept]
    assert list(corpus.caption_ids) == [ROWS[i][0] for i in kept]
    assert list(corpus.image_ids) == [ROWS[i][1] for i in kept]
    assert corpus.labels.to_lists() == [[[0, 1], [], [1]][i] for i in kept]
    assert corpus.classnames == ["dog", "cat"]
    assert corpus.multi_hot([len(kept) - 1, 0]).tolist() == [[0.0, 1.0], [1.0, 1.0]]


def test_the_file_has_the_promised_columns_and_provenance(tmp_path: Path, captions: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("dog\ncat\n")
    build_corpus([captions], classes, tmp_path / "c.parquet")
    schema = pq.read_schema(tmp_path / "c.parquet")
    assert [field.name for field in schema] == ["caption_id", "image_id", "caption", "labels"]
    assert schema.field("labels").type == pa.list_(pa.int32())
    provenance = json.loads(schema.metadata[b"clipprompt"])
    assert provenance == json.loads(pq.read_metadata(tmp_path / "c.parquet").metadata[b"clipprompt"])
    digest = hashlib.sha256(captions.read_bytes()).hexdigest()
    assert provenance["classes"] == ["dog", "cat"]
    assert provenance["synonyms"] == {
        "source": str(classes),
        "sha256": hashlib.sha256(classes.read_bytes()).hexdigest(),
    }
    assert provenance["files"] == [
        {"name": str(captions), "bytes": captions.stat().st_size, "sha256": digest, "n_read": 3, "n_skipped": 0}
    ]
    assert provenance["options"] == {"keep_empty": False, "column": None}
    assert [provenance[key] for key in ("n_read", "n_labelled", "n_written")] == [3, 2, 2]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, captions: Path) -> None:
    for name in ("a", "b"):
        build_corpus([captions], "coco2014", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_rows_at_hand_give_the_same_corpus_as_a_file(tmp_path: Path, captions: Path) -> None:
    build_corpus([captions], "coco2014", tmp_path / "c.parquet", keep_empty=True)
    corpus = corpus_from_rows(ROWS, "coco2014", keep_empty=True)
    corpus.save(tmp_path / "saved.parquet")
    for other in (load_corpus(tmp_path / "c.parquet"), load_corpus(tmp_path / "saved.parquet")):
        assert list(other.captions) == list(corpus.captions)
        assert list(other.image_ids) == list(corpus.image_ids)
        assert other.labels.to_lists() == corpus.labels.to_lists()
        assert other.classnames == corpus.classnames


def test_a_large_corpus_is_written_in_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_corpus_file, "ROW_GROUP", 1000)
    path = tmp_path / "many.txt"
    path.write_text("a dog\nnothing\ncats and dogs\n" * 1500)
    progress: list[tuple[int, int]] = []
    build_corpus([path], ["dog", "cat"], tmp_path / "c.parquet", advance=lambda *at: progress.append(at))
    assert pq.read_metadata(tmp_path / "c.parquet").num_row_groups == 5
    assert [read for _, read in progress] == [1000, 2000, 3000, 4000, 4500]
    assert progress[-1][0] == path.stat().st_size
    corpus = load_corpus(tmp_path / "c.parquet")
    assert corpus.labels.to_lists() == [[0], [0, 1]] * 1500
    assert corpus.caption_ids[-1] == "many.txt:4500"


def test_several_formats_go_into_one_corpus(tmp_path: Path, captions: Path) -> None:
    (tmp_path / "a.csv").write_text("text\na dog\n")
    (tmp_path / "b.txt").write_text("a cat\n")
    with pytest.raises(UserError, match="no column 'caption'"):
        build_corpus([captions, tmp_path / "a.csv"], ["dog"], tmp_path / "c.parquet")
    report = build_corpus(
        [tmp_path / "a.csv", tmp_path / "b.txt"], ["dog", "cat"], tmp_path / "c.parquet", column="text"
    )
    assert report.n_written == 2


@pytest.mark.parametrize(
    ("files", "output", "column", "message"),
    [
        ([], "c.parquet", None, "no caption files given"),
        (["captions.json", "captions.json"], "c.parquet", None, "is given twice"),
        (["captions.json", "./captions.json"], "c.parquet", None, "is given twice"),
        (["captions.json"], "captions.json", None, "is one of the caption files"),
        (["captions.json", "missing.json"], "c.parquet", None, "there is no file"),
        (["captions.json"], "folder", None, "it is a folder"),
        (["captions.json"], "captions.json/c.parquet", None, "cannot write"),
        (["plain.txt"], "c.parquet", "text", "has no columns; drop --column text"),
        (["none.txt"], "c.parquet", None, "none of the 1 captions names a class of class list"),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_the_old_corpus(
    tmp_path: Path, captions: Path, files: list[str], output: str, column: str | None, message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain.txt").write_text("a dog\n")
    (tmp_path / "none.txt").write_text("nothing\n")
    (tmp_path / "c.parquet").write_bytes(b"old")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(UserError) as caught:
        build_corpus([tmp_path / file for file in files], ["dog"], tmp_path / output, column=column)
    assert message in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "c.parquet").read_bytes() == b"old"
    assert len(json.loads(captions.read_text())["annotations"]) == 3


def test_a_file_that_breaks_half_way_leaves_no_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_corpus_file, "ROW_GROUP", 2)
    path = tmp_path / "cut.json"
    path.write_text('[{"caption": "a dog"}, {"caption": "a dog"}, {"caption": "a dog"}, {"capt')
    with pytest.raises(UserError, match="broken JSON"):
        build_corpus([path], ["dog"], tmp_path / "c.parquet")
    assert [p.name for p in tmp_path.iterdir()] == ["cut.json"]


def _table(**changes: Any) -> pa.Table:
    columns = {
        "caption_id": pa.array(["1"]),
        "image_id": pa.array([None], pa.string()),
        "caption": pa.array(["a dog"]),
        "labels": pa.array([[0]], pa.list_(pa.int32())),
    }
    columns |= changes
    return pa.table({name: column for name, column in columns.items() if column is not None})


GOOD = {"format": 1, "classes": ["dog"]}


@pytest.mark.parametrize(
    ("table", "metadata", "message"),
    [
        (_table(), None, "was not made by `clipprompt corpus build`"),
        (_table(), "{", "its clipprompt metadata is damaged"),
        (_table(), [], "its clipprompt metadata is damaged"),
        (_table(), {"classes": ["dog"]}, "its clipprompt metadata is damaged"),
        (_table(), {"format": 2, "classes": ["dog"]}, "has layout 2, this clipprompt reads up to 1; update clipprompt"),
        (_table(), {"format": 1, "classes": []}, "has no class names"),
        (_table(), {"format": 1, "classes": "dog"}, "has no class names"),
        (_table(labels=None), GOOD, "column 'labels' should hold list<"),
        (_table(caption=pa.array([1])), GOOD, "column 'caption' should hold string, found int64"),
        (_table(labels=pa.array([[1]], pa.list_(pa.int32()))), GOOD, "label 1 is no class, there are 1"),
        (_table(labels=pa.array([[-1]], pa.list_(pa.int32()))), GOOD, "label -1 is no class"),
        (_table(labels=pa.array([[0, 0]], pa.list_(pa.int32()))), GOOD, "a caption's labels do not ascend"),
        (_table(labels=pa.array([None], pa.list_(pa.int32()))), GOOD, "a caption has a null label"),
    ],
)
def test_a_foreign_or_damaged_corpus_is_refused(tmp_path: Path, table: pa.Table, metadata: Any, message: str) -> None:
    if metadata is not None:
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        table = table.replace_schema_metadata({"clipprompt": text})
    pq.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(UserError) as caught:
        load_corpus(tmp_path / "c.parquet")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("missing.parquet", None, "there is no corpus"),
        ("text.parquet", b"a dog", "is not a readable Parquet file"),
        ("empty.parquet", b"", "is not a readable Parquet file"),
        (".", None, "is a folder"),
    ],
)
def test_what_is_no_parquet_file_is_refused(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as caught:
        load_corpus(tmp_path / name)
    assert message in str(caught.value)


def test_a_truncated_corpus_is_refused(tmp_path: Path, captions: Path) -> None:
    build_corpus([captions], ["dog", "cat"], tmp_path / "c.parquet")
    whole = (tmp_path / "c.parquet").read_bytes()
    (tmp_path / "c.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is not a readable Parquet file"):
        load_corpus(tmp_path / "c.parquet")


def test_statistics_count_captions_images_and_classes() -> None:
    stats = corpus_stats(corpus_from_rows(ROWS, ["dog", "cat", "cow"], keep_empty=True))
    assert stats.as_dict() == {
        "n_captions": 3,
        "n_labelled": 2,
        "n_images": 1,
        "n_labels": 3,
        "mean_labels": 1.5,
        "per_class": {"dog": 1, "cat": 2, "cow": 0},
    }


def test_an_empty_corpus_has_statistics_and_batches() -> None:
    corpus = corpus_from_rows([], ["dog"])
    assert (len(corpus), corpus_stats(corpus).mean_labels) == (0, 0.0)
    assert np.array_equal(corpus.multi_hot([]), np.zeros((0, 1), np.float32))
