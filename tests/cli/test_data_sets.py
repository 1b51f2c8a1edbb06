"""`clipprompt data check` and `download` on sets with one class to each picture, as a user sees them."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from clipprompt.cli import main
from clipprompt.datasets.classification.specifications import FIFTEEN, SPECIFICATIONS
from tests.datasets.classification.archives import fill_hub, hub_archive, miniature_sizes
from tests.datasets.classification.miniatures import make_miniature
from tests.sharing.hub_stand_in import Hub, lead_to, run_hub

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Runs a command line in a world of miniatures; returns exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)

    def call(line: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["clipprompt", *line.split()])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    with miniature_sizes():
        yield call


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with run_hub() as state:
        lead_to(state, monkeypatch, tmp_path, token="")
        fill_hub(state, {"dtd.zip": hub_archive("dtd", tmp_path / "made")})
        yield state


def rows(out: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in out.splitlines()[2:]}


def test_whole_set_is_summed_up_in_a_line(run: Run, tmp_path: Path) -> None:
    make_miniature("fgvc_aircraft", tmp_path)
    code, out, err = run("data check fgvc_aircraft --root .")
    assert code == 0
    said = r"fgvc_aircraft: 4 classes; 20 train, 8 val, 12 test pictures, all there; .*; split [0-9a-f]{16}\n"
    assert re.fullmatch(said, out)
    assert err.count("\n") == 1  # that a miniature has fewer classes
    assert "all decoded" in run("data check fgvc_aircraft --root . --decode")[1]


def test_checksum_of_the_split_file_stands_in_the_line(run: Run, tmp_path: Path) -> None:
    make_miniature("dtd", tmp_path)
    content = (tmp_path / "dtd" / "split_zhou_DescribableTextures.json").read_bytes()
    expected = f"split_zhou_DescribableTextures.json (SHA-256 {hashlib.sha256(content).hexdigest()})"
    assert expected in run("data check dtd --root .")[1]


def test_incomplete_set_ends_with_1_and_the_next_command(run: Run, tmp_path: Path) -> None:
    make_miniature("dtd", tmp_path)
    (tmp_path / "dtd" / "images" / "banded" / "banded_0001.jpg").unlink()
    code, out, err = run("data check dtd --root .")
    assert code == 1
    assert "pictures, 1 missing; split_zhou" in out
    assert err.splitlines()[-1] == (
        "clipprompt: dtd: 1 of 40 pictures are missing, the first is dtd/images/banded/banded_0001.jpg, listed in "
        "split_zhou_DescribableTextures.json; run: clipprompt data download dtd --root ."
    )


def test_all_sets_make_one_table_and_no_broken_one_stops_it(run: Run, tmp_path: Path) -> None:
    for name in FIFTEEN:
        make_miniature(name, tmp_path)
    assert run("data check all --root .")[0] == 0
    (tmp_path / "imagenet").rename(tmp_path / "away")
    (tmp_path / "dtd" / "split_zhou_DescribableTextures.json").write_text("{")
    (tmp_path / "eurosat" / "2750" / "Forest" / "Forest_1.jpg").unlink()
    next((tmp_path / "imagenetv2").rglob("*.jpeg")).unlink()
    code, out, err = run("data check all --root .")
    assert code == 1
    table = rows(out)
    assert [*table] == [*FIFTEEN]
    assert table["imagenet"] == table["dtd"] == ["-", "-", "all", "-", "-", "-"]
    assert table["eurosat"][:4] == ["4", "20/8/12", "1", "file"]
    assert table["imagenet_v2"][:4] == ["4", "-/-/11", "1", "folder"]
    assert table["caltech101"][:4] == ["4", "20/8/12", "none", "file"]
    assert table["fgvc_aircraft"][3] == "lists"
    assert (table["imagenet_r"][-1], table["caltech101"][-1]) == ("ok", "other")
    named = [line.split()[1] for line in err.splitlines() if "run: " in line or "get ImageNet's" in line]
    assert named == ["imagenet:", "dtd:", "eurosat:", "imagenet_v2:"]
    assert max(map(len, out.splitlines())) <= 80


def test_table_of_true_numbers_fits_80_columns(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    from clipprompt.cli.data._sets import print_table
    from clipprompt.datasets.classification.check import Findings
    from clipprompt.datasets.classification.sets import ClassificationSet, Sample

    findings = []
    for one in map(SPECIFICATIONS.__getitem__, FIFTEEN):
        parts = {part: [Sample("a.jpg", 0, "a")] * 30_300 for part in ("train", "val", "test")}
        findings.append(
            Findings(one.name, ClassificationSet(one.name, parts, Path(), "lists", "0"), parts["val"][:3_000])
        )
    print_table(findings)
    out = capsys.readouterr().out
    assert "30,300/30,300/30,300" in out
    assert max(map(len, out.splitlines())) <= 80


def test_several_sets_may_be_named_and_drawn_ones_need_no_root(run: Run, tmp_path: Path) -> None:
    make_miniature("dtd", tmp_path)
    code, out, _ = run("data check dtd mini-sketch dtd --root .")
    assert code == 0
    assert [*rows(out)] == ["dtd", "mini-sketch"]


def test_broken_pictures_are_named_and_counted(run: Run, tmp_path: Path) -> None:
    make_miniature("dtd", tmp_path)
    make_miniature("eurosat", tmp_path)
    for name in ("banded_0001.jpg", "banded_0004.jpg"):
        (tmp_path / "dtd" / "images" / "banded" / name).write_bytes(b"<svg")
    code, out, err = run("data check dtd eurosat --root . --decode")
    assert code == 1
    assert rows(out)["dtd"][2] == "2"
    assert "banded_0001.jpg: it is an SVG drawing" in err
    assert "(2 of 40 pictures are broken); delete it; run: clipprompt data download dtd --root ." in err


def test_classes_are_counted_in_each_part(run: Run, tmp_path: Path) -> None:
    make_miniature("dtd", tmp_path)
    out = run("data check dtd --root . --per-class")[1]
    assert out.splitlines()[1].split() == ["class", "train", "val", "test"]
    assert ["banded", "5", "2", "3"] in [line.split() for line in out.splitlines()]


def test_own_data_with_parts_are_checked_in_all_of_them(run: Run, tmp_path: Path) -> None:
    for name in ("train/cat/a.jpg", "train/dog/b.jpg", "test/cat/d.jpg", "test/dog/c.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "photos" / name)
    (tmp_path / "own.csv").write_text("path,label,split\ntrain/cat/a.jpg,cat,train\ntest/dog/c.jpg,dog,test\n")
    code, out, _ = run("data check photos --decode")
    assert (code, out.startswith("photos: 2 classes; 2 train, 2 test pictures, all decoded;")) == (0, True)
    code, out, _ = run("data check own.csv --images photos")
    assert (code, out.startswith("own.csv: 2 classes; 1 train, 1 test pictures, all there; own.csv (SHA")) == (0, True)
    assert run("data check own.csv")[0] == 1
    assert run("data check photos:test")[1].startswith("photos:test: 2 images")  # one part, as ever


def test_downloaded_set_is_summed_up_and_not_fetched_again(run: Run, hub: Hub) -> None:
    code, out, err = run("data download dtd --root sets")
    assert code == 0
    assert out.startswith("dtd: 4 classes; 20 train, 8 val, 12 test pictures, all there; split_zhou_Describable")
    lines = err.splitlines()
    assert lines[:2] == ["Fetching dtd.zip", "Unpacking dtd.zip"]
    assert lines[-1] == "clipprompt: 2 pickles of dtd.zip were not unpacked"
    n_asked = len(hub.requests)
    assert run("data download DTD --root sets")[1] == out
    assert len(hub.requests) == n_asked


def test_interrupted_download_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("clipprompt.datasets.classification.download.download_classification", interrupt)
    said = "clipprompt: stopped; what was fetched is kept, run this again to go on\n"
    assert run("data download dtd --root .") == (130, "", said)


MISTAKES = {
    "check dtd": "dtd needs --root; name the folder that holds the sets' folders",
    "check all": "imagenet needs --root",
    "check all --root nowhere": "--root nowhere is not a folder",
    "check caltech --root .": "unknown dataset 'caltech' (did you mean 'caltech101'?)",
    "check dtd caltech --root .": "unknown set 'caltech' (did you mean 'caltech101'?)",
    "check dtd voc2007 --root .": "voc2007 has several classes to a picture",
    "check dtd --root . --skip-missing": "--skip-missing has no use with dtd; name one part, as in dtd:test",
    "check dtd --root . --difficult negative": "--difficult negative has no use with dtd",
    "check all --root . --per-class": "--per-class goes with one set",
    "check all --root . --images x": "--images x goes with one set",
    "check dtd:tast --root .": "there is no part 'tast' (did you mean 'test'?)",
    "download imagenet --root .": "ImageNet cannot be fetched for you: get ImageNet's train and val at https://image-n",
    "download dtd:test --root .": "there is no set 'dtd:test'",
    "download mini-night --root .": "mini-night is drawn, so there is nothing to fetch",
    "download dtd --root . --from drive": "--from 'drive' is none of hub, torchvision",
    "download ucf101 --root . --from torchvision": "torchvision does not fetch UCF101; leave out --from torchvision",
    "download dtd --root . --mirror http://x": "--mirror http://x is for VOC and COCO; for dtd, set HF_ENDPOINT",
    "download voc2007 --root . --from hub": "--from hub has no use with voc2007",
}


@pytest.mark.parametrize(("line", "said"), MISTAKES.items(), ids=MISTAKES)
def test_mistake_is_one_line_that_says_what_to_do(run: Run, tmp_path: Path, line: str, said: str) -> None:
    if "dtd" in line and "download" not in line:
        make_miniature("dtd", tmp_path)
    code, out, err = run(f"data {line}")
    assert (code, out) == (2, "")
    assert err.startswith("clipprompt: ")
    assert err.count("\n") == 1
    assert said in err


def in_terminal(command: list[str], folder: Path, columns: int = 80) -> str:
    """What a command writes into a terminal of so many columns."""
    import fcntl
    import struct
    import termios

    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": ""}
    with subprocess.Popen(command, cwd=folder, stdin=inner, stdout=inner, stderr=subprocess.DEVNULL, env=environment):
        os.close(inner)
        written = b""
        while chunk := _read(outer):
            written += chunk
    os.close(outer)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.decode()).replace("\r", "")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.slow
def test_hf_endpoint_is_asked_and_a_terminal_gets_80_columns(hub: Hub, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "no_proxy": "127.0.0.1", "HF_TOKEN": ""}
    command = [sys.executable, "-m", "clipprompt", "data", "download", "dtd", "--root", "sets"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("dtd: 4 classes; 20 train, 8 val, 12 test pictures, all there;")
    command = [sys.executable, "-m", "clipprompt", "data", "check", "all", "--root", "sets"]
    lines = in_terminal(command, tmp_path).splitlines()
    assert [line.split()[0] for line in lines[2:]] == [*FIFTEEN]
    assert max(map(len, lines)) <= 80
