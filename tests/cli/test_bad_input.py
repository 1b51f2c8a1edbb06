"""A user's mistakes and broken files at the command line: one clear line, exit code 2, and nothing lost."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from PIL import Image

from clipprompt.cli import main

CAPTIONS = {"images": [], "annotations": [{"id": 1, "image_id": 1, "caption": "A cat on a chair."}]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Good files and broken ones, side by side."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    text = json.dumps(CAPTIONS)
    (tmp_path / "good.json").write_text(text)
    (tmp_path / "cut.json").write_text(text[: len(text) // 2])
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(text.encode())[:-12])
    (tmp_path / "latin.txt").write_bytes("a caf\xe9\n".encode("latin-1"))
    (tmp_path / "table.csv").write_text("text,other\na cat,1\n")
    (tmp_path / "captions.txt").write_text("a cat\na dog on a sofa\n")
    (tmp_path / "nothing.txt").write_text("blue sky\n")
    (tmp_path / "twice.txt").write_text("cat\ndog\ncat\n")
    (tmp_path / "broken.yaml").write_text("cat: [unclosed\n")
    (tmp_path / "corpus.parquet").write_bytes(b"PAR1 this is no parquet")
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "pictures" / "a.png")
    (tmp_path / "pictures" / "broken.png").write_bytes(b"\x89PNG\r\n not an image")
    (tmp_path / "labels.csv").write_text("path,labels\npictures/a.png,cat\n")
    (tmp_path / "missing.csv").write_text("path,labels\npictures/b.png,cat|dog\n")
    (tmp_path / "unreadable.csv").write_text("path,labels\npictures/broken.png,cat|dog\n")
    (tmp_path / "headless.csv").write_text("pictures/a.png,cat\n")
    (tmp_path / "prompt").mkdir()
    (tmp_path / "prompt" / "prompt.json").write_text("{}")
    return tmp_path


BUILD = "corpus build --classes voc2007 -o out.parquet --captions"
TRAIN = "train tai_dpt --dataset"
EVAL = "eval multilabel --dataset"
BAD = [
    # corpora
    (f"{BUILD} missing.json", "missing.json"),
    (f"{BUILD} pictures", "pictures"),
    (f"{BUILD} cut.json", "cut.json"),
    (f"{BUILD} other.json", "other.json"),
    (f"{BUILD} empty.json", "empty.json"),
    (f"{BUILD} cut.json.gz", "cut.json.gz"),
    (f"{BUILD} latin.txt", "latin.txt"),
    (f"{BUILD} table.csv", "caption"),
    (f"{BUILD} table.csv --column txet", "'text'"),
    (f"{BUILD} good.json good.json", "twice"),
    ("corpus build --captions good.json --classes voc2008 -o out.parquet", "voc2007"),
    ("corpus build --captions good.json --classes twice.txt -o out.parquet", "cat"),
    ("corpus build --captions good.json --classes broken.yaml -o out.parquet", "broken.yaml"),
    ("corpus build --captions good.json --classes voc2007 -o pictures", "pictures"),
    ("corpus stats corpus.parquet", "corpus.parquet"),
    ("corpus stats missing.parquet", "missing.parquet"),
    # training
    ("train tai_dtp --dataset corpus.parquet", "tai_dpt"),
    ("train tai_dpt", "--dataset"),
    (f"{TRAIN} missing.parquet", "missing.parquet"),
    (f"{TRAIN} corpus.parquet", "corpus.parquet"),
    (f"{TRAIN} corpus.parquet learner.n_ctxx=4", "n_ctx"),
    (f"{TRAIN} corpus.parquet lr=-1", "lr"),
    (f"{TRAIN} corpus.parquet train.batch_size=many", "batch_size"),
    (f"{TRAIN} corpus.parquet batch_size", "key=value"),
    (f"{TRAIN} corpus.parquet --device tpu", "device"),
    (f"{TRAIN} corpus.parquet --resume -o pictures", "pictures"),
    # evaluation
    (f"{EVAL} missing.json", "missing.json"),
    (f"{EVAL} cut.json --images pictures", "cut.json"),
    (f"{EVAL} other.json --images pictures", "other.json"),
    (f"{EVAL} missing.csv", "b.png"),
    (f"{EVAL} unreadable.csv", "broken.png"),
    (f"{EVAL} headless.csv", "path"),
    (f"{EVAL} labels.csv --prompts pictures", "prompt.json"),
    (f"{EVAL} labels.csv --prompts prompt", "prompt.json"),
    (f"{EVAL} labels.csv --backbone ViT-B-61", "ViT-B-16"),
    (f"{EVAL} labels.csv --backbone pictures", "open_clip_config.json"),
    (f"{EVAL} labels.csv --branch golbal", "global"),
    (f"{EVAL} labels.csv --format tabel", "table"),
    (f"{EVAL} labels.csv --plot ap.doc", "ap.doc"),
    (f"{EVAL} labels.csv --precision fp16 --device cpu", "fp16"),
    (f"{EVAL} mini:tset", "test"),
    # demo
    ("demo --seeds one,two", "--seeds"),
    ("demo --format tabel", "table"),
]


@pytest.mark.parametrize(("command", "named"), BAD, ids=[command for command, _ in BAD])
def test_a_mistake_gets_one_line_and_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, named: str
) -> None:
    (folder / "out.parquet").write_bytes(b"an earlier result")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr("sys.argv", ["clipprompt", *command.split()])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert stop.value.code == 2, printed.err
    errors = [line for line in printed.err.splitlines() if line.startswith("clipprompt: ")]
    assert len(errors) == 1, printed.err
    assert named in errors[0]
    assert "Traceback" not in printed.err
    assert printed.out == ""
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path in before}
    assert after == before
    assert not list(folder.rglob("*.part"))


def test_a_corpus_without_a_class_cannot_be_trained_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["clipprompt", *f"{BUILD} nothing.txt --keep-empty".split()])
    with pytest.raises(SystemExit):
        main()
    monkeypatch.setattr("sys.argv", ["clipprompt", "train", "tai_dpt", "--dataset", "out.parquet"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "none of its 1 captions names a class" in capsys.readouterr().err
