"""`clipprompt data` as a user sees it: results on stdout, the rest on stderr, one line for a mistake."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from clipprompt.cli import main
from tests.datasets.archives import coco_archives, known, use
from tests.datasets.miniatures import make_coco, make_nuswide, make_voc
from tests.datasets.server import serve

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command line; returns exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)

    def call(line: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["clipprompt", *line.split()])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call


def test_list_names_every_set_and_fits_80_columns(run: Run) -> None:
    code, out, err = run("data list")
    assert (code, err) == (0, "")
    for word in ("voc2007", "coco2014", "coco2017", "nuswide", "test (4,952) *", "VOCdevkit/VOC2007/JPEGImages/*.jpg"):
        assert word in out
    rows = [line.split() for line in out.splitlines()]
    for row in (
        "imagenet 1,000 1,281,167 50,000 imagenet",
        "dtd ~ 47 2,820 1,128 1,692 dtd",
        "imagenet_r 200 30,000 imagenet-rendition",
        "mini-objects 40 4,000 1,200 1,200",
    ):
        assert row.split() in rows
    assert max(map(len, out.splitlines())) <= 80


def test_a_folder_of_class_folders_is_a_set(run: Run, tmp_path: Path) -> None:
    for name in ("train/cat/a.jpg", "train/dog/b.jpg", "test/dog/c.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "photos" / name)
    code, out, _ = run("data check photos:test --decode")
    assert code == 0
    assert out.startswith("photos:test: 1 images, all decoded; 2 classes; 1 labels present")
    (tmp_path / "photos" / "test" / "dog" / "c.jpg").write_bytes(b"<svg")
    code, _, err = run("data check photos:test --decode")
    assert (code, err.count("\n")) == (2, 1)
    assert "c.jpg: it is an SVG drawing" in err


def test_whole_set_is_summed_up_in_a_line(run: Run, tmp_path: Path) -> None:
    make_voc(tmp_path)
    code, out, err = run("data check voc2007 --root . --decode")
    assert code == 0
    assert out.startswith(
        "voc2007:test: 3 images, all decoded; 20 classes; 6 labels present (2.00 an image), 1 unknown;"
    )
    assert out.count("\n") == 1
    assert err == "clipprompt: voc2007:test has 3 images where the official split has 4,952: numbers do not compare\n"


def test_difficult_objects_can_be_counted_as_negative(run: Run, tmp_path: Path) -> None:
    make_voc(tmp_path)
    assert "unknown" not in run("data check voc2007 --root . --difficult negative")[1]


def test_nuswide_says_which_split_it_is(run: Run, tmp_path: Path) -> None:
    make_nuswide(tmp_path)
    _, out, err = run("data check nuswide --root .")
    assert out.startswith("nuswide:test: 4 images, all there; 81 classes;")
    assert "NUS-WIDE split 'test' of TestImagelist.txt: 4 images listed, 2 of them with a label, 4 on disk" in err


def test_classes_are_counted_on_request(run: Run, tmp_path: Path) -> None:
    make_voc(tmp_path)
    out = run("data check voc2007 --root . --per-class")[1]
    row = next(line for line in out.splitlines() if "boat" in line)
    assert row.split() == ["boat", "1", "0"]


def test_missing_pictures_can_be_left_out(run: Run, tmp_path: Path) -> None:
    make_coco(tmp_path)
    (tmp_path / "val2014" / "COCO_val2014_000000000100.jpg").unlink()
    code, out, err = run("data check coco2014 --root . --skip-missing")
    assert code == 0
    assert "3 images" in out
    assert "1 of 4 images are missing and left out; the first is COCO_val2014_000000000100.jpg" in err


def test_tables_and_coco_files_are_checked_too(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("path,labels\na.png,cat|dog\n")
    assert run("data check labels.csv --decode")[1].startswith("labels: 1 images, all decoded; 2 classes; 2 labels")


def spoil(path: str, content: bytes | None = None) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        target = root / path
        if content is not None:
            target.write_bytes(content)
        elif target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink()

    return change


def whole(_: Path) -> None:
    pass


VOC = "VOCdevkit/VOC2007"
NEXT_VOC = "run: clipprompt data download voc2007:test --root ."
NEXT_COCO = "run: clipprompt data download coco2014:val --root ."
BROKEN = b"\xff\xd8\xff\xe0 no picture"
MISTAKES: list[tuple[str, Callable[[Path], None], tuple[str, ...]]] = [
    ("check voc2007 --root .", spoil("VOCdevkit"), ("no VOC2007 at --root .", NEXT_VOC)),
    ("check voc2007 --root .", spoil(f"{VOC}/JPEGImages/000006.jpg"), ("000006.jpg", NEXT_VOC)),
    ("check voc2007 --root .", spoil(f"{VOC}/Annotations/000007.xml", b"<annot"), ("000007.xml", NEXT_VOC)),
    ("check voc2007 --root .", spoil(f"{VOC}/ImageSets/Main/test.txt", b"a b\n"), ("test.txt, line 1", NEXT_VOC)),
    (
        "check voc2007 --root . --decode",
        spoil(f"{VOC}/JPEGImages/000006.jpg", BROKEN),
        ("000006.jpg", "delete it", NEXT_VOC),
    ),
    ("check voc2007 --root . --images gone", whole, ("image folder gone", "--images")),
    ("check coco2014 --root .", spoil("annotations"), ("instances_val2014.json", NEXT_COCO)),
    ("check coco2014 --root .", spoil("annotations/instances_val2014.json", b"{"), ("broken JSON", NEXT_COCO)),
    ("check coco2014 --root .", spoil("val2014"), ("no image folder", NEXT_COCO)),
    ("check nuswide --root .", spoil("Groundtruth/TrainTestLabels/Labels_sun_Test.txt"), ("Labels_sun_Test", "get Im")),
    ("check nuswide --root .", spoil("Flickr"), ("neither Flickr nor images", "ask there for the pictures")),
    ("check voc2007", whole, ("--root",)),
    ("check voc2007:all --root .", whole, ("'all'", "trainval")),
    ("check voc2007 --root . --difficult no", whole, ("'no'", "negative")),
    ("check pascal --root .", whole, ("unknown dataset 'pascal'",)),
    ("check labels.csv --root .", whole, ("--root . has no use",)),
    ("download nuswide --root .", whole, ("NUS-WIDE cannot be fetched",)),
    ("download labels.csv --root .", whole, ("not a named set",)),
    ("download voc2007:tast --root .", whole, ("'tast'", "did you mean 'test'")),
    ("download voc2007 --root . --mirror here", spoil(f"{VOC}/ImageSets"), ("--mirror here",)),
]


@pytest.mark.parametrize(("line", "change", "words"), MISTAKES, ids=[f"{n} {m[0]}" for n, m in enumerate(MISTAKES)])
def test_mistake_is_one_line_that_says_what_to_do(
    run: Run, tmp_path: Path, line: str, change: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    for name, make in (("voc", make_voc), ("coco", make_coco), ("nuswide", make_nuswide)):
        if name in line:
            make(tmp_path)
    change(tmp_path)
    code, out, err = run(f"data {line}")
    assert (code, out) == (2, "")
    *notes, said = err.splitlines()
    assert len(notes) == ("--decode" in line)  # that the miniature is not of the official size
    assert said.startswith("clipprompt: ")
    for word in words:
        assert word in said


def test_broken_pictures_are_counted(run: Run, tmp_path: Path) -> None:
    make_voc(tmp_path)
    for name in ("000005.jpg", "000007.jpg"):
        (tmp_path / VOC / "JPEGImages" / name).write_bytes(BROKEN)
    code, _, err = run("data check voc2007 --root . --decode")
    assert code == 2
    assert "000005.jpg" in err
    assert "(2 of 3 pictures are broken)" in err


def test_download_from_a_mirror_says_what_it_does(run: Run, tmp_path: Path) -> None:
    archives = coco_archives(tmp_path / "made")
    with serve() as server, use(known(archives, "http://127.0.0.1:1")):
        server.files = archives
        code, out, err = run(f"data download coco2014 --root sets --mirror {server.url}")
        again = run("data download coco2014 --root sets")
    assert code == again[0] == 0
    assert out.startswith("coco2014:val: 4 images, all there; 80 classes;")
    assert again[1] == out
    lines = [f"{verb} {name}" for name in archives for verb in ("Fetching", "Unpacking")]
    assert err.splitlines()[:4] == lines


def test_download_of_wrong_bytes_is_one_line_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    archives = coco_archives(tmp_path / "made")
    with serve() as server, use(known(archives, server.url)):
        server.files = {name: content + b"!" for name, content in archives.items()}
        code, out, err = run("data download coco2014 --root sets")
    assert (code, out) == (2, "")
    assert "is not the official file: its MD5 is not" in err.splitlines()[-1]
    assert hashlib.md5(archives["annotations_trainval2014.zip"]).hexdigest() in err
    assert list((tmp_path / "sets").iterdir()) == []


def test_interrupted_download_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("clipprompt.datasets.download.download_dataset", interrupt)
    said = "clipprompt: stopped; what was fetched is kept, run this again to go on\n"
    assert run("data download voc2007 --root .") == (130, "", said)


def test_listing_needs_neither_torch_nor_numpy() -> None:
    script = "import sys, runpy; sys.argv = ['x', 'data', 'list']\ntry: runpy.run_module('clipprompt')\n"
    script += "except SystemExit: pass\nassert not {'torch', 'numpy'} & set(sys.modules), 'imported'"
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ, capture_output=True)
