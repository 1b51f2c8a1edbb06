"""``clipprompt tag`` as people run it; real processes where signals, pipes or start-up matter."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipprompt.backbone import load_backbone
from clipprompt.cli import main
from clipprompt.learners import create_learner
from tests.cli._process import CommandProcess

Run = Callable[..., tuple[int, str, str]]
PICTURES = ["img1.png", "img2.png", "img10.png"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures and other files; it is the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "photos" / "more").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    rng = np.random.default_rng(0)
    for name in [*PICTURES, "more/deep.png"]:
        Image.fromarray(rng.integers(0, 255, (90, 120, 3), dtype=np.uint8)).save(tmp_path / "photos" / name)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (tmp_path / "labels.txt").write_text("cat\nred bus\n\ntree\n")
    (tmp_path / "no-labels.txt").write_text("\n")
    (tmp_path / "twice.txt").write_text("cat\ndog\ncat\n")
    (tmp_path / "prompt.json").write_text("{}")
    (tmp_path / "banded").mkdir()
    for name in ("prompt.json", "calibration.json"):
        (tmp_path / "banded" / name).write_text("{}")
    return tmp_path


@pytest.fixture(scope="session")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompt")
    create_learner("tai_dpt", load_backbone("mini", device="cpu"), ["cat", "tree", "dog"], n_ctx=2).save(folder)
    return folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    def call(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setattr("sys.argv", ["clipprompt", "tag", "--device", "cpu", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsysbinary.readouterr()
        return int(stop.value.code or 0), out.decode(), err.decode()

    return call


def paths_of(text: str) -> list[str]:
    return [json.loads(line)["path"] for line in text.splitlines()]


# What comes out


def test_a_folder_is_tagged_in_natural_order(run: Run) -> None:
    code, out, err = run("photos", "--labels", "labels.txt", "--format", "jsonl")
    assert (code, paths_of(out)) == (0, [f"photos/{name}" for name in PICTURES])
    assert {tag["label"] for tag in json.loads(out.splitlines()[0])["tags"]} == {"cat", "red bus", "tree"}
    assert "scores and no probabilities" in err
    assert "3 pictures" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("voc2007", 20),
        ("labels.txt", 3),
        ("red bus, umbrella ,cat", 3),
        ("umbrella,", 1),
    ],
)
def test_labels_are_a_list_a_file_or_names(run: Run, labels: str, expected: int) -> None:
    _, out, _ = run("photos/img1.png", "--labels", labels, "-f", "jsonl", "-k", "100")
    assert len(json.loads(out)["tags"]) == expected


def test_files_folders_patterns_and_stdin_mix(run: Run) -> None:
    code, out, _ = run("photos/more", "photos/*1*.png", "-", "-l", "a,b", "-f", "jsonl", stdin=b"photos/img2.png\n")
    assert (code, paths_of(out)) == (
        0,
        ["photos/more/deep.png", "photos/img1.png", "photos/img10.png", "photos/img2.png"],
    )


def test_an_empty_input_is_named(run: Run) -> None:
    assert "'': no such file or folder" in run("", "-l", "a,b")[2]


def test_one_picture_is_one(run: Run) -> None:
    assert "1 picture in" in run("photos/img1.png", "-l", "a,b")[2]


def test_sub_folders_are_read_with_r(run: Run) -> None:
    assert len(paths_of(run("photos", "-r", "-l", "a,b", "-f", "jsonl")[1])) == 4


def test_a_prompt_brings_its_labels_and_backbone(run: Run, prompts: Path) -> None:
    code, out, err = run("photos/img1.png", "--prompts", str(prompts), "-f", "jsonl")
    assert code == 0
    assert {tag["label"] for tag in json.loads(out)["tags"]} == {"cat", "tree", "dog"}
    assert "--backbone" not in err


def test_none_of_these_and_thresholds(run: Run) -> None:
    _, out, _ = run("photos/img1.png", "-l", "a,b", "-t", "1e6")
    assert "none of these" in out
    _, out, _ = run("photos/img1.png", "-l", "a,b", "-t", "-1e6", "-f", "csv")
    assert len(out.splitlines()) == 3


@pytest.mark.parametrize(("name", "start"), [("t.html", "<!"), ("t.csv", "path,"), ("t.JSONL", "{"), ("t.txt", "pict")])
def test_the_ending_of_the_output_chooses_the_format(run: Run, folder: Path, name: str, start: str) -> None:
    code, out, _ = run("photos", "-l", "a,b", "-o", f"new/{name}")
    assert (code, out) == (0, "")
    assert (folder / "new" / name).read_text().lower().startswith(start.lower())
    assert [path.name for path in (folder / "new").iterdir()] == [name]


def test_the_page_has_every_picture(run: Run, folder: Path) -> None:
    run("photos", "-l", "a,b", "-o", "tags.html")
    page = (folder / "tags.html").read_text()
    assert page.rstrip().endswith("</html>")
    assert all(name in page for name in PICTURES)
    assert page.count("data:image/jpeg") == 3
    assert page.count("data:image/png") >= 3


# What is skipped


def test_what_cannot_be_read_is_named_and_the_rest_is_done(run: Run) -> None:
    code, out, err = run("photos/img1.png", "broken.jpg", "labels.txt", "nowhere.jpg", "empty", "photos/img2.png", "-l", "a,b", "-f", "jsonl")  # fmt: skip  # noqa: E501
    assert code == 1
    assert paths_of(out) == ["photos/img1.png", "broken.jpg", "labels.txt", "photos/img2.png"]
    for name in ("broken.jpg", "labels.txt", "nowhere.jpg", "empty"):
        assert len(re.findall(rf"^clipprompt: skipped {name}: .+$", err, re.MULTILINE)) == 1
    assert "2 pictures" in err
    assert "4 skipped" in err


def test_names_from_strangers_do_no_harm(run: Run, folder: Path) -> None:
    odd = ["line\nfeed.png", "esc\x1b[31m.png", os.fsdecode(b"\xff.png"), "<script>.png", "-.png", "猫.png"]
    for name in odd:
        (folder / "odd").mkdir(exist_ok=True)
        (folder / "odd" / name).write_bytes((folder / "photos" / "img1.png").read_bytes())
    (folder / "odd" / "bad\x1b[0m\n.png").write_bytes(b"")
    for output_format in ("table", "jsonl", "csv", "html"):
        code, out, err = run("odd", "-l", "a,b", "-k", "1", "-f", output_format)
        assert code == 1
        assert r"skipped odd/bad\x1b[0m\n.png: the file is empty" in err
        assert "\x1b" not in err
        assert ("\x1b" in out) == (output_format == "csv")
    _, out, _ = run("odd", "-l", "a,b", "-f", "jsonl")
    assert sorted(os.path.basename(path) for path in paths_of(out)) == sorted([*odd, "bad\x1b[0m\n.png"])  # noqa: PTH119


# Mistakes: one line, exit code 2, nothing lost

MISTAKES = [
    ("nowhere.jpg -l a,b", "nowhere.jpg: no such file or folder"),
    ("empty -l a,b", "empty: no picture in this folder"),
    ("photos/*.gif -l a,b", "photos/*.gif: no file matches"),
    ("- -l a,b", "stdin named no picture"),
    ("- - -l a,b", "- is given twice"),
    ("photos", "no labels"),
    ("photos -l voc2008", "did you mean 'voc2007'"),
    ("photos -l umbrella", "umbrella"),
    ("photos -l nowhere.txt", "nowhere.txt"),
    ("photos -l photos", "photos"),
    ("photos -l no-labels.txt", "no-labels.txt"),
    ("photos -l twice.txt", "twice.txt"),
    ("photos -l a,b,A", "class 'A' is there twice"),
    ("photos -l ,", "no classes"),
    ("photos -l a,b -f jsnol", "did you mean 'jsonl'"),
    ("photos -l a,b -t some", "'some'"),
    ("photos -l a,b -t nan", "'nan'"),
    ("photos -l a,b -t auto", "clipprompt calibrate"),
    ("photos -l a,b --uncertain", "--uncertain needs calibrated --prompts"),
    ("photos -l a,b --uncertain -t auto", "needs calibrated --prompts"),
    ("photos -p . --uncertain", "--uncertain needs calibrated --prompts"),
    ("photos -p banded --uncertain -t 0.5", "leave out --threshold 0.5"),
    ("photos -l a,b -p nowhere", "nowhere"),
    ("photos -p .", "prompt.json"),
    ("photos -p photos", "prompt.json"),
    ("photos -l a,b -o photos", "photos is not a file"),
    ("photos -l a,b -o -", "leave out -o for stdout"),
    ("photos -l a,b -o labels.txt/tags.html", "labels.txt"),
    ("photos -l a,b -o photos/img1.png", "would overwrite a picture"),
    ("photos -l a,b --backbone ViT-B-61", "ViT-B-16"),
    ("photos -l a,b --pretrained openai", "openai"),
    ("photos -l a,b --device tpu", "tpu"),
    ("photos -l a,b --precision fp8", "fp8"),
    ("photos -l a,b --precision fp16", "fp16"),
]
LATE = ("--backbone", "--pretrained", "--device", "--precision", "-p .")  # need torch, or a prompt that is read


@pytest.mark.parametrize(("command", "named"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_a_mistake_gets_one_line_and_loses_nothing(run: Run, folder: Path, command: str, named: str) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, out, err = run(*command.split())
    assert (code, out) == (2, ""), err
    errors = [line for line in err.splitlines() if line.startswith("clipprompt: ") and "no --backbone" not in line]
    assert len(errors) == 1, err
    assert named in errors[0]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_mistakes_are_found_before_torch_is_imported(folder: Path) -> None:
    early = [command.split() for command, _ in MISTAKES if not any(word in command for word in LATE)]
    code = (
        "import json, sys\nfrom clipprompt.cli import main\n"
        f"for command in {early!r}:\n"
        "    sys.argv = ['clipprompt', 'tag', *command]\n"
        "    try:\n        main()\n"
        "    except SystemExit as stop:\n        assert stop.code == 2, command\n"
        "    assert 'torch' not in sys.modules, command\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)  # fmt: skip  # noqa: E501
    assert done.returncode == 0, done.stderr


def test_the_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom clipprompt.cli import main\nsys.argv = ['clipprompt', 'tag', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'numpy', 'PIL', 'open_clip', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# Signals, pipes, full disks: real processes that wait for more paths


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., CommandProcess]]:
    started: list[CommandProcess] = []

    def begin(*arguments: str) -> CommandProcess:
        options = ["--labels", "cat,tree,dog", "--batch-size", "2", "--device", "cpu"]
        started.append(CommandProcess(folder, "tag", "-", *options, *arguments))
        started[0].send(b"photos/img1.png\nphotos/img2.png\n" * 20)
        return started[0]

    yield begin
    for process in started:
        process.close()


def check_valid(output_format: str, text: str) -> None:
    if output_format == "jsonl":
        assert len(paths_of(text)) >= 1
        assert text.endswith("\n")
    elif output_format == "csv":
        assert {len(row) for row in csv.reader(io.StringIO(text, newline=""))} == {4}
    else:
        assert text.rstrip().endswith("</html>")
        assert "Stopped early" in text


@pytest.mark.parametrize(
    ("output_format", "signum"), [("jsonl", signal.SIGINT), ("csv", signal.SIGTERM), ("html", signal.SIGINT)]
)
def test_a_signal_leaves_valid_output_on_stdout(
    start: Callable[..., CommandProcess], output_format: str, signum: int
) -> None:
    process = start("-f", output_format)
    first = b""
    while b"img1.png" not in first:
        first += process.read()
    process.signal(signum)
    code, out, err = process.end()
    assert code == 128 + signum, err
    assert "Traceback" not in err
    assert "stopped: " in err
    check_valid(output_format, first.decode() + out)


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "html"])
def test_a_signal_puts_the_finished_part_of_a_file_in_place(
    start: Callable[..., CommandProcess], folder: Path, output_format: str
) -> None:
    (folder / "out").mkdir()
    target = folder / "out" / f"tags.{output_format}"
    target.write_text("an older one")
    process = start("-o", str(target))
    wait_until(lambda: any(b"img1.png" in path.read_bytes() for path in target.parent.glob(".*.part")))
    assert target.read_text() == "an older one"
    process.signal(signal.SIGINT)
    code, _, err = process.end()
    assert code == 130, err
    check_valid(output_format, target.read_text())
    assert list(target.parent.iterdir()) == [target]


def test_a_signal_before_the_first_picture_leaves_an_older_file(
    start: Callable[..., CommandProcess], folder: Path
) -> None:
    (folder / "tags.csv").write_text("an older one")
    process = start("-o", "tags.csv", "--batch-size", "1000")
    wait_until(lambda: any(folder.glob(".*.part")))
    process.signal(signal.SIGINT)
    code, _, err = process.end()
    assert code == 130, err
    assert "Traceback" not in err
    assert (folder / "tags.csv").read_text() == "an older one"
    assert not list(folder.glob(".*.part"))


def test_a_reader_that_has_seen_enough_ends_it_quietly(start: Callable[..., CommandProcess]) -> None:
    process = start("-f", "jsonl")
    assert process.read()
    process.close_stdout()
    process.send(b"photos/img1.png\n" * 50)
    code, _, err = process.end()
    assert code == 0
    assert "Traceback" not in err
    assert "Exception ignored" not in err


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_said_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        code, _, err = run("photos", "-l", "a,b")
    assert code == 2
    assert err.splitlines()[-1] == "clipprompt: cannot write to stdout: no space left on device"
